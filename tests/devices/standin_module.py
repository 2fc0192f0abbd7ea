"""The stand-in for TensorRT as a module of this process."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

from tests.devices.tensorrt_standin import HERE, surface


def module_of(version: str, folder: Path) -> Any:
    """The stand-in of a version, under a name of its own."""
    path = folder / "standin.py"
    shutil.copy(HERE / "standin" / "tensorrt_module.py", path)
    (folder / "surface.json").write_text(json.dumps({"version": version, **surface(version)}))
    spec = importlib.util.spec_from_file_location("standin", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
