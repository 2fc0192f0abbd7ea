"""Is the network searched for a device the fastest one there, at equal accuracy? Devices beside networks.

The figure of ProxylessNAS (Cai, Zhu and Han, ICLR 2019, "specialised models for different hardware").

    python -m benchmarks.cross_device measured --devices fp32 litert:int8
    python -m benchmarks.cross_device published --data DIR

`measured`: `nasbench-macro`, where every accuracy is published, on devices that are runtimes and data types
here, one thread each. Every device is benched. At several accuracies each device's fastest network is taken
from its latency model: among those within 0.05 points, and only where nothing more accurate is faster. The
accuracies are those where the smallest predicted advantage is largest. All networks are then measured anew on
all devices, in the same fresh processes, devices in turn. Exit 1 unless every network is significantly slower
than the device's own. Profiles are kept in --home: finished ones of the space are used again, networks are
always measured anew. Accuracies are those of fp32 networks; int8 lowers them. Two devices take about two
minutes.

`published`: NAS-Bench-201, CIFAR-10 test accuracy after 200 epochs, latencies as HELP (Lee et al., NeurIPS
2021) published them, one number a network. A device's own network is the fastest by construction; what is
told is how much slower the networks of the others are. Seconds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.published import published, rows
from devices.comparison import FEWEST_FOR_LEVEL, GraphChange, Times, compared
from devices.device import Device
from devices.schedule import Goal
from devices.statistics import interval
from hwprofile import places
from hwprofile.bench import bench_in_rounds
from hwprofile.catalog import space_named
from hwprofile.chosen_device import chosen_device
from hwprofile.display import SilentProgress, table
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from hwprofile.session import Session
from hwprofile.subjects import NetworksSubject
from ponas_core.accuracies import published_accuracies
from ponas_core.cell_traits import cell_traits
from ponas_core.cells import OPERATIONS

Floats: TypeAlias = NDArray[np.float64]
Indexes: TypeAlias = NDArray[np.intp]

SPACE = "nasbench-macro"
EQUAL = 0.05
"""Points of accuracy on either side of a level within which networks are equally accurate."""
APART = 0.5
"""Points between levels that are looked at."""
REACH = 5.0
"""Points below the most accurate network where levels end."""
FALSE_ALARMS = 0.05
"""Probability of calling any network slower that is not."""
PUBLISHED_DEVICES = ("1080ti_256", "1080ti_1", "gold_6240", "pixel3")
PERCENTILES = (25, 75)
_TINY = 1e-9


# --- choosing: values in, values out


@dataclass(frozen=True, eq=False)
class Level:
    """The fastest network of every device at one accuracy.

    Attributes:
        accuracy: per cent.
        networks: index of each device's network.
        slower: (networks, devices) how much slower a network is on a device than the device's own; 0 on the
            diagonal.
    """

    accuracy: float
    networks: tuple[int, ...]
    slower: Floats

    @property
    def advantage(self) -> float:
        """The smallest lead that a device's own network has over another device's."""
        return float(self.slower[~np.eye(len(self.networks), dtype=np.bool_)].min())


def fastest(accuracy: Floats, latency_ms: Floats, level: float) -> Level | None:
    """Every device's fastest network within `EQUAL` of a level; None where no network is.

    Args:
        accuracy: (networks,) per cent.
        latency_ms: (devices, networks).
        level: per cent.
    """
    equal = np.flatnonzero(np.abs(accuracy - level) <= EQUAL + _TINY)
    if equal.size == 0:
        return None
    best = equal[latency_ms[:, equal].argmin(axis=1)]
    times = latency_ms[:, best]
    return Level(level, tuple(best.tolist()), (times / np.diag(times)[:, None] - 1).T)


def is_unbeaten(found: Level, accuracy: Floats, latency_ms: Floats) -> bool:
    """Whether no network that is more accurate than a level is faster than its networks on their devices."""
    as_accurate = accuracy >= found.accuracy - EQUAL - _TINY
    own = latency_ms[np.arange(len(latency_ms)), list(found.networks)]
    return bool(np.all(own <= latency_ms[:, as_accurate].min(axis=1)))


def chosen_levels(
    accuracy: Floats, latency_ms: Floats, count: int, smallest_advantage: float, lowest: float
) -> list[Level]:
    """Levels where every device has a network of its own that is unbeaten, the largest advantage first.

    Args:
        accuracy: (networks,) per cent.
        latency_ms: (devices, networks).
        count: most levels; they are `APART` at least.
        smallest_advantage: levels with less are left out; at 0 devices may share a network.
        lowest: accuracy of the lowest level.
    """
    levels = [
        fastest(accuracy, latency_ms, float(level)) for level in np.unique(accuracy[accuracy >= lowest])
    ]
    found = [
        level
        for level in levels
        if level is not None
        and level.advantage >= smallest_advantage
        and is_unbeaten(level, accuracy, latency_ms)
    ]
    found.sort(key=lambda level: (level.advantage, float(level.slower.mean())), reverse=True)
    chosen: list[Level] = []
    for level in found:
        if all(abs(level.accuracy - other.accuracy) >= APART for other in chosen) and len(chosen) < count:
            chosen.append(level)
    return chosen


def even_levels(accuracy: Floats, latency_ms: Floats, lowest: float) -> list[Level]:
    """Levels that stand side by side, so that every network is in one, the lowest first; nothing chosen."""
    steps = np.arange(lowest + EQUAL, float(accuracy.max()) + EQUAL, 2 * EQUAL)
    levels = [fastest(accuracy, latency_ms, float(level)) for level in steps]
    return [level for level in levels if level is not None]


def most_accurate(accuracy: Floats, latency_ms: Floats, budget_ms: float) -> int:
    """The most accurate network within a budget, the faster of two."""
    within = np.flatnonzero(latency_ms <= budget_ms)
    order = np.lexsort((latency_ms[within], -accuracy[within]))
    return int(within[order[0]])


# --- measured here


@dataclass(frozen=True)
class Rival:
    """Another device's network beside a device's own, on that device, at one level."""

    level: Level
    device: int
    other: int
    change: GraphChange

    @property
    def own_wins(self) -> bool:
        """Whether the other's network is slower, significantly."""
        return self.change.change == "slower"


def rivals(levels: Sequence[Level], times: Sequence[Mapping[int, Mapping[int, float]]]) -> list[Rival]:
    """Every device's own networks against the others'; `FALSE_ALARMS` holds for all of them together.

    The two are in the same processes; the test knows nothing of that, and so claims too little, not too much.

    Args:
        levels: fewer than `FEWEST_FOR_LEVEL`, since a test of more takes off what they have in common.
        times: per device, one median a process by the network's index, then the process's number.
    """
    pairs = list(itertools.permutations(range(len(times)), 2))
    found = []
    for device, other in pairs:
        own, others = (_by_level(levels, times[device], whose) for whose in (device, other))
        result = compared(own, others, 0.0, FALSE_ALARMS / len(pairs))
        found += [Rival(levels[int(change.graph)], device, other, change) for change in result.graphs]
    return sorted(found, key=lambda rival: (levels.index(rival.level), rival.device, rival.other))


def _by_level(levels: Sequence[Level], times: Mapping[int, Mapping[int, float]], whose: int) -> Times:
    return {str(at): times[level.networks[whose]] for at, level in enumerate(levels)}


def device_of(text: str) -> Device:
    """This computer with a data type, or `RUNTIME:DTYPE`, one thread."""
    runtime, _, precision = text.rpartition(":")
    return chosen_device("cpu", runtime=runtime or None, precision=precision)


def measured_anew(devices: Sequence[Device], subject: NetworksSubject, goal: Goal) -> list[Profile]:
    """Networks on all devices, which take turns round by round."""
    paths = [places.fresh_profile_path(device.name, subject.name, device.settings) for device in devices]
    benches = [
        bench_in_rounds(device, subject, path, goal, SilentProgress())
        for device, path in zip(devices, paths, strict=True)
    ]
    for _ in itertools.zip_longest(*benches):
        pass
    return [Profile.load(path) for path in paths]


def run_measured(texts: Sequence[str], count: int, smallest_advantage: float, rounds: int) -> bool:
    """Choose, measure, print; whether every device's own network wins."""
    space = space_named(SPACE)
    known = published_accuracies(space)
    assert known is not None
    ops, accuracy = np.array(list(known.values), np.intp), np.array(list(known.values.values()))
    devices = [device_of(text) for text in texts]
    profiles = [Session(device, quiet=True).bench(SPACE).profile for device in devices]
    predicted = np.array(
        [SpaceLatency.from_profile(profile, space).predict_ops(ops)[0] for profile in profiles]
    )
    levels = chosen_levels(accuracy, predicted, count, smallest_advantage, float(accuracy.max()) - REACH)
    if not levels:
        print(f"no accuracy where every device's own network leads by {smallest_advantage:.0%}, as predicted")
        return False
    networks = {index: space.architecture(ops[index]) for level in levels for index in level.networks}
    subject = NetworksSubject(space, SPACE, {str(network): network for network in networks.values()}, 1)
    anew = measured_anew(devices, subject, Goal(rounds=rounds, most_rounds=rounds + 3))
    times = [
        {index: profile.process_ms(str(network)) for index, network in networks.items()} for profile in anew
    ]
    names = [f"{device.settings.runtime} {device.settings.precision}" for device in devices]
    texts_of = {index: f"{network}  {accuracy[index]:.2f} %" for index, network in networks.items()}
    for level in levels:
        print(measured_matrix(level, names, texts_of, times) + "\n")
    found = rivals(levels, times)
    print(verdicts(found, names))
    for name, profile in zip([*names, *names], [*profiles, *anew], strict=True):
        if profile.why_disturbed():
            print(f"DISTURBED {name}, {profile.path.name}: {profile.why_disturbed()}")
    wins = sum(rival.own_wins for rival in found)
    print(
        f"the device's own network wins in {wins} of {len(found)} comparisons, "
        f"significantly at {FALSE_ALARMS:.0%} over all; accuracies are those of fp32 networks"
    )
    return wins == len(found)


def measured_matrix(
    level: Level,
    names: Sequence[str],
    texts: Mapping[int, str],
    times: Sequence[Mapping[int, Mapping[int, float]]],
) -> str:
    """Networks beside devices, milliseconds with 95 % intervals; a device's own network in parentheses."""
    cells = []
    for whose, network in enumerate(level.networks):
        row = [f"of {names[whose]}", texts[network]]
        for at in range(len(names)):
            middle, low, high = interval(list(times[at][network].values()))
            words = f"{middle:.3f} [{low:.3f}, {high:.3f}]"
            row.append(f"({words})" if at == whose else f" {words} ")
        cells.append(row)
    title = f"{level.accuracy:.2f} % ± {EQUAL} points, predicted advantage {level.advantage:.1%} and more"
    return f"{title}\n\n" + table(
        ["network", "and its accuracy", *(f"on {n}, ms " for n in names)], cells, left=2
    )


def verdicts(found: Sequence[Rival], names: Sequence[str]) -> str:
    """Every comparison with what was predicted, what was measured and what the test says."""
    pairs = len(names) * (len(names) - 1)  # each is a family of tests, corrected within
    cells = [
        [
            f"{rival.level.accuracy:.2f} %",
            names[rival.device],
            names[rival.other],
            f"{rival.level.slower[rival.other, rival.device]:+.1%}",
            f"{rival.change.ratio - 1:+.1%}",
            f"{min(1.0, pairs * rival.change.p):.1g}",
            "slower" if rival.own_wins else "NOT slower",
        ]
        for rival in found
    ]
    return table(["level", "on", "network of", "predicted", "measured", "p", ""], cells, left=3)


# --- published


def run_published(names: Sequence[str], count: int) -> None:
    """Print what the tables of others say."""
    data = published("nasbench201")
    assert data.kinds is not None
    unknown = [name for name in names if name not in data.latency_ms]
    if unknown:
        raise UserError(f"no published device {unknown[0]}; there are {', '.join(data.latency_ms)}")
    latency_ms = np.array([data.latency_ms[name] for name in names])
    usable = np.flatnonzero((data.kinds >= 0) & np.isfinite(latency_ms).all(axis=0))
    accuracy = np.array([float(row["c10_test200"]) for row in rows("nb201_acc.csv.gz")])[usable]
    latency_ms, cells = latency_ms[:, usable], [data.networks[index] for index in usable.tolist()]
    lowest = float(accuracy.max()) - REACH
    levels = even_levels(accuracy, latency_ms, lowest)
    reach = f"{levels[0].accuracy:.2f} to {levels[-1].accuracy:.2f} %, each ± {EQUAL} points"
    print(f"how much slower a network is than the device's own, mean of {len(levels)} levels, {reach}\n")
    print(slower_matrix(np.mean([level.slower for level in levels], axis=0), names) + "\n")
    traits = cell_traits(np.array([cell.ops for cell in cells]))[0]
    print("what their cells hold on edges that matter, and convolutions on a path, means over the levels\n")
    print(ops_table(levels, names, traits) + "\n")
    for level in chosen_levels(accuracy, latency_ms, count, 0.0, lowest):
        print(f"{level.accuracy:.2f} % ± {EQUAL} points; nothing more accurate is faster\n")
        print(published_matrix(level, names, accuracy, latency_ms, list(map(str, cells))) + "\n")
    for percentile in PERCENTILES:
        print(f"most accurate within the {percentile}th percentile of each device; shares of that budget\n")
        print(budget_matrix(percentile, names, accuracy, latency_ms) + "\n")


def slower_matrix(slower: Floats, names: Sequence[str]) -> str:
    """Networks beside devices, how much slower."""
    cells = [
        [f"of {name}", *("–" if at == whose else f"{slower[whose, at]:+.0%}" for at in range(len(names)))]
        for whose, name in enumerate(names)
    ]
    return table(["network", *(f"on {name}" for name in names)], cells)


def ops_table(levels: Sequence[Level], names: Sequence[str], traits: Indexes) -> str:
    """Mean numbers of operations in each device's networks, and their shortest and longest path."""
    cells = []
    for whose, name in enumerate(names):
        own = traits[[level.networks[whose] for level in levels]]
        counts = [(own[:, :-2] == op).sum(axis=1).mean() for op in range(len(OPERATIONS))]
        cells.append([f"of {name}", *(f"{mean:.2f}" for mean in (*counts, *own[:, -2:].mean(axis=0)))])
    return table(["network", *OPERATIONS, "fewest", "most"], cells)


def published_matrix(
    level: Level, names: Sequence[str], accuracy: Floats, latency_ms: Floats, texts: Sequence[str]
) -> str:
    """Networks beside devices, milliseconds and how much slower; a device's own network in parentheses."""
    cells = []
    for whose, network in enumerate(level.networks):
        row = [f"of {names[whose]}", f"{accuracy[network]:.2f} %"]
        for at, slower in enumerate(level.slower[whose]):
            time_ms = f"{latency_ms[at, network]:.2f}"
            row.append(f"({time_ms})" if at == whose else f"{time_ms} {slower:+.0%}")
        cells.append([*row, f"  {texts[network]}"])
    return table(["network", "accuracy", *(f"on {name}, ms" for name in names), ""], cells)


def budget_matrix(percentile: float, names: Sequence[str], accuracy: Floats, latency_ms: Floats) -> str:
    """The most accurate network of every device under the same percentile, on all of them."""
    budgets_ms = np.percentile(latency_ms, percentile, axis=1)
    best = [most_accurate(accuracy, *one) for one in zip(latency_ms, budgets_ms, strict=True)]
    cells = [
        [
            f"of {names[whose]}",
            f"{accuracy[network]:.2f} %",
            *(f"{share:.0%}{' over' if share > 1 else ''}" for share in latency_ms[:, network] / budgets_ms),
        ]
        for whose, network in enumerate(best)
    ]
    budgets = ["budget", "", *(f"{budget_ms:.2f} ms" for budget_ms in budgets_ms)]
    return table(["network", "accuracy", *(f"on {name}" for name in names)], [*cells, budgets])


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    here = parts.add_parser("measured", help="runtimes and data types on this computer")
    here.add_argument("--devices", nargs="+", default=["fp32", "int8"], metavar="[RUNTIME:]DTYPE")
    here.add_argument("--home", type=Path, default=Path("benchmarks/results/cross_device"))
    here.add_argument("--levels", type=int, default=3, choices=range(1, FEWEST_FOR_LEVEL), metavar="N")
    here.add_argument("--smallest-advantage", type=float, default=0.03, help="as predicted, 0.03 is 3 %%")
    here.add_argument("--rounds", type=int, default=12, help="fresh processes that measure the networks")
    others = parts.add_parser("published", help="NAS-Bench-201 on devices of others")
    others.add_argument("--data", type=Path, help="folder of the tables; default: HWPROFILE_TEST_DATA")
    others.add_argument("--devices", nargs="+", default=list(PUBLISHED_DEVICES), metavar="NAME")
    others.add_argument("--levels", type=int, default=3, metavar="N")
    arguments = parser.parse_args(words)
    if len(arguments.devices) < 2:
        parser.error("--devices: give two or more")
    try:
        if arguments.part == "measured":
            os.environ["HWPROFILE_HOME"] = str(arguments.home)
            options = (arguments.levels, arguments.smallest_advantage, arguments.rounds)
            sys.exit(0 if run_measured(arguments.devices, *options) else 1)
        if arguments.data is not None:
            os.environ["HWPROFILE_TEST_DATA"] = str(arguments.data)
        try:
            run_published(arguments.devices, arguments.levels)
        except FileNotFoundError as error:
            print(f"skipped: {error}")
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
