"""A Python for ARM64 that runs here, under qemu's emulation of user programs, with NumPy and ONNX Runtime.

Interpreter and libraries are the distribution's own packages for arm64, unpacked into a folder of their own;
the rest are the wheels that a board would install. Nothing is installed on this machine. The folder lies
under the temporary one and is used again by later runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn

import pytest

from devices.links.link import Link
from devices.links.local import started

QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
REQUIRED = "HWPROFILE_REQUIRE_ARM64"
RECIPE = 1
"""Counts what this file puts into the folder: an older folder is not used."""

PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
WHEELS = ("onnxruntime", "numpy")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
STEP_TIMEOUT_S = 300

# ONNX Runtime asks /proc/cpuinfo which instructions there are; qemu would show it this machine's
CPUINFO = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""


class InterpreterLink(Link):
    """This computer, with the agent under another interpreter."""

    def __init__(self, python: Path) -> None:
        self.python = python

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        return started([str(self.python), *arguments], stderr)


def arm64_python() -> Path:
    """The program that runs Python for ARM64; skips the test where it cannot be had."""
    if QEMU is None:
        unavailable("no qemu-aarch64-static or qemu-aarch64 on PATH (Debian: qemu-user-static)")
    place = Path(tempfile.gettempdir()) / f"hwprofile-arm64-{os.getuid()}-{RECIPE}"
    if not place.exists():
        with tempfile.TemporaryDirectory(prefix="hwprofile-arm64-") as unfinished:
            made = Path(unfinished) / "made"
            _make(made)
            os.replace(made, place)
    return _launcher(place)


def unavailable(reason: str) -> NoReturn:
    """Skip; fail where ARM64 is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)


def _make(place: Path) -> None:
    root, downloads = place / "root", place / "downloads"
    downloads.mkdir(parents=True)
    _unpack_packages(root, downloads)
    python = next((root / "usr" / "bin").glob("python3.*"))
    site = root / "usr" / "lib" / "python3" / "dist-packages"
    site.mkdir(parents=True, exist_ok=True)
    _run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--implementation", "cp", "--python-version", python.name.removeprefix("python"),
            *(f"--platform={name}" for name in PLATFORMS), "--dest", str(downloads), *WHEELS,
        ]
    )  # fmt: skip
    for wheel in downloads.glob("*.whl"):
        shutil.unpack_archive(wheel, site, "zip")
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text(CPUINFO)
    shutil.rmtree(downloads)


def _unpack_packages(root: Path, downloads: Path) -> None:
    """The distribution's packages, by its own lists, with a state of apt's that lies in the folder."""
    (downloads / "state" / "lists" / "partial").mkdir(parents=True)
    (downloads / "cache" / "archives" / "partial").mkdir(parents=True)
    (downloads / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Dir::State": downloads / "state",
        "Dir::State::status": downloads / "status",
        "Dir::Cache": downloads / "cache",
    }
    apt = [
        "apt-get",
        "--quiet",
        *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
    ]
    _run([*apt, "update"])
    _run([*apt, "install", "--download-only", "--yes", *PACKAGES])
    for package in (downloads / "cache" / "archives").glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(root)])


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=STEP_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        unavailable(f"no ARM64 Python: {error}")
    except subprocess.CalledProcessError as error:
        unavailable(f"no ARM64 Python: {' '.join(command[:4])} ... failed: {error.stderr.strip()[-500:]}")


def _launcher(place: Path) -> Path:
    """A program that is called like Python."""
    root, launcher = place / "root", place / "python3"
    python = next((root / "usr" / "bin").glob("python3.*"))
    launcher.write_text(f'#!/bin/sh\nexec {QEMU} -L {root} {python} "$@"\n')
    launcher.chmod(0o755)
    return launcher
