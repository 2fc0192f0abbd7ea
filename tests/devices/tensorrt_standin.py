"""Puts stand-ins for TensorRT and for CUDA's runtime library where the agent's Python looks for them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SURFACES: dict[str, Any] = json.loads((HERE / "tensorrt_surface.json").read_text())
VERSIONS = ("8.5.2", *SURFACES)


def surface(version: str) -> dict[str, Any]:
    """Members of a version; 8.5, which has no wheel, is 8.6 without the level that came with that."""
    if version != "8.5.2":
        found: dict[str, Any] = SURFACES[version]
        return found
    older = json.loads(json.dumps(SURFACES["8.6.1"]))
    older["members"]["IBuilderConfig"].remove("builder_optimization_level")
    del older["enums"]["BuilderFlag"]["VERSION_COMPATIBLE"]
    return dict(older)


def install_cudart(folder: Path, *definitions: str, name: str = "libcudart.so.12") -> Path:
    """Compile the stand-in for libcudart into a folder, as a wheel would have it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the stand-in for libcudart")
    target = folder / "nvidia" / "cuda_runtime" / "lib" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = HERE / "standin" / "cudart.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", *definitions, "-o", target, source], check=True)
    return target


def install(folder: Path, version: str) -> Path:
    """A folder for PYTHONPATH with both stand-ins."""
    install_cudart(folder)
    package = folder / "tensorrt"
    package.mkdir(exist_ok=True)
    shutil.copy(HERE / "standin" / "tensorrt_module.py", package / "__init__.py")
    (package / "surface.json").write_text(json.dumps({"version": version, **surface(version)}))
    about = folder / f"tensorrt-{version}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tensorrt\nVersion: {version}\n")
    return folder
