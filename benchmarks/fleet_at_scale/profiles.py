"""A profile's life against its size: written, loaded, judged, asked for what a model is fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fleet_at_scale.fresh import Watch, costs_of
from benchmarks.fleet_at_scale.made_up import GRAPHS, ROUNDS, SAMPLES, PaperDevice, block_names, write
from benchmarks.fleet_at_scale.slopes import Series
from devices.measurement import Graph
from devices.schedule import Goal
from hwprofile.bench import bench
from hwprofile.display import SilentProgress
from hwprofile.profile import Kind, Profile

HERE = "benchmarks.fleet_at_scale.profiles"
USUAL = {"rounds": ROUNDS, "graphs": GRAPHS, "samples": SAMPLES}
COSTS = {
    "file_bytes": ("profile, file", "bytes"),
    "write_s": ("profile, write", "s"),
    "load_s": ("profile, load", "s"),
    "load_bytes": ("profile, load", "bytes"),
    "judge_s": ("profile, judge", "s"),
    "ask_s": ("profile, medians of all graphs", "s"),
}
"""Costs in words, with the unit."""
LOOP_GRAPHS, LOOP_ROUNDS = 20, 5


def written(watch: Watch, path: str, graphs: int, rounds: int, samples: int) -> None:
    """A profile of this size is written."""
    with watch("write"):
        write(Path(path), block_names(graphs), rounds, samples)
    watch.costs["file_bytes"] = float(Path(path).stat().st_size)


def read(watch: Watch, path: str) -> None:
    """A profile is loaded, judged, and asked for one median a process of every graph."""
    with watch("load"):
        profile = Profile.load(Path(path))
    with watch("judge"):
        profile.why_disturbed()
    with watch("ask"):
        for name in profile.names:
            profile.process_ms(name)


def life(repeats: int, **size: int) -> dict[str, float]:
    """What a profile of this many graphs, rounds and samples costs, the least over the repeats."""
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "paper.profile.jsonl")
        return {
            **costs_of(f"{HERE}:written", 1, path=path, **size),
            **costs_of(f"{HERE}:read", repeats, path=path),
        }


def series(factors: Sequence[float], repeats: int) -> Iterator[Series]:
    """Costs of a profile that grows from the usual size by these factors, in rounds or graphs.

    In samples of a graph and round it grows by ten times these, as few weigh less than the rest of a row.
    """
    for grown, usual in USUAL.items():
        stretched = [10 * factor if grown == "samples" else factor for factor in factors]
        sizes = sorted({max(1, round(factor * usual)) for factor in stretched})
        found = [life(repeats, **{**USUAL, grown: size}) for size in sizes]
        in_samples = tuple(float(GRAPHS * ROUNDS * SAMPLES // usual * size) for size in sizes)
        for cost, (what, unit) in COSTS.items():
            yield Series(what, unit, f"samples, by {grown}", in_samples, tuple(one[cost] for one in found))


# --- the loop of a bench


@dataclass(frozen=True)
class PaperSubject:
    """So many graphs, all known from the first round on."""

    graphs: int
    name: str = "paper"
    space: str | None = None
    inline: bool = False

    def first(self) -> dict[str, Kind]:
        """All of them."""
        return block_names(self.graphs)

    def choose(self, profile: Profile) -> dict[str, str]:
        """None beside them."""
        return {}

    def graph(self, name: str, kind: Kind) -> Graph:
        """A graph without content."""
        return Graph(name, bytes)

    def reference(self) -> Graph:
        """Likewise."""
        return Graph("reference", bytes)


def loop(watch: Watch, graphs: int, rounds: int) -> None:
    """A whole bench on paper: schedule, writer and judgement of every round, and no measuring."""
    goal = Goal(rounds=rounds, most_rounds=rounds + 3)
    with TemporaryDirectory() as folder, watch("loop"):
        path = Path(folder) / "paper.profile.jsonl"
        report = bench(PaperDevice(), PaperSubject(graphs), path, goal, SilentProgress())
    watch.costs["visits"] = float(sum(map(len, report.profile.visits.values())))


def loop_series(rounds: Sequence[int], graphs: Sequence[int], repeats: int) -> Iterator[Series]:
    """Seconds of a bench's loop against the samples: by rounds of few graphs, and by graphs of few rounds."""
    usual = {"graphs": LOOP_GRAPHS, "rounds": LOOP_ROUNDS}
    for grown, sizes in (("rounds", rounds), ("graphs", graphs)):
        found = [costs_of(f"{HERE}:loop", repeats, **{**usual, grown: size}) for size in sizes]
        in_samples = tuple(SAMPLES * one["visits"] for one in found)
        costs = tuple(one["loop_s"] for one in found)
        yield Series("loop of a bench", "s", f"samples, by {grown}", in_samples, costs)
