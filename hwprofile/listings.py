"""What there is: spaces and devices."""

from __future__ import annotations

from typing import Any

from devices.agent.main import RUNTIMES as AGENT_RUNTIMES
from devices.catalog import PRESETS
from devices.runtimes.catalog import RUNTIMES
from hwprofile.display import table
from ponas_core.accuracies import has_published_accuracies
from ponas_core.cell_space import CELL_SPACES
from ponas_core.space_file import shipped_space, shipped_spaces


def spaces() -> list[dict[str, Any]]:
    """The shipped spaces; those of cells have no layers and blocks to choose."""
    found = [shipped_space(name) for name in shipped_spaces()]
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
    """The shipped spaces for people."""
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
    return "\n".join([table(header, rows), "", *named, "Your own: --space FILE.toml (docs/spaces.md)"])


def devices() -> list[dict[str, Any]]:
    """The known devices."""
    return [
        {
            "name": name,
            "ready": preset.build is not None,
            "description": preset.description,
            "needs": preset.needs,
        }
        for name, preset in PRESETS.items()
    ]


def runtimes() -> list[dict[str, Any]]:
    """The known runtimes, and the version that is installed here."""
    return [
        {
            "name": name,
            "installed": _installed(name),
            "providers": list(runtime.providers),
            "dtypes": list(runtime.precisions),
            "inline": runtime.profiles_nodes,
            "description": runtime.description,
            "install": f"pip install {runtime.requirement}",
        }
        for name, runtime in RUNTIMES.items()
    ]


def _installed(name: str) -> str | None:
    try:
        return str(AGENT_RUNTIMES[name].version())
    except ModuleNotFoundError:
        return None


def devices_table() -> str:
    """The known devices and runtimes for people."""
    rows = [
        [device["name"], "ready" if device["ready"] else "not configured", device["description"]]
        for device in devices()
    ]
    needs = [f"{device['name']}: {device['needs']}" for device in devices() if device["needs"]]
    return "\n".join(
        [table(["device", "state", ""], rows, left=3), "", *needs, "", _runtimes_table(), "", _REPLAY]
    )


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
            ", ".join(runtime["providers"]),
            runtime["description"],
        ]
        for runtime in runtimes()
    ]
    return table(["runtime", "here", "dtypes", "providers", ""], rows, left=5)
