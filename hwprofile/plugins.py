"""What other packages bring: rows for the tables of the rooms, found through entry points.

    [project.entry-points."hwprofile.runtimes"]
    myruntime = "my_package.runtime:MyRuntime"

A package is imported when its name is asked for and is not built in, or when everything is listed. One that
cannot be used is a line for people; it never ends a command that does not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, MutableMapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
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

    from ponas_core.searches.interface import Search
    from ponas_core.space import SearchSpace

SPACES: dict[str, SearchSpace | Path] = {}
"""Spaces of other packages: as they are, or the TOML file of one."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A row that another package brings, or why it cannot be used.

    Attributes:
        group: a name in `GROUPS`.
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
        kind = self.group.removeprefix("hwprofile.").removesuffix("s").replace("searche", "search")
        return f"{kind} {self.name} of package {self.package}" + (
            f" cannot be used: {self.problem}" if self.problem else ""
        )


@dataclass(frozen=True, slots=True)
class Group:
    """One group of entry points.

    Attributes:
        find: gives the table of a room, by name, that rows are added to; it is imported then.
        row: makes the row from the entry point and what it loads; ValueError for what is none.
    """

    find: Callable[[], MutableMapping[str, Any]]
    row: Callable[[EntryPoint, object], object]

    @property
    def table(self) -> MutableMapping[str, Any]:
        """The table."""
        return self.find()


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


def _space(entry: EntryPoint, found: object) -> SearchSpace | Path:
    from ponas_core.cell_space import CELL_SPACES
    from ponas_core.space import SearchSpace
    from ponas_core.space_file import load_space, shipped_spaces

    if entry.name in (*shipped_spaces(), *CELL_SPACES):
        raise ValueError("the name belongs to hwprofile itself")
    if isinstance(found, str | Path):
        found = Path(found)
        space = load_space(found)
    elif isinstance(found, SearchSpace):
        space = found
    else:
        raise ValueError(f"{entry.value} is no ponas_core.space.SearchSpace and no path of a TOML file")
    if space.name != entry.name:
        raise ValueError(f"the space calls itself {space.name!r}; it must be the entry point's name")
    return found


def _predictor(entry: EntryPoint, found: object) -> tuple[str, str]:
    from predictors.estimators.regressor import LatencyRegressor

    if not (isinstance(found, type) and issubclass(found, LatencyRegressor)):
        raise ValueError(f"{entry.value} is no subclass of predictors.estimators.regressor.LatencyRegressor")
    found(interval="scaled", seed=0)  # what a fit gives it
    return found.__module__, found.__name__


def _search(entry: EntryPoint, found: object) -> type[Search]:
    if not (isinstance(found, type) and is_dataclass(found) and callable(getattr(found, "run", None))):
        raise ValueError(f"{entry.value} is no dataclass with run(candidates, ledger, rng)")
    found()  # every setting has a default
    search: type[Any] = found
    return search


def _estimators() -> MutableMapping[str, Any]:
    from predictors.model_file import ESTIMATORS

    return ESTIMATORS


def _methods() -> MutableMapping[str, Any]:
    from ponas_core.searches.methods import METHODS

    return METHODS


GROUPS = {
    "hwprofile.links": Group(lambda: LINKS, _link),
    "hwprofile.runtimes": Group(lambda: RUNTIMES, _runtime),
    "hwprofile.presets": Group(lambda: PRESETS, _preset),
    "hwprofile.spaces": Group(lambda: SPACES, _space),
    "hwprofile.predictors": Group(_estimators, _predictor),
    "hwprofile.searches": Group(_methods, _search),
}
"""A new group is one row."""
DEVICES = ("hwprofile.links", "hwprofile.runtimes", "hwprofile.presets")
"""The groups that devices are made of."""
_LOADED: dict[tuple[str, str], str] = {}
"""The packages of the rows that were added, by group and name."""


def every_plugin(groups: Collection[str] = tuple(GROUPS)) -> list[Plugin]:
    """What other packages bring of these groups, all of it loaded as far as it can be."""
    return [plugin for group in groups for plugin in _loaded(group)]


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
