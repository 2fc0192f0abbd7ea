"""Settings: what can be measured, and what tells two of them apart."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from devices.settings import Settings

OTHER: dict[str, Any] = {
    "threads": 2,
    "batch": 8,
    "provider": "CUDAExecutionProvider",
    "runtime": "pytorch",
    "precision": "int8",
    "cache": "cold",
    "calibration": "0123abcd",
}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threads": 0}, "threads and batch are at least 1, got 0 and 1"),
        ({"threads": -1}, "at least 1"),
        ({"batch": 0}, "threads and batch are at least 1, got 1 and 0"),
        ({"precision": "int3"}, "precision 'int3'; known: fp32, fp16, int8"),
        ({"precision": ""}, "precision ''; known: "),
        ({"cache": "hot"}, "cache 'hot'; known: warm, cold"),
    ],
)
def test_what_cannot_be_measured_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Settings(**given)


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(FrozenInstanceError):
        settings.threads = 2  # type: ignore[misc]


def test_equal_settings_have_one_digest() -> None:
    assert Settings(threads=2).digest == Settings(threads=2, batch=1).digest


def test_a_digest_fits_a_file_name() -> None:
    assert re.fullmatch("[0-9a-f]{8}", Settings().digest)


def test_every_setting_is_tried_here() -> None:
    assert {field.name for field in fields(Settings)} == set(OTHER)


@pytest.mark.parametrize("name", sorted(OTHER))
def test_every_setting_changes_the_digest(name: str) -> None:
    assert replace(Settings(), **{name: OTHER[name]}).digest != Settings().digest


def test_different_settings_have_different_digests() -> None:
    drawn = [Settings(threads, batch) for threads in range(1, 33) for batch in range(1, 33)]
    assert len({settings.digest for settings in drawn}) == len(drawn)
