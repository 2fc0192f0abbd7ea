"""The agent as one zip archive that travels over a link; nothing is installed on the target."""

from __future__ import annotations

import functools
import io
import zipfile
from importlib import resources

BOOTSTRAP = """
import importlib.abc, importlib.util, io, sys, zipfile
size, token = int(sys.argv[1]), sys.argv[2]
sys.path[:] = [entry for entry in sys.path if entry]
class Archive(importlib.abc.InspectLoader):
    def __init__(self, data):
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            self.texts = {name: bundle.read(name).decode("utf-8") for name in bundle.namelist()}
    def file(self, name):
        path = name.replace(".", "/")
        return path + "/__init__.py" if self.is_package(name) else path + ".py"
    def is_package(self, name):
        return name.replace(".", "/") + "/__init__.py" in self.texts
    def get_source(self, name):
        return self.texts[self.file(name)]
    def find_spec(self, name, path=None, target=None):
        if self.file(name) in self.texts:
            return importlib.util.spec_from_loader(name, self, origin=self.file(name))
sys.meta_path.insert(0, Archive(sys.stdin.buffer.read(size)))
from devices.agent.main import main
main(token)
"""
"""Reads the archive from stdin and imports the agent from memory: nothing is written on the target."""


@functools.cache
def archive(runtime: str = "", source: bytes = b"") -> bytes:
    """The agent's modules under their own package names.

    Args:
        runtime: name of one that does not come with hwprofile; none where empty.
        source: of its half in the agent.
    """
    folder = resources.files("devices.agent")
    modules = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".py")}
    if runtime:
        modules[f"{runtime}_runtime.py"] = source
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("devices/__init__.py", "")
        for name in sorted(modules):
            bundle.writestr(f"devices/agent/{name}", modules[name])
    return buffer.getvalue()
