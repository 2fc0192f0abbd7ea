"""Files of every kind that a report shows, made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwprofile import fitting
from hwprofile.catalog import scores_named
from hwprofile.front import front_of
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import write_made_up_profile

SPACE = "cifar-tiny"


def interval_json(median: float) -> dict[str, float]:
    return {"median": median, "low": 0.95 * median, "high": 1.05 * median}


def result_json(profile: Profile) -> dict[str, Any]:
    """What a specialisation for a made-up profile could have ended in."""
    space = shipped_space(SPACE)
    front = front_of(SpaceLatency.from_profile(profile, space), scores_named(space, None))
    middle = len(front.values) // 2
    chosen = front.architectures[middle]

    def candidate(index: int) -> dict[str, Any]:
        return {
            "architecture": str(front.architectures[index]),
            "score": front.values[index],
            "predicted_ms": interval_json(front.latencies[index].median_ms),
        }

    return {
        "schema_version": 1,
        "file": "hwprofile-result",
        **candidate(middle),
        "blocks": [str(block) for block in chosen.blocks],
        "space": SPACE,
        "device": profile.header.device,
        "budget": {"latency_ms": 1.02 * front.latencies[middle].median_ms},
        "budget_text": ["60%"],
        "measured_ms": interval_json(front.latencies[middle].median_ms),
        "holds_budget": True,
        "score_kind": "accuracy",
        "score_meaning": "accuracy in per cent",
        "runners_up": [candidate(middle - 1)],
        "fastest": candidate(0),
        "most_accurate": candidate(-1),
        "profile": str(profile.path),
        "profile_disturbed": None,
        "weights": "trained",
        "counted": {"accuracy": 71.5},
    }


def validation_json(why_disturbed: str | None = None) -> dict[str, Any]:
    figures = {
        "bias": 0.01,
        "mape": 0.02,
        "spearman": 0.99,
        "within_2": 0.5,
        "within_5": 0.9,
        "within_10": 1.0,
    }
    networks = [(f"{n},0,1,0,1,0", 0.1 * (n + 1)) for n in range(4)]
    return {
        "space": SPACE,
        **figures,
        "interval_coverage": 0.95,
        "noise_floor_mape": 0.015,
        "baselines": {"sum of blocks": figures},
        "why_disturbed": why_disturbed,
        "measurements": [
            {
                "architecture": name,
                "measured_ms": time,
                "again_ms": 1.01 * time,
                "median_ms": 1.02 * time,
                "low_ms": 0.97 * time,
                "high_ms": 1.07 * time,
            }
            for name, time in networks
        ],
    }


def search_json(network: str = "1,0,1,0,1,0") -> dict[str, Any]:
    history = [{"architecture": network, "score": score} for score in (60.0, 64.5, 63.0, 70.0)]
    return {
        "schema_version": 1,
        "file": "hwprofile-search",
        "method": "evolution",
        "space": SPACE,
        "seed": 0,
        "settings": {"population": 20},
        "architecture": network,
        "score": 70.0,
        "latency_ms": 0.07,
        "candidates": 4096,
        "budget_text": ["80us"],
        "history": history,
    }


def files_of_every_kind(folder: Path, cpu_header: Callable[[str], Header]) -> list[Path]:
    """Two profiles, a model, a result, a validation, a search folder: with what they hold."""
    header = cpu_header(SPACE)
    first = write_made_up_profile(folder / "a.profile.jsonl", shipped_space(SPACE), header, rounds=3)
    other = replace(header, identity={**header.identity, "threads": 2})
    second = write_made_up_profile(folder / "b.profile.jsonl", shipped_space(SPACE), other, rounds=3, seed=1)
    model = folder / "model.json"
    fitting.save(fitting.fit(fitting.measured_in(first), "ridge"), model)
    search = folder / "searched"
    search.mkdir()
    (search / "result.json").write_text(json.dumps(search_json()))
    (folder / "result.json").write_text(json.dumps(result_json(first)))
    (folder / "validation.json").write_text(json.dumps(validation_json()))
    return [folder / "validation.json", first.path, search, second.path, folder / "result.json", model]
