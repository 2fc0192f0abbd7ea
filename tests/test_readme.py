"""The README tells the truth about commands and files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from hwprofile.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(\$ )?hwprofile [a-z]+( |$)")


def commands() -> list[str]:
    """Every line of an indented block that calls hwprofile."""
    lines = [line.strip() for page in PAGES for line in page.read_text("utf-8").splitlines()]
    return [line.split("#")[0].lstrip("$ ").strip() for line in lines if COMMAND.match(line)]


@pytest.mark.parametrize("line", commands())
def test_a_documented_command_is_one_that_the_command_line_takes(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = main.commands[name]
    if isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments)  # raises for an unknown option or a wrong value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 6
