"""Whether this process runs under an emulator: its times then say nothing of the processor.

User-mode emulators (qemu-user, also when the kernel starts it by itself; Rosetta, box64, FEX) hide behind
/proc/self, but the kernel knows which program it started: the link of the thread's own folder. Where that
program was built for another processor than the one that this process believes to be on, it is an emulator.
A whole emulated machine tells of itself in the processor's name.
"""

import os
import threading
from typing import Optional

from devices.agent import system_files

X86, ARM, X86_64, AARCH64, RISCV = 3, 40, 62, 183, 243
PPC64, S390 = 21, 22

ELF_MACHINES = {
    "x86_64": (X86_64, X86),
    "i686": (X86, X86_64),
    "i386": (X86, X86_64),
    "aarch64": (AARCH64, ARM),
    "armv8l": (ARM, AARCH64),
    "armv7l": (ARM, AARCH64),
    "armv6l": (ARM, AARCH64),
    "riscv64": (RISCV,),
    "ppc64le": (PPC64,),
    "s390x": (S390,),
}
"""Machines of the programs that a processor runs by itself, by the name that `platform.machine` gives."""

KNOWN = ("qemu", "rosetta", "box64", "box86", "fex")


def emulator(machine: str) -> Optional[str]:
    """Name of the emulator that this process runs under; None where no sign of one is found.

    Args:
        machine: the processor that this process believes to be on, as `platform.machine` names it.
    """
    program = "/proc/self/task/{}/exe".format(threading.get_native_id())
    found = _elf_machine(program)
    own = ELF_MACHINES.get(machine)
    if found is not None and own is not None and found not in own:
        return _known(program)
    model = system_files.fields("/proc/cpuinfo", ":").get("model name", "")
    return "qemu" if model.startswith("QEMU TCG") else None


def _elf_machine(path: str) -> Optional[int]:
    """For which processor a program was built; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    return int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")


def _known(program: str) -> str:
    try:
        name = os.path.basename(os.readlink(program)).lower()
    except OSError:
        name = ""
    return next((known for known in KNOWN if name.startswith(known)), "unknown")
