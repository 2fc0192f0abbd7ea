"""Which latency model a profile should have: all learn from the same networks and predict the same others.

    python benchmarks/profile_models.py --space proxyless --profiles 3

Blocks, calibration networks, and fresh networks that no model learns from (half of them random, half picked
by the solver at budgets of their own) are measured in the same rounds, so that drift of the machine meets
every model alike. Prints the mean absolute percentage error on the fresh ones, for all calibration networks
and for two of them drawn at random, again and again. Profiles are kept in --folder; one that is there is not
measured again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from devices.catalog import device
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench import BenchOptions, bench
from hwprofile.catalog import default_table, space_named
from hwprofile.display import SilentProgress, table
from hwprofile.latency import SpaceLatency, network_timings, raw_cost
from hwprofile.profile import Profile
from hwprofile.subjects import SpaceSubject
from ponas_core import probes
from ponas_core.cost import CostTable
from ponas_core.space import Architecture, SearchSpace
from predictors.calibrated_table import Blocks, MeasuredNetwork, fitted_table
from predictors.estimators.gaussian_process import GroupedGaussianProcess

Floats: TypeAlias = NDArray[np.float64]
Indexes: TypeAlias = NDArray[np.intp]

HELD_OUT = "held-out"
"""How the roles of the networks begin that calibrate nothing."""
CALIBRATION = 10
BACKGROUND = 2000
FEW, DRAWS = 2, 30


@dataclass(frozen=True)
class PairedSubject(SpaceSubject):
    """What a bench of a space measures, and fresh networks beside it."""

    held_out: int = 40

    def choose(self, profile: Profile) -> Mapping[str, str]:
        """The usual networks; as fresh ones, winners at other budgets and random networks."""
        space, roles = self.definition, dict(super().choose(profile))
        picked = probes.winners(space, self.scores, raw_cost(space, profile), 4 * self.held_out)
        fresh = [name for name in map(str, picked) if name not in roles]
        spread = np.linspace(0, len(fresh) - 1, min(len(fresh), self.held_out // 2)).round().astype(int)
        wanted = len(roles) + self.held_out
        roles |= {fresh[index]: f"{HELD_OUT} winner" for index in spread}
        rng = np.random.default_rng(1)
        while len(roles) < wanted:
            roles.setdefault(str(space.sample(rng)), f"{HELD_OUT} random")
        return roles


@dataclass(frozen=True)
class Measured:
    """The networks of a profile, and what models learn from.

    Attributes:
        blocks: what is known of each block.
        timings: the networks.
        sums: of their blocks alone, milliseconds: (networks,).
        totals: what they compute, hold and move: (networks, totals).
        background: sums and totals of networks that nobody measured: (any, 1 + totals).
        fresh: which of them no model learns from: (networks,).
        noise: median over networks of the relative half width of the 95 % interval.
    """

    blocks: Blocks
    timings: list[MeasuredNetwork]
    sums: Floats
    totals: Floats
    background: Floats
    fresh: NDArray[np.bool_]
    noise: float

    @classmethod
    def of(cls, profile: Profile, space: SearchSpace) -> Measured:
        """What a profile holds."""
        names = [name for name in profile.of_kind("network") if profile.process_ms(name)]
        networks, rng = [space.parse(name) for name in names], np.random.default_rng(0)
        cost, roles = raw_cost(space, profile), profile.chosen or {}
        columns = _columns(space, networks, cost)
        return cls(
            SpaceLatency.from_profile(profile, space).blocks,
            network_timings(profile, space),
            columns[:, 0],
            columns[:, 1:],
            _columns(space, [space.sample(rng) for _ in range(BACKGROUND)], cost),
            np.array([roles[name].startswith(HELD_OUT) for name in names]),
            float(np.median([profile.summary(name).half_width for name in names])),
        )

    @property
    def times_ms(self) -> Floats:
        """Measured latencies: (networks,)."""
        return np.array([timing.cost for timing in self.timings])


def _columns(space: SearchSpace, networks: list[Architecture], cost: CostTable) -> Floats:
    """The sum of the blocks, and the totals."""
    described = space.describe(networks)
    totals = described.values[:, [group == "totals" for group in described.groups]]
    sums = cost.totals(np.array([network.ops for network in networks]))
    return np.column_stack([sums, totals])


def plain_sum(data: Measured, learn: Indexes, test: Indexes) -> Floats:
    return data.sums[test]


def affine(data: Measured, learn: Indexes, test: Indexes) -> Floats:
    """Slope and intercept, least squares of relative residuals."""
    design = np.column_stack([data.sums, np.ones_like(data.sums)])
    relative = design[learn] / data.times_ms[learn, None]
    return np.asarray(design[test] @ np.linalg.lstsq(relative, np.ones(len(learn)))[0])


def calibrated(data: Measured, learn: Indexes, test: Indexes) -> Floats:
    model = fitted_table(data.blocks, [data.timings[index] for index in learn])
    return model.predict([data.timings[index].keys for index in test])


def process(data: Measured, learn: Indexes, test: Indexes) -> Floats:
    """A Gaussian process over the sum, and over the totals."""
    columns = np.column_stack([data.sums, data.totals])
    groups = [0] + [1] * data.totals.shape[1]
    model = GroupedGaussianProcess(groups, data.background).fit(columns[learn], data.times_ms[learn])
    return model.predict(columns[test])


MODELS: Mapping[str, Callable[[Measured, Indexes, Indexes], Floats]] = {
    "sum of blocks": plain_sum,
    "a * sum + b": affine,
    "calibrated table": calibrated,
    "Gaussian process": process,
}


def errors(data: Measured) -> dict[str, tuple[float, float]]:
    """Mean absolute relative error of every model: learned from all calibration networks, and from few."""
    learn, test, rng = np.flatnonzero(~data.fresh), np.flatnonzero(data.fresh), np.random.default_rng(0)
    draws = [rng.choice(learn, FEW, replace=False) for _ in range(DRAWS)]

    def error(name: str, learned: Indexes) -> float:
        found = MODELS[name](data, learned, test)
        return float(np.abs(found / data.times_ms[test] - 1).mean())

    return {
        name: (error(name, learn), float(np.mean([error(name, few) for few in draws]))) for name in MODELS
    }


def measured(space_name: str, number: int, held_out: int, goal: Goal, folder: Path) -> Profile:
    """A profile of the folder; measured, or finished, where it is not."""
    space = space_named(space_name)
    subject = PairedSubject(space, default_table(space), space_name, 1, CALIBRATION, held_out=held_out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{space.name}-{number}.profile.jsonl"
    if Profile.was_begun(path) and Profile.load(path).finished:
        return Profile.load(path)
    return bench(
        device("cpu", Settings()), subject, path, goal, SilentProgress(), BenchOptions(number)
    ).profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="proxyless")
    parser.add_argument("--profiles", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=40, help="fresh networks of a profile")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results/profile_models"))
    arguments = parser.parse_args()
    goal = Goal(rounds=arguments.rounds, most_rounds=arguments.rounds + 3)
    space, found = space_named(arguments.space), []
    for number in range(arguments.profiles):
        profile = measured(arguments.space, number, arguments.held_out, goal, arguments.folder)
        data = Measured.of(profile, space)
        print(
            f"profile {number}: {data.fresh.sum()} fresh networks, {(~data.fresh).sum()} to learn from, "
            f"each known to ±{data.noise:.1%}; {profile.why_disturbed() or 'measured in quiet'}",
            flush=True,
        )
        found.append(errors(data))
    for which, title in enumerate(("MAPE, all calibration networks", f"{FEW} of them ({DRAWS} draws)")):
        header = [title, *map(str, range(len(found))), "mean"]
        rows = []
        for name in MODELS:
            values = [one[name][which] for one in found]
            rows.append([name, *(f"{value:.2%}" for value in [*values, float(np.mean(values))])])
        print("\n" + table(header, rows))


if __name__ == "__main__":
    main()
