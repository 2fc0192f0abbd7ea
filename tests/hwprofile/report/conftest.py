"""Files of every kind, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hwprofile.profile_lines import Header
from tests.hwprofile.report.pages import files_of_every_kind


@pytest.fixture(scope="session")
def every_kind(tmp_path_factory: pytest.TempPathFactory, cpu_header: Callable[[str], Header]) -> list[Path]:
    """Two profiles, a model, a result, a validation and a folder of a search."""
    return files_of_every_kind(tmp_path_factory.mktemp("every_kind"), cpu_header)
