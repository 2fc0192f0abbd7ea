"""The agent as one zip archive that travels over a link; nothing is installed on the target."""

from __future__ import annotations

import functools
import io
import zipfile
from importlib import resources

BOOTSTRAP = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import os, tempfile
size, token = int(sys.argv[1]), sys.argv[2]
program = sys.stdin.buffer.read(size)
if len(program) < size:
    sys.exit("the agent's program did not arrive whole")
handle, path = tempfile.mkstemp(suffix=".zip")
try:
    with os.fdopen(handle, "wb") as file:
        file.write(program)
    sys.path.insert(0, path)
    from devices.agent.main import main
finally:
    os.unlink(path)
sys.path.remove(path)
main(token)
"""
"""Reads the archive from stdin, imports the agent from it, and leaves nothing behind.

The folder it is started in goes off the path before anything is imported: what lies there (a cloned
repository with a `tempfile.py`) is not run.
"""


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
