"""Random networks that the model never saw, predicted and measured on this computer.

Beside the calibrated table: the same scaled by what the canaries say of the level since the profile was made,
the plain table, a line through multiply-accumulates fitted on the same calibration networks, and the
measurement's own noise floor (the same networks measured again in as many other processes).

    python benchmarks/whole_networks.py --space proxyless
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.catalog import device
from devices.settings import Settings
from hwprofile.catalog import default_table, space_named
from hwprofile.display import SilentProgress
from hwprofile.latency import SpaceLatency, network_timings, raw_cost
from hwprofile.profile import Profile
from hwprofile.session import Session
from hwprofile.subjects import SpaceSubject
from hwprofile.verification import Verifier
from ponas_core.complexity import complexity
from ponas_core.space import Architecture, SearchSpace
from predictors.metrics import accuracy, coverage


def macs_line(space: SearchSpace, profile: Profile, networks: list[Architecture]) -> NDArray[np.float64]:
    """Latencies from a line through MACs, fitted by relative least squares on the calibration networks."""
    macs = complexity(space, "macs")
    known = [space.parse(name) for name in profile.of_kind("network")]
    times = np.array([timing.latency_ms for timing in network_timings(profile, space)])
    design = np.array([[macs.total(found.ops), 1.0] for found in known]) / times[:, None]
    line, *_ = np.linalg.lstsq(design, np.ones(len(times)), rcond=None)
    return np.array([macs.total(found.ops) * line[0] + line[1] for found in networks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="proxyless")
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--processes", type=int, default=5, help="for each of the two measurements")
    parser.add_argument("--profile", type=Path, help="default: bench anew")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    space = space_named(arguments.space)
    session = Session(device("cpu", Settings()), quiet=True)
    if arguments.profile:
        profile = Profile.load(arguments.profile)
    else:
        report = session.bench(arguments.space, fresh=True)
        profile = report.profile
        print(f"bench: {report.wall_s:.1f} s, {profile.status_counts()}, {len(profile.ends)} rounds")
    rng = np.random.default_rng(arguments.seed)
    seen = set(profile.of_kind("network"))
    networks = [
        found
        for found in (space.sample(rng) for _ in range(2 * arguments.networks))
        if str(found) not in seen
    ]
    networks = networks[: arguments.networks]
    subject = SpaceSubject(space, default_table(space), space.name, 1, 0)
    verifier = Verifier(session.device, subject, profile, SilentProgress())
    samples = verifier.process_ms(networks, 2 * arguments.processes)
    first, second = (
        np.array([np.exp(np.log(times[half::2]).mean()) for times in samples]) for half in (0, 1)
    )
    predicted = SpaceLatency.from_profile(profile, space).predict(networks)
    raw = raw_cost(space, profile)
    rows = {
        "noise floor": second,
        "calibrated table": np.array([found.median_ms for found in predicted]),
        "at today's level": np.array([found.median_ms for found in predicted]) * (1 + verifier.levels[-1]),
        "plain table": np.array([raw.total(found.ops) for found in networks]),
        "MACs line": macs_line(space, profile, networks),
    }
    held = coverage([p.low_ms for p in predicted], [p.high_ms for p in predicted], first)
    figures = {name: accuracy(values, first) for name, values in rows.items()}
    if arguments.json:
        print(
            json.dumps(
                {"coverage": held} | {name: vars_of(found) for name, found in figures.items()}, indent=1
            )
        )
        return
    print(f"level since the profile: {verifier.levels[-1]:+.1%}; interval coverage {held:.0%}")
    print(f"{'':<18}{'bias':>8}{'MAPE':>8}{'Spearman':>10}{'±2 %':>7}{'±5 %':>7}{'±10 %':>7}")
    for name, found in figures.items():
        shares = f"{found.within_2:>7.0%}{found.within_5:>7.0%}{found.within_10:>7.0%}"
        print(f"{name:<18}{found.bias:>8.2%}{found.mape:>8.2%}{found.spearman:>10.3f}{shares}")


def vars_of(found: object) -> dict[str, float]:
    """Fields of a figure."""
    return {name: getattr(found, name) for name in found.__dataclass_fields__}  # type: ignore[attr-defined] # a dataclass


if __name__ == "__main__":
    main()
