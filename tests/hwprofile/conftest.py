"""Places of their own, and profiles of the made-up machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devices.catalog import device
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.matching import device_header
from hwprofile.profile_lines import Header
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import TINY, write_made_up_profile


@pytest.fixture(scope="session")
def cpu_header() -> Callable[[str], Header]:
    """The header that a profile measured here and now has."""
    found: dict[str, Header] = {}

    def header(space: str) -> Header:
        if space not in found:
            found[space] = device_header(device("cpu", Settings()), space, space, Goal())
        return found[space]

    return header


@pytest.fixture
def tiny_toml(tmp_path: Path) -> Path:
    """A user's own space, small enough to be measured in seconds."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for profiles."""
    monkeypatch.setenv("HWPROFILE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def macro_profile(tmp_path_factory: pytest.TempPathFactory, cpu_header: Callable[[str], Header]) -> Path:
    """A finished profile of nasbench-macro on the made-up machine, with this machine's identity."""
    path = tmp_path_factory.mktemp("profiles") / "macro.profile.jsonl"
    write_made_up_profile(path, shipped_space("nasbench-macro"), cpu_header("nasbench-macro"))
    return path


@pytest.fixture(scope="session")
def proxyless_profile(tmp_path_factory: pytest.TempPathFactory, cpu_header: Callable[[str], Header]) -> Path:
    """The same of proxyless."""
    path = tmp_path_factory.mktemp("profiles") / "proxyless.profile.jsonl"
    write_made_up_profile(path, shipped_space("proxyless"), cpu_header("proxyless"))
    return path


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory: pytest.TempPathFactory, cpu_header: Callable[[str], Header]) -> Path:
    """The same of cifar-tiny, the default."""
    path = tmp_path_factory.mktemp("profiles") / "tiny.profile.jsonl"
    write_made_up_profile(path, shipped_space("cifar-tiny"), cpu_header("cifar-tiny"))
    return path
