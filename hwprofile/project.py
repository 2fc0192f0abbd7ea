"""A project's `hwprofile.toml`: chooses a device by name and sets numbers.

Nothing in it names a host, a link or a program: a command run in a stranger's folder runs nothing else.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hwprofile.errors import UserError

FILE = "hwprofile.toml"
OPTIONS = {
    "device": "device_name",
    "threads": "threads",
    "batch": "batch",
    "rounds": "rounds",
    "precision": "precision_percent",
    "calibrate": "calibrate",
}
"""Keys of the file and the parameters of the commands that they are the defaults of."""
DEVICE_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
"""No `replay:FILE` or `table:FILE` either: a project reads no file of its choice."""
_LARGEST_FILE_BYTES = 100_000


def project_defaults(folder: Path) -> dict[str, Any]:
    """Defaults of the commands' parameters from the file in a folder; empty where there is none.

    Raises:
        UserError: the file is unusable, or holds a key or value that a project may not set.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    import tomllib

    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise UserError(f"{path} is larger than {_LARGEST_FILE_BYTES} bytes")
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a usable TOML file: {error}") from error
    for key, value in document.items():
        if key not in OPTIONS:
            raise UserError(f"{path}: a project may set {', '.join(OPTIONS)}; not {key}")
        is_name = isinstance(value, str) and DEVICE_NAME.fullmatch(value)
        wanted = is_name if key == "device" else type(value) in (int, float)
        if not wanted:
            raise UserError(f"{path}: {key} is a {'name' if key == 'device' else 'number'}, got {value!r}")
    return {OPTIONS[key]: value for key, value in document.items()}
