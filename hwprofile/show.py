"""What `hwprofile show` says: a profile as a table that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from devices.verdicts import STATUSES
from hwprofile.catalog import space_named
from hwprofile.display import table
from hwprofile.errors import UserError
from hwprofile.profile import KINDS, Profile


def to_json(profile: Profile) -> dict[str, Any]:
    """Every graph of a profile, and what is known of the whole."""
    shares, why = _shares(profile), profile.why_disturbed()
    rows = []
    for name in _in_order(profile):
        verdict = profile.verdict(name)
        summary = {} if verdict.summary is None else asdict(verdict.summary)
        energy = profile.energy_summary(name)
        rows.append(
            {
                "name": name,
                "kind": profile.kinds[name],
                "status": verdict.status,
                **summary,
                "share": shares.get(name),
                **({} if energy is None else {"energy": asdict(energy)}),
            }
        )
    return {
        "profile": str(profile.path),
        "device": profile.header.device,
        "subject": profile.header.subject,
        "created": profile.header.created,
        "identity": dict(profile.header.identity),
        "software": dict(profile.header.software),
        "energy": profile.header.energy and profile.header.energy.to_json(),
        "finished": profile.finished,
        "rounds": len(profile.ends),
        "disturbed_rounds": {
            str(number): [asdict(one) for one in found]
            for number, found in profile.disturbances.items()
            if found
        },
        "quiet": why is None,
        "why_disturbed": why,
        "graphs": rows,
    }


def for_people(profile: Profile) -> str:
    """The same as tables, one for each kind of graph."""
    facts = to_json(profile)
    parts = [_heading(profile, facts)]
    for kind in KINDS:
        rows = [row for row in facts["graphs"] if row["kind"] == kind]
        if rows:
            with_share = any(row["share"] is not None for row in rows)
            header = [kind, "median", "95 % interval", "±", "spread", "processes", "status"]
            header += ["share"] if with_share else []
            with_energy = any("energy" in row for row in rows)
            header += ["mJ", "± mJ", "dynamic mJ"] if with_energy else []
            cells = [_cells(row, with_share=with_share) for row in rows]
            if with_energy:
                cells = [[*line, *_energy_cells(row)] for line, row in zip(cells, rows, strict=True)]
            parts.append(table(header, cells))
    errors = [f"{name}: {found[-1]}" for name, found in profile.errors.items()]
    if errors:
        parts.append("\n".join(errors))
    return "\n\n".join(parts)


def _heading(profile: Profile, facts: Mapping[str, Any]) -> str:
    identity = ", ".join(f"{key} {value}" for key, value in profile.header.identity.items())
    status = profile.status_counts()
    counts = ", ".join(f"{status[name]} {name}" for name in STATUSES if name in status)
    quiet = "measured in quiet" if facts["quiet"] else f"DISTURBED: {facts['why_disturbed']}"
    if profile.header.energy is not None:
        quiet += f"\nenergy: {profile.header.energy.name}, {profile.header.energy.scope}, idle included"
    end = "" if profile.finished else "; unfinished: the same bench goes on with it"
    return (
        f"{profile.header.subject} on {profile.header.device}, {profile.header.created}\n{identity}\n"
        f"{facts['rounds']} rounds, {len(facts['disturbed_rounds'])} of them disturbed; {counts}{end}\n"
        f"{quiet}"
    )


def _cells(row: Mapping[str, Any], *, with_share: bool) -> list[str]:
    if "median_ms" not in row:
        return [row["name"], *["–"] * 5, row["status"], *(["–"] if with_share else [])]
    half = (row["high_ms"] - row["low_ms"]) / (2 * row["median_ms"])
    share = "–" if row["share"] is None else f"{row['share']:.1%}"
    return [
        row["name"],
        f"{row['median_ms']:.4f} ms",
        f"{row['low_ms']:.4f} – {row['high_ms']:.4f}",
        f"{half:.1%}",
        f"{row['spread']:.1%}" if row["processes"] > 1 else "–",
        str(row["processes"]),
        row["status"],
        *([share] if with_share else []),
    ]


def _energy_cells(row: Mapping[str, Any]) -> list[str]:
    energy = row.get("energy")
    if energy is None:
        return ["–"] * 3
    half = (energy["high_mj"] - energy["low_mj"]) / (2 * energy["median_mj"])
    return [f"{energy['median_mj']:.4g}", f"{half:.1%}", f"{energy['dynamic_mj']:.4g}"]


def _in_order(profile: Profile) -> list[str]:
    """Blocks as their space has them, everything else the slowest first."""
    blocks = [name for name in profile.names if profile.kinds[name] == "block"]
    others = [name for name in profile.names if profile.kinds[name] != "block"]
    measured = {name: profile.verdict(name).summary for name in others}
    times = {name: summary.median_ms if summary else 0.0 for name, summary in measured.items()}
    return blocks + sorted(others, key=times.__getitem__, reverse=True)


def _shares(profile: Profile) -> dict[str, float]:
    """Share of a random network's time that goes to each block; empty where the space is not at hand."""
    if profile.header.space is None:
        return {}
    try:
        counts = space_named(profile.header.space).expected_counts
    except UserError:
        return {}
    measured = {name: profile.verdict(name).summary for name in counts if name in profile.kinds}
    times = {name: counts[name] * found.median_ms for name, found in measured.items() if found}
    whole = sum(times.values())
    return {name: part / whole for name, part in times.items()}
