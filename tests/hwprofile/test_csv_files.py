from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from hwprofile.catalog import accuracies_in, scores_named
from hwprofile.csv_files import CsvTable
from hwprofile.errors import UserError
from hwprofile.networks_csv import measured_networks, networks_in, ops_in
from ponas_core.space_file import shipped_space

MACRO = shipped_space("nasbench-macro")
TEXT = "arch,accuracy,latency_ms\n00000000,90,1.5\n\n00000001,80,\n"


@pytest.fixture(params=["plain.csv", "packed.csv.gz", "CAPITAL.CSV.GZ"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    data = TEXT.encode("utf-8-sig")
    path.write_bytes(gzip.compress(data) if path.suffix.lower() == ".gz" else data)
    return path


def test_every_reader_of_networks_reads_gzipped_files_too(path: Path) -> None:
    assert ops_in(path, MACRO)[1].tolist() == [[0] * 8, [0] * 7 + [1]]
    assert networks_in(path, MACRO)[0] == ["00000000", "00000001"]
    assert list(accuracies_in(MACRO, path, "accuracy").values.values()) == [90.0, 80.0]
    scores = scores_named(MACRO, str(path))
    assert scores.known is not None
    assert len(scores.known.values) == 2
    with pytest.raises(UserError, match="line 4: latency_ms is a positive number"):
        measured_networks(path, "nasbench-macro")


def test_a_table_tells_numbers_lines_and_a_digest_of_its_content(path: Path) -> None:
    table = CsvTable.read(path, ("arch", "latency_ms"))
    first, second = table.numbers("latency_ms", 0, 2, "a number up to 2")
    assert first == 1.5
    assert math.isnan(second)
    with pytest.raises(UserError, match=r"line 2: latency_ms is a number up to 1, not '1\.5'"):
        table.numbers("latency_ms", 0, 1, "a number up to 1")
    plain = path.with_name("other.csv")
    plain.write_text(TEXT)
    assert CsvTable.read(plain, ("arch",)).digest == table.digest


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("broken.csv.gz", gzip.compress(b"arch\n" * 100, mtime=0)[:-10]),
        ("no.csv.gz", b"arch\n"),
        ("odd.csv", b"\xff\n"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"cannot read .*{name}"):
        CsvTable.read(tmp_path / name, ("arch",))
