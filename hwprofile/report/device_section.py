"""What was measured, on what, and whether it is to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devices.verdicts import STATUSES
from hwprofile import show
from hwprofile.report.parts import Facts, Part, Section, Table, Verdict
from hwprofile.report.views import ProfileView
from hwprofile.report.words import ABSENT, ms, percent


def device_section(view: ProfileView, key: str) -> Section:
    """Identity, software, verdict, and every graph of a profile."""
    facts = show.to_json(view.profile)
    header = view.profile.header
    parts: list[Part] = [_verdict(facts)]
    if view.missing is not None:
        parts.append(Verdict("note", f"no latency model of this profile: {view.missing}"))
    parts += [
        Facts("Measurement", _measurement(view, facts)),
        Facts("Identity: what must be equal for two profiles to be compared", _pairs(header.identity)),
        Facts("Software and system", _pairs(header.software), folded=True),
    ]
    rounds = _rounds(facts)
    parts += [rounds, _graphs(facts)] if rounds else [_graphs(facts)]
    return Section(key, f"Device and conditions: {view.name}", parts)


def _verdict(facts: Mapping[str, Any]) -> Verdict:
    if facts["quiet"]:
        return Verdict("good", "Measured in quiet.")
    return Verdict("bad", f"DISTURBED: {facts['why_disturbed']}. What disturbs: hwprofile doctor.")


def _measurement(view: ProfileView, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    profile, counts = view.profile, view.profile.status_counts()
    rows = [
        ("file", profile.path.name),
        ("made", profile.header.created),
        ("state", "finished" if profile.finished else "unfinished: the same bench goes on with it"),
        ("rounds", f"{facts['rounds']}, of them disturbed: {len(facts['disturbed_rounds'])}"),
        ("graphs", ", ".join(f"{counts[name]} {name}" for name in STATUSES if name in counts)),
        ("wanted", f"±{percent(profile.header.goal.precision)} (95 % interval)"),
        ("latency is", show.DEFINITION.removeprefix("median: ")),
    ]
    if profile.header.energy is not None:
        rows.append(("energy of", f"{profile.header.energy.name}: {profile.header.energy.scope}"))
    return rows


def _pairs(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name), _told(value)) for name, value in told.items()]


def _told(value: object) -> str:
    """What a target tells, None for nothing, lists and objects in one line."""
    if value is None or value in ([], {}):
        return "not told"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _rounds(facts: Mapping[str, Any]) -> Table | None:
    rows = [
        [str(int(number) + 1), found["cause"], found["reason"]]
        for number, all_found in facts["disturbed_rounds"].items()
        for found in all_found
    ]
    if not rows:
        return None
    return Table("What disturbed which round", ["round", "cause", "seen"], rows, words=3, folded=True)


def _graphs(facts: Mapping[str, Any]) -> Table:
    rows = facts["graphs"]
    told = [name for name in show.COLUMNS if any(row[name] is not None for row in rows)]
    with_energy = any("energy" in row for row in rows)
    header = ["graph", "kind", "status", "median, ms", "95 % interval, ms", "processes"]
    header += [show.COLUMNS[name] if name == "share" else f"{show.COLUMNS[name]}, ms" for name in told]
    cells = [_cells(row, told) + (_energy(row) if with_energy else []) for row in rows]
    header += ["mJ"] if with_energy else []
    return Table(f"All {len(rows)} graphs of this profile", header, cells, words=3, folded=True)


def _cells(row: Mapping[str, Any], told: list[str]) -> list[str]:
    known = "median_ms" in row
    figures = [
        ms(row["median_ms"]) if known else ABSENT,
        f"{ms(row['low_ms'])} to {ms(row['high_ms'])}" if known else ABSENT,
        str(row["processes"]) if known else ABSENT,
    ]
    return [row["name"], row["kind"], row["status"], *figures, *(_more(name, row[name]) for name in told)]


def _more(name: str, value: float | None) -> str:
    if value is None:
        return ABSENT
    return percent(value) if name == "share" else ms(value)


def _energy(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['energy']['median_mj']:.4g}" if "energy" in row else ABSENT]
