"""A stand-in for `adb`: a folder of this computer is the phone. Run as a program, by the name `adb`.

Its words are those of adb 29 (seen) and 34 (from its sources). `$STAND_IN_PHONE` is the phone's folder:

    state       `device`, `offline`, `unauthorized`, `none` or `two`; absent: `device`
    bin/        programs of the phone: `getprop`, `dumpsys`
    tmp/        what is /data/local/tmp there
    ports/N     the port here that is port N of the phone
    forwards/N  the process that serves a forwarded port N
    lost        where present, the next line for the shell breaks off: the phone vanishes
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SERIAL = "R58M123ABC"
TEMPORARY = "/data/local/tmp"
UNAUTHORIZED = (
    "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\n"
    "Try 'adb kill-server' if that seems wrong.\nOtherwise check for a confirmation dialog on your device."
)


class Fault(Exception):
    """Why the phone is out of reach, in adb's words."""


def main(arguments: list[str], phone: Path) -> int:
    """Do what adb does with these arguments."""
    serial = os.environ.get("ANDROID_SERIAL")
    if arguments[:1] == ["-s"]:
        serial, arguments = arguments[1], arguments[2:]
    commands: dict[str, Callable[..., int]] = {
        "devices": devices,
        "get-state": get_state,
        "push": push,
        "shell": shell,
        "forward": forward,
    }
    prefix = {"push": "adb: error: failed to get feature set: ", "forward": "adb: error: "}
    try:
        return commands[arguments[0]](phone, serial, *arguments[1:])
    except Fault as fault:
        sys.stderr.write(f"{prefix.get(arguments[0], 'error: ')}{fault}\n")
        return 1


def state_of(phone: Path) -> str:
    """The state that the phone is in."""
    file = phone / "state"
    return file.read_text().strip() if file.exists() else "device"


def reach(phone: Path, serial: str | None) -> None:
    """Fault where adb would not reach the phone."""
    state = state_of(phone)
    if serial not in (None, SERIAL) or (serial and state == "none"):
        raise Fault(f"device '{serial}' not found")
    words = {"none": "no devices/emulators found", "offline": "device offline", "unauthorized": UNAUTHORIZED}
    if state in words:
        raise Fault(words[state])
    if state == "two" and serial is None:
        raise Fault("more than one device/emulator")


def devices(phone: Path, serial: str | None, *_: str) -> int:
    """List what is attached."""
    state = {"two": "device"}.get(state_of(phone), state_of(phone))
    lines = [] if state == "none" else [f"{SERIAL:<22} {state} usb:1-1 product:made-up model:Made_up"]
    lines += ["emulator-5554          device product:sdk"] if state_of(phone) == "two" else []
    sys.stdout.write("\n".join(["List of devices attached", *lines, "", ""]))
    return 0


def get_state(phone: Path, serial: str | None) -> int:
    """Print the state of a phone within reach."""
    reach(phone, serial)
    sys.stdout.write("device\n")
    return 0


def push(phone: Path, serial: str | None, local: str, remote: str) -> int:
    """Copy a file to the phone."""
    reach(phone, serial)
    target = Path(remote.replace(TEMPORARY, str(phone / "tmp")))
    if not target.parent.is_dir():
        sys.stderr.write(f"adb: error: failed to copy '{local}' to '{remote}': remote couldn't create file\n")
        return 1
    shutil.copyfile(local, target)
    sys.stdout.write(f"{local}: 1 file pushed. 9.9 MB/s ({target.stat().st_size} bytes in 0.001s)\n")
    return 0


def shell(phone: Path, serial: str | None, *words: str) -> int:
    """Run words, joined by spaces, in the phone's shell; its exit status is adb's."""
    reach(phone, serial)
    if (phone / "lost").exists():
        (phone / "lost").unlink()
        (phone / "state").write_text("none")
        return 0
    run = phone_shell(phone, " ".join(words))
    return subprocess.run(run, check=False, env=phone_environment(phone)).returncode


def phone_shell(phone: Path, line: str) -> list[str]:
    """The command that runs a line in the phone's shell."""
    found = os.environ.get("STAND_IN_SHELL", "sh").split()
    return [*found, "-c", line.replace(TEMPORARY, str(phone / "tmp"))]


def phone_environment(phone: Path) -> dict[str, str]:
    """Where the phone's shell finds the phone's programs."""
    return {**os.environ, "PATH": f"{phone / 'bin'}:{os.environ['PATH']}"}


def forward(phone: Path, serial: str | None, first: str, second: str = "") -> int:
    """Open, list or close forwarded ports."""
    folder = phone / "forwards"
    folder.mkdir(exist_ok=True)
    if first == "--list":
        for file in sorted(folder.iterdir()):
            sys.stdout.write(f"{SERIAL} tcp:{file.name} tcp:{file.read_text().split()[1]}\n")
        sys.stdout.write("\n")
        return 0
    reach(phone, serial)
    if first == "--remove":
        file = folder / second.removeprefix("tcp:")
        if not file.exists():
            raise Fault(f"listener '{second}' not found")
        os.kill(int(file.read_text().split()[0]), signal.SIGKILL)
        file.unlink()
        return 0
    there = second.removeprefix("tcp:")
    target = (phone / "ports" / there).read_text().strip()
    arguments = [sys.executable, __file__, "--serve", first.removeprefix("tcp:"), target]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    server = subprocess.Popen(arguments, stdout=pipe, stderr=null, start_new_session=True)
    assert server.stdout is not None
    here = server.stdout.readline().decode().strip()
    (folder / here).write_text(f"{server.pid} {there}")
    sys.stdout.write(f"{here}\n")
    return 0


def serve(here: int, target: int) -> None:
    """Lead every connection to a port here on to another."""
    import asyncio

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()

    async def connected(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            sink.close()
            return
        await asyncio.gather(pump(source, back), pump(there, sink), return_exceptions=True)

    async def listening() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", here)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        async with server:
            await server.serve_forever()

    asyncio.run(listening())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]), int(sys.argv[3]))
    sys.exit(main(sys.argv[1:], Path(os.environ["STAND_IN_PHONE"])))
