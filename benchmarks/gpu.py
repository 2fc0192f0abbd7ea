"""Is a table of blocks additive on an NVIDIA GPU, and what does a CUDA graph save?

Written for a computer with an NVIDIA GPU; IT WAS NEVER RUN ON ONE. What was run: the same script over the
stand-ins of the tests, whose figures mean nothing.

    python benchmarks/gpu.py --runtime tensorrt
    python benchmarks/gpu.py --runtime pytorch
    python benchmarks/gpu.py --runtime onnxruntime --dtype int8

For every provider, a space is benched, and random networks that the profile never saw are measured and held
against the calibrated table: their share within ±2 %, ±5 % and ±10 %, beside the bare sum of blocks. Then the
latencies of the same graphs under the other providers are divided by those under the first, the CUDA graph.
Profiles are kept in --folder; what is there already is not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwprofile.chosen_device import chosen_device
from hwprofile.display import table
from hwprofile.profile import KINDS, Profile
from hwprofile.session import Session, session_goal

PROVIDERS = {
    "tensorrt": ["graph", "stream"],
    "pytorch": ["cuda+graph", "cuda+compile", "cuda"],
    "onnxruntime": ["CUDAExecutionProvider+graph", "CUDAExecutionProvider"],
}


def validated(arguments: argparse.Namespace, provider: str) -> tuple[dict[str, Any], Profile]:
    """Bench a space with a provider, and hold its table against networks that it never saw."""
    device = chosen_device(
        arguments.device, runtime=arguments.runtime, provider=provider, precision=arguments.dtype
    )
    session = Session(device, session_goal(0.02, arguments.rounds))
    name = f"{arguments.runtime}-{provider}-{arguments.dtype}-{arguments.space}.profile.jsonl"
    path = arguments.folder / name
    profile = session.bench(arguments.space, out=path).profile
    found = session.validate(arguments.space, path, arguments.networks, arguments.processes, seed=1)
    return found.to_json(), profile


def ratios(slower: Profile, faster: Profile) -> dict[str, list[float]]:
    """How many times longer the same graphs take, by kind of graph."""
    found: dict[str, list[float]] = {}
    for kind in KINDS:
        names = [name for name in slower.of_kind(kind) if name in faster.of_kind(kind)]
        both = [(slower.verdict(name).summary, faster.verdict(name).summary) for name in names]
        found[kind] = [one.median_ms / other.median_ms for one, other in both if one and other]
    return {kind: values for kind, values in found.items() if values}


def additivity(results: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for provider, facts in results.items():
        models = {"calibrated table": facts, **facts["baselines"]}
        rows += [
            [provider, name, f"{one['bias']:+.1%}", f"{one['mape']:.1%}", f"{one['spearman']:.3f}"]
            + [f"{one[share]:.0%}" for share in ("within_2", "within_5", "within_10")]
            for name, one in models.items()
        ]
        rows.append([provider, "noise floor", "", f"{facts['noise_floor_mape']:.1%}", *[""] * 4])
    return table(["provider", "model", "bias", "MAPE", "Spearman", "±2 %", "±5 %", "±10 %"], rows, left=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtime", choices=list(PROVIDERS), default="tensorrt")
    parser.add_argument("--providers", nargs="+", help="the first one is what others are divided by")
    parser.add_argument("--device", default="cpu", help="the computer whose GPU is meant")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--space", default="proxyless")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("gpu"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    providers = arguments.providers or PROVIDERS[arguments.runtime]
    found = {provider: validated(arguments, provider) for provider in providers}
    print(additivity({provider: facts for provider, (facts, _) in found.items()}))
    summary = arguments.folder / f"{arguments.runtime}-{arguments.dtype}-{arguments.space}.json"
    summary.write_text(json.dumps({provider: facts for provider, (facts, _) in found.items()}, indent=1))
    for other in providers[1:]:
        for kind, values in ratios(found[other][1], found[providers[0]][1]).items():
            middle, low, high = np.median(values), min(values), max(values)
            print(f"{other} / {providers[0]}, {kind}s: ×{middle:.2f} (×{low:.2f} to ×{high:.2f})")


if __name__ == "__main__":
    main()
