"""What the site gains while MkDocs builds it: the pages at the top of the repository, and the command line.

README is the site's first page. Its links, and those from `docs/` to the top, are written for readers of the
repository; here they are turned to the pages of the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

from hwprofile.cli import main

TOP = Path(__file__).parent.parent
TOP_PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
COMMANDS = "reference-commands.md"
TO_PAGE = re.compile(r"\]\((docs/|\.\./)?([\w.-]+)(#[\w-]*)?\)")


def on_config(config: Any) -> Any:
    """Put pages that the navigation forgot among those that say how to do something."""
    pages = sorted(path.name for path in Path(config["docs_dir"]).glob("*.md"))
    how_to = next(part["How to"] for part in config["nav"] if "How to" in part)
    how_to += [page for page in pages if page not in str(config["nav"])]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages at the top and the reference of commands."""
    for name, page in TOP_PAGES.items():
        files.append(File.generated(config, page, content=(TOP / name).read_text("utf-8")))
    files.append(File.generated(config, "NOTICE", content=(TOP / "NOTICE").read_text("utf-8")))
    files.append(File.generated(config, COMMANDS, content=commands_page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links that hold in the repository to pages of the site."""
    return TO_PAGE.sub(lambda link: f"]({TOP_PAGES.get(link[2], link[2])}{link[3] or ''})", markdown)


def commands_page() -> str:
    """Every command with its help and options, from what the command line itself knows."""
    sections = [section(command, name) for name, command in commands(main, "hwprofile")]
    return "\n\n".join(["# Commands", "Every command has `--help`; this page is made from it.", *sections])


def commands(group: click.Group, called: str) -> list[tuple[str, click.Command]]:
    """Commands by what is typed for them, those of groups too, sorted."""
    found: list[tuple[str, click.Command]] = []
    for name, command in sorted(group.commands.items()):
        found.append((f"{called} {name}", command))
        if isinstance(command, click.Group):
            found += commands(command, f"{called} {name}")
    return found


def section(command: click.Command, called: str) -> str:
    """A command's section: help, usage, a table of options."""
    context = click.Context(command, info_name=called, max_content_width=100)
    usage = command.get_usage(context).removeprefix("Usage: ")
    rows = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    table = [f"| {cell(names, code=True)} | {cell(words)} |" for names, words in rows]
    parts = [f"## {called}", prose(command.help or ""), indented(usage)]
    if table:
        parts.append("\n".join(["| option | |", "|---|---|", *table]))
    return "\n\n".join(parts)


def prose(text: str) -> str:
    """A docstring of click as Markdown: paragraphs behind its mark keep their lines."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(
        kept(lines[2:]) if lines.startswith("\b\n") else escaped(lines) for lines in paragraphs
    )


def kept(lines: str) -> str:
    """A paragraph whose lines stay, as code; its first line is a heading where the others stand deeper."""
    first, *rest = lines.split("\n")
    if rest and all(line.startswith("  ") for line in rest):
        code = "\n".join(line[2:] for line in rest)
        return f"{escaped(first)}\n\n{indented(code)}"
    return indented(lines)


def indented(text: str) -> str:
    """Lines as a block of code."""
    return "\n".join(f"    {line}" for line in text.split("\n"))


def cell(text: str, *, code: bool = False) -> str:
    """Text for a cell of a table."""
    plain = " ".join(text.split())
    return f"`{plain}`" if code else escaped(plain).replace("|", "\\|")


def escaped(text: str) -> str:
    """Text in which nothing is a mark of Markdown but the backticks."""
    return re.sub(r"([\\<>\[\]*_])(?=(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", text)
