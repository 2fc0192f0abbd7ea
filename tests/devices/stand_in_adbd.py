"""A stand-in for the phone's end of adb, for the real `adb` to connect to: ADB's own protocol over TCP.

It knows shells of the second version (an exit status, stdout and stderr apart), files that are sent, and
ports that are forwarded; the phone is a folder of this computer, as for the stand-in for `adb` itself.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.devices.stand_in_adb import TEMPORARY, phone_environment, phone_shell

CNXN, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
VERSION, LARGEST = 0x01000001, 256 * 1024
BANNER = b"device::ro.product.name=slate;ro.product.model=Slate;ro.product.device=slate;features=shell_v2,cmd"
STDOUT, STDERR, EXIT = 1, 2, 3


class Stream:
    """One service that a client has opened: an unlimited pipe from it, and one packet at a time to it."""

    def __init__(self, connection: Connection, here: int, there: int) -> None:
        self.connection, self.here, self.there = connection, here, there
        self.may_write = threading.Semaphore(1)
        self.inner, self.outer = socket.socketpair()
        self.ends: list[int] = []

    def write(self, data: bytes) -> None:
        """Send, in packets, each after the one before was taken."""
        for start in range(0, len(data), LARGEST):
            self.may_write.acquire()
            self.connection.send(WRTE, self.here, self.there, data[start : start + LARGEST])

    def read(self, size: int) -> bytes:
        """So many bytes of what the client sends; EOFError when it has closed."""
        data = b""
        while len(data) < size:
            part = self.inner.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def close(self) -> None:
        """Tell the client that the service has ended."""
        self.connection.send(CLSE, self.here, self.there)


class Connection:
    """The connection of one adb server."""

    def __init__(self, client: socket.socket, phone: Path) -> None:
        self.client, self.phone = client, phone
        self.sending = threading.Lock()
        self.streams: dict[int, Stream] = {}

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """Send one packet; a client that has gone needs none."""
        check = sum(data) & 0xFFFFFFFF
        head = struct.pack("<6I", command, first, second, len(data), check, command ^ 0xFFFFFFFF)
        with self.sending, contextlib.suppress(OSError):
            self.client.sendall(head + data)

    def serve(self) -> None:
        """Answer packets until the client goes."""
        source = self.client.makefile("rb")
        while len(head := source.read(24)) == 24:
            command, first, second, size, _, _ = struct.unpack("<6I", head)
            data = source.read(size)
            if command == CNXN:
                self.send(CNXN, VERSION, LARGEST, BANNER)
            elif command == OPEN:
                self.opened(first, data.rstrip(b"\0").decode())
            elif second in self.streams:
                self.told(command, self.streams[second], data)

    def opened(self, there: int, service: str) -> None:
        """Start a service in a thread of its own."""
        stream = Stream(self, len(self.streams) + 1, there)
        self.streams[stream.here] = stream
        self.send(OKAY, stream.here, there)
        threading.Thread(target=self.run, args=(stream, service), daemon=True).start()

    def told(self, command: int, stream: Stream, data: bytes) -> None:
        """What the client says of an open service."""
        if command == OKAY:
            stream.may_write.release()
        elif command == WRTE:
            stream.outer.sendall(data)
            self.send(OKAY, stream.here, stream.there)
        elif command == CLSE:
            stream.outer.close()
            stream.may_write.release()

    def run(self, stream: Stream, service: str) -> None:
        """Serve until it has ended."""
        name, _, rest = service.partition(":")
        with contextlib.suppress(EOFError, OSError):
            if name.startswith("shell,v2"):
                shell(stream, self.phone, rest)
            elif name == "sync":
                sync(stream, self.phone)
            elif name == "tcp":
                forward(stream, int((self.phone / "ports" / rest).read_text()))
        stream.close()


def shell(stream: Stream, phone: Path, line: str) -> None:
    """Run a line; `lost` in the phone's folder cuts the connection instead."""
    if (phone / "lost").exists():
        stream.connection.client.shutdown(socket.SHUT_RDWR)
        raise EOFError
    process = subprocess.Popen(
        phone_shell(phone, line),
        env=phone_environment(phone),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def pump(source: IO[bytes] | None, kind: int) -> None:
        assert source is not None
        while data := source.read1(32768):  # type: ignore[attr-defined] # a BufferedReader
            stream.write(struct.pack("<BI", kind, len(data)) + data)

    pumps = [
        threading.Thread(target=pump, args=pair, daemon=True)
        for pair in ((process.stdout, STDOUT), (process.stderr, STDERR))
    ]
    for one in pumps:
        one.start()
    for one in pumps:
        one.join()
    status = process.wait()
    stream.write(struct.pack("<BIB", EXIT, 1, status if status >= 0 else 128 - status))


def sync(stream: Stream, phone: Path) -> None:
    """Take files."""
    while (head := stream.read(8))[:4] != b"QUIT":
        name = stream.read(int.from_bytes(head[4:], "little")).decode()
        if head[:4] == b"STAT":
            stream.write(b"STAT" + bytes(12))
            continue
        assert head[:4] == b"SEND", head
        target = Path(name.rpartition(",")[0].replace(TEMPORARY, str(phone / "tmp")))
        data = b""
        while (part := stream.read(8))[:4] == b"DATA":
            data += stream.read(int.from_bytes(part[4:], "little"))
        if target.parent.is_dir():
            target.write_bytes(data)
            stream.write(b"OKAY" + bytes(4))
        else:
            words = b"couldn't create file: No such file or directory"
            stream.write(b"FAIL" + len(words).to_bytes(4, "little") + words)


def forward(stream: Stream, port: int) -> None:
    """Lead a service on to a port here."""
    with socket.create_connection(("127.0.0.1", port)) as there:

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := there.recv(65536):
                    stream.write(data)
            stream.close()

        threading.Thread(target=back, daemon=True).start()
        while data := stream.inner.recv(65536):
            there.sendall(data)


def main(phone: Path) -> None:
    """Serve on a port, whose number is printed."""
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    while True:
        client, _ = listener.accept()
        threading.Thread(target=Connection(client, phone).serve, daemon=True).start()


@contextmanager
def stand_in_adbd(phone: Path) -> Iterator[int]:
    """Run this file as a program; its port is given."""
    command = [sys.executable, "-m", "tests.devices.stand_in_adbd", str(phone)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
