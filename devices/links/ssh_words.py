"""What `ssh` and a login shell print: names taken out of it, and what a person can do about it."""

from __future__ import annotations

import functools
import getpass
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_GROUPS = r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})"
_ADDRESS = rf"(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|(?:{_GROUPS}{{7}}|(?:{_GROUPS}*)?::(?:{_GROUPS}*)?)(?:%\w+)?)"
_ADDRESSES = (
    re.compile(rf"(?P<before>\b(?:at|by|to|for|from|host|with|address) |@)\[?{_ADDRESS}\]?(?![\w.])"),
    re.compile(rf"(?P<before>)(?<![\w.:\[])\[?{_ADDRESS}\]?(?= port \d)"),
)
"""Where an address stands in what `ssh` prints; four numbers elsewhere may be a version."""
_KEYS = ("host", "hostname", "hostkeyalias", "proxyjump")
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Names:
    """What must not be kept: names and addresses of hosts, and names of users."""

    hosts: frozenset[str]
    users: frozenset[str]


@functools.cache
def names(where: Sequence[str], hosts: Sequence[str]) -> Names:
    """Every name that may stand in what a link prints.

    Args:
        where: the words of the `ssh` command that say where it goes.
        hosts: further places, as `user@host:port`, several with commas between.
    """
    told = dict(line.split(" ", 1) for line in _resolved(where).splitlines() if " " in line)
    places = [*hosts, *(told[key] for key in _KEYS if key in told)]
    found = [place.rpartition("@") for text in places for place in text.split(",")]
    users = {user for user, _, _ in found} | {told.get("user", ""), _own_name()}
    return Names(
        frozenset(re.sub(r"(?<!:):\d+$", "", host).strip("[]") for _, _, host in found) - {""},
        frozenset(users) - {""},
    )


def _resolved(where: Sequence[str]) -> str:
    """What `ssh -G` tells under the user's configuration; empty where there is no `ssh`."""
    try:
        told = subprocess.run(
            ["ssh", "-G", *where],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.decode("utf-8", "replace")


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        return ""


def redacted(text: str, known: Names, alias: str) -> str:
    """A text with the alias in place of hosts and addresses, and `(user)` in place of users."""
    text = re.sub(rf"(?:{_any(known.users)}@)?{_any(known.hosts)}", lambda found: alias, text)
    for pattern in _ADDRESSES:
        text = pattern.sub(lambda found: f"{found['before']}{alias}", text)
    return re.sub(_any(known.users - {alias}), "(user)", text)


def _any(words: Iterable[str]) -> str:
    """A pattern for any of these as a word of its own; for nothing where there is none."""
    longest_first = sorted(words, key=len, reverse=True)
    choice = "|".join(map(re.escape, longest_first)) or r"(?!)"
    return rf"(?<![\w.-])(?:{choice})(?![\w-]|\.\w)"


_OF_SSH = (
    (
        "IDENTIFICATION HAS CHANGED|host key for .* has changed",
        "its host key is not the one that is known: if it was set up anew, forget the old one "
        "(ssh-keygen -R), connect once by hand with `{ssh}` and compare the fingerprint; else do not connect",
    ),
    (
        "Host key verification failed|No .*host key is known",
        "its host key is not known here: connect once by hand with `{ssh}` and compare the fingerprint with "
        "what `ssh-keygen -lf` tells there of its key in /etc/ssh",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "it accepts none of your keys: `{ssh}` must work without a password (ssh-copy-id puts a key there, "
        "ssh-add loads one that has a passphrase)",
    ),
    (
        "Could not resolve hostname",
        "check its name (`hwprofile devices show` tells it), your ssh configuration and your network",
    ),
    (
        "(?i)timed? ?out|No route to host|Network is unreachable|Host is down",
        "is it switched on, and in a network that `{ssh}` reaches?",
    ),
    (
        "Connection refused",
        "it is there, but no SSH server listens: is it still booting, or on another port?",
    ),
)
_OF_TARGET = (
    (
        r"No such file or directory: '?ssh\b",
        "OpenSSH's client is not installed here (Debian, Ubuntu: apt install openssh-client)",
    ),
    ("needs 3.8 or newer", "install a newer Python there, and name it as the device's `python`"),
    (
        "exit status 12[67]|: not found|[Cc]ommand not found",
        "there is no {python} there that can be run: install Python 3.8 or newer, or name another as the "
        "device's `python`",
    ),
    (
        "No space left on device|No usable temporary directory",
        "make room in its folder for temporary files (TMPDIR, else /tmp)",
    ),
    ("No module named '?numpy|numpy is not installed", "install numpy there: {python} -m pip install numpy"),
)
"""What is printed, and what helps; the first that fits. What a graph prints may look like words of `ssh`."""
_FAILED = "exit status 255"


def advice(text: str, ssh: Sequence[str], python: str) -> str:
    """What a person can do about what was printed; empty where that is not known.

    Args:
        text: words of `ssh`, the login shell or Python, and the exit status.
        ssh: the command that reaches the target by hand.
        python: the target's interpreter.
    """
    table = _OF_SSH if _FAILED in text else _OF_TARGET
    fitting = (sentence for pattern, sentence in table if re.search(pattern, text))
    return next(fitting, "").format(ssh=shlex.join(ssh), python=python)
