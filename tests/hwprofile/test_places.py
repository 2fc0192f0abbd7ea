"""Where profiles lie, and how they are found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devices.settings import Settings
from hwprofile import places

SETTINGS = Settings()


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWPROFILE_HOME", str(tmp_path))
    return tmp_path / "profiles"


def touched(device: str, subject: str, second: int) -> Path:
    path = places.fresh_profile_path(device, subject, SETTINGS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (second, second))
    return path


def noting(listed: list[str], original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def listing(path: Any) -> Any:
        listed.append(str(path))
        return original(path)

    return listing


def test_fresh_profiles_lie_in_a_folder_of_the_name_and_the_newest_comes_first(profiles: Path) -> None:
    first, second, third = (touched("box", "tiny", number) for number in (1, 3, 2))
    assert first.parent == profiles
    assert second.parent == third.parent == profiles / first.name.removesuffix(places.SUFFIX)
    assert places.profile_candidates("box", "tiny", SETTINGS) == [second, third, first]


def test_profiles_of_others_are_not_found_and_not_gone_through(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = [touched("box", "tiny", number) for number in (2, 1)]
    for device, subject in (("box", "tiny2"), ("box", "tin"), ("box2", "tiny")):
        touched(device, subject, 3)
        touched(device, subject, 4)
    listed: list[str] = []
    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, noting(listed, getattr(os, name)))
    assert places.profile_candidates("box", "tiny", SETTINGS) == mine
    assert str(profiles) not in listed


def test_all_profiles_of_a_device_are_found_fresh_ones_too(profiles: Path) -> None:
    found = {touched("box", subject, 1) for subject in ("kernels-v2-40", "kernels-v2-40", "tiny")}
    touched("crate", "tiny", 1)
    assert len(found) == 3
    assert set(places.profiles_of("box")) == found
    kernels = places.family_candidates("box", "kernels-v2", SETTINGS)
    assert {path.name.split("-v2")[0] for path in kernels} == {"box-kernels"}
    assert len(kernels) == 2
