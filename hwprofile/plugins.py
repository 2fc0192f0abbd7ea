"""What other packages bring: rows for the tables of the rooms, found through entry points.

    [project.entry-points."hwprofile.runtimes"]
    myruntime = "my_package.runtime:MyRuntime"

A package is imported when its name is asked for and is not built in, or when everything is listed. One that
cannot be used is a line for people; it never ends a command that does not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devices.links.catalog import LINKS, LinkKind
from devices.links.link import Link
from devices.presets import PRESETS, Preset
from devices.registry import check_alias
from devices.runtimes.catalog import RUNTIMES
from devices.runtimes.runtime import Runtime
from hwprofile.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class Plugin:
    """A row that another package brings, or why it cannot be used.

    Attributes:
        group: `hwprofile.runtimes`, ...
        name: as typed.
        package: that brings it.
        problem: why it cannot be used; empty where it can.
    """

    group: str
    name: str
    package: str
    problem: str = ""

    def __str__(self) -> str:
        """One line for people."""
        kind = self.group.removeprefix("hwprofile.").removesuffix("s")
        return f"{kind} {self.name} of package {self.package}" + (
            f" cannot be used: {self.problem}" if self.problem else ""
        )


@dataclass(frozen=True, slots=True)
class Group:
    """One group of entry points.

    Attributes:
        table: of a room, by name; rows are added to it.
        row: makes the row from a name, the entry point and what it loads; ValueError for what is none.
    """

    table: MutableMapping[str, Any]
    row: Callable[[EntryPoint, object], object]


def _link(entry: EntryPoint, found: object) -> LinkKind:
    if not (isinstance(found, type) and issubclass(found, Link)):
        raise ValueError(f"{entry.value} is no subclass of devices.links.link.Link")
    return LinkKind((found.__doc__ or entry.name).partition("\n")[0], entry.value)


def _runtime(entry: EntryPoint, found: object) -> Runtime:
    if not (isinstance(found, type) and issubclass(found, Runtime)):
        raise ValueError(f"{entry.value} is no subclass of devices.runtimes.runtime.Runtime")
    if found.name != entry.name or not entry.name.isidentifier() or not entry.name.islower():
        raise ValueError(f"its `name` is {found.name!r}; it must be the entry point's, a small word")
    if found.agent_file is None or not found.agent_file.is_file():
        raise ValueError(
            f"its `agent_file` is {found.agent_file}; it must be the file of its half in the agent"
        )
    runtime = found()
    runtime.installed()  # its other half can be read here, too
    return runtime


def _preset(entry: EntryPoint, found: object) -> Preset:
    if not isinstance(found, Preset):
        raise ValueError(f"{entry.value} is no devices.presets.Preset")
    check_alias(entry.name)
    return found


GROUPS = {
    "hwprofile.links": Group(LINKS, _link),
    "hwprofile.runtimes": Group(RUNTIMES, _runtime),
    "hwprofile.presets": Group(PRESETS, _preset),
}
"""A new group is one row."""
_LOADED: dict[tuple[str, str], str] = {}
"""The packages of the rows that were added, by group and name."""


def every_plugin() -> list[Plugin]:
    """What other packages bring, all of it loaded as far as it can be."""
    return [plugin for group in GROUPS for plugin in _loaded(group)]


def need(group: str, name: str) -> None:
    """Have the row of this name in its table, if any package brings it.

    Raises:
        UserError: a package brings it, but it cannot be used.
    """
    if name in GROUPS[group].table:
        return
    problems = [str(plugin) for plugin in _loaded(group, name) if plugin.problem]
    if problems and name not in GROUPS[group].table:
        raise UserError("; ".join(problems))


def names(group: str) -> list[str]:
    """Names of a group that packages bring and no row has yet; nothing is imported."""
    return sorted({entry.name for entry in _entries(group)} - set(GROUPS[group].table))


def _entries(group: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda one: one.name)


def _loaded(group: str, wanted: str | None = None) -> Iterator[Plugin]:
    for entry in _entries(group):
        if wanted in (None, entry.name):
            yield _load(group, entry)


def _load(group: str, entry: EntryPoint) -> Plugin:
    package = entry.dist.name if entry.dist else "?"
    plugin, key = Plugin(group, entry.name, package), (group, entry.name)
    table, row = GROUPS[group].table, GROUPS[group].row
    if entry.name in table:
        owner = _LOADED.get(key)
        if owner == package:
            return plugin
        return _broken(plugin, f"the name belongs to {f'package {owner}' if owner else 'hwprofile itself'}")
    try:
        table[entry.name] = row(entry, entry.load())
    except (Exception, SystemExit) as error:  # a stranger's code may fail in any way, and must not end ours
        return _broken(plugin, f"{type(error).__name__}: {error}".partition("\n")[0])
    _LOADED[key] = package
    return plugin


def _broken(plugin: Plugin, problem: str) -> Plugin:
    return Plugin(plugin.group, plugin.name, plugin.package, problem)
