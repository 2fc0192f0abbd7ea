"""Signs of an emulator, on files as they are under one and as they are here."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from devices.agent import emulation, identity, system_files

HEADS = {
    "x86_64": b"\x7fELF\x02\x01\x01" + bytes(11) + (62).to_bytes(2, "little"),
    "aarch64": b"\x7fELF\x02\x01\x01" + bytes(11) + (183).to_bytes(2, "little"),
    "arm": b"\x7fELF\x01\x01\x01" + bytes(11) + (40).to_bytes(2, "little"),
    "s390x": b"\x7fELF\x02\x02\x01" + bytes(11) + (22).to_bytes(2, "big"),
    "a script": b"#!/bin/sh\n" + bytes(20),
    "a stub": b"\x7fELF",
}
"""How programs begin."""


def test_nothing_is_emulated_here() -> None:
    assert emulation.emulator(platform.machine()) is None
    assert "emulated" not in identity.hardware()


def test_the_link_that_is_read_is_this_interpreter() -> None:
    assert emulation._elf_machine("/proc/self/exe") in emulation.ELF_MACHINES[platform.machine()]


@pytest.mark.parametrize(
    ("machine", "program", "head", "expected"),
    [
        ("aarch64", "qemu-aarch64-static", "x86_64", "qemu"),
        ("x86_64", "rosetta", "aarch64", "rosetta"),
        ("x86_64", "FEXInterpreter", "aarch64", "fex"),
        ("s390x", "qemu-s390x", "x86_64", "qemu"),
        ("aarch64", "newcomer", "x86_64", "unknown"),
        ("aarch64", "python3", "aarch64", None),
        ("aarch64", "python3", "arm", None),  # 32 bits on a kernel of 64
        ("armv7l", "python3", "arm", None),
        ("s390x", "python3", "s390x", None),
        ("x86_64", "python3", "a script", None),
        ("x86_64", "python3", "a stub", None),
        ("a processor of tomorrow", "python3", "x86_64", None),
    ],
)
def test_the_program_that_the_kernel_started_tells(
    machine: str,
    program: str,
    head: str,
    expected: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / program).write_bytes(HEADS[head])
    link = tmp_path / "exe"
    os.symlink(tmp_path / program, link)
    read = emulation._elf_machine
    monkeypatch.setattr(emulation, "_elf_machine", lambda _: read(str(link)))
    known = emulation._known
    monkeypatch.setattr(emulation, "_known", lambda _: known(str(link)))
    monkeypatch.setattr(system_files, "fields", lambda *_: {"model name": "A processor"})
    assert emulation.emulator(machine) == expected


def test_a_whole_emulated_machine_tells_in_the_name_of_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_files, "fields", lambda *_: {"model name": "QEMU TCG CPU version 2.5+"})
    assert emulation.emulator(platform.machine()) == "qemu"


def test_a_link_that_cannot_be_read_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = shutil.which("no-program-of-this-name") or "/nonexistent"
    assert emulation._elf_machine(absent) is None
    assert emulation._known(absent) == "unknown"
