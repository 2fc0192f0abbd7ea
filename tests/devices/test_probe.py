"""The first look at a target: Pythons of any age, shells that talk, and programs that are no Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import IO

import pytest

from devices.links.link import Link
from devices.links.local import LocalLink, started
from devices.probe import NoPython, Probe, Unreachable, probe


class Shell(Link):
    """A shell here in place of a target; `"$@"` are Python's arguments."""

    def __init__(self, script: str) -> None:
        self.script = script

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        return started(["sh", "-c", self.script, "sh", *arguments], stderr)

    def redacted(self, text: str) -> str:
        return text.replace("secret-host", "board")

    def advice(self, text: str) -> str:
        return "switch it on" if "secret-host" in text else ""


class Absent(Link):
    """Something that is not installed here."""

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        return started(["no-such-program"], stderr)


def test_this_python_answers() -> None:
    found = probe(LocalLink())
    assert found.python == sys.version_info[:3]
    assert found.numpy
    assert found.problem == ""


def test_what_a_login_shell_prints_is_passed_over() -> None:
    assert probe(Shell(f'echo welcome; exec {sys.executable} "$@"')).python == sys.version_info[:3]


def test_a_python_without_numpy_says_so() -> None:
    found = probe(Shell(f'exec {sys.executable} -I -S "$@"'))
    assert found.numpy is None
    assert found.problem.endswith("has no numpy")


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 9), (3, 7, 17)])
def test_an_old_python_is_too_old(version: tuple[int, ...]) -> None:
    assert "is too old: the agent needs 3.8" in Probe(version, "1.19").problem


def test_a_python_that_is_not_there_is_no_lost_target() -> None:
    with pytest.raises(NoPython, match=r"cannot start the Python that it shall: .*not found"):
        probe(Shell('no-such-python "$@"'))


def test_what_reaches_the_target_speaks_without_names_and_with_advice() -> None:
    with pytest.raises(Unreachable, match=r"^ssh: board: down$") as caught:
        probe(Shell("echo ssh: secret-host: down >&2; exit 255"))
    assert caught.value.advice == "switch it on"
    with pytest.raises(Unreachable, match=r"^exit status 3$"):
        probe(Shell("exit 3"))
    with pytest.raises(Unreachable, match=r"cannot be started: .*no-such-program"):
        probe(Absent())


def test_a_target_that_hangs_is_given_up() -> None:
    with pytest.raises(Unreachable, match=r"nothing came within 0\.2 s; its last words: busy") as caught:
        probe(Shell("echo busy >&2; exec sleep 60"), 0.2)
    assert "log in by hand" in caught.value.advice


@pytest.mark.parametrize("answer", ["", "{}", "[1]", '{"python": 3, "numpy": null}', '{"python": "3.x"}'])
def test_what_greets_but_is_no_python_is_named_so(answer: str) -> None:
    with pytest.raises(NoPython, match="what answers there is no Python"):
        probe(Shell(f"""printf '%s%s' "$4" '{answer}'"""))


def test_no_endless_output_is_kept() -> None:
    with pytest.raises(Unreachable):
        probe(Shell("yes"))
