"""Reaching a Dask scheduler, whose address is all that a person types."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from hwprofile.errors import BadInput, DeviceUnreachable, UserError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

ADDRESS = re.compile(
    r"(?P<protocol>tcp|tls)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})"
)
CONNECT_S = 10.0
"""How long a scheduler has to answer."""


class Scheduler:
    """A connection to a Dask scheduler, made anew where it was lost. Use as a context manager.

    Certificates for `tls://` come from Dask's own configuration (docs/fleet.md).

    Args:
        address: such as `tcp://host:8786`.
        tell: is told what a person should know of the connection.
        connect_s: how long the scheduler has to answer.
    """

    def __init__(self, address: str, tell: Callable[[str], None], connect_s: float = CONNECT_S) -> None:
        """Store where it is; BadInput where that is no address of a scheduler."""
        found = ADDRESS.fullmatch(address)
        if found is None:
            raise BadInput(
                f"--fleet takes the address of a Dask scheduler, such as tcp://host:8786, not {address!r:.80}"
            )
        self.address = address
        self._tell, self._connect_s = tell, connect_s
        self._protocol, self._host, self._port = found["protocol"], found["host"].strip("[]"), found["port"]
        self._client: Client | None = None

    def __enter__(self) -> Scheduler:
        """Connect.

        Raises:
            UserError: Dask is not installed, or it has no certificates for `tls://`.
            DeviceUnreachable: no scheduler answers there.
        """
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said by who asked
        if self._protocol == "tcp" and not _is_this_computer(self._host):
            self._tell(
                f"{self.address} is not encrypted, and whoever reaches it runs code on its boards: "
                "docs/fleet.md"
            )
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            self._client = self._connected()
        for warning in told:
            if "version" in str(warning.message).lower():
                self._tell(f"{self.address}: {' '.join(str(warning.message).split())}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Part from the scheduler; what was asked of it is forgotten."""
        if self._client is not None:
            self._client.close()

    @property
    def client(self) -> Client:
        """The connection; DeviceUnreachable where it was given up and the scheduler does not answer."""
        if self._client is None or self._client.status == "closed":
            self._client = self._connected()
        return self._client

    def _connected(self) -> Client:
        try:
            from distributed import Client
        except ImportError as error:
            raise UserError("a fleet needs Dask: pip install 'hwprofile[fleet]'") from error
        security = _security(self._protocol)
        try:
            # a client that finds nobody, or somebody else, waits for long or for ever
            socket.create_connection((self._host, int(self._port)), self._connect_s).close()
            self._greet(security)
            return Client(
                self.address,
                timeout=self._connect_s,
                set_as_default=False,
                name="hwprofile",
                security=security,
            )
        except Exception as error:  # a stranger may answer anything
            raise DeviceUnreachable(
                f"no scheduler answers at {self.address} ({_why(error)}): is `dask scheduler` running there, "
                "and its port open?"
            ) from error

    def _greet(self, security: Security) -> None:
        """Ask whoever is there whether they are a scheduler; TimeoutError where no answer comes."""
        from distributed import rpc
        from distributed.utils import LoopRunner, sync

        async def greet() -> None:
            async with rpc(self.address, connection_args=security.get_connection_args("client")) as scheduler:
                await scheduler.identity()

        runner = LoopRunner()
        runner.start()
        try:
            sync(runner.loop, greet, callback_timeout=self._connect_s)
        finally:
            runner.stop()


def _is_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _security(protocol: str) -> Security:
    """Dask's certificates; UserError where it has none and needs some."""
    from distributed.security import Security

    try:
        found = Security(require_encryption=protocol == "tls")
        if protocol == "tls" and found.get_connection_args("client").get("ssl_context") is None:
            raise ValueError("no certificates are configured")
    except (OSError, ValueError) as error:
        raise UserError(
            f"tls:// needs certificates of the fleet in Dask's configuration ({_why(error)}): docs/fleet.md"
        ) from error
    return found


def _why(error: BaseException) -> str:
    """An error's last cause in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join((str(error) or type(error).__name__).split())
