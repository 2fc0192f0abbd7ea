"""Where files live: the only module that decides on paths."""

from __future__ import annotations

import os
import time
from pathlib import Path

from devices.settings import Settings

SUFFIX = ".profile.jsonl"


def home() -> Path:
    """`$HWPROFILE_HOME`, else the platform's folder for a user's data."""
    chosen = os.environ.get("HWPROFILE_HOME")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_data_dir("hwprofile", appauthor=False))


def engines_folder() -> Path:
    """Where what runtimes build on targets is kept: TensorRT's engines and timing caches."""
    return home() / "engines"


def devices_path() -> Path:
    """The file of a user's devices: in `$HWPROFILE_HOME`, else in the platform's folder for settings."""
    if os.environ.get("HWPROFILE_HOME"):
        return home() / "devices.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("hwprofile", appauthor=False)) / "devices.toml"


def profiles_of(device: str) -> list[Path]:
    """Files that may be profiles of this device, sorted; names of other devices may begin with the same."""
    return sorted(_matching(f"{device}-*{SUFFIX}"))


def profile_path(device: str, subject: str, settings: Settings) -> Path:
    """Place of the profile of a device and a space (or other subject) under these settings."""
    return home() / "profiles" / f"{device}-{subject}-{settings.digest}{SUFFIX}"


def fresh_profile_path(device: str, subject: str, settings: Settings) -> Path:
    """`profile_path`, or where that is taken a place in a folder of its name; what is there is kept.

    So all profiles of a device, subject and settings are found without going through those of others.
    """
    path = profile_path(device, subject, settings)
    if not path.exists():
        return path
    folder = _folder_of_fresh(path)
    stem, number = f"{folder.name}.{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}", 0
    path = folder / f"{stem}{SUFFIX}"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{SUFFIX}"
    return path


def _folder_of_fresh(path: Path) -> Path:
    """Where profiles are that were measured beside one that was there."""
    return path.with_name(path.name.removesuffix(SUFFIX))


def profile_candidates(device: str, subject: str, settings: Settings) -> list[Path]:
    """All profiles of this device, subject and settings, the newest (by its last line) first."""
    path = profile_path(device, subject, settings)
    found = [path, *_folder_of_fresh(path).glob(f"*{SUFFIX}")]
    return sorted((file for file in found if file.exists()), key=_age_ns, reverse=True)


def family_candidates(device: str, family: str, settings: Settings) -> list[Path]:
    """The same of every subject whose name is this family's with a number behind it."""
    found = _matching(f"{device}-{family}-*-{settings.digest}*{SUFFIX}")
    return sorted(found, key=_age_ns, reverse=True)


def _matching(pattern: str) -> list[Path]:
    """All profiles of such names: goes through every file's name."""
    folder = home() / "profiles"
    return [*folder.glob(pattern), *folder.glob(f"*/{pattern}")]


def _age_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


def age_in_words(path: Path) -> str:
    """How long ago a file was last written, for people."""
    seconds = max(0.0, time.time() - path.stat().st_mtime)
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count > 1 else ''}"
    return "less than a minute"
