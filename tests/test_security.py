"""What no file may do: start anything by a name that somebody else chose, open a port, run what it reads.

Read off the syntax of every file, so that the lines of `docs/threat-model.md` hold for code yet to come.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("hwprofile", "devices", "predictors", "ponas_core")
FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
AGENT = sorted((ROOT / "devices" / "agent").rglob("*.py"))

NETWORK = {"socket", "socketserver", "ssl", "http", "urllib", "ftplib", "smtplib", "xmlrpc", "asyncio"}
UNPICKLERS = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
STARTERS = {"subprocess", "multiprocessing", "pty", "code", "runpy", "imp"}
RUNNERS = {"eval", "exec", "compile", "__import__", "execfile"}
SHELLS = ("system", "popen", "exec", "spawn", "posix_spawn", "fork", "startfile")
"""Beginnings of functions of `os` that start something."""
LAUNCHERS = {"Popen", "run", "call", "check_call", "check_output", "started"}
"""`started` is the one function of our own that hands a command on (`devices/links/local.py`)."""


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def called(call: ast.Call) -> str:
    """`module.function` or `function`; the last two words of a longer chain."""
    return ".".join(ast.unparse(call.func).split(".")[-2:])


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def runs_code(tree: ast.AST) -> list[str]:
    """Calls that run a text as a program."""
    names = [called(call) for call in calls(tree)]
    return [
        name for name in names if name in RUNNERS or name.startswith(tuple(f"os.{shell}" for shell in SHELLS))
    ]


def is_fixed(program: ast.expr) -> bool:
    """Whether a program is a constant of the file, or this interpreter."""
    if isinstance(program, ast.Name):
        return program.id.isupper()
    return isinstance(program, ast.Constant) or ast.unparse(program) == "sys.executable"


def lists_of(function: ast.AST, name: str) -> list[ast.expr]:
    """What a name inside a function is set to."""
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]


def begins_fixed(command: ast.expr, function: ast.AST) -> bool:
    """Whether a command is a list that begins with a fixed program."""
    if isinstance(command, ast.Name):
        found = lists_of(function, command.id)
        return bool(found) and all(begins_fixed(value, function) for value in found)
    return isinstance(command, ast.List) and bool(command.elts) and is_fixed(command.elts[0])


def is_launcher(call: ast.Call) -> bool:
    name = called(call)
    return name == "started" or (
        name.partition(".")[0] == "subprocess" and name.partition(".")[2] in LAUNCHERS
    )


def loose_commands(tree: ast.AST) -> list[str]:
    """Commands whose program is not fixed, and whatever goes through a shell."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name == "started":
            continue
        for call in filter(is_launcher, calls(function)):
            shell = any(keyword.arg in ("shell", "executable") for keyword in call.keywords)
            if shell or not call.args or not begins_fixed(call.args[0], function):
                found.append(ast.unparse(call))
    return found


def loose_libraries(tree: ast.Module) -> list[str]:
    """Shared libraries loaded by a name that is neither a constant nor one of a fixed list."""
    fixed = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    for loop in ast.walk(tree):
        if not isinstance(loop, ast.For | ast.comprehension) or not isinstance(loop.target, ast.Name):
            continue
        if isinstance(loop.iter, ast.Name) and loop.iter.id in fixed:
            fixed.add(loop.target.id)
    loaded = [call.args[0] for call in calls(tree) if called(call).endswith(("CDLL", "LoadLibrary"))]
    return [
        ast.unparse(name)
        for name in loaded
        if not isinstance(name, ast.Constant) and not (isinstance(name, ast.Name) and name.id in fixed)
    ]


SEARCHED_LIBRARIES = {"cuda.py": ["path"]}
"""CUDA's runtime library has its version in its name, and lies in a wheel or a folder of CUDA's: found by a
pattern that is fixed, in the folders of Python's path and the system's."""

BAD = """
import os, subprocess, ctypes
LIBRARIES = ("libone.so",)
def f(name):
    os.system(name)
    os.execvp(name, [])
    eval(name)
    subprocess.run(name)
    subprocess.run([name, "-c"])
    subprocess.run(["sh"], shell=True)
    started([name], None)
    command = [name]
    subprocess.Popen(command)
    ctypes.CDLL(name)
"""
GOOD = """
import re, subprocess, sys, ctypes
SSH = "ssh"
LIBRARIES = ("libone.so",)
def started(command):
    subprocess.Popen(command)
def f(name):
    re.compile(name)
    command = ["ssh", "--", name]
    subprocess.Popen(command)
    subprocess.run([sys.executable, name])
    started([SSH, name])
    for library in LIBRARIES:
        ctypes.CDLL(library)
    ctypes.CDLL(None)
"""


def test_these_checks_see_what_they_look_for() -> None:
    bad, good = ast.parse(BAD), ast.parse(GOOD)
    assert (len(runs_code(bad)), len(loose_commands(bad)), loose_libraries(bad)) == (3, 5, ["name"])
    assert (runs_code(good), loose_commands(good), loose_libraries(good)) == ([], [], [])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_opens_no_port_runs_no_text_and_unpickles_nothing(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    assert not imported(tree) & (NETWORK | UNPICKLERS)
    assert runs_code(tree) == []
    for call in calls(tree):
        pickled = [keyword.value for keyword in call.keywords if keyword.arg == "allow_pickle"]
        assert all(isinstance(value, ast.Constant) and value.value is False for value in pickled)
        assert called(call) not in ("np.load", "numpy.load") or pickled, ast.unparse(call)
        weights_only = any(
            keyword.arg == "weights_only" and ast.unparse(keyword.value) == "True"
            for keyword in call.keywords
        )
        assert called(call) != "torch.load" or weights_only, ast.unparse(call)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_command_begins_with_a_fixed_program_and_goes_through_no_shell(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    assert loose_commands(tree) == []
    if not file.is_relative_to(ROOT / "devices"):
        assert not imported(tree) & STARTERS, "only devices/ starts programs"


@pytest.mark.parametrize("file", AGENT, ids=lambda file: file.name)
def test_the_agent_starts_nothing_and_loads_fixed_libraries_only(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    assert not imported(tree) & STARTERS
    assert loose_libraries(tree) == SEARCHED_LIBRARIES.get(file.name, [])
    assert "time.time" not in map(called, calls(tree)), "a clock that somebody may set"
    assert not any(name.endswith("import_module") for name in map(called, calls(tree)))
