from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("as_file", [True, False])
def test_a_strangers_package_of_our_name_is_named_with_the_cure(tmp_path: Path, as_file: bool) -> None:
    if as_file:
        (tmp_path / "devices.py").write_text("")
    else:
        (tmp_path / "devices").mkdir()
        (tmp_path / "devices" / "__init__.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import hwprofile"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode != 0
    message = found.stderr.strip().splitlines()[-1]
    assert "hwprofile needs its own package 'devices'" in message
    assert str(tmp_path) in message
    assert "rename that folder or file" in message


def test_a_folder_without_code_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "predictors").mkdir()
    subprocess.run([sys.executable, "-c", "import hwprofile"], cwd=tmp_path, check=True)
