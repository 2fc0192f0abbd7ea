"""Do specialised networks hold their budget, and do they use it?

For binding budgets spread over a space, networks are chosen in three ways from one profile: by the plain
table, by the calibrated model alone, and by the closed loop of measuring and correcting. All winners of a
budget are then measured once more, together, in fresh processes that chose nothing. Hindsight: the best score
that the same model reaches when it is scaled to this last measurement.

    python benchmarks/budgets.py --space proxyless --scores macs --budgets 10
    python benchmarks/budgets.py --space nasbench-macro --budgets 10
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.catalog import device
from devices.settings import Settings
from hwprofile.budget import Budget
from hwprofile.catalog import scores_named, space_named
from hwprofile.display import SilentProgress
from hwprofile.latency import SpaceLatency, raw_cost
from hwprofile.profile import Profile
from hwprofile.session import Session
from hwprofile.specialize import Specializer
from hwprofile.subjects import SpaceSubject
from hwprofile.verification import Verifier
from ponas_core.closed_loop import Latency
from ponas_core.cost import Limit
from ponas_core.score_table import Scores
from ponas_core.selection import select
from ponas_core.space import Architecture

VERIFYING_PROCESSES = 7
MODES = ("plain table", "calibrated model", "closed loop")


@dataclass(frozen=True)
class Row:
    """One budget and mode."""

    mode: str
    budget_ms: float
    measured_ms: float
    score: float
    hindsight: float
    claims_to_hold: bool | None

    @property
    def used(self) -> float:
        """Measured latency over the budget."""
        return self.measured_ms / self.budget_ms


def solve(latency: SpaceLatency, scores: Scores, limit: Limit) -> Architecture:
    return select(latency.space, scores, [limit], 1).architectures[0]


def run_budget(
    session: Session, subject: SpaceSubject, profile: Profile, scores: Scores, budget_ms: float
) -> list[Row]:
    """All modes at one budget."""
    space = subject.definition
    latency = SpaceLatency.from_profile(profile, space)
    specializer = Specializer(latency, scores, [Budget(f"{budget_ms}ms", "latency_ms", budget_ms)])
    verifier = Verifier(session.one_device, subject, profile, SilentProgress())
    outcome = specializer.from_measurements(verifier).outcome
    assert outcome is not None
    winners = {
        "plain table": solve(latency, scores, Limit(raw_cost(space, profile), budget_ms)),
        "calibrated model": solve(latency, scores, Limit(latency.cost, budget_ms)),
        "closed loop": outcome.architecture,
    }
    distinct = list({found.ops: found for found in winners.values()}.values())
    measured: dict[tuple[int, ...], Latency] = {
        found.ops: value
        for found, value in zip(distinct, verifier.measure(distinct, VERIFYING_PROCESSES), strict=True)
    }
    rows = []
    for mode, winner in winners.items():
        time_ms = measured[winner.ops].median_ms
        scale = time_ms / latency.median_ms(winner)
        hindsight = solve(latency, scores, Limit(latency.cost, budget_ms / scale))
        claims = outcome.holds if mode == "closed loop" else None
        rows.append(Row(mode, budget_ms, time_ms, scores.value(winner), scores.value(hindsight), claims))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="proxyless")
    parser.add_argument("--scores", help="default: the accuracies of the space")
    parser.add_argument("--budgets", type=int, default=10)
    parser.add_argument("--profile", type=Path, help="default: bench anew")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    space = space_named(arguments.space)
    scores = scores_named(space, arguments.scores)
    session = Session(device("cpu", Settings()), quiet=True)
    profile = (
        Profile.load(arguments.profile)
        if arguments.profile
        else session.bench(arguments.space, fresh=True).profile
    )
    subject = SpaceSubject(space, scores.table, space.name, 1, 10)
    latency = SpaceLatency.from_profile(profile, space)
    top = Specializer(latency, scores, []).most_accurate.predicted.median_ms
    fastest = latency.median_ms(space.architecture(latency.cost.smallest()))
    budgets = np.linspace(
        fastest + 0.12 * (top - fastest), fastest + 0.85 * (top - fastest), arguments.budgets
    )
    rows: list[Row] = []
    for budget_ms in budgets:
        found = run_budget(session, subject, profile, scores, float(budget_ms))
        rows += found
        if not arguments.json:
            words = "  ".join(f"{row.mode} {row.used:.3f} ({row.score:.4g})" for row in found)
            print(f"{budget_ms:8.3f} ms  measured/budget: {words}", flush=True)
    report(rows, as_json=arguments.json)


def report(rows: list[Row], *, as_json: bool) -> None:
    """Shares and medians per mode."""
    if as_json:
        print(json.dumps([{**vars(row), "used": row.used} for row in rows], indent=1))
        return
    titles = ("broken", "by > 5 %", "used", "of hindsight", "claims to hold")
    print(f"\n{'':<18}" + "".join(f"{title:>16}" for title in titles))
    for mode in MODES:
        found = [row for row in rows if row.mode == mode]
        broken = sum(row.used > 1 for row in found)
        far = sum(row.used > 1.05 for row in found)
        used = statistics.median(row.used for row in found)
        score = statistics.median(row.score / row.hindsight for row in found)
        claims = sum(bool(row.claims_to_hold) for row in found) if mode == "closed loop" else "-"
        shares = f"{broken}/{len(found)}"
        print(f"{mode:<18}{shares:>16}{far:>16}{used:>16.3f}{score:>16.3f}{claims:>16}")


if __name__ == "__main__":
    main()
