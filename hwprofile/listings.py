"""What there is: spaces and devices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from devices.catalog import NotConfigured, spec_named
from devices.links.catalog import LINKS, link_of
from devices.presets import PRESETS
from devices.registry import Registry, RegistryError, Spec
from devices.runtimes.catalog import RUNTIMES
from devices.settings import Settings
from hwprofile import places, plugins
from hwprofile.display import table
from hwprofile.known_devices import known_spec, profiles_of, user_registry
from ponas_core.accuracies import has_published_accuracies
from ponas_core.cell_space import CELL_SPACES
from ponas_core.space_file import load_space, shipped_space, shipped_spaces


def spaces() -> list[dict[str, Any]]:
    """The shipped spaces, those of other packages, and those of cells: these have no layers to choose."""
    plugins.every_plugin(["hwprofile.spaces"])
    found = [shipped_space(name) for name in shipped_spaces()]
    found += [load_space(one) if isinstance(one, Path) else one for one in plugins.SPACES.values()]
    chains: list[dict[str, Any]] = [
        {
            "name": space.name,
            "layers": len(space.layers),
            "networks": space.size,
            "distinct_blocks": len(space.keyed_blocks),
            "accuracies": has_published_accuracies(space.name),
            "architectures": list(space.named),
            "description": space.description,
        }
        for space in found
    ]
    cells: list[dict[str, Any]] = [
        {
            "name": space.name,
            "layers": None,
            "networks": space.size,
            "distinct_blocks": None,
            "accuracies": False,
            "architectures": [],
            "description": space.description,
        }
        for space in CELL_SPACES.values()
    ]
    return chains + cells


def spaces_table() -> str:
    """The same for people, and what other packages bring but cannot be used."""
    found = spaces()
    rows = [
        [
            space["name"],
            str(space["layers"] or "cells"),
            f"{space['networks']:.3g}" if space["networks"] > 1e6 else str(space["networks"]),
            str(space["distinct_blocks"] or "-"),
            "published" if space["accuracies"] else "none",
            space["description"],
        ]
        for space in found
    ]
    header = ["space", "layers", "networks", "blocks", "accuracies", ""]
    named = [f"Networks of {x['name']}: {', '.join(x['architectures'])}" for x in found if x["architectures"]]
    broken = [str(one) for one in plugins.every_plugin(["hwprofile.spaces"]) if one.problem]
    own = "Your own: --space FILE.toml (docs/spaces.md)"
    return "\n".join([table(header, rows), "", *named, own, *broken])


def all_devices() -> dict[str, list[dict[str, Any]]]:
    """Devices, runtimes, and what other packages bring but cannot be used."""
    broken = [asdict(plugin) for plugin in plugins.every_plugin(plugins.DEVICES) if plugin.problem]
    return {"devices": devices(), "runtimes": runtimes(), "broken_plugins": broken}


def devices() -> list[dict[str, Any]]:
    """The known devices, the presets first and then the user's; none is connected to."""
    registry = user_registry()
    names = [*PRESETS, *(name for name in registry.names if name not in PRESETS)]
    return [_device(name, registry) for name in names]


def _device(name: str, registry: Registry) -> dict[str, Any]:
    preset = PRESETS.get(name)
    try:
        spec = spec_named(name, registry)
        needs = _needs(spec)
        state = "ready" if spec.link == "local" else "added"
    except NotConfigured as error:
        spec, needs = None, str(error)
        state = "not ready" if preset and preset.is_local else "not added"
    except RegistryError as error:
        spec, needs, state = None, str(error), "unusable"
    kind = preset or PRESETS.get((spec and spec.preset) or "") or LINKS.get(spec.link if spec else "")
    return {
        "name": name,
        "link": spec.link if spec else preset.link if preset else None,
        "runtime": (spec.runtime or Settings().runtime) if spec else preset.runtime if preset else None,
        "provider": spec.provider if spec else None,
        "preset": spec.preset if spec else None,
        "state": "unusable" if spec and needs else state,
        "ready": spec is not None and not needs,
        "description": kind.description if kind else "",
        "needs": needs,
    }


def _needs(spec: Spec) -> str:
    """What keeps a described device from being used, as far as that is seen from here."""
    if spec.runtime is not None and spec.runtime not in RUNTIMES:
        return f"device {spec.alias}: its runtime {spec.runtime} is not part of this hwprofile"
    try:
        link_of(spec.link, spec.alias, spec.options)
    except (LookupError, ValueError) as error:
        return f"device {spec.alias}: {error}"
    return ""


def device(name: str) -> dict[str, Any]:
    """How a device is reached, and where its profiles lie.

    Raises:
        UserError: no such device.
        DeviceUnreachable: its preset still needs something.
    """
    spec = known_spec(name)
    return {
        "name": name,
        **spec.to_table(),
        "file": None if spec.link == "local" and name in PRESETS else str(places.devices_path()),
        "profiles": [str(path) for path in profiles_of(name)],
    }


def device_lines(found: dict[str, Any]) -> str:
    """The same for people."""
    rows = {
        key: value for key, value in found.items() if key not in ("name", "profiles") and value is not None
    }
    width = max(map(len, rows)) if rows else 0
    lines = [found["name"], *(f"  {key:{width}}  {value}" for key, value in rows.items())]
    if not found["profiles"]:
        return "\n".join([*lines, f"No profiles yet: hwprofile bench --device {found['name']}"])
    return "\n".join([*lines, "Profiles:", *(f"  {path}" for path in found["profiles"])])


def runtimes() -> list[dict[str, Any]]:
    """The known runtimes, and the version that is installed here."""
    return [
        {
            "name": name,
            "installed": runtime.installed(),
            "providers": list(runtime.providers),
            "dtypes": list(runtime.precisions),
            "inline": runtime.profiles_nodes,
            "description": runtime.description,
            "install": f"pip install {runtime.requirement}",
        }
        for name, runtime in RUNTIMES.items()
    ]


def devices_table() -> str:
    """The known devices and runtimes for people."""
    found = all_devices()
    rows = [
        [one["name"], one["link"] or "?", one["runtime"] or "?", one["state"], one["description"]]
        for one in found["devices"]
    ]
    needs = [one["needs"] for one in found["devices"] if one["needs"]]
    broken = [str(plugins.Plugin(**one)) for one in found["broken_plugins"]]
    devices = table(["device", "link", "runtime", "state", ""], rows, left=5)
    return "\n".join([devices, "", *needs, "", _runtimes_table(), "", *broken, _REPLAY])


_REPLAY = (
    "A profile plays back as a device of its own: --device replay:FILE; on a published latency table "
    "networks are chosen with --device table:FILE"
)


def _runtimes_table() -> str:
    rows = [
        [
            runtime["name"],
            runtime["installed"] or runtime["install"],
            ", ".join(runtime["dtypes"]),
            RUNTIMES[runtime["name"]].providers_in_words,
            runtime["description"],
        ]
        for runtime in runtimes()
    ]
    return table(["runtime", "here", "dtypes", "providers", ""], rows, left=5)
