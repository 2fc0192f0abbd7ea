"""The agent as one zip archive that travels over a link; nothing is installed on the target."""

from __future__ import annotations

import functools
import io
import zipfile
from importlib import resources

BOOTSTRAP = """
import os, sys, tempfile
size, token = int(sys.argv[1]), sys.argv[2]
sys.path[:] = [entry for entry in sys.path if entry]
handle, path = tempfile.mkstemp(suffix=".zip")
with os.fdopen(handle, "wb") as file:
    file.write(sys.stdin.buffer.read(size))
sys.path.insert(0, path)
try:
    from devices.agent.main import main
finally:
    sys.path.remove(path)
    os.unlink(path)
main(token)
"""
"""Reads the archive from stdin, imports the agent from it, and leaves nothing behind."""


@functools.cache
def archive() -> bytes:
    """The agent's modules under their own package names."""
    folder = resources.files("devices.agent")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("devices/__init__.py", "")
        for file in sorted(folder.iterdir(), key=lambda item: item.name):
            if file.name.endswith(".py"):
                bundle.writestr(f"devices/agent/{file.name}", file.read_bytes())
    return buffer.getvalue()
