"""Reaching a Dask scheduler, whose address is all that a person types."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def connected(address: str, tell: Callable[[str], None], connect_s: float = CONNECT_S) -> Iterator[Client]:
    """A connection to a scheduler, for as long as the `with` lasts.

    Certificates for `tls://` come from Dask's own configuration (docs/fleet.md).

    Args:
        address: such as `tcp://host:8786`.
        tell: is told what a person should know of the connection.
        connect_s: how long the scheduler has to answer.

    Raises:
        BadInput: that is no address of a scheduler.
        UserError: Dask is not installed.
        DeviceUnreachable: no scheduler answers there.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise BadInput(
            f"--fleet takes the address of a Dask scheduler, such as tcp://host:8786, not {address!r:.80}"
        )
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError("a fleet needs Dask: pip install 'hwprofile[fleet]'") from error
    if found["protocol"] == "tcp" and not _is_this_computer(found["host"]):
        tell(f"{address} is not encrypted, and whoever reaches it runs code on its boards: docs/fleet.md")
    security = _security(found["protocol"])
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said by who asked
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            # a client that found nobody would wait for its own end for long
            socket.create_connection((found["host"].strip("[]"), int(found["port"])), connect_s).close()
            client = Client(
                address, timeout=connect_s, set_as_default=False, name="hwprofile", security=security
            )
        except (OSError, TimeoutError, ValueError, RuntimeError, OverflowError) as error:
            raise DeviceUnreachable(
                f"no scheduler answers at {address} ({_why(error)}): is `dask scheduler` running there, and "
                "its port open?"
            ) from error
    for warning in told:
        if "version" in str(warning.message).lower():
            tell(f"{address}: {' '.join(str(warning.message).split())}")
    try:
        yield client
    finally:
        client.close()


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
