"""How to reach a phone without Python: its serial, and the `onnxruntime_perf_test` that is pushed there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devices.adb import Adb
from devices.connection import DeviceError
from devices.settings import Settings

PROGRAM = "onnxruntime_perf_test"
PROVIDERS = {
    "CPUExecutionProvider": "cpu",
    "XnnpackExecutionProvider": "xnnpack",
    "NnapiExecutionProvider": "nnapi",
    "QNNExecutionProvider": "qnn",
}
"""ONNX Runtime's names of its providers, and the tool's."""
_LIBRARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_VERSION = re.compile(r"\d+(\.\d+){1,3}")
_VERSION_IN_LIBRARY = re.compile(rb"VERS_(\d+\.\d+\.\d+)\0")
"""Libraries of ONNX Runtime name their symbols' version after the release."""


@dataclass(frozen=True, slots=True)
class AdbShell:
    """A phone, and what runs graphs there.

    Attributes:
        alias: the device's name.
        program: the tool's file here, built for the phone.
        libraries: shared libraries that it needs beside it; those of ONNX Runtime where it was built with
            them, and those of a vendor.
        serial: as `adb devices` lists the phone; None for $ANDROID_SERIAL, else the only one attached.
        version: ONNX Runtime's; None to read it from the libraries.
    """

    alias: str
    program: Path
    libraries: tuple[str, ...] = ()
    serial: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for names that could be taken for something else on the phone."""
        object.__setattr__(self, "libraries", tuple(self.libraries))  # lists come from TOML
        names = [Path(library).name for library in self.libraries]
        for name in names:
            if not _LIBRARY.fullmatch(name) or name == PROGRAM:
                raise ValueError(
                    f"libraries: {name!r:.80} is no name of a shared library; give letters, digits and `._+-`"
                )
        if len(set(names)) < len(names):
            raise ValueError("libraries: two have one name, and lie side by side on the phone")
        if not str(self.program).strip("."):
            raise ValueError(f"program: give the file of an {PROGRAM} that was built for the phone")
        if self.version is not None and not _VERSION.fullmatch(self.version):
            raise ValueError(f"version {self.version!r:.80}: give one of ONNX Runtime, such as 1.22.0")
        Adb(self.serial)

    @property
    def adb(self) -> Adb:
        """The phone as adb names it."""
        return Adb(self.serial)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Names on the phone and files here.

        Raises:
            DeviceError: a file is absent.
        """
        libraries = {Path(library).name: Path(library) for library in self.libraries}
        for name, file in {PROGRAM: self.program, **libraries}.items():
            path = file.expanduser()
            if not path.is_file():
                raise DeviceError(f"{path} is no file: {self.alias} needs it on the phone as {name}")
            yield name, path

    def build(self) -> tuple[str | None, str]:
        """Version of ONNX Runtime, None where the files do not tell; and a digest of the files."""
        digest, version = hashlib.sha256(), self.version
        for name, path in sorted(self.files()):
            data = path.read_bytes()
            digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
            found = _VERSION_IN_LIBRARY.search(data) if "onnxruntime" in name else None
            if version is None and found:
                version = found[1].decode()
        return version, digest.hexdigest()[:16]


def command(settings: Settings, graph: str, runs: int, prefix: str) -> str:
    """The line that runs a graph in the tool's folder on the phone.

    Args:
        settings: threads and provider.
        graph: path of the ONNX file there.
        runs: timed ones; the tool does one more before them.
        prefix: what bounds the tool's processors and time.
    """
    return (
        f"LD_LIBRARY_PATH=$PWD ADSP_LIBRARY_PATH=$PWD {prefix}./{PROGRAM} -e {PROVIDERS[settings.provider]} "
        f"-m times -r {runs} -x {settings.threads} -o 99 -I -S 1 {graph} results.csv"
    )
