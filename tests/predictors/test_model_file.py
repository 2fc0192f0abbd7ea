"""Predictors in files: refused unless whole, of this version, and safe."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.model_file import ModelFileError, SavedModel, estimator


def saved() -> SavedModel:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, 3))
    y = 5 + X @ np.array([1.0, 0.5, 0.1])
    model = estimator("ridge").fit(X, y)
    return SavedModel("ridge", model, "fbnet", "abc", [str(i) for i in range(8)], y.tolist(), {"seed": 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    saved().save(tmp_path / "model.json")
    return tmp_path / "model.json"


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_was_measured_and_how_is_kept(path: Path) -> None:
    document = json.loads(path.read_text())
    assert document["schema_version"] == 1
    assert document["units"] == "ms"
    loaded = SavedModel.load(path)
    assert (loaded.kind, loaded.space, loaded.features) == ("ridge", "fbnet", "abc")
    assert loaded.recipe == {"seed": 1}
    assert loaded.latencies_ms == saved().latencies_ms


def test_unusable_files_say_what_to_do(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot read"):
        SavedModel.load(tmp_path / "none.json")
    with pytest.raises(ModelFileError, match="cannot write"):
        saved().save(Path("/proc/none/model.json"))
    for text, words in (
        ("{", "no JSON file"),
        ("[]", "make one with `hwprofile fit`"),
        ("{}", "no predictor"),
    ):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ModelFileError, match=words):
            SavedModel.load(tmp_path / "other.json")
    for version, words in ((2, "update hwprofile"), (0, "fit it again"), (True, "fit it again")):
        changed(path, schema_version=version)
        with pytest.raises(ModelFileError, match=words):
            SavedModel.load(path)


def test_an_unknown_kind_is_one_of_a_package_that_is_not_here(path: Path) -> None:
    changed(path, kind="os.system")
    with pytest.raises(ModelFileError, match=r"of the kind 'os\.system', which is not known here: install"):
        SavedModel.load(path)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": 3}, {"parameters": {"nonsense": 1}}, {"learned": {}},
        {"networks": ["1"]}, {"networks": [1] * 8}, {"space": None}, {"learned": 7}, {"parameters": None},
        {"recipe": 4},
    ],
)  # fmt: skip
def test_damage_is_told(path: Path, values: dict[str, Any]) -> None:
    changed(path, **values)
    with pytest.raises(ModelFileError, match=r"damaged.*fit it again"):
        SavedModel.load(path)


def test_what_nests_too_deeply_is_damage(path: Path) -> None:
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    changed(path, learned=deep)
    with pytest.raises(ModelFileError, match=r"damaged|no JSON"):
        SavedModel.load(path)


@pytest.mark.parametrize(
    "array",
    [
        {"dtype": "object"}, {"dtype": ["float64"]}, {"shape": [2]}, {"shape": [-3]}, {"shape": [10**12]},
        {"shape": "3"}, {"shape": [float("inf")]}, {"zlib": "!"}, {"zlib": "AAAA"},
    ],
)  # fmt: skip
def test_an_array_is_what_it_says(path: Path, array: dict[str, Any]) -> None:
    document = json.loads(path.read_text())
    document["learned"]["learned"]["means"] |= array
    path.write_text(json.dumps(document))
    with pytest.raises(ModelFileError, match="damaged"):
        SavedModel.load(path)


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="auto, gp, ridge, boosting, forest"):
        estimator("lightning")


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_a_garbled_file_is_never_more_than_an_error(place: int, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        saved().save(path)
        data = path.read_bytes()
        at = place % len(data)
        path.write_bytes(data[:at] + junk + data[at + len(junk) :])
        with contextlib.suppress(
            ModelFileError
        ):  # a harmless place may be hit; any other error fails the test
            SavedModel.load(path)
