"""What `hwprofile show` says: a profile as a table that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from devices.statistics import part_ms
from devices.verdicts import STATUSES
from hwprofile.catalog import space_named
from hwprofile.display import table
from hwprofile.errors import UserError
from hwprofile.plain_drawing import bars
from hwprofile.profile import KINDS, Profile

DEFINITION = "median: one synchronous inference on the device, its inputs already there"
PARTS = {
    "h2d": "h2d (inputs copied to the device)",
    "d2h": "d2h (outputs copied back)",
    "enqueue": "enqueue (the host's thread starting one inference)",
}
"""What some devices tell beside the latency, and in words."""
COLUMNS = {**{f"{part}_ms": part for part in PARTS}, "share": "share"}
"""Columns that only some profiles have."""
ENERGY_COLUMNS = ["mJ", "± mJ", "dynamic mJ"]


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
                **{f"{part}_ms": part_ms(profile.usable_visits(name), f"{part}_ns") for part in PARTS},
                "notes": _notes(profile, name),
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


def for_people(profile: Profile, plot: bool = False) -> str:
    """The same as tables, one for each kind of graph; with `plot`, shares as bars too."""
    facts = to_json(profile)
    parts = [_heading(profile, facts)]
    for kind in KINDS:
        rows = [row for row in facts["graphs"] if row["kind"] == kind]
        if rows:
            told = [name for name in COLUMNS if any(row[name] is not None for row in rows)]
            header = [kind, "median", "95 % interval", "±", "spread", "processes", "status"]
            with_energy = any("energy" in row for row in rows)
            header += [COLUMNS[name] for name in told] + (ENERGY_COLUMNS if with_energy else [])
            energies = [_energy_cells(row) if with_energy else [] for row in rows]
            cells = [_cells(row) + _more_cells(row, told) for row in rows]
            shares = bars([row["share"] or 0.0 for row in rows]) if plot and "share" in told else []
            header += [""] if shares else []
            drawn = [[bar] for bar in shares] or [list[str]()] * len(rows)
            lines = [line + more + bar for line, more, bar in zip(cells, energies, drawn, strict=True)]
            parts.append(table(header, lines))
    parts.append(_definition(facts["graphs"]))
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


def _definition(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the figures are of."""
    told = [PARTS[part] for part in PARTS if any(row[f"{part}_ms"] is not None for row in rows)]
    return DEFINITION + (f"; beside it, and not part of it: {', '.join(told)}" if told else "")


def _notes(profile: Profile, name: str) -> dict[str, Any] | None:
    """What loading a graph told in the last process that counts; None for nothing."""
    noted = [visit.notes for visit in profile.usable_visits(name) if visit.notes is not None]
    return dict(noted[-1]) if noted else None


def _cells(row: Mapping[str, Any]) -> list[str]:
    if "median_ms" not in row:
        return [row["name"], *["–"] * 5, row["status"]]
    half = (row["high_ms"] - row["low_ms"]) / (2 * row["median_ms"])
    return [
        row["name"],
        f"{row['median_ms']:.4f} ms",
        f"{row['low_ms']:.4f} – {row['high_ms']:.4f}",
        f"{half:.1%}",
        f"{row['spread']:.1%}" if row["processes"] > 1 else "–",
        str(row["processes"]),
        row["status"],
    ]


def _more_cells(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """What only some profiles tell."""
    values = [(name, row[name]) for name in names]
    return [
        "–" if value is None else f"{value:.1%}" if name == "share" else f"{value:.4f} ms"
        for name, value in values
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
