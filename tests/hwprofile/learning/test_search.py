"""Searching, training and evaluating as a person types them, on a space that trains in seconds."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from hwprofile.cli import main
from hwprofile.learning.data import splits_of
from ponas_core.accuracies import published_accuracies
from ponas_core.datasets.catalog import load_dataset
from ponas_core.datasets.normalization import Normalization
from ponas_core.network_weights import WeightsFile
from ponas_core.score_table import ScoreTable
from ponas_core.space_file import load_space, shipped_space

SPACE = """
schema_version = 1
name = "small-digits"
description = "three layers for tests that train"
input = [1, 8, 8]
activation = "relu"

[[stem]]
block = "conv_k3"
channels = 8
stride = 2

[[stages]]
layers = 2
channels = 8
blocks = ["skip", "mb_k3_e2", "mb_k3_e4"]

[[stages]]
channels = 16
stride = 2
blocks = ["conv_k1_linear", "mb_k3_e2", "mb_k3_e4"]

[[head]]
block = "classifier"
channels = 10
"""
QUICK = ["--data", "digits", "--epochs", "4", "--batch-size", "64", "--threads", "1", "--quiet"]
DIGITS = ["--space", "digits", "--data", "digits"]
TABLE = ["--evaluations", "12", "--held-out", "6"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def answer(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "small.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def found(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search with statistics that all networks share."""
    out = tmp_path_factory.mktemp("search") / "out"
    result = run("search", "ponas", "--space", space, *QUICK, *TABLE, "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def profile(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "small.profile.jsonl"
    options = ["--rounds", "2", "--precision", "50", "--calibrate", "2", "--quiet"]
    result = run("bench", "--space", space, *options, "--out", path)
    assert result.exit_code == 0, result.output
    return path


def test_a_search_leaves_a_table_that_tells_how_it_came_about(space: Path, found: Path) -> None:
    table = ScoreTable.load(found / "scores.json")
    table.check(load_space(space))
    told = table.provenance
    assert told["method"] == "fitted"
    assert told["evaluations"] == 18
    assert told["statistics"] == "shared"
    assert told["data"]["name"] == "digits"
    assert told["weights"] == WeightsFile.load(found / "supernet.npz").digest
    rank = told["held_out"]
    assert rank["networks"] == 6
    assert -1 <= rank["spearman_low"] <= rank["spearman"] <= rank["spearman_high"] <= 1
    assert len((found / "evaluations.jsonl").read_text().splitlines()) == 18


def test_a_finished_search_is_given_back_without_training(space: Path, found: Path) -> None:
    before = {path.name: path.read_bytes() for path in found.iterdir()}
    told = answer("search", "ponas", "--space", space, *QUICK, *TABLE, "--out", found)
    assert told["provenance"] == json.loads(before["scores.json"])["provenance"]
    assert {path.name: path.read_bytes() for path in found.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--epochs", "5"], "epochs 4, not 5"),
        (["--seed", "1"], "seed 0, not 1"),
        (["--learning-rate", "0.1"], "learning_rate 0.2, not 0.1"),
    ],
)
def test_a_folder_of_another_search_is_refused(
    space: Path, found: Path, change: list[str], words: str
) -> None:
    result = run("search", "ponas", "--space", space, *QUICK, *TABLE, "--out", found, *change)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "another place" in result.stderr


@pytest.mark.parametrize(
    "table",
    [
        ["--table", "one-change"],
        ["--table", "progressive"],
        ["--table", "progressive", "--fine-tune-steps", "2", "--context", "largest"],
        ["--table", "fitted", "--shared-epochs", "0"],
        ["--accumulate", "2", "--paths-per-part"],
        ["--table", "fitted", "--sampling", "uniform", "--distillation", "0.5"],
    ],
    ids=" ".join,
)
def test_every_way_to_search_ends_in_a_table(space: Path, tmp_path: Path, table: list[str]) -> None:
    out = tmp_path / "out"
    told = answer("search", "ponas", "--space", space, *QUICK, *TABLE, "--out", out, *table)
    ScoreTable.load(out / "scores.json").check(load_space(space))
    assert told["provenance"]["held_out"]["networks"] == 6
    assert (out / "supernet-tuned.npz").exists() == ("--fine-tune-steps" in table)


def test_a_specialised_network_has_the_trained_weights_and_tells_its_test_accuracy(
    space: Path, found: Path, profile: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    told = answer(
        "specialize", "--space", space, "--profile", profile, "--search", found, "--data", "digits",
        "--budget", "80%", "--no-measure", "--quiet", "--out", out,
    )  # fmt: skip
    assert told["weights"] == "trained"
    assert told["score_kind"] == "accuracy-checked"
    assert told["learned_from"] == "digits"
    dataset = load_dataset("digits", load_space(space).shape_in)
    assert dataset.test is not None
    counted = told["counted"]
    assert counted["images"] == len(dataset.test)
    assert counted["accuracy_low"] <= counted["accuracy"] <= counted["accuracy_high"]
    # by hand: the file as it is, in another program's words
    model = onnx.load(out / "network.onnx")
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes["weights"] == "trained"
    assert notes["classes"] == "0,1,2,3,4,5,6,7,8,9"
    normalization = Normalization.from_notes(notes)
    assert normalization is not None
    images = normalization.apply(dataset.test.images.batch(np.arange(len(dataset.test))))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    right = [
        int(session.run(None, {"input": image[None]})[0].argmax()) == label
        for image, label in zip(images, dataset.test.labels, strict=True)
    ]
    assert counted["accuracy"] == pytest.approx(100 * np.mean(right))
    assert counted["accuracy"] > 30  # ten classes: chance is 10, and 359 images stray by 1.6 points


def test_candidates_are_checked_on_images_that_the_table_has_not_seen_once(
    space: Path, found: Path, profile: Path, tmp_path: Path
) -> None:
    command = [
        "specialize", "--space", space, "--profile", profile, "--search", found, "--data", "digits",
        "--budget", "70%", "--no-measure", "--quiet", "--out", tmp_path / "out",
    ]  # fmt: skip
    first = answer(*command)
    lines = (found / "verifications.jsonl").read_text().splitlines()
    assert len({json.loads(line)["architecture"] for line in lines}) == len(lines)
    assert answer(*command)["architecture"] == first["architecture"]
    assert (found / "verifications.jsonl").read_text().splitlines() == lines


def test_a_network_is_taken_out_without_its_data_where_statistics_are_shared(
    space: Path, found: Path, profile: Path, tmp_path: Path
) -> None:
    told = answer(
        "specialize", "--space", space, "--profile", profile, "--search", found, "--budget", "80%",
        "--no-measure", "--quiet", "--out", tmp_path / "out",
    )  # fmt: skip
    assert told["weights"] == "trained"
    assert told["score_kind"] == "accuracy-predicted"
    assert "counted" not in told
    front = answer("pareto", "--space", space, "--profile", profile, "--search", found, "--quiet")
    assert told["architecture"] in {network["architecture"] for network in front["networks"]}


def test_a_winner_learns_on_by_itself(space: Path, found: Path, profile: Path, tmp_path: Path) -> None:
    command = [
        "specialize", "--space", space, "--profile", profile, "--search", found, "--data", "digits",
        "--budget", "80%", "--no-measure", "--quiet",
    ]  # fmt: skip
    plain = answer(*command, "--out", tmp_path / "plain")
    tuned = answer(*command, "--out", tmp_path / "tuned", "--fine-tune", "3")
    assert tuned["architecture"] == plain["architecture"]
    assert (tmp_path / "tuned" / "network.onnx").read_bytes() != (
        tmp_path / "plain" / "network.onnx"
    ).read_bytes()
    assert tuned["counted"]["accuracy"] > plain["counted"]["accuracy"] - 5


def test_training_one_network_and_evaluating_its_file_agree(space: Path, found: Path, tmp_path: Path) -> None:
    out = tmp_path / "net"
    told = answer("train", "--space", space, "--arch", "1,2,1", *QUICK, "--search", found, "--out", out)
    assert told["weights"] == "trained"
    again = answer("evaluate", out / "network.onnx", "--data", "digits")
    assert again == {key: told[key] for key in again}
    seen = answer("evaluate", out / "network.onnx", "--data", "digits", "--split", "training")
    assert seen["images"] == len(splits_of(load_dataset("digits", load_space(space).shape_in)).training)


def test_known_accuracies_fill_a_table_without_training(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "known"
    known_space = ["--space", "nasbench-macro", "--held-out", 24, "--out", out]
    told = answer("search", "ponas", *known_space, "--evaluator", "tabular")
    assert told["provenance"]["held_out"]["spearman"] > 0.8  # 0.96 over all networks; 24 of them stray
    csv = tmp_path / "own.csv"
    macro = shipped_space("nasbench-macro")
    known = published_accuracies(macro)
    assert known is not None
    rows = [f'"{macro.architecture(ops)}",{value}' for ops, value in known.values.items()]
    csv.write_text("\n".join(["arch,mine", *rows]))
    own = answer("search", "ponas", *known_space, "--evaluator", f"tabular:{csv}:mine")
    assert own["provenance"]["held_out"]["spearman"] == told["provenance"]["held_out"]["spearman"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["search", "ponas", "--space", "digits"], 2, "give --data"),
        (["search", "ponas", "--data", "digits", "--evaluator", "tabular"], 2, "not both"),
        (["search", "ponas", "--space", "digits", "--evaluator", "tabular"], 1, "comes without accuracies"),
        (["search", "ponas", "--space", "digits", "--evaluator", "told"], 2, "write tabular"),
        (["search", "ponas", "--space", "cifar-tiny", "--data", "digits"], 1, "the space reads 3x32x32"),
        (["search", "ponas", "--space", "digits", "--data", "none"], 1, "does not exist"),
        (["search", "ponas", *DIGITS, "--epochs", "1", "--shared-epochs", "2"], 2, "shared"),
        (["search", "ponas", *DIGITS, "--fine-tune-steps", "1"], 1, "progressive"),
        (["search", "ponas", *DIGITS, "--accumulate", "40"], 2, "no 40 parts"),
        (["search", "ponas", *DIGITS, "--paths-per-part"], 2, "several parts"),
        (["search", "ddpnas", *DIGITS, "--paths-per-part"], 2, "the path of each step itself"),
        (["train", "--space", "digits", "--arch", "9", "--data", "digits"], 1, "names 1 blocks"),
        (["train", "--space", "digits", "--arch", "1,1,1,1,1,1"], 2, "give --data"),
        (["evaluate", "none.onnx", "--data", "digits"], 1, "cannot read"),
        (["specialize", "--space", "digits", "--search", "none", "--budget", "60%"], 1, "no finished search"),
        (["specialize", "--search", "none", "--scores", "macs", "--budget", "60%"], 2, "not both"),
        (["specialize", "--space", "digits", "--fine-tune", "1", "--budget", "60%"], 2, "needs --data"),
        (["specialize", "--space", "digits", "--data", "digits", "--budget", "60%"], 2, "give --search"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
    home: Path, arguments: list[str], code: int, words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_training_that_goes_astray_says_so_and_keeps_nothing_broken(space: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("search", "ponas", "--space", space, *QUICK, "--learning-rate", "1e30", "--out", out)
    assert result.exit_code == 1
    assert "not finite" in result.stderr
    assert "--learning-rate" in result.stderr
    assert not (out / "supernet.npz").exists()


def test_two_processes_train_one_supernet_and_the_first_fills_the_table(
    space: Path, found: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    search = ["-m", "hwprofile", "search", "ponas", "--space", str(space), *QUICK, *TABLE, "--json"]
    done = subprocess.run(
        [*torchrun, *search, "--out", str(out)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)  # one answer, not two
    assert told["provenance"]["weights"] == WeightsFile.load(out / "supernet.npz").digest
    ours, one = (
        [json.loads(line)["loss"] for line in (folder / "supernet.losses.jsonl").read_text().splitlines()]
        for folder in (out, found)
    )
    assert len(ours) == len(one) == 68
    # the first steps of one process; later ones too but for roundings, which grow
    assert ours[:8] == pytest.approx(one[:8], rel=1e-4)


def test_a_data_set_of_ones_own_is_searched_from_python(space: Path, tmp_path: Path) -> None:
    import torch

    from hwprofile.learning.search_folder import SearchFolder
    from hwprofile.learning.supernet_search import TableOptions, search_ponas
    from hwprofile.learning.training import Learning, TrainingData
    from ponas_core.datasets.catalog import dataset_from_torch
    from ponas_core.training.recipe import TrainingRecipe

    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8, generator=draw)
    own = torch.utils.data.TensorDataset(pixels, torch.arange(200) % 10)
    data = TrainingData(dataset_from_torch("noise", own), torch.device("cpu"))
    learning = Learning(data, TrainingRecipe(epochs=1, batch=32), 20.0, quiet=True)
    options = TableOptions(evaluations=8, held_out=6)
    report = search_ponas(load_space(space), str(space), learning, options, SearchFolder(tmp_path / "out"))
    assert report is not None
    assert report.table.provenance["data"]["name"] == "noise"


def killed_until_it_ends(command: list[str], kills: int, seed: int) -> int:
    """Start a command again and again, killed at random moments; how often it was killed."""
    draw, done = random.Random(seed), 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done < kills:
            time.sleep(draw.uniform(1.5, 6.0))
            process.kill()
        _, errors = process.communicate(timeout=300)
        if process.returncode == 0:
            return done
        assert process.returncode == -9, errors.decode()
        done += 1


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "epochs"), [(1, 8), (20, 120)])
def test_a_search_that_is_killed_goes_on_to_the_same_table(
    space: Path, tmp_path: Path, kills: int, epochs: int
) -> None:
    def command(out: str) -> list[str]:
        arguments = ["search", "ponas", "--space", str(space), *QUICK, *TABLE]
        arguments += ["--epochs", str(epochs), "--checkpoint-every", "0"]
        return [sys.executable, "-m", "hwprofile", *arguments, "--out", str(tmp_path / out)]

    assert killed_until_it_ends(command("whole"), 0, 0) == 0
    killed_until_it_ends(command("killed"), kills, 1)
    files = [tmp_path / out / "scores.json" for out in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()
    arrays = [WeightsFile.load(tmp_path / out / "supernet.npz").digest for out in ("whole", "killed")]
    assert arrays[0] == arrays[1]
