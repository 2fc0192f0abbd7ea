"""What a runtime builds on a target, kept on the host: engines by graph and fingerprint, timing caches.

To build an engine takes seconds, and two builds of one graph may differ: a kept engine makes processes of one
profile, and profiles of one device, run the same code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LARGEST_STORE_BYTES = 4 << 30
LARGEST_ENTRY_BYTES = 1 << 30
SUFFIX = ".kept"
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class EngineStore:
    """A folder of files that each hold a digest and what it is of; the longest unused ones go first.

    A file that is damaged counts as absent. What cannot be written is not kept, and is built again.

    Attributes:
        folder: where; made when it is first written to.
        largest_bytes: all files together take at most so much.
    """

    folder: Path
    largest_bytes: int = LARGEST_STORE_BYTES

    def get(self, key: str) -> bytes | None:
        """What was put under a key; None where nothing was, or it is damaged."""
        path = self._path(key)
        try:
            if path.stat().st_size > LARGEST_ENTRY_BYTES + _DIGEST_BYTES:
                return None
            content = path.read_bytes()
        except OSError:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it was used
        return data

    def put(self, key: str, data: bytes) -> bool:
        """Keep something under a key, in place of what was there; whether that could be done."""
        if len(data) > min(LARGEST_ENTRY_BYTES, self.largest_bytes - _DIGEST_BYTES):
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(self._path(key), hashlib.sha256(data).digest() + data)
            self._shrink()
        except OSError:
            return False
        return True

    def drop(self, key: str) -> None:
        """Forget what was put under a key."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.folder / (hashlib.sha256(key.encode()).hexdigest()[:40] + SUFFIX)

    def _write(self, path: Path, content: bytes) -> None:
        """Write beside the file and rename: a reader sees the old one or the new one, never half of it."""
        handle, name = tempfile.mkstemp(dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def _shrink(self) -> None:
        """Remove the longest unused files until all fit."""
        sizes = {}
        for path in self.folder.glob("*" + SUFFIX):
            with contextlib.suppress(OSError):  # another process may have removed it
                found = path.stat()
                sizes[path] = (found.st_mtime_ns, found.st_size)
        total = sum(size for _, size in sizes.values())
        for path in sorted(sizes, key=lambda path: sizes[path]):
            if total <= self.largest_bytes:
                return
            path.unlink(missing_ok=True)
            total -= sizes[path][1]


NOT_OF_AN_ENGINE = ("threads", "batch", "cache", "calibration", "provider", "cpu_count", "cpu_model")
"""What two targets, or two profiles, may differ in and still run one engine; the batch is in the graph."""
OF_THE_SYSTEM = ("gpu_driver", "cuda_driver", "cuda_runtime")
"""What an engine depends on besides the identity."""


def fingerprint(device: str, identity: Mapping[str, object], software: Mapping[str, object]) -> str:
    """A text that is the same where a target may run what was built before.

    An engine is a program. So one that came from a device goes back to the device of that name only, though
    another may be of the same kind: a target cannot give another one something to run.

    Args:
        device: its name, as typed.
        identity: of a process: hardware, runtime and its version, settings.
        software: the rest that it tells of itself.
    """
    facts = {name: value for name, value in identity.items() if name not in NOT_OF_AN_ENGINE}
    facts |= {name: software.get(name) for name in OF_THE_SYSTEM}
    facts["device"] = device
    return "; ".join(f"{name}={facts[name]!r}" for name in sorted(facts))
