"""Tables on the command line: written, chosen on, and never measured."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hwprofile.cli import main
from tests.hwprofile.tables.published import LUTS, PIXEL1, needs_tables


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def tiny_table(home: Path, tiny_profile: Path, tmp_path: Path) -> Path:
    out = tmp_path / "tiny.csv"
    result = run("export", "--format", "csv", "--profile", tiny_profile, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "6 layers, 5 ops, fixed part" in result.stdout
    return out


def latencies(text: str) -> list[float]:
    return [float(row["latency_ms"]) for row in csv.DictReader(io.StringIO(text))]


def test_predict_adds_up_what_export_writes(tiny_table: Path, tiny_profile: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.csv").write_text("arch\n000000\n222222\n313131\n")
    of = ("--networks", tmp_path / "nets.csv", "--kind", "table")
    profile = run("predict", "--profile", tiny_profile, *of)
    table = run("predict", "--device", f"table:{tiny_table}", *of)
    assert (profile.exit_code, table.exit_code) == (0, 0), (profile.stderr, table.stderr)
    assert latencies(table.stdout) == pytest.approx(latencies(profile.stdout), rel=1e-12)


def test_a_network_is_chosen_on_a_table_and_said_to_be_predicted_only(
    tiny_table: Path, tmp_path: Path
) -> None:
    result = run("specialize", "--device", f"table:{tiny_table}", "--budget", "60%", "--out", tmp_path / "s")
    assert result.exit_code == 0, result.stderr
    assert "on table:tiny.csv" in result.stdout
    assert "predicted only: a table, which cannot measure" in result.stdout
    found = json.loads((tmp_path / "s" / "result.json").read_text())
    assert found["identity"]["table"] == "tiny.csv"
    assert found["measured_ms"] is None
    assert found["holds_budget"] is None
    assert found["predicted_ms"]["median"] <= found["budget"]["latency_ms"]


def test_the_front_of_a_table_is_that_of_its_profile(tiny_table: Path, tiny_profile: Path) -> None:
    table = run("pareto", "--device", f"table:{tiny_table}", "--json")
    profile = run("pareto", "--profile", tiny_profile, "--json")
    networks = [
        [network["architecture"] for network in json.loads(result.stdout)["networks"]]
        for result in (table, profile)
    ]
    assert networks[0] == networks[1]


def test_a_table_becomes_a_table_of_another_form(tiny_table: Path, tmp_path: Path) -> None:
    device = f"table:{tiny_table}"
    assert run("export", "--device", device, "--format", "npz", "--out", tmp_path / "t.npz").exit_code == 0
    again = run(
        "export", "--device", f"table:{tmp_path / 't.npz'}", "--format", "csv", "--out", tmp_path / "b.csv"
    )
    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "b.csv").read_text() == tiny_table.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("bench", "--device", "table:tiny.csv"), 6, "it is a table of latencies and cannot measure"),
        (("doctor", "--device", "table:tiny.csv"), 6, "cannot measure"),
        (("validate", "--device", "table:tiny.csv"), 6, "cannot measure"),
        (("pareto", "--device", "table:tiny.csv", "--profile", "x"), 1, "leave --profile away"),
        (("pareto", "--device", "table:none.csv"), 1, "cannot read none.csv"),
        (
            ("pareto", "--space", "digits", "--scores", "macs", "--device", "table:tiny.csv"),
            1,
            "of cifar-tiny, not of digits",
        ),
        (("export", "--out", "x"), 2, "give --arch, the network to write, or the --format"),
        (
            ("export", "--arch", "000000", "--profile", "x", "--out", "x"),
            2,
            "--profile and --model are for latency tables",
        ),
        (
            ("export", "--arch", "000000", "--format", "csv", "--out", "x"),
            2,
            "leave --arch and --search away",
        ),
        (
            ("export", "--device", "table:tiny.csv", "--format", "ofa-yaml", "--out", "x"),
            1,
            "cannot say conv_k1",
        ),
        (("predict", "--kind", "fitted", "--networks", "x.csv"), 2, "takes a MODEL"),
        (("predict", "m.json", "--kind", "table", "--networks", "x.csv"), 2, "--kind table takes none"),
        (("predict", "--kind", "table", "--onnx", "x.onnx"), 2, "--kind is for --networks"),
    ],
)
def test_what_cannot_be_done_is_said(
    tiny_table: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())


def test_a_project_names_no_table(tiny_table: Path, tmp_path: Path) -> None:
    (tmp_path / "hwprofile.toml").write_text('device = "table:tiny.csv"\n')
    result = run("pareto")
    assert result.exit_code == 1
    assert "device is a name" in result.stderr


@needs_tables
def test_a_budget_is_held_on_the_published_table_of_a_phone(home: Path) -> None:
    device = ("--space", "proxyless", "--scores", "macs", "--device", f"table:{PIXEL1}")
    result = run("specialize", *device, "--budget", "80ms", "--out", "s", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert 79.5 < found["predicted_ms"]["median"] <= 80
    assert found["optimal"]
    infeasible = run("specialize", *device, "--budget", "20ms", "--out", "s")
    assert infeasible.exit_code == 4
    assert "the smallest reachable is 29.6" in infeasible.stderr


@needs_tables
def test_a_table_that_is_not_whole_is_said_to_be(home: Path) -> None:
    table = LUTS / "fbnet_pytorch_cpu_lookup_table.txt"
    (home.parent / "nets.csv").write_text(f'arch\n"{",".join("8" * 22)}"\n')
    result = run("predict", "--space", "fbnet", "--device", f"table:{table}", "--networks", "nets.csv")
    assert result.exit_code == 0, result.stderr
    assert "stem and head are not in it" in result.stderr
