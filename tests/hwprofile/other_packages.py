"""Packages of somebody else, installed by pip, and the command in a process that sees them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path


def wheel(source: Path, folder: Path) -> Path:
    """A package as a wheel; written by hand, since building one would ask for a network."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    groups = project["entry-points"]
    entries = "\n".join(
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in rows.items())
        for group, rows in groups.items()
    )
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as bundle:
        for file in sorted(source.glob("*/*")):
            if file.suffix in (".py", ".toml"):
                bundle.write(file, f"{file.parent.name}/{file.name}")
        head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        bundle.writestr(f"{stem}.dist-info/METADATA", head)
        bundle.writestr(
            f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        bundle.writestr(f"{stem}.dist-info/entry_points.txt", entries)
        bundle.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def installed_in(folder: Path, source: Path) -> Path:
    """The folder that pip installed a package into."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-index", "--no-compile", "--target", str(folder)]
    subprocess.run([*command, str(wheel(source, folder))], check=True, capture_output=True)
    return folder


def environment_with(installed: Path, home: Path) -> dict[str, str]:
    """The environment of a process that sees what is installed there."""
    paths = [str(installed), *sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HWPROFILE_HOME": str(home)}


def run(environment: dict[str, str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of the command."""
    command = [sys.executable, "-m", "hwprofile", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr
