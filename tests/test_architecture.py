"""Four rooms, arrows one way: read off the imports of every file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("hwprofile", "devices", "predictors", "ponas_core")
ALLOWED = {room: {room} for room in ROOMS} | {"hwprofile": set(ROOMS)}
FILES = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
HEAVY = {"ai_edge_litert", "torch", "tensorrt", "onnxruntime", "sklearn"}
AT_HOME = {
    "predictors/estimators": {"sklearn"},
    "ponas_core/training": {"torch"},
    "hwprofile/learning/training.py": {"torch"},
}
"""Where a heavy library may stand at the top of a file."""
ARITHMETIC = {"scipy", "sklearn"}


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of everything a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found.add((node.module or "").split(".")[0])
    return found


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_imports_only_from_rooms_that_its_room_may_know(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0]
    assert imported(parse(file)) & set(ROOMS) <= ALLOWED[room]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_heavy_libraries_are_imported_only_where_they_are_used(file: Path) -> None:
    statements = [node for node in parse(file).body if isinstance(node, ast.Import | ast.ImportFrom)]
    top = {name for node in statements for name in imported(node)}
    allowed = next((names for room, names in AT_HOME.items() if file.is_relative_to(ROOT / room)), set())
    assert not top & (HEAVY - allowed)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_imports_a_heavy_library_at_its_top_is_itself_imported_only_where_it_is_used(file: Path) -> None:
    homes = tuple(room.removesuffix(".py").replace("/", ".") for room in AT_HOME)
    if any(file.is_relative_to(ROOT / room) for room in AT_HOME):
        return
    for node in parse(file).body:
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not any(module.startswith(homes) for module in modules), ast.unparse(node)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_small_enough_to_be_read_at_once_and_says_what_it_is_for(file: Path) -> None:
    text = file.read_text("utf-8")
    assert text.count("\n") <= 450
    assert ast.get_docstring(parse(file)) or file.name == "__main__.py"


def test_the_walk_holds_no_statistics_and_the_command_line_no_logic() -> None:
    for file in (ROOT / "hwprofile").rglob("*.py"):
        assert not imported(parse(file)) & ARITHMETIC, file
    for file in (ROOT / "hwprofile" / "cli").rglob("*.py"):
        assert "numpy" not in imported(parse(file)), file


def test_only_the_command_line_prints_and_exits() -> None:
    for file in FILES:
        calls = {
            node.func.id
            for node in ast.walk(parse(file))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"print", "exit", "quit", "input", "eval", "exec"}, file


def test_dask_is_known_to_the_fleet_alone() -> None:
    users = {file.parent.name for file in FILES if imported(parse(file)) & {"dask", "distributed"}}
    assert users == {"fleet"}


def test_nothing_is_pickled() -> None:
    for file in FILES:
        assert not imported(parse(file)) & {"pickle", "shelve", "marshal", "joblib", "dill"}, file
