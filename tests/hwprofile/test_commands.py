"""The commands as a person types them, over a made-up machine's profile where nothing need be measured."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from devices.inference import Classifier
from hwprofile.cli import main
from hwprofile.learning.evaluation import count_right
from ponas_core.accuracies import CountedAccuracy, published_accuracies, published_test_accuracy
from ponas_core.complexity import complexity
from ponas_core.datasets.catalog import load_dataset
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import true_network_ms

MACRO = shipped_space("nasbench-macro")
ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def answer(*arguments: object) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def on_macro(profile: Path) -> list[object]:
    """Specialise over the made-up machine's profile of nasbench-macro."""
    return ["specialize", "--space", "nasbench-macro", "--profile", profile, "--no-measure"]


@pytest.fixture
def specialized(home: Path, macro_profile: Path) -> dict[str, object]:
    return answer(*on_macro(macro_profile), "--budget", "60%")


def test_the_answer_has_every_field_that_machines_rely_on(specialized: dict[str, object]) -> None:
    assert set(specialized) >= {
        "architecture", "blocks", "space", "device", "budget", "binding", "predicted_ms", "measured_ms",
        "holds_budget", "score", "score_kind", "optimal", "solve_ms", "smallest_reachable_ms", "weights",
        "onnx",
    }  # fmt: skip
    assert set(specialized["predicted_ms"]) == {"median", "low", "high"}  # type: ignore[call-overload] # JSON
    assert specialized["weights"] == "random"
    assert specialized["measured_ms"] is None
    assert specialized["holds_budget"] is None


def test_the_answer_is_the_most_accurate_network_within_the_prediction(
    specialized: dict[str, object],
) -> None:
    known = published_accuracies(MACRO)
    assert known is not None
    names = [",".join(map(str, ops)) for ops in known.values]
    times = np.array([true_network_ms(MACRO, name) for name in names])
    budget = specialized["budget"]["latency_ms"]  # type: ignore[index] # JSON
    accuracy = np.array(list(known.values.values()))
    top = times[accuracy.argmax()]
    assert budget == pytest.approx(0.6 * top, rel=0.03)
    # the made-up truth is additive, so the model is within a few per cent of it
    assert (
        accuracy[times <= 0.95 * budget].max()
        <= specialized["score"]
        <= accuracy[times <= 1.05 * budget].max()
    )
    assert specialized["score_kind"] == "accuracy"
    assert specialized["optimal"] is True


def test_the_exported_network_says_that_it_is_untrained(specialized: dict[str, object]) -> None:
    model = onnx.load(str(specialized["onnx"]))
    notes = {item.key: item.value for item in model.metadata_props}
    assert notes["weights"] == "random"
    assert notes["architecture"] == specialized["architecture"]
    saved = json.loads((Path(str(specialized["onnx"])).parent / "result.json").read_text())
    assert saved == specialized


def test_the_default_is_a_trained_classifier_that_tells_its_test_accuracy(
    home: Path, tiny_profile: Path
) -> None:
    told = answer("specialize", "--profile", tiny_profile, "--no-measure", "--budget", "60%", "--out", "out")
    assert told["space"] == "cifar-tiny"
    assert told["weights"] == "trained"
    assert told["score_kind"] == "accuracy"
    counted = told["counted"]
    assert isinstance(counted, dict)
    assert counted["images"] == 2500
    assert counted["accuracy_low"] < counted["accuracy"] < counted["accuracy_high"]
    architecture = shipped_space("cifar-tiny").parse(str(told["architecture"]))
    assert published_test_accuracy(architecture) == CountedAccuracy(
        round(25 * counted["accuracy"]), counted["images"]
    )
    notes = {entry.key: entry.value for entry in onnx.load("out/network.onnx").metadata_props}
    assert notes["weights"] == "trained"
    assert notes["classes"].split(",")[:3] == ["airplane", "automobile", "bird"]
    # the weights belong to the scores that come along; others choose, and the network is untrained
    other = answer(
        "specialize", "--profile", tiny_profile, "--no-measure", "--budget", "60%", "--scores", "macs"
    )
    assert other["weights"] == "random"


PACKED = Path(os.environ.get("HWPROFILE_TEST_DATA", ROOT.parent / "shared" / "data")) / "cifar10_jpeg.npz"


@pytest.mark.slow
@pytest.mark.skipif(not PACKED.exists(), reason=f"{PACKED} is absent; HWPROFILE_TEST_DATA tells its folder")
def test_the_weights_that_come_along_are_as_accurate_as_is_told(home: Path) -> None:
    space = shipped_space("cifar-tiny")
    dataset = load_dataset(str(PACKED), space.shape_in)
    assert dataset.test is not None
    images = dataset.test.take(np.arange(2500))
    for text in ("2,3,3,3,3,3", "0,0,0,0,0,0", "1,0,1,1,3,3"):
        assert run("export", "--arch", text, "--out", "net.onnx", "--batch", "100").exit_code == 0
        found = count_right(Classifier(Path("net.onnx").read_bytes()), images)
        told = published_test_accuracy(space.parse(text))
        assert told is not None
        assert abs(found.right - told.right) <= 3  # rounding of a runtime, and of a decoder of JPEG


def test_people_are_told_in_the_last_line_that_the_weights_are_random(
    home: Path, macro_profile: Path
) -> None:
    result = run(*on_macro(macro_profile), "--budget", "60%")
    lines = result.stdout.strip().splitlines()
    assert "architecture only, untrained" in lines[-1]
    assert any("predicted only" in line for line in lines)
    assert any(line.startswith("most accurate") for line in lines)


def test_a_budget_that_does_not_bind_is_said_first(home: Path, macro_profile: Path) -> None:
    result = run(*on_macro(macro_profile), "--budget", "15s")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0].startswith("15s does not bind here: the most accurate network takes")
    found = answer(*on_macro(macro_profile), "--budget", "15s")
    assert found["binding"] is False
    assert found["score"] == pytest.approx(93.13, abs=0.01)


def test_several_budgets_all_hold(home: Path, macro_profile: Path) -> None:
    budgets = ("--budget", "60%", "--budget", "40MMACs", "--budget", "2.2MB")
    found = answer(
        "specialize", "--space", "nasbench-macro", "--profile", macro_profile, "--no-measure", *budgets
    )
    architecture = MACRO.parse(str(found["architecture"]))
    assert complexity(MACRO, "macs").total(architecture.ops) <= 40e6
    assert complexity(MACRO, "stored_bytes").total(architecture.ops) <= 2.2e6
    assert found["predicted_ms"]["median"] <= found["budget"]["latency_ms"]  # type: ignore[index] # JSON


@pytest.mark.parametrize(
    ("budget", "code", "message"),
    [
        ("15", 2, "needs a unit: 15ms"),
        ("-5ms", 2, "not a positive number"),
        ("2mJ", 2, "no energy source"),
        ("1us", 4, "the smallest reachable is"),
        ("1kMACs", 4, "the smallest reachable is 7.71328 MMACs"),
    ],
)
def test_a_budget_that_cannot_be_met_ends_with_its_code(
    home: Path, macro_profile: Path, budget: str, code: int, message: str
) -> None:
    result = run(*on_macro(macro_profile), "--budget", budget)
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("budget", ["1us", "1kMACs", "1kparams", "1kB"])
def test_the_smallest_reachable_value_can_be_typed_as_a_budget(
    home: Path, macro_profile: Path, budget: str
) -> None:
    refusal = run(*on_macro(macro_profile), "--budget", budget)
    assert refusal.exit_code == 4
    smallest = refusal.stderr.strip().rsplit(" is ", 1)[1]
    assert run(*on_macro(macro_profile), "--budget", smallest).exit_code == 0


def test_a_space_without_accuracies_asks_for_scores(home: Path, proxyless_profile: Path) -> None:
    arguments = ("specialize", "--space", "proxyless", "--profile", proxyless_profile, "--no-measure")
    result = run(*arguments, "--budget", "60%")
    assert result.exit_code == 1
    assert "--scores FILE.csv (columns arch,accuracy" in result.stderr
    found = answer(*arguments, "--budget", "60%", "--scores", "macs")
    assert found["score_kind"] == "macs-proxy"
    assert "MMACs (proxy)" in run(*arguments, "--budget", "60%", "--scores", "macs").stdout


def test_a_csv_of_own_accuracies_becomes_a_table(home: Path, macro_profile: Path, tmp_path: Path) -> None:
    known = published_accuracies(MACRO)
    assert known is not None
    rows = ["arch,accuracy"]
    rows += [f'"{",".join(map(str, ops))}",{value}' for ops, value in list(known.values.items())[::50]]
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    arguments = (*on_macro(macro_profile), "--budget", "60%")
    own = answer(*arguments, "--scores", tmp_path / "own.csv")
    full = answer(*arguments)
    true = known.values[MACRO.parse(str(own["architecture"])).ops]
    assert true > float(str(full["score"])) - 1.0
    assert own["score_kind"] in {"accuracy", "accuracy-predicted"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("specialize", "--space", "resnet", "--budget", "5ms"),
            1,
            "shipped: cifar-tiny, digits, fbnet, nasbench-macro",
        ),
        (("bench", "--space", "ofa-mbv3@161"), 1, "ofa-mbv3 has no resolution 161; it has 128, 132"),
        (("bench", "--space", "proxyless@160"), 1, "space proxyless has one resolution; write `resolutions"),
        (("bench", "--space", "resnet@160"), 1, "no space 'resnet'; shipped: cifar-tiny"),
        (("bench", "--space", "mine.toml@160"), 1, "cannot read the space mine.toml"),
        (("specialize", "--space", "none.toml", "--budget", "5ms"), 1, "cannot read the space none.toml"),
        (("specialize", "--budget", "5ms", "--scores", "none.csv"), 1, "cannot read none.csv"),
        (("specialize", "--budget", "5ms", "--scores", "accuracies"), 1, "give `macs`"),
        (("specialize",), 2, "Missing option '--budget'"),
        (("specialize", "--budget", "5ms", "--treads", "2"), 2, "No such option"),
        (("bench", "--device", "toaster"), 1, "known devices: cpu, gpu, jetson, phone, pi"),
        (("bench", "--device", "jetson"), 6, "device jetson is not configured"),
        (("bench", "some.onnx"), 2, "come after --onnx"),
        (("bench", "--threads", "0"), 2, "--threads"),
        (("predict", "--networks", "none.csv"), 1, "cannot read none.csv"),
        (("export", "--arch", "2,2", "--out", "x.onnx"), 1, "names 2 blocks"),
        (("export", "--space", "nasbench201", "--arch", "2,2", "--out", "x.onnx"), 1, "a cell has 6 edges"),
        (
            ("export", "--space", "ponas", "--arch", "PONAS", "--out", "x.onnx"),
            1,
            "named networks: PONAS-A, P",
        ),
        (("export", "--space", "nasbench201", "--arch", "000000", "--out", "x.onnx"), 1, "is a constant"),
        (("export", "--arch", "mb_k9_e9,2,2,2,2,2", "--out", "x.onnx"), 1, "layer0 has no mb_k9_e9"),
        (("pareto", "--profile", "none.jsonl"), 1, "cannot read the profile none.jsonl"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not list(tmp_path.rglob("*.profile.jsonl"))  # nothing was measured for a command that cannot be


def test_a_profile_of_another_machine_answers_but_is_not_measured_against(
    home: Path, macro_profile: Path, tmp_path: Path
) -> None:
    lines = macro_profile.read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    header["identity"]["cpu_model"] = "Another CPU"
    other = tmp_path / "other.profile.jsonl"
    other.write_text(json.dumps(header) + "\n" + "".join(lines[1:]))
    refused = run("specialize", "--space", "nasbench-macro", "--profile", other, "--budget", "60%")
    assert refused.exit_code == 1
    assert "cpu_model: Another CPU" in refused.stderr
    told = run(
        "specialize", "--space", "nasbench-macro", "--profile", other, "--budget", "60%", "--no-measure"
    )
    assert told.exit_code == 0
    assert "measured elsewhere" in told.stderr


def test_a_profile_of_another_space_is_refused(home: Path, proxyless_profile: Path) -> None:
    result = run("specialize", "--profile", proxyless_profile, "--no-measure", "--budget", "5ms")
    assert result.exit_code == 1
    assert "holds proxyless, not cifar-tiny" in result.stderr


def test_a_block_that_was_not_measured_is_named_with_the_command_that_measures_it(
    home: Path, macro_profile: Path, tmp_path: Path
) -> None:
    kept = [line for line in macro_profile.read_text().splitlines() if "mb_k5_e6@32x32x32" not in line]
    partial = tmp_path / "partial.profile.jsonl"
    partial.write_text("\n".join(kept) + "\n")
    result = run(
        "specialize", "--space", "nasbench-macro", "--profile", partial, "--no-measure", "--budget", "60%"
    )
    assert result.exit_code == 1
    assert "no latency for mb_k5_e6@32x32x32" in result.stderr
    assert "hwprofile bench --space nasbench-macro --fresh" in result.stderr


def test_predictions_come_one_row_for_one_in_order(home: Path, macro_profile: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [str(MACRO.sample(rng)) for _ in range(200)]
    names[7], names[9] = "22212202", " ".join(map(str, MACRO.parse(names[9]).blocks))
    table = tmp_path / "nets.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["note", "arch"])
        writer.writerows([["x", name] for name in names])
    out = tmp_path / "out.csv"
    result = run(
        "predict", "--space", "nasbench-macro", "--profile", macro_profile, "--networks", table, "--out", out
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["arch"] for row in rows] == names
    assert list(rows[0]) == ["arch", "latency_ms", "low_ms", "high_ms"]
    truth = np.array([true_network_ms(MACRO, name) for name in names])
    found = np.array([float(row["latency_ms"]) for row in rows])
    assert float(np.abs(found / truth - 1).mean()) < 0.02
    assert all(float(row["low_ms"]) < float(row["latency_ms"]) < float(row["high_ms"]) for row in rows)
    printed = run("predict", "--space", "nasbench-macro", "--profile", macro_profile, "--networks", table)
    assert printed.stdout == out.read_text()


def test_a_bad_row_of_networks_is_refused(home: Path, macro_profile: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.csv").write_text("arch\n22222222\n22222229\n")
    result = run(
        "predict",
        "--space",
        "nasbench-macro",
        "--profile",
        macro_profile,
        "--networks",
        tmp_path / "nets.csv",
    )
    assert result.exit_code == 1
    assert "nets.csv" in result.stderr
    assert "line 3" in result.stderr
    (tmp_path / "nets.csv").write_text("network\n22222222\n")
    result = run(
        "predict",
        "--space",
        "nasbench-macro",
        "--profile",
        macro_profile,
        "--networks",
        tmp_path / "nets.csv",
    )
    assert result.exit_code == 1
    assert "needs a header with the column arch; found network" in result.stderr


def test_the_front_rises_in_latency_and_score(home: Path, macro_profile: Path) -> None:
    front = answer("pareto", "--space", "nasbench-macro", "--profile", macro_profile)
    networks: list[dict[str, float]] = front["networks"]  # type: ignore[assignment] # JSON
    for key in ("latency_ms", "score"):
        values = [network[key] for network in networks]
        assert values == sorted(values)
    assert networks[-1]["score"] == pytest.approx(93.13, abs=0.01)
    assert "█" in run("pareto", "--space", "nasbench-macro", "--profile", macro_profile).stdout


def test_export_writes_a_checked_network(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "net.onnx"
    result = run("export", "--space", "proxyless", "--arch", "0," * 20 + "0", "--out", out)
    assert result.exit_code == 0, result.output
    assert "untrained" in result.stdout
    onnx.checker.check_model(str(out))


def test_a_network_is_exported_by_its_name(home: Path, tmp_path: Path) -> None:
    files = [tmp_path / "name.onnx", tmp_path / "ops.onnx"]
    ops = "8,2,5,3,2,4,11,3,3,3,2,4,4,5,11,5,2,5,9"
    for text, out in zip(("PONAS-A", ops), files, strict=True):
        result = run("export", "--space", "ponas", "--arch", text, "--out", out)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"ponas {ops}\n")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_named_networks_are_listed(home: Path) -> None:
    listed = {space["name"]: space["architectures"] for space in json.loads(run("spaces", "--json").stdout)}
    assert listed["ponas"] == ["PONAS-A", "PONAS-B", "PONAS-C"]
    assert listed["proxyless"] == listed["nasbench201"] == []
    lines = run("spaces").stdout.splitlines()
    assert [line for line in lines if line.startswith("Networks of ")] == [
        "Networks of ponas: PONAS-A, PONAS-B, PONAS-C"
    ]


def test_export_writes_cells(home: Path, tmp_path: Path) -> None:
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    for text in (cell, "301104"):
        out = tmp_path / "cell.onnx"
        result = run("export", "--space", "nasbench201-cifar100", "--arch", text, "--out", out, "--batch", 2)
        assert result.exit_code == 0, result.output
        assert f"nasbench201-cifar100 {cell}" in result.stdout
        assert "untrained" in result.stdout
        model = onnx.load(out)
        onnx.checker.check_model(model)
        assert [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == [2, 100]


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench",),
        ("specialize", "--budget", "5ms"),
        ("pareto",),
        ("predict", "--networks", "none.csv"),
        ("validate",),
    ],
)
def test_commands_for_chains_say_what_to_do_with_cells(home: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--space", "nasbench201")
    assert result.exit_code == 1
    assert "nasbench201 is a space of cells" in result.stderr
    assert "hwprofile export --space nasbench201 --arch CELL" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["spaces", "devices"])
def test_listings_are_for_people_and_machines(home: Path, command: str) -> None:
    found = json.loads(run(command, "--json").stdout)
    rows = found if command == "spaces" else found["devices"] + found["runtimes"]
    names = [row["name"] for row in rows]
    assert names
    assert all(name in run(command).stdout for name in names)


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    text = run(command, "--help").output
    assert f"hwprofile {command}" in text
    assert "Example" in text


@pytest.mark.parametrize(
    ("arguments", "kept_out"),
    [
        (["--help"], ["numpy", "onnx", "rich", "scipy", "sklearn", "torch"]),
        (["spaces"], ["onnx", "scipy", "sklearn", "torch"]),
        (["export", "--arch", "222222", "--out", "net.onnx"], ["sklearn", "scipy.optimize", "torch"]),
        (
            ["export", "--space", "nasbench201", "--arch", "332233", "--out", "net.onnx"],
            ["sklearn", "scipy.optimize", "torch"],
        ),
    ],
)
def test_commands_import_only_what_they_use(home: Path, arguments: list[str], kept_out: list[str]) -> None:
    _check_imports(arguments, kept_out)


@pytest.mark.parametrize("space", ["nasbench-macro", "cifar-tiny"])
def test_specialising_without_measuring_imports_neither_torch_nor_scikit_learn(
    home: Path, macro_profile: Path, tiny_profile: Path, space: str
) -> None:
    profile = tiny_profile if space == "cifar-tiny" else macro_profile
    arguments = ["specialize", "--space", space, "--profile", str(profile), "--no-measure", "--budget", "60%"]
    _check_imports(arguments, ["sklearn", "scipy.optimize", "torch", "onnxruntime"])


def _check_imports(arguments: list[str], kept_out: list[str]) -> None:
    code = (
        "import sys; from hwprofile.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"found = [name for name in {kept_out!r} if name in sys.modules]\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
