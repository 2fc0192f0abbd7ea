"""fit, then predict: what a person types, from files of measured networks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from hwprofile.catalog import family_named
from hwprofile.cli import main
from hwprofile.cli.predicting import KINDS
from hwprofile.networks_csv import measured_networks, ops_in
from ponas_core.space_file import shipped_space
from predictors.model_file import ESTIMATORS

Floats = NDArray[np.float64]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def write_measured(path: Path, space_name: str, count: int, seed: int = 0) -> list[str]:
    """Networks with a made-up latency in proportion to MACs and blocks."""
    space = family_named(space_name)
    rng = np.random.default_rng(seed)
    networks = [space.sample(rng) for _ in range(count)]
    features = space.describe(networks)
    numbers = features.values / np.maximum(features.values.mean(axis=0), 1e-9)
    latencies_ms = 1 + numbers[:, :4].sum(axis=1) * (1 + 0.01 * rng.standard_normal(count))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "latency_ms"])
        writer.writerows(zip(map(str, networks), latencies_ms.tolist(), strict=True))
    return [str(network) for network in networks]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("space", ["fbnet", "nasbench201", "ofa-mbv3", "proxyless", "nasbench-macro"])
def test_fit_and_predict_find_the_space_and_keep_the_order(space: str, tmp_path: Path) -> None:
    write_measured(tmp_path / "measured.csv", space, 40)
    asked = write_measured(tmp_path / "asked.csv", space, 25, seed=1)
    model, out = tmp_path / "model.json", tmp_path / "out.csv"
    fitted = run("fit", "--networks", tmp_path / "measured.csv", "--out", model, "--model", "gp", "--json")
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout)["space"] == space
    found = run("predict", model, "--networks", tmp_path / "asked.csv", "--out", out, "-q")
    assert found.exit_code == 0, found.output
    rows, truth = rows_of(out), rows_of(tmp_path / "asked.csv")
    assert [row["arch"] for row in rows] == asked
    errors = [
        abs(float(row["latency_ms"]) / float(true["latency_ms"]) - 1)
        for row, true in zip(rows, truth, strict=True)
    ]
    assert np.mean(errors) < 0.1
    for row in rows:
        assert float(row["low_ms"]) < float(row["latency_ms"]) < float(row["high_ms"])
        assert row["interval"] == "cross-validated"
        assert row["out_of_range"] in {"yes", "no"}


def test_measured_networks_may_be_given_by_name(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv"
    path.write_text("arch,latency_ms\nPONAS-A,3\nPONAS-C,4\n")
    found, space = measured_networks(path), shipped_space("ponas")
    assert (found.space_name, found.networks) == ("ponas", [space.parse(f"PONAS-{end}") for end in "AC"])
    names, ops = ops_in(path, space)
    assert names == ["PONAS-A", "PONAS-C"]
    assert ops.tolist() == [list(network.ops) for network in found.networks]


def test_auto_says_what_it_chose_and_why(tmp_path: Path) -> None:
    write_measured(tmp_path / "measured.csv", "nasbench-macro", 30)
    result = run(
        "fit",
        "--space",
        "nasbench-macro",
        "--networks",
        tmp_path / "measured.csv",
        "--out",
        tmp_path / "m.json",
    )
    assert result.exit_code == 0, result.output
    for word in ("gp", "ridge", "boosting", "forest", "held-out error", "chosen", "30 measured networks"):
        assert word in result.stdout


def test_every_kind_of_predictor_can_be_typed() -> None:
    assert set(KINDS) == set(ESTIMATORS)


def test_few_networks_are_called_model_based(tmp_path: Path) -> None:
    write_measured(tmp_path / "measured.csv", "fbnet", 12)
    result = run(
        "fit", "--networks", tmp_path / "measured.csv", "--out", tmp_path / "m.json",
        "--model", "ridge", "--interval", "cv+",
    )  # fmt: skip
    assert "model-based" in result.stdout
    assert "CV+" not in result.stdout
    shown = run("predict", tmp_path / "m.json", "--networks", tmp_path / "measured.csv", "-q")
    assert shown.stdout.splitlines()[1].split(",")[-2] == "model-based"


def test_the_exported_graph_names_its_features(tmp_path: Path) -> None:
    write_measured(tmp_path / "measured.csv", "fbnet", 30)
    result = run(
        "fit", "--networks", tmp_path / "measured.csv", "--out", tmp_path / "m.json", "--model", "gp",
        "--onnx-out", tmp_path / "m.onnx",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    notes = {item.key: item.value for item in onnx.load(tmp_path / "m.onnx").metadata_props}
    space = family_named("fbnet")
    networks = [space.parse(row["arch"]) for row in rows_of(tmp_path / "measured.csv")]
    features = space.describe(networks)
    assert notes["features"].split("\n") == list(features.names)
    (found,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"features": features.values})
    shown = run("predict", tmp_path / "m.json", "--networks", tmp_path / "measured.csv", "-q").stdout
    predicted = [float(row["latency_ms"]) for row in csv.DictReader(shown.splitlines())]
    np.testing.assert_allclose(found[:, 0], predicted, rtol=1e-9)


def test_bad_files_say_what_to_do(tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.csv", tmp_path / "m.json"
    network = ",".join(["0"] * 22)
    cases = {
        "": "needs a header with the column arch and latency_ms; found nothing",
        "arch\n1\n": "needs a header with the column latency_ms; found arch",
        "arch,latency_ms\n": "holds no networks",
        "arch,latency_ms\nhello,1\n": "of no shipped space: say which with --space",
        'arch,latency_ms\n"0,1,2,3,0,1",1\n': "could be of cifar-tiny, digits",
        f'arch,latency_ms\n"{network}",fast\n': "latency_ms is a positive number of milliseconds, not 'fast'",
        f'arch,latency_ms\n"{network}",-1\n': "line 2: latency_ms is a positive number",
        f'arch,latency_ms\n"{network}",nan\n': "line 2: latency_ms is a positive number",
        f'arch,latency_ms\n"{network}",1\n"{network}",2\n': "holds 1 different networks; a predictor needs 3",
    }
    for text, words in cases.items():
        bad.write_text(text)
        result = run("fit", "--networks", bad, "--out", out)
        assert result.exit_code == 1, text
        assert words in result.stderr
    bad.write_text(f'arch,latency_ms\n"{network}",1\n"{network[:-1]}99",1\n')
    result = run("fit", "--space", "fbnet", "--networks", bad, "--out", out)
    assert "line 3: layer21 has ops 0 to 7, not 99" in result.stderr or "line 3:" in result.stderr
    assert run("predict", tmp_path / "none.json", "--networks", bad).exit_code == 1
    assert run("predict", out, "--onnx", bad).exit_code == 2
    assert run("fit", "--networks", bad, "--out", out, "--model", "magic").exit_code == 2


def test_a_model_of_another_description_is_refused(tmp_path: Path) -> None:
    write_measured(tmp_path / "measured.csv", "nasbench-macro", 12)
    model = tmp_path / "m.json"
    run(
        "fit", "--space", "nasbench-macro", "--networks", tmp_path / "measured.csv", "--out", model,
        "--model", "ridge",
    )  # fmt: skip
    model.write_text(json.dumps(json.loads(model.read_text()) | {"features": "other"}))
    result = run("predict", model, "--networks", tmp_path / "measured.csv")
    assert result.exit_code == 1
    assert "describes its networks otherwise" in result.stderr


@pytest.mark.parametrize(
    "space", ["nasbench-macro", "nasbench201", pytest.param("ofa-mbv3", marks=pytest.mark.slow)]
)
def test_networks_are_measured_whole_and_learned_from(space: str, tmp_path: Path) -> None:
    written = write_measured(tmp_path / "networks.csv", space, 4)
    connected = [name for name in written if getattr(family_named(space).parse(name), "connected", True)]
    (tmp_path / "networks.csv").write_text("arch\n" + "".join(f'"{name}"\n' for name in connected))
    profile, model = tmp_path / "p.profile.jsonl", tmp_path / "m.json"
    benched = run(
        "bench", "--space", space, "--networks", tmp_path / "networks.csv", "--out", profile,
        "--precision", 50, "--rounds", 2, "-q", "--json",
    )  # fmt: skip
    assert benched.exit_code == 0, benched.output
    assert json.loads(benched.stdout)["networks"] == len(connected)
    fitted = run("fit", "--profile", profile, "--out", model, "--model", "ridge", "--json")
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout) | {"held_out_errors": 0} == {
        "kind": "ridge", "chosen": "ridge", "held_out_errors": 0, "space": space,
        "networks": len(connected), "interval": "model-based",
    }  # fmt: skip
    shown = run("predict", model, "--networks", tmp_path / "networks.csv", "-q")
    assert [row["arch"] for row in csv.DictReader(shown.stdout.splitlines())] == connected


def test_what_cannot_be_measured_is_told_before(tmp_path: Path) -> None:
    path = tmp_path / "networks.csv"
    path.write_text("arch\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\n")
    result = run("bench", "--space", "nasbench201", "--networks", path)
    assert result.exit_code == 1
    assert "does not depend on its input: leave it out" in result.stderr
    path.write_text("arch\n")
    assert "holds no networks" in run("bench", "--networks", path).stderr
    assert run("bench", "--networks", path, "--kernels").exit_code == 2
    assert run("fit", "--networks", path, "--profile", path, "--out", path).exit_code == 2
    assert run("fit", "--space", "fbnet", "--profile", path, "--out", path).exit_code == 2


def write_detailed(path: Path, networks: list[Any], scale: float) -> Floats:
    """Latencies with a cost of its own for every block in every layer of fbnet."""
    features = family_named("fbnet").describe(networks)
    of_layers = [index for index, group in enumerate(features.groups) if group == "layers"]
    costs = np.random.default_rng(7).uniform(0.1, 2.0, len(of_layers))
    latencies_ms = scale * (features.values[:, of_layers] @ costs)
    with path.open("w", newline="") as file:
        rows = zip(map(str, networks), latencies_ms.tolist(), strict=True)
        csv.writer(file).writerows([["arch", "latency_ms"], *rows])
    return latencies_ms


def test_other_devices_make_few_suggested_networks_enough(tmp_path: Path) -> None:
    space, rng = family_named("fbnet"), np.random.default_rng(0)
    old, known, ten = tmp_path / "old.csv", tmp_path / "known.json", tmp_path / "ten.csv"
    write_detailed(old, [space.sample(rng) for _ in range(300)], 1.0)
    assert run("fit", "--networks", old, "--out", known, "--model", "gp").exit_code == 0
    choice = ("suggest", "--space", "fbnet", "--sources", old, known, "--seed", 2)
    assert run(*choice, "--count", 10, "--out", ten).exit_code == 0
    names = [row["arch"] for row in rows_of(ten)]
    assert len(set(names)) == 10
    again = run(*choice, "--count", 5)
    assert [row["arch"] for row in csv.DictReader(again.stdout.splitlines())] == names[:5]
    measured, asked = tmp_path / "measured.csv", tmp_path / "asked.csv"
    write_detailed(measured, [space.parse(name) for name in names], 3.0)
    truth = write_detailed(asked, [space.sample(rng) for _ in range(40)], 3.0)
    errors = {}
    for kind, sources in (("with", ["--sources", old, known]), ("without", [])):
        model = tmp_path / f"{kind}.json"
        fitted = run("fit", "--networks", measured, *sources, "--out", model, "--model", "gp")
        assert fitted.exit_code == 0, fitted.output
        shown = csv.DictReader(run("predict", model, "--networks", asked, "-q").stdout.splitlines())
        found = np.array([float(row["latency_ms"]) for row in shown])
        errors[kind] = np.abs(found / truth - 1).mean()
    assert errors["with"] < 0.5 * errors["without"]


def test_suggested_cells_can_be_measured_and_bad_sources_are_told(tmp_path: Path) -> None:
    shown = run("suggest", "--space", "nasbench201", "--count", 5)
    cells = [family_named("nasbench201").parse(line) for line in shown.stdout.splitlines()[1:]]
    assert len(cells) == 5
    assert all(cell.connected for cell in cells)
    assert run("suggest", "--count", 100_000).exit_code == 1
    assert run("suggest", "nets.csv").exit_code == 2
    assert run("suggest", "--space", "fbnet", "--sources", tmp_path / "none.csv").exit_code == 1
    write_measured(tmp_path / "m.csv", "nasbench-macro", 12)
    run(
        "fit", "--space", "nasbench-macro", "--networks", tmp_path / "m.csv", "--out", tmp_path / "f.json",
        "--model", "forest",
    )  # fmt: skip
    result = run("suggest", "--space", "nasbench-macro", "--sources", tmp_path / "f.json")
    assert result.exit_code == 1
    assert (
        "cannot be a source: give a predictor of nasbench-macro made with --model gp or ridge"
        in result.stderr
    )


def test_a_predictor_is_exported_as_the_nearest_table_and_told_how_far_it_is_off(tmp_path: Path) -> None:
    measured, model, table = (tmp_path / name for name in ("measured.csv", "model.json", "table.csv"))
    write_measured(measured, "nasbench-macro", 60)
    on = ("--space", "nasbench-macro")
    assert run("fit", "--networks", measured, *on, "--model", "ridge", "--out", model).exit_code == 0
    result = run("export", *on, "--format", "csv", "--model", model, "--out", table)
    assert result.exit_code == 0, result.output
    assert "MAPE 0.0" in result.stdout  # a ridge over counts and stages is nearly a sum
    found = run("predict", *on, "--device", f"table:{table}", "--networks", measured)
    wanted = run("predict", model, "--networks", measured)
    sums, predictions = (
        [float(row["latency_ms"]) for row in csv.DictReader(output.stdout.splitlines())]
        for output in (found, wanted)
    )
    np.testing.assert_allclose(sums, predictions, rtol=0.02)


def test_a_predictor_of_another_space_is_no_table_of_this_one(tmp_path: Path) -> None:
    measured, model = tmp_path / "measured.csv", tmp_path / "model.json"
    write_measured(measured, "nasbench-macro", 30)
    run("fit", "--networks", measured, "--space", "nasbench-macro", "--model", "ridge", "--out", model)
    form = ("--format", "csv", "--out", tmp_path / "table.csv")
    result = run("export", "--space", "digits", *form, "--model", model)
    assert result.exit_code == 1
    assert "predicts networks of nasbench-macro, not of digits" in result.stderr
    assert run("export", "--space", "digits", *form, "--model", model, "--profile", "p").exit_code == 2
