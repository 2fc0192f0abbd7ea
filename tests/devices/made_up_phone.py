"""A made-up phone: a folder of this computer, reached through a stand-in for `adb`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devices.perf_test.adb_shell import AdbShell
from tests.devices.stand_in_adb import SERIAL

HERE = Path(__file__).parent
LIBRARY = "libonnxruntime.so"
PROPERTIES = {
    "ro.product.manufacturer": "Acme",
    "ro.product.model": "Slate 3",
    "ro.soc.manufacturer": "Chips",
    "ro.soc.model": "C900",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.build.id": "UP1A",
    "ro.serialno": SERIAL,
}
DUMPS = {
    "thermalservice": "IsStatusOverride: false\nThermal Status: 2\nCached temperatures:",
    "battery": "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  level: 85\n"
    "  scale: 100\n  temperature: 315\n",
    "power": "POWER MANAGER (dumpsys power)\n  mWakefulness=Awake\n",
}


@dataclass(frozen=True)
class MadeUpPhone:
    """A phone's folder, and the tool that is made for it."""

    folder: Path
    program: Path

    def shell(self) -> AdbShell:
        """How a device reaches it."""
        return AdbShell("slate", self.program, (str(self.program.parent / LIBRARY),))

    def becomes(self, state: str) -> None:
        """Put it in one of adb's states."""
        (self.folder / "state").write_text(state)

    def vanishes(self) -> None:
        """Break off at the next line for its shell."""
        (self.folder / "lost").touch()

    def left(self) -> list[str]:
        """What is in its temporary folder."""
        return sorted(file.name for file in (self.folder / "tmp").iterdir())


@contextmanager
def made_up_phone(folder: Path, *, stand_in: bool = True) -> Iterator[MadeUpPhone]:
    """Make a phone in a folder; `adb` on PATH is the stand-in while it is there, or else the real one."""
    phone, programs = folder / "phone", folder / "programs"
    for made in (phone / "tmp", phone / "bin", phone / "ports", programs):
        made.mkdir(parents=True)
    tool = programs / "onnxruntime_perf_test"
    _program(tool, (HERE / "stand_in_perf_test.py").read_text("utf-8"), sys.executable)
    (programs / LIBRARY).write_bytes(b"\x7fELF...\0VERS_1.22.0\0...")  # real ones hold it so
    if stand_in:
        _program(programs / "adb", (HERE / "stand_in_adb.py").read_text("utf-8"), f"{sys.executable} -SE")
    for name, texts in {"getprop": PROPERTIES, "dumpsys": DUMPS}.items():
        cases = "".join(f"{key}) echo {shlex.quote(text)};;\n" for key, text in texts.items())
        _program(phone / "bin" / name, f'case "$1" in\n{cases}esac\n', "/bin/sh")
    before = dict(os.environ)
    os.environ["PATH"] = f"{programs}:{before['PATH']}"
    os.environ["STAND_IN_PHONE"] = str(phone)
    os.environ.pop("ANDROID_SERIAL", None)
    try:
        yield MadeUpPhone(phone, tool)
    finally:
        os.environ.clear()
        os.environ.update(before)
        for file in (phone / "forwards").glob("*"):
            os.kill(int(file.read_text().split()[0]), signal.SIGKILL)


def _program(file: Path, text: str, interpreter: str) -> None:
    file.write_text(f"#!{interpreter}\n{text}", "utf-8")
    file.chmod(0o755)
