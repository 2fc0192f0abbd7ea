from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates
from ponas_core.searches.interface import Found
from ponas_core.searches.methods import METHODS
from ponas_core.searches.settings import SettingError, settings_of, with_settings


@dataclass(frozen=True)
class MadeUp:
    """A search with a setting of every type."""

    count: int = 3
    share: float = 0.5
    fast: bool = False
    way: Literal["up", "down"] = "up"
    most: int | None = None
    rate: float | Literal["auto"] = "auto"
    label: str = ""
    code: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("count is at least 1")

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("count", " 7 ", 7),
        ("share", "1", 1.0),
        ("share", "1e-3", 1e-3),
        ("fast", "true", True),
        ("fast", "False", False),
        ("way", "down", "down"),
        ("most", "none", None),
        ("most", "4", 4),
        ("rate", "0.5", 0.5),
        ("rate", "auto", "auto"),
        ("label", "none", "none"),
        ("label", "", ""),
    ],
)
def test_a_setting_is_read_by_its_annotation(name: str, text: str, value: object) -> None:
    found = settings_of(with_settings("made-up", MadeUp, {name: text}))[name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("count", "1.5", "count is a whole number, not '1.5'"),
        ("count", "", "count is a whole number"),
        ("count", "0", "count is at least 1"),
        ("share", "nan", "share is a number, not 'nan'"),
        ("share", "inf", "share is a number"),
        ("fast", "1", "fast is true or false"),
        ("way", "left", "way is up or down"),
        ("most", "few", "most is a whole number or none"),
        ("rate", "slow", "rate is auto or a number"),
        ("code", "print", "no setting 'code'"),
        ("other", "1", "no setting 'other'"),
    ],
)
def test_a_wrong_setting_is_refused_with_all_settings_and_their_defaults(
    name: str, text: str, words: str
) -> None:
    with pytest.raises(SettingError, match=words) as caught:
        with_settings("made-up", MadeUp, {name: text})
    told = "its settings are count=3, share=0.5, fast=false, way=up, most=none, rate=auto, label="
    assert str(caught.value).endswith(told)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_tells_its_settings(name: str) -> None:
    search = with_settings(name, METHODS[name], {})
    texts = {setting: str(value) for setting, value in settings_of(search).items()}
    assert with_settings(name, METHODS[name], texts) == search
    with pytest.raises(SettingError, match="settings"):
        with_settings(name, METHODS[name], {"no such": "1"})
