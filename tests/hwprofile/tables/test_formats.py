"""Every format: what is written is read back, and what is no table is refused by name."""

from __future__ import annotations

import gzip
import io
import math
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwprofile.errors import UserError
from hwprofile.tables.files import LARGEST_FILE_BYTES, TableError
from hwprofile.tables.formats import layer_bytes, table_in
from hwprofile.tables.keys import Key
from hwprofile.tables.ofa_yaml import yaml_text
from hwprofile.tables.values import Entry, KeyedTable, LayerTable

MS = st.floats(-1e6, 1e6, allow_nan=False)
ENTRIES = st.builds(
    Entry,
    MS,
    st.none() | st.floats(0, 1e9, allow_nan=False),
    st.none() | st.integers(0, 2**50),
)
NAMES = st.text("abcxyz_.:\"', 0123456789é", min_size=1, max_size=12)
LAYER_TABLES = st.dictionaries(
    NAMES, st.dictionaries(NAMES, ENTRIES, min_size=1, max_size=4), min_size=1, max_size=5
).flatmap(
    lambda rows: st.builds(
        LayerTable, st.just(tuple(rows)), st.just(tuple(rows.values())), MS, st.none() | NAMES
    )
)
SHAPES = st.lists(st.integers(0, 9999), min_size=1, max_size=3).map(lambda sizes: "x".join(map(str, sizes)))
KEYS = st.builds(
    lambda kind, fields: str(Key(kind, tuple(fields))),
    st.sampled_from(["Conv", "Conv_1", "expanded_conv", "AvgPool2D"]),
    st.lists(
        st.tuples(st.sampled_from(["input", "output", "expand", "se"]), SHAPES),
        min_size=1,
        max_size=8,
    ),
)
KEYED_TABLES = st.builds(KeyedTable, st.dictionaries(KEYS, ENTRIES, min_size=1, max_size=6))
ENDINGS = {"csv": "csv", "npz": "npz", "parquet": "parquet", "nni": "json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize("form", ENDINGS)
def test_what_is_written_by_layer_is_read_back(form: str, folder: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra `tables` is not installed")
    path = folder / f"table.{ENDINGS[form]}"

    @settings(max_examples=30)
    @given(LAYER_TABLES)
    def holds(table: LayerTable) -> None:
        path.write_bytes(layer_bytes(table, form))
        found = table_in(path, 224)
        assert found == table
        assert layer_bytes(table, form) == path.read_bytes()

    holds()


def test_what_is_written_by_key_is_read_back(folder: Path) -> None:
    pytest.importorskip("yaml", reason="the extra `tables` is not installed")
    path = folder / "table.yaml"

    @settings(max_examples=30)
    @given(KEYED_TABLES)
    def holds(table: KeyedTable) -> None:
        path.write_text(yaml_text(table), encoding="utf-8")
        found = table_in(path, 224)
        assert isinstance(found, KeyedTable)
        assert found.entries == table.entries

    holds()


@settings(max_examples=30)
@given(KEYS)
def test_a_key_is_read_as_it_is_written(key: str) -> None:
    assert str(Key.parse(key)) == key


@pytest.mark.parametrize("ending", ["csv", "npz", "json", "txt", "yaml", "parquet"])
def test_whatever_bytes_a_file_holds_the_error_is_one_for_people(ending: str, folder: Path) -> None:
    for name in {"yaml": ["yaml"], "parquet": ["pyarrow"]}.get(ending, []):
        pytest.importorskip(name, reason="the extra `tables` is not installed")
    path = folder / f"bytes.{ending}"
    starts = [
        b"",
        b"layer,op,latency_ms\n",
        b"key,mean_ms\n",
        b"{",
        b"PK\x03\x04",
        b"PAR1",
        b"skip\n",
        b"a:\n ",
    ]

    @settings(max_examples=30)
    @given(st.sampled_from(starts), st.binary(max_size=60))
    def holds(start: bytes, data: bytes) -> None:
        path.write_bytes(start + data)
        try:
            table_in(path, 224)
        except UserError as error:
            assert "bytes." in str(error)  # noqa: PT017 -- most bytes are no table, some are

    holds()


KEY = "Conv-input:8x8x3-output:4x4x8"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "layer,op\n", "latency_ms"),
        ("a.csv", "layer,op,latency_ms\nlayer0,skip,nine\n", "line 2: latency_ms is a latency"),
        ("a.csv", "layer,op,latency_ms\nlayer0,skip,\n", "line 2.*finite number"),
        ("a.csv", "layer,op,latency_ms\nlayer0,skip,1\nlayer0,skip,2\n", "line 3: layer0 has skip twice"),
        ("a.csv", "layer,op,latency_ms\nfixed,,1\nfixed,,2\n", "line 3: the fixed part"),
        (
            "a.csv",
            f"key,mean_ms\n{KEY},1\n{KEY},2\n",
            "line 3: Conv-input:8x8x3-output:4x4x8 stands there twice",
        ),
        ("a.csv", "key,mean_ms\nhello,1\n", "line 2.*no key"),
        ("a.csv", f"res,key,mean_ms\n160,{KEY},1\n", "no entry for resolution 224; it has 160"),
        ("a.csv", f"key,mean_ms,count\n{KEY},1,0.5\n", "line 2.*whole number"),
        ("a.csv", "layer,op,latency_ms,space\nx,y,1,a\nx,z,1,b\n", "is of a and b"),
        ("a.csv", "arch,latency_ms\n0,1\n", "hwprofile search --latency a.csv"),
        ("a.json", '{"latency_ms": {"a": {"b": NaN}}, "fixed_ms": 1}', "a: nan is no finite number"),
        ("a.json", '{"latency_ms": {"a": {"b": 1}}}', "fixed_ms: None"),
        ("a.json", '{"latency_ms": {"a": {"b": 1}}, "fixed_ms": 1, "unit": "s"}', "unit is 's'"),
        ("a.json", f'{{"latency_ms": {{"a": {{"b": 1{"0" * 400}}}}}, "fixed_ms": 1}}', "too large"),
        ("a.json", '{"0": {"0": 1}}', "22 layers of Single-Path NAS"),
        ("a.json", "[" * 100_000, "no usable JSON"),
        ("a.txt", "ir_k3_e1 skip\n1 2\n3\n", "line 3: 1 numbers for 2 ops"),
        ("a.txt", "ir_k3_e1 skip\n1 nan\n", "line 2.*microseconds"),
        ("a.txt", "hello\n", "first line names ops"),
        ("a.pkl", "", "a table ends in .csv"),
    ],
)
def test_what_is_no_table_is_refused_with_the_place(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        table_in(tmp_path / name, 224)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{KEY}: 1\n", "an entry has a mean"),
        (f"{KEY}: {{mean: 1, median: 1}}\n", "not median"),
        (f"{KEY}: {{mean: 1e-5}}\n", "'1e-5' is no finite number"),
        (f"{KEY}: {{mean: .nan}}\n", "nan is no finite number"),
        (f"{KEY}: {{mean: 1, count: 1.5}}\n", "count a whole one"),
        ("1: {mean: 1}\n", "no key of a latency table"),
        ("- 1\n", "keys with count, mean and var"),
        ("a: &a [1]\nb: *a\n", "anchors or aliases"),
        ("a: !!python/object/apply:os.getcwd []\n", "no usable YAML"),
        ("[" * 20_000, "no usable YAML"),
    ],
)
def test_yaml_is_read_safely(tmp_path: Path, text: str, message: str) -> None:
    pytest.importorskip("yaml", reason="the extra `tables` is not installed")
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(TableError, match=message):
        table_in(tmp_path / "a.yaml", 224)


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]  # what a stranger may have saved
    return file.getvalue()


GOOD = {"latency_ms": np.ones((1, 2)), "fixed_ms": 1.0, "layers": ["a"], "ops": ["b", "c"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(**GOOD | {"layers": np.array([{}], object)}), "no usable .npz"),
        (npz(**GOOD | {"layers": [1]}), "lists of names"),
        (npz(**GOOD | {"latency_ms": np.ones((2, 1))}), r"\(1, 2\) latencies are expected"),
        (npz(**GOOD | {"latency_ms": np.full((1, 2), math.inf)}), "finite number of milliseconds"),
        (npz(**GOOD | {"latency_ms": np.full((1, 2), math.nan)}), "at least one op"),
        (npz(**GOOD | {"unit": "us"}), "unit is 'us'"),
        (npz(latency_ms=np.ones((1, 2))), "lacks fixed_ms, layers, ops"),
        (npz(**GOOD | {"count": np.full((1, 2), math.inf)}), "a count is a whole number"),
        (npz(**GOOD | {"count": np.full((1, 2), 1.5)}), "a count is a whole number"),
        (npz(**GOOD | {"var_ms2": -np.ones((1, 2))}), "a variance is a number from 0 on"),
        (b"PK", "no usable .npz"),
    ],
)
def test_arrays_that_are_no_table_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(TableError, match=message):
        table_in(tmp_path / "a.npz", 224)


def test_arrays_with_the_least_that_a_table_needs_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz(**GOOD))
    assert table_in(tmp_path / "a.npz", 224) == LayerTable(("a",), ({"b": Entry(1), "c": Entry(1)},), 1.0)


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("latency_ms.npy", b"\0" * (LARGEST_FILE_BYTES + 1))
    with pytest.raises(TableError, match="unpacks to more"):
        table_in(tmp_path / "a.npz", 224)


def test_a_gzipped_table_is_read_and_one_that_unpacks_to_too_much_is_not(tmp_path: Path) -> None:
    text = b"layer,op,latency_ms\nfixed,,1\na,b,2\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    assert table_in(tmp_path / "a.csv.gz", 224) == LayerTable(("a",), ({"b": Entry(2)},), 1.0)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text + b"\n" * LARGEST_FILE_BYTES, 1))
    with pytest.raises(TableError, match="unpacks to more"):
        table_in(tmp_path / "b.csv.gz", 224)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": ["x" * 501, "b"]}, "names of 1 to 500 characters"),
        ({"layer": [1, 2]}, "no usable Parquet|names of 1 to 500"),
        ({"layer": ["a", None]}, "a row is a layer"),
        ({"op": ["c", "c"], "layer": ["a", "a"]}, "a has c twice"),
        ({"latency_ms": ["1", "2"]}, "a row is a layer"),
        ({"count": [0.5, 1.0]}, "a count is a whole number"),
    ],
)
def test_parquet_that_is_no_table_is_refused(
    tmp_path: Path, change: dict[str, list[object]], message: str
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra `tables` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    good = {
        "layer": ["a", "b"],
        "op": ["c", "d"],
        "latency_ms": [1.0, 2.0],
        "var_ms2": [0.0, 0.0],
        "count": [1, 1],
    }
    table = pyarrow.table(good | change).replace_schema_metadata({"fixed_ms": "1"})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(TableError, match=message):
        table_in(tmp_path / "a.parquet", 224)


def test_the_lookup_table_of_fbnet_is_in_microseconds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ir_k3_e1 ir_k5_s2 skip\n5129.8 3028.5 1.5\n")
    skip = Entry(0.0015)
    rows = ({"fb_k3_e1": Entry(5.1298), "fb_k5_e1_g2": Entry(3.0285), "skip": skip, "conv_k1": skip},)
    found = table_in(tmp_path / "a.txt", 224)
    assert found == LayerTable(("0",), rows, 0.0)
    assert isinstance(found, LayerTable)
    assert "stem and head" in (found.notice or "")


@pytest.mark.parametrize(("name", "library"), [("a.yaml", "PyYAML"), ("a.parquet", "pyarrow")])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(b"")
    for module in ("yaml", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        TableError, match=rf"reading {name} needs {library}: pip install 'hwprofile\[tables\]'"
    ):
        table_in(tmp_path / name, 224)
