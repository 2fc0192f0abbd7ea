"""The names that the agent uses are TensorRT's own: against its bindings, which run without TensorRT."""

from __future__ import annotations

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.devices import tensorrt_surface
from tests.devices.standin_module import module_of
from tests.devices.tensorrt_standin import SURFACES, VERSIONS, surface

ROOT = Path(__file__).parents[2]


def attributes_of(*files: str) -> set[str]:
    """Every attribute that is named in the agent's files about TensorRT."""
    trees = [ast.parse((ROOT / "devices" / "agent" / file).read_text()) for file in files]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_name_that_is_relied_on_is_used() -> None:
    used = attributes_of("tensorrt_runtime.py", "tensorrt_inference.py")
    relied = {name.rpartition(".")[2] for name in (*tensorrt_surface.CALLED, *tensorrt_surface.READ)}
    assert relied - used - {"log", "report_layer_time", "__init__"} == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_every_name_that_is_relied_on(version: str) -> None:
    found = surface(version)
    for name in (*tensorrt_surface.CALLED, *tensorrt_surface.READ):
        kind, _, member = name.rpartition(".")
        assert member == "__init__" or member in found["members"][kind], name
    assert {"TF32"} <= set(found["enums"]["BuilderFlag"])
    assert {"WORKSPACE"} <= set(found["enums"]["MemoryPoolType"])
    assert {"INPUT", "OUTPUT"} <= set(found["enums"]["TensorIOMode"])
    assert {"ERROR", "INTERNAL_ERROR", "WARNING"} <= set(found["enums"]["ILogger.Severity"])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_stand_in_takes_the_arguments_that_a_version_takes(version: str, tmp_path: Path) -> None:
    module = module_of(version, tmp_path)
    for name, told in surface(version)["signatures"].items():
        kind, _, member = name.rpartition(".")
        method = getattr(getattr(module, kind), member)
        mine = list(inspect.signature(method).parameters)
        overloads = [one.split(", ") for one in told]
        assert any(
            [argument.partition(" ")[0] for argument in one[: len(mine)]] == mine
            and all(" = " in argument for argument in one[len(mine) :])
            for one in overloads
        ), name


@pytest.mark.parametrize("version", VERSIONS)
def test_the_stand_in_has_nothing_that_a_version_lacks(version: str, tmp_path: Path) -> None:
    module, found = module_of(version, tmp_path), surface(version)
    for kind, members in found["members"].items():
        assert {name for name in vars(getattr(module, kind)) if not name.startswith("_")} <= set(members), (
            kind
        )
    assert hasattr(module.IBuilderConfig, "builder_optimization_level") == (version != "8.5.2")
    assert hasattr(module.BuilderFlag, "FP16") == (not version.startswith("11"))


@pytest.mark.slow
@pytest.mark.parametrize("version", SURFACES)
def test_the_bindings_have_the_members_and_signatures_that_were_written_down(
    version: str, tmp_path: Path, unpacked: Callable[[str], Path]
) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build empty libraries in TensorRT's place")
    folder = unpacked(SURFACES[version]["distribution"])
    source = tmp_path / "stub.c"
    source.write_text(tensorrt_surface.STUB_SOURCE)
    major = version.partition(".")[0]
    for name in tensorrt_surface.LIBRARIES:
        target = f"lib{name}.so.{major}"
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{target}", "-o", tmp_path / target, source],
            check=True,
        )
    told = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "devices" / "tensorrt_surface.py"), str(folder)],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads(told.stdout)
    written = SURFACES[version]
    assert found["enums"] == written["enums"]
    assert found["members"] == written["members"]
    assert found["signatures"] == written["signatures"]
