"""Reading the system's own files (/proc, /sys): bounded, and None for what is absent."""

import os
from typing import Dict, List, Optional

LARGEST_FILE_BYTES = 1000000


def read(path: str) -> Optional[str]:
    """The text of a file without the white space around it; None where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST_FILE_BYTES).strip(" \t\r\n\0")
    except OSError:
        return None


def number(path: str) -> Optional[int]:
    """The whole number that a file holds; None where it holds none."""
    try:
        return int(read(path) or "")
    except ValueError:
        return None


def entries(folder: str, prefix: str = "") -> List[str]:
    """Paths in a folder whose names begin so, sorted; none where there is no such folder."""
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.startswith(prefix)]
    except OSError:
        return []


def fields(path: str, separator: str) -> Dict[str, str]:
    """The `key separator value` lines of a file, keys in lower case; the first of equal keys counts."""
    found = {}  # type: Dict[str, str]
    for line in (read(path) or "").splitlines():
        key, _, value = line.partition(separator)
        found.setdefault(key.strip().lower(), value.strip().strip('"'))
    return found
