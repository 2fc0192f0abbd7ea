"""The agent as one zip archive that travels over a link; nothing is installed or written on the target."""

from __future__ import annotations

import functools
import io
import zipfile
from importlib import resources

ONE_LINER = 'import sys; exec(getattr(sys.stdin, "buffer", sys.stdin).read(int(sys.argv[3])))'
"""What the target's Python is started with: it reads the real bootstrap from stdin.

One line without a character that any login shell would interpret inside single quotes.
"""

BOOTSTRAP = """
import sys
if sys.version_info < (3, 8):
    sys.exit("the target's Python is %d.%d, and the agent needs 3.8 or newer" % sys.version_info[:2])
sys.path[:] = [entry for entry in sys.path if entry]
import importlib.util, io, zipfile
size, token = int(sys.argv[1]), sys.argv[2]
program = sys.stdin.buffer.read(size)
if len(program) < size:
    sys.exit("the agent's program did not arrive whole")
bundle = zipfile.ZipFile(io.BytesIO(program))

class Importer:
    files = {name: bundle.read(name) for name in bundle.namelist()}
    def find_spec(self, name, path=None, target=None):
        for file in (name.replace(".", "/") + end for end in ("/__init__.py", ".py")):
            if file in self.files:
                is_package = file.endswith("/__init__.py")
                return importlib.util.spec_from_loader(name, self, origin=file, is_package=is_package)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        file = module.__spec__.origin
        exec(compile(self.files[file], file, "exec"), module.__dict__)
    def get_source(self, name):
        return self.files[self.find_spec(name).origin].decode("utf-8")

sys.meta_path.insert(0, Importer())
from devices.agent.main import main
main(token)
"""
"""Reads the archive from stdin and imports the agent from memory: no file is ever written for it.

Python 2 and old Pythons 3 must get as far as the sentence that says they are too old. The folder it is
started in goes off the path before anything is imported: what lies there (a cloned repository with a
`json.py`) is not run.
"""


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
        # ZipInfo has a date of its own: this computer's may be earlier than any that a zip can hold
        bundle.writestr(zipfile.ZipInfo("devices/__init__.py"), "")
        for name in sorted(modules):
            entry = zipfile.ZipInfo(f"devices/agent/{name}")
            bundle.writestr(entry, modules[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def agent_arguments(token: str, program: bytes) -> list[str]:
    """What the target's Python is started with, for an agent that greets with this token.

    Args:
        token: random.
        program: the archive.
    """
    return ["-c", ONE_LINER, str(len(program)), token, str(len(BOOTSTRAP))]


def agent_program(program: bytes) -> bytes:
    """What the agent is sent on stdin before anything else."""
    return BOOTSTRAP.encode("ascii") + program
