"""What a bench did, for machines and for people."""

from __future__ import annotations

from typing import Any

from devices.verdicts import STATUSES
from hwprofile.bench import BenchReport
from hwprofile.display import table
from hwprofile.profile import Profile

SLOWEST = 12


def to_json(report: BenchReport) -> dict[str, Any]:
    """The facts of a bench as JSON values."""
    profile, status = report.profile, report.profile.status_counts()
    total, why = sum(status.values()), report.profile.why_disturbed()
    return {
        "profile": str(profile.path),
        "blocks": len(profile.of_kind("block")),
        "networks": len(profile.of_kind("network")),
        "models": len(profile.of_kind("model")),
        "kernels": len(profile.of_kind("kernel")),
        "rounds": len(profile.ends),
        "disturbed_rounds": sum(map(bool, profile.disturbances.values())),
        "quiet": why is None,
        "why_disturbed": why,
        "wall_s": report.wall_s,
        "timed_s": profile.timed_s,
        "reached_precision": status.get("ok", 0) / total if total else 0.0,
        "status": status,
        "resumed": report.resumed,
        "energy": profile.header.energy and profile.header.energy.to_json(),
    }


def for_people(report: BenchReport) -> str:
    """A short table: the slowest graphs, how sure, and where the profile lies."""
    profile, facts = report.profile, to_json(report)
    measured = [name for name in profile.names if profile.usable_visits(name)]
    slowest = sorted(measured, key=lambda name: profile.summary(name).median_ms, reverse=True)[:SLOWEST]
    counts = ", ".join(f"{facts['status'][name]} {name}" for name in STATUSES if name in facts["status"])
    lines = [
        table(_header(profile), [_row(profile, name) for name in slowest]),
        "",
        f"{len(profile.names)} graphs in {facts['rounds']} rounds, {facts['wall_s']:.1f} s: {counts}",
    ]
    lines += [
        f"round {number + 1} disturbed: {'; '.join(one.reason for one in found)}"
        for number, found in profile.disturbances.items()
        if found
    ]
    lines += [f"{name} failed: {errors[-1]}" for name, errors in profile.errors.items()]
    why = facts["why_disturbed"]
    lines.append("measured in quiet" if why is None else f"DISTURBED: {why}; what disturbs: hwprofile doctor")
    return "\n".join([*lines, f"profile: {profile.path}"])


def _header(profile: Profile) -> list[str]:
    energy = [] if profile.header.energy is None else ["mJ"]
    return ["graph", "median", "±95 %", "status", *energy]


def _row(profile: Profile, name: str) -> list[str]:
    summary, energy = profile.summary(name), profile.energy_summary(name)
    cells = [] if profile.header.energy is None else ["–" if energy is None else f"{energy.median_mj:.4g}"]
    return [
        name,
        f"{summary.median_ms:.4f} ms",
        f"{summary.half_width:.1%}",
        profile.verdict(name).status,
        *cells,
    ]
