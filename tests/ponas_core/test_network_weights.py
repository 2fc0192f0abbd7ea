"""Trained weights in files: what is written is read, and what cannot be read is refused with what to do."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ponas_core.network_weights import SCHEMA_VERSION, WeightsError, WeightsFile, remove_leftovers
from ponas_core.onnx_graph import network_model
from ponas_core.space_file import shipped_space
from ponas_core.weights import GivenWeights, RandomWeights

WORDS = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=12)
NAMES = st.lists(WORDS, min_size=2, max_size=5).map(".".join)
ARRAYS = st.dictionaries(
    NAMES,
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)),
    max_size=4,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ABOUT = st.dictionaries(st.sampled_from(["step", "file", "space", "schema_version", "about", "data"]), VALUES)

SOME = {
    "layer0.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "head0.0.bias": np.zeros(2, np.float32),
}


def same(found: WeightsFile, wanted: WeightsFile) -> bool:
    return (
        (found.space, dict(found.about)) == (wanted.space, dict(wanted.about))
        and found.arrays.keys() == wanted.arrays.keys()
        and all(bits(found.arrays[name]) == bits(wanted.arrays[name]) for name in wanted.arrays)
    )


def bits(array: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()


def saved(folder: Path, **changes: Any) -> Path:
    """A good file, or one with another document."""
    path = folder / "weights.npz"
    WeightsFile("toy", SOME, {"step": 3}).save(path)
    if changes:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        document = json.loads(bytes(arrays["about"])) | changes
        arrays["about"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
        np.savez(path, **arrays)
    return path


@settings(max_examples=60)
@given(arrays=ARRAYS, about=ABOUT, space=st.text(max_size=9))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, NDArray[np.float32]], about: Any, space: str
) -> None:
    path = tmp_path_factory.mktemp("weights") / "some.npz"
    wanted = WeightsFile(space, arrays, about)
    wanted.save(path)
    assert same(WeightsFile.load(path), wanted)


def test_a_file_gives_a_network_its_weights(tmp_path: Path) -> None:
    architecture = shipped_space("digits").parse("012301")
    asked: dict[str, NDArray[np.float32]] = {}

    class Asked(RandomWeights):
        def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
            asked[name] = super().get(name, shape)
            return asked[name]

    wanted = network_model(architecture, Asked(5))
    WeightsFile("digits", asked).save(tmp_path / "digits.npz")
    weights = GivenWeights(WeightsFile.load(tmp_path / "digits.npz").arrays)
    assert network_model(architecture, weights).graph.initializer == wanted.graph.initializer


def test_any_program_that_reads_npz_reads_the_arrays(tmp_path: Path) -> None:
    with np.load(saved(tmp_path), allow_pickle=False) as file:
        assert set(file.files) == {"about", *SOME}
        np.testing.assert_array_equal(file["layer0.0.weight"], SOME["layer0.0.weight"])
        assert json.loads(bytes(file["about"]))["space"] == "toy"


@pytest.mark.parametrize("version", [0, -1, None, "1", 1.0, True])
def test_an_older_version_is_to_be_trained_anew(tmp_path: Path, version: object) -> None:
    with pytest.raises(WeightsError, match="no version that is still read: train anew"):
        WeightsFile.load(saved(tmp_path, schema_version=version))


def test_a_newer_version_asks_for_a_newer_program(tmp_path: Path) -> None:
    path = saved(tmp_path, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(WeightsError, match=rf"version {SCHEMA_VERSION + 1}, newer than .*: update hwprofile"):
        WeightsFile.load(path)


@pytest.mark.parametrize("kind", ["hwprofile-model", None, 3])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, kind: object) -> None:
    with pytest.raises(WeightsError, match='is no file of weights: it lacks "file"'):
        WeightsFile.load(saved(tmp_path, file=kind))


def test_facts_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no usable file of weights"):
        WeightsFile.load(saved(tmp_path, about=[1, 2]))


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"no weights at all",
        b"PK\x03\x04 no archive",
        b"\x80\x04K\x01.",  # a pickle
        npy(np.zeros(3)),
        zipped(),
        zipped(other=b"text"),
        zipped(about=b"text"),
        zipped(about=b"\xff"),
        zipped(about=b"[" * 100_000),
        zipped(**{"about.npy": npy(np.array([1, 2, 3]))}),
        zipped(**{"about.npy": npy(np.frombuffer(b"[1, 2]", np.uint8))}),
        zipped(**{"about.npy": b"\x93NUMPY\x01\x00"}),
    ],
)
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.npz is no (usable )?file of weights"):
        WeightsFile.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.npz", tmp_path):
        with pytest.raises(WeightsError, match="is no usable file of weights"):
            WeightsFile.load(path)


class Touched:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["about", "layer0.0.weight"])
def test_pickled_arrays_are_refused_unopened(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path)
    with np.load(path) as file:
        arrays: dict[str, Any] = {key: file[key] for key in file.files}
    arrays[name] = np.array([Touched(tmp_path / "touched")], object)
    np.savez(path, **arrays)
    with pytest.raises(WeightsError, match="no usable file of weights"):
        WeightsFile.load(path)
    assert not (tmp_path / "touched").exists()


def test_an_array_of_objects_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"layer0\.0\.weight"):
        WeightsFile("toy", {"layer0.0.weight": np.array([None])}).save(tmp_path / "weights.npz")
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="no usable file of weights"):
            WeightsFile.load(path)


@settings(max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_byte_that_turned_over_is_noticed_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, where: float, flip: int
) -> None:
    path = saved(tmp_path_factory.mktemp("weights"))
    wanted = WeightsFile.load(path)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= flip
    path.write_bytes(content)
    try:
        found = WeightsFile.load(path)
    except WeightsError:
        return
    for name in found.arrays.keys() & wanted.arrays.keys():
        assert bits(found.arrays[name]) == bits(wanted.arrays[name])


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        path = saved(tmp_path)
    finally:
        assert os.umask(before) == mask
    assert path.stat().st_mode & 0o777 == mode


def test_a_file_that_cannot_be_written_leaves_the_older_one_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("replace", "fsync", "chmod"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match="No space left"):
                WeightsFile("toy", SOME, {"step": 4}).save(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    path = saved(tmp_path)
    others = [
        ".weights.npz",
        ".weights.npz.old.abcdefgh",
        "weights.npz.abcdefgh",
        ".weights.npz.notes",
        ".b.npz.abcdefgh",
    ]
    for name in [*others, ".weights.npz.abcd_f9h", ".weights.npz.00000000"]:
        (tmp_path / name).write_bytes(b"half")
    remove_leftovers(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*others, "weights.npz"])
    remove_leftovers(tmp_path / "absent" / "weights.npz")
