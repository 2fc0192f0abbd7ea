"""What no file may do: start anything by a name that somebody else chose, open a port, run what it reads.

Read off the syntax of every file, so that the lines of `docs/threat-model.md` hold for code yet to come.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("hwprofile", "devices", "predictors", "ponas_core")
FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
AGENT = sorted((ROOT / "devices" / "agent").rglob("*.py"))

NETWORK = {"socketserver", "ssl", "http", "urllib", "ftplib", "smtplib", "xmlrpc", "asyncio"}
UNPICKLERS = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
STARTERS = {"subprocess", "multiprocessing", "pty", "code", "runpy", "imp"}
RUNNERS = {"eval", "exec", "compile", "__import__", "execfile"}
SHELLS = ("system", "popen", "exec", "spawn", "posix_spawn", "fork", "startfile")
"""Beginnings of functions of `os` that start something."""
LAUNCHERS = {"Popen", "run", "call", "check_call", "check_output"}
HANDS_ON = "started"
"""The one function that hands a command on across files (`devices/links/local.py`)."""


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


def returned(tree: ast.AST, name: str) -> list[ast.expr]:
    """What a function of this file returns."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    return [
        node.value
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]


def begins_fixed(command: ast.expr, function: ast.AST, tree: ast.AST) -> bool:
    """Whether a command is a list that begins with a fixed program, wherever in this file it is made."""
    if isinstance(command, ast.Name | ast.Call):
        if isinstance(command, ast.Name):
            found = lists_of(function, command.id)
        else:
            found = returned(tree, called(command).rpartition(".")[2])
        return bool(found) and all(begins_fixed(value, function, tree) for value in found)
    if isinstance(command, ast.BinOp):
        return begins_fixed(command.left, function, tree)
    if not isinstance(command, ast.List) or not command.elts:
        return False
    first = command.elts[0]
    return begins_fixed(first.value, function, tree) if isinstance(first, ast.Starred) else is_fixed(first)


def hands_on(call: ast.Call, function: ast.FunctionDef) -> bool:
    """Whether a function of this file alone runs the command that it is given; its callers are looked at."""
    names = [argument.arg for argument in function.args.args if argument.arg not in ("self", "cls")]
    command = call.args[0] if call.args else None
    known = function.name.startswith("_") or function.name == HANDS_ON
    return known and isinstance(command, ast.Name) and names[:1] == [command.id]


def loose_commands(tree: ast.AST) -> list[str]:
    """Commands whose program is not fixed, and whatever goes through a shell."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    launchers = {f"subprocess.{name}" for name in LAUNCHERS} | {HANDS_ON}
    for function in functions:
        if any(called(call) in launchers and hands_on(call, function) for call in calls(function)):
            launchers |= {function.name, f"self.{function.name}"}
    return [
        ast.unparse(call)
        for function in functions
        for call in calls(function)
        if called(call) in launchers and is_loose(call, function, tree)
    ]


def is_loose(call: ast.Call, function: ast.FunctionDef, tree: ast.AST) -> bool:
    if any(keyword.arg in ("shell", "executable") for keyword in call.keywords):
        return True
    given = bool(call.args) and begins_fixed(call.args[0], function, tree)
    return not given and not hands_on(call, function)


def fixed_lists(tree: ast.Module) -> set[str]:
    """Constants of a file, and names of what is drawn from them, or from a function that is given nothing."""
    fixed = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and len(function.args.args) == 1:
            given = [call.args for call in calls(tree) if called(call) == function.name]
            if given and all(len(one) == 1 and ast.unparse(one[0]) in fixed for one in given):
                fixed.add(function.args.args[0].arg)
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For | ast.comprehension) and isinstance(loop.target, ast.Name):
            drawn = loop.iter
            alone = isinstance(drawn, ast.Call) and isinstance(drawn.func, ast.Name) and not drawn.args
            if alone or (isinstance(drawn, ast.Name) and drawn.id in fixed):
                fixed.add(loop.target.id)
    return fixed


def loose_libraries(tree: ast.Module) -> list[str]:
    """Shared libraries loaded by a name that is neither a constant nor found without a request's help."""
    fixed = fixed_lists(tree)
    loaded = [call.args[0] for call in calls(tree) if called(call).endswith(("CDLL", "LoadLibrary"))]
    return [
        ast.unparse(name)
        for name in loaded
        if not isinstance(name, ast.Constant) and not (isinstance(name, ast.Name) and name.id in fixed)
    ]


def loose_imports(tree: ast.AST) -> list[str]:
    """Modules imported by a name that is put together, and not inside the agent's own package."""
    return [
        ast.unparse(call)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for call in calls(function)
        if called(call).endswith("import_module") and not is_own_module(call.args[0], function)
    ]


def is_own_module(name: ast.expr, function: ast.AST) -> bool:
    values = lists_of(function, name.id) if isinstance(name, ast.Name) else [name]
    return bool(values) and all(
        ast.unparse(value).strip("'\"").startswith("devices.agent.{}_runtime") for value in values
    )


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
    importlib.import_module(name)
    _handed_on([name])
    subprocess.run([*words(name)])
def _handed_on(command):
    subprocess.Popen(command)
def words(name):
    return [name]
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
    _handed_on(["adb", name])
    subprocess.run([*self.words(), name])
    for path in places():
        ctypes.CDLL(path)
    module = "devices.agent.{}_runtime".format(name)
    importlib.import_module(module)
    loaded(LIBRARIES)
def _handed_on(command):
    subprocess.Popen(command)
def words():
    return [SSH, "-T"]
def loaded(names):
    for one in names:
        ctypes.CDLL(one)
"""


def test_these_checks_see_what_they_look_for() -> None:
    bad, good = ast.parse(BAD), ast.parse(GOOD)
    assert (len(runs_code(bad)), len(loose_commands(bad)), len(loose_imports(bad))) == (3, 7, 1)
    assert loose_libraries(bad) == ["name"]
    assert runs_code(good) == loose_commands(good) == loose_imports(good) == loose_libraries(good) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_opens_no_port_runs_no_text_and_unpickles_nothing(file: Path) -> None:
    tree = ast.parse(file.read_text("utf-8"))
    assert not imported(tree) & (NETWORK | UNPICKLERS)
    assert not {"listen", "accept"} & {called(call).rpartition(".")[2] for call in calls(tree)}
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
    assert not imported(tree) & (STARTERS | {"socket"})
    assert loose_libraries(tree) == []
    assert "time.time" not in map(called, calls(tree)), "a clock that somebody may set"
    assert loose_imports(tree) == []


def test_the_tests_that_the_threat_model_names_exist() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    files = {ROOT / name for name in re.findall(r"`(tests/[\w/]+\.py)`", text)}
    assert files
    assert all(file.exists() for file in files)
    names = set(re.findall(r"`(test_\w+)`", text))
    defined = {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert names <= defined, names - defined
