"""Does a profile say when it was disturbed, and do two quiet ones agree?

Pairs of profiles are benched interleaved in time, round by round. In quiet, almost all must be called
quiet, the two of a pair must agree, and `compare` must find nothing; where one block of one of them is made
slower by 5 % and played back, it must find exactly that block. After the first pairs, random networks are
measured and held against the model. Then the same beside a program that shares the processor measured on
(`core`), or streams memory on another one (`memory`): these must be called disturbed. Networks that calibrate
a model are measured only where it is validated.

    python benchmarks/repeatability.py --pairs 20 --hogged 10 --validated 10

Profiles are kept in --folder; what is there already is not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from devices.catalog import device
from devices.comparison import compared
from devices.replay import Recorded
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench import BenchOptions, bench, bench_in_rounds
from hwprofile.catalog import default_table, space_named
from hwprofile.display import SilentProgress
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from hwprofile.recording import replay_device
from hwprofile.subjects import SpaceSubject
from hwprofile.validation import validate
from hwprofile.verification import Verifier

HOGS = {
    "core": (-1, "while True: pass"),
    "memory": (
        0,
        "import numpy\na = numpy.zeros(1 << 28, numpy.uint8)\nwhile True: numpy.add(a, 1, out=a)",
    ),
}
"""Which of the allowed processors a program is bound to (the last is measured on), and its code."""
SLOWED = 1.05


@contextmanager
def disturbed_by(hog: str) -> Iterator[None]:
    """Run a disturbing program beside the block."""
    index, code = HOGS[hog]
    allowed = sorted(os.sched_getaffinity(0))
    pin = f"import os; os.sched_setaffinity(0, [{allowed[index]}])\n"
    process = subprocess.Popen([sys.executable, "-c", pin + code])
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Repeatability:
    """Benches and reads back the profiles of one folder."""

    def __init__(self, space: str, folder: Path, rounds: int) -> None:
        """Store what is benched and where."""
        self.space, self.folder = space_named(space), folder
        self.device = device("cpu", Settings())
        self.subject = SpaceSubject(self.space, default_table(self.space), space, 1, 10)
        self.blocks_only = replace(self.subject, networks=2)
        self.goal = Goal(rounds=rounds, most_rounds=rounds + 3)
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where a profile lies."""
        return self.folder / f"{name}.profile.jsonl"

    def pair(self, number: int, subject: SpaceSubject) -> tuple[Profile, Profile]:
        """Two profiles of the same, interleaved round by round."""
        paths = [self.path(f"quiet-{number}-{half}") for half in "ab"]
        benches = [
            bench_in_rounds(
                self.device, subject, path, self.goal, SilentProgress(), BenchOptions(2 * number + half)
            )
            for half, path in enumerate(paths)
        ]
        for _ in itertools.zip_longest(*benches):
            pass
        first, second = (Profile.load(path) for path in paths)
        return first, second

    def hogged(self, hog: str, number: int) -> Profile:
        """A profile measured beside a disturbing program."""
        path = self.path(f"{hog}-{number}")
        if Profile.was_begun(path) and Profile.load(path).finished:
            return Profile.load(path)
        with disturbed_by(hog):
            return bench(
                self.device, self.blocks_only, path, self.goal, SilentProgress(), BenchOptions(number)
            ).profile

    def validation(self, profile: Profile, number: int, networks: int) -> dict[str, Any]:
        """Random networks measured right after their profile, kept beside it."""
        path = self.folder / f"validation-{number}.json"
        if not path.exists():
            model = SpaceLatency.from_profile(profile, self.space)
            verifier = Verifier(self.device, self.subject, profile, SilentProgress())
            found = validate(profile, model, verifier, networks, 5, seed=1000 + number)
            path.write_text(json.dumps(found.to_json()))
        facts: dict[str, Any] = json.loads(path.read_text())
        return facts

    def slowed(self, path: Path, subject: SpaceSubject, block: str, seed: int) -> Profile:
        """A profile played back with one block 5 % slower."""
        played = replay_device(path)
        slower = replace(played, processes=[_slower(process, block) for process in played.processes])
        out = self.folder / f"slowed-{seed}.profile.jsonl"
        out.unlink(missing_ok=True)
        return bench(slower, subject, out, self.goal, SilentProgress(), BenchOptions(seed)).profile


def _slower(process: Recorded, block: str) -> Recorded:
    if block not in process.visits:
        return process
    visit = process.visits[block]
    wall, cpu = (tuple(round(SLOWED * ns) for ns in times or ()) for times in (visit.wall_ns, visit.cpu_ns))
    return replace(process, visits={**process.visits, block: replace(visit, wall_ns=wall, cpu_ns=cpu)})


def slower(before: Profile, after: Profile) -> list[str]:
    """What `compare` calls slower; the level of all graphs goes by the name `everything`."""
    times = [{name: profile.process_ms(name) for name in profile.names} for profile in (before, after)]
    found = compared(times[0], times[1])
    everything = ["everything"] if found.level_change == "slower" else []
    return everything + [graph.graph for graph in found.graphs if graph.change == "slower"]


def agreement(one: Profile, other: Profile) -> tuple[list[float], list[bool]]:
    """Relative differences of all blocks of two profiles, and whether their intervals overlap."""
    pairs = [(one.summary(name), other.summary(name)) for name in one.of_kind("block")]
    differences = [abs(b.median_ms / a.median_ms - 1) for a, b in pairs]
    overlap = [a.low_ms <= b.high_ms and b.low_ms <= a.high_ms for a, b in pairs]
    return differences, overlap


def report_pairs(repeat: Repeatability, count: int, validated: int) -> dict[str, float]:
    """Quiet pairs: verdicts, agreement, false and true alarms; gives the quiet latency of every block."""
    quiet, differences, overlaps, false_alarms, found = 0, [], [], 0, 0
    validations, blocks = [], {}
    rng = np.random.default_rng(0)
    for number in range(count):
        subject = repeat.subject if number < validated else repeat.blocks_only
        pair = repeat.pair(number, subject)
        quiet += sum(profile.why_disturbed() is None for profile in pair)
        for profile in pair:
            if profile.why_disturbed():
                print(f"  pair {number}: {profile.path.name}: {profile.why_disturbed()}")
        if number < validated:
            validations.append(repeat.validation(pair[0], number, 21))
        apart, overlap = agreement(*pair)
        differences += apart
        overlaps += overlap
        alarms = slower(*pair)
        false_alarms += bool(alarms)
        if alarms:
            print(f"  pair {number}: false alarm {alarms}")
        block = str(rng.choice(pair[0].of_kind("block")))
        slowed = repeat.slowed(pair[1].path, subject, block, number)
        named = slower(pair[0], slowed)
        found += named == [block]
        if named != [block]:
            print(f"  pair {number}: {block} was made slower, found {named}")
        blocks = {name: pair[0].summary(name).median_ms for name in pair[0].of_kind("block")}
    print(f"quiet: {quiet} of {2 * count} profiles are called quiet")
    print(
        f"blocks of a pair: median difference {np.median(differences):.2%}, 95th percentile "
        f"{np.quantile(differences, 0.95):.2%}; {np.mean(overlaps):.1%} of the intervals overlap"
    )
    print(f"compare: no regression in {count - false_alarms} of {count} pairs")
    print(f"compare: exactly the block that was made {SLOWED - 1:.0%} slower in {found} of {count} pairs")
    report_coverage(validations)
    return blocks


def report_coverage(validations: Sequence[dict[str, Any]]) -> None:
    """How often the interval of a network's prediction held, with a cluster bootstrap over runs."""
    if not validations:
        return
    held = [
        [row["low_ms"] <= row["measured_ms"] <= row["high_ms"] for row in facts["measurements"]]
        for facts in validations
    ]
    rng = np.random.default_rng(0)
    draws = [
        np.mean(np.concatenate([held[index] for index in rng.integers(0, len(held), len(held))]))
        for _ in range(2000)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    widths = [
        (row["high_ms"] - row["low_ms"]) / (2 * row["median_ms"])
        for facts in validations
        for row in facts["measurements"]
    ]
    print(
        f"interval coverage: {np.mean(np.concatenate(held)):.1%} [{low:.1%}, {high:.1%}] of "
        f"{sum(map(len, held))} networks in {len(held)} runs; half width {np.median(widths):.1%}; "
        f"MAPE {np.mean([facts['mape'] for facts in validations]):.2%}, "
        f"noise floor {np.mean([facts['noise_floor_mape'] for facts in validations]):.2%}"
    )


def report_hogged(repeat: Repeatability, hog: str, count: int, quiet_ms: dict[str, float]) -> None:
    """Profiles beside a disturbing program: verdicts, and what the block rows are worth."""
    disturbed, ok, rows, apart = 0, 0, 0, []
    for number in range(count):
        profile = repeat.hogged(hog, number)
        disturbed += profile.why_disturbed() is not None
        for name in profile.of_kind("block"):
            verdict = profile.verdict(name)
            rows += 1
            ok += verdict.status == "ok"
            if verdict.status == "ok" and verdict.summary and name in quiet_ms:
                apart.append(verdict.summary.median_ms / quiet_ms[name] - 1)
    print(
        f"{hog} hog: {disturbed} of {count} profiles are called disturbed; {ok / rows:.0%} of block rows ok, "
        f"{np.mean(np.abs(apart) <= 0.03):.0%} of these within 3 % of quiet, median {np.median(apart):+.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="proxyless")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--hogged", type=int, default=10, help="profiles beside each disturbing program")
    parser.add_argument(
        "--validated", type=int, default=10, help="pairs after which 21 networks are measured"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results/repeatability"))
    arguments = parser.parse_args()
    repeat = Repeatability(arguments.space, arguments.folder, arguments.rounds)
    blocks = report_pairs(repeat, arguments.pairs, arguments.validated)
    for hog in HOGS:
        if arguments.hogged:
            report_hogged(repeat, hog, arguments.hogged, blocks)


if __name__ == "__main__":
    main()
