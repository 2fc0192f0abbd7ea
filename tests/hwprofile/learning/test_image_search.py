"""Every search on images as a person types it: what it leaves, whatever interrupts it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hwprofile.cli import main
from hwprofile.learning.search_folder import Journal
from ponas_core.complexity import complexity
from ponas_core.network_weights import WeightsFile
from ponas_core.score_table import ScoreTable
from ponas_core.space_file import load_space
from tests.hwprofile.learning.test_search import SPACE

QUICK = ["--data", "digits", "--batch-size", "128", "--threads", "1", "--quiet", "--checkpoint-every", "0"]
ASKING = ["--evaluations", "8", "--held-out", "5", "--epochs", "3"]
COMMANDS: dict[str, list[str]] = {
    "ddpnas": ["ddpnas", "--epochs", "6"],
    "ddpnas, regression": [
        "ddpnas", "--epochs", "6", "--set", "credit=regression", "--set", "checked=1", "--set", "rounds=1",
    ],
    "padnas": ["padnas", "--epochs", "4", "--evaluations", "12", "--set", "stages=2", "--set", "keep=0.5"],
    "proxyless, two": ["proxyless", "--epochs", "4", "--set", "warmup_epochs=1"],
    "proxyless, reinforce": [
        "proxyless", "--epochs", "4", "--set", "warmup_epochs=1", "--set", "gradient=reinforce",
    ],
    "table-guided": ["table-guided", *ASKING],
    "random": ["random", *ASKING],
}  # fmt: skip
STEPS_AN_EPOCH = 8

every_search = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "small.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def budget(space: Path) -> float:
    """Multiply-accumulates in millions that about half of the networks hold."""
    macs = complexity(load_space(space), "macs")
    every = [macs.total(ops) for ops in np.ndindex(*(len(row) for row in macs.rows))]
    return float(np.median(every)) / 1e6


@pytest.fixture(scope="module")
def profile(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "small.profile.jsonl"
    options = ["--rounds", "2", "--precision", "50", "--calibrate", "2", "--quiet"]
    result = run("bench", "--space", space, *options, "--out", path)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def folder(space: Path, budget: float, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a finished search under the budget; each is searched once."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("search") / "out"
            result = search(name, space, budget, made[name])
            assert result.exit_code == 0, result.output
        return made[name]

    return of


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def search(name: str, space: Path, budget: float, out: Path, *more: str) -> Result:
    under = ["--budget", f"{budget}MMACs"]
    return run("search", *COMMANDS[name], "--space", space, *QUICK, *under, "--out", out, *more)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_paths(result: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.read_text())
    return {key: value for key, value in found.items() if key not in ("scores", "weights")}


@every_search
def test_a_search_leaves_its_table_its_weights_and_its_result(
    space: Path, budget: float, folder: Callable[[str], Path], name: str
) -> None:
    out, known = folder(name), load_space(space)
    macs = complexity(known, "macs")
    weights = WeightsFile.load(out / "supernet.npz")
    table = ScoreTable.load(out / "scores.json")
    table.check(known)
    assert table.provenance["search"] == COMMANDS[name][0]
    assert table.provenance["weights"] == weights.digest
    assert table.provenance["data"]["name"] == "digits"
    told = json.loads((out / "result.json").read_text())
    assert told["method"] == COMMANDS[name][0]
    assert told["space"] == "small-digits"
    assert told["weights"] == str(out / "supernet.npz")
    assert told["scores"] == str(out / "scores.json")
    assert macs.total(known.parse(told["architecture"]).ops) <= budget * 1e6
    assert 0 <= told["score"] <= 100
    assert told["evaluations"] == len(told["history"])
    assert table.provenance["settings"] == told["settings"]
    if "--evaluations" in COMMANDS[name] or name.startswith("ddpnas"):
        assert told["evaluations"] <= (12 if name == "padnas" else 8)
        for network in told["history"]:
            assert macs.total(known.parse(network["architecture"]).ops) <= budget * 1e6
    if name == "proxyless, reinforce":
        assert told["settings"]["gradient"] == "reinforce"
    if name.startswith("proxyless"):
        assert told["projected"]["architecture"] == told["architecture"]
        assert set(told["expected"]) == {"macs"}
    assert weights.about["step"] == STEPS_AN_EPOCH * int(COMMANDS[name][COMMANDS[name].index("--epochs") + 1])


@every_search
def test_the_same_command_changes_no_file_and_trains_nothing(
    space: Path,
    budget: float,
    folder: Callable[[str], Path],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ponas_core.training.trainer import Trainer

    def learn(trainer: Trainer, step: int) -> None:
        raise AssertionError("a finished search trains")

    before = contents(folder(name))
    monkeypatch.setattr(Trainer, "_learn", learn)
    result = search(name, space, budget, folder(name), "--json")
    assert result.exit_code == 0, result.output
    assert contents(folder(name)) == before
    told = json.loads(result.stdout)
    assert told == {key: json.loads(before["result.json"])[key] for key in told}


class Interruption(Exception):
    """Stands for a process that is gone; nothing catches it."""


@contextmanager
def interrupted(where: str, calls: int) -> Iterator[None]:
    """The `calls`-th call raises: of a step or an evaluation before it, of the others after it."""
    from ponas_core.training.accuracy import SupernetEvaluator
    from ponas_core.training.trainer import Trainer

    made = 0

    def counted(original: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            made += 1
            if made == calls and not after:
                raise Interruption
            found = original(*arguments, **named)
            if made == calls:
                raise Interruption
            return found

        return called

    with pytest.MonkeyPatch.context() as patch:
        if where == "step":
            patch.setattr(Trainer, "_learn", counted(Trainer._learn, after=False))
        elif where == "evaluation":
            patch.setattr(SupernetEvaluator, "accuracy", counted(SupernetEvaluator.accuracy, after=False))
        elif where == "journal":
            patch.setattr(Journal, "append", counted(Journal.append, after=True))
        elif where == "state":
            patch.setattr(WeightsFile, "save", counted(WeightsFile.save, after=True))
        else:
            patch.setattr(ScoreTable, "save", counted(ScoreTable.save, after=True))
        yield


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("ddpnas", "padnas", "proxyless, two") else pytest.mark.slow)
        for name in COMMANDS
    ],
)
@pytest.mark.parametrize(
    "stops",
    [
        [("step", 5)],
        [("step", 23), ("step", 2)],
        [("evaluation", 1), ("evaluation", 3), ("evaluation", 2)],
        [("journal", 1), ("journal", 3), ("step", 1)],
        [("state", 1), ("state", 2), ("table", 1)],
    ],
    ids=lambda stops: " ".join(f"{where}{calls}" for where, calls in stops),
)
def test_an_interrupted_search_ends_with_the_same_files(
    space: Path,
    budget: float,
    folder: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    stops: list[tuple[str, int]],
) -> None:
    out, times = tmp_path / "out", 0
    for where, calls in stops:
        with interrupted(where, calls):
            stopped = search(name, space, budget, out)
        times += isinstance(stopped.exception, Interruption)
        assert isinstance(stopped.exception, Interruption) or stopped.exit_code == 0, stopped.output
    # at least one of them met the search
    assert times or (name.startswith("proxyless") and stops[0][0] == "journal")
    result = search(name, space, budget, out)
    assert result.exit_code == 0, result.output
    whole = folder(name)
    assert (out / "scores.json").read_bytes() == (whole / "scores.json").read_bytes()
    assert without_paths(out / "result.json") == without_paths(whole / "result.json")
    here, there = (WeightsFile.load(place / "supernet.npz") for place in (out, whole))
    assert here.digest == there.digest
    assert here.arrays.keys() == there.arrays.keys()
    for key, array in here.arrays.items():
        assert array.tobytes() == there.arrays[key].tobytes()


@pytest.mark.parametrize(
    ("owner", "other", "words"),
    [
        ("ddpnas", "padnas", "search ddpnas, not padnas"),
        ("padnas", "ddpnas", "search padnas, not ddpnas"),
        ("proxyless, two", "ddpnas", "search proxyless, not ddpnas"),
        ("ddpnas", "random", "of search ddpnas"),
        ("proxyless, two", "table-guided", "of search proxyless"),
        ("random", "ddpnas", "not of search ddpnas"),
        ("random", "proxyless, two", "not of search proxyless"),
        ("ddpnas", "ddpnas, regression", "rounds None, not 1"),
    ],
)
def test_the_folder_of_another_search_is_refused_and_left_as_it_is(
    space: Path, budget: float, folder: Callable[[str], Path], owner: str, other: str, words: str
) -> None:
    before = contents(folder(owner))
    for more in ([], ["--epochs", COMMANDS[owner][COMMANDS[owner].index("--epochs") + 1]]):
        result = search(other, space, budget, folder(owner), *more, "--shared-epochs", "0")
        assert result.exit_code == 1, result.output
        assert words in result.stderr
        assert "choose another place" in result.stderr
    assert contents(folder(owner)) == before


@pytest.mark.parametrize("name", ["ddpnas", "padnas", "proxyless, two"])
def test_the_folder_of_a_search_under_another_budget_is_refused(
    space: Path, budget: float, folder: Callable[[str], Path], name: str
) -> None:
    before = contents(folder(name))
    result = search(name, space, budget * 1.2, folder(name))
    assert result.exit_code == 1, result.output
    assert "choose another place" in result.stderr
    assert contents(folder(name)) == before


@every_search
def test_a_network_for_another_budget_is_specialized_from_every_search(
    space: Path,
    budget: float,
    folder: Callable[[str], Path],
    profile: Path,
    tmp_path: Path,
    name: str,
) -> None:
    out, smaller = tmp_path / "out", budget * 0.9
    result = run(
        "specialize", "--space", space, "--profile", profile, "--search", folder(name), "--data", "digits",
        "--budget", f"{smaller}MMACs", "--no-measure", "--quiet", "--out", out, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["weights"] == "trained"
    assert (out / "network.onnx").exists()
    known = load_space(space)
    assert complexity(known, "macs").total(known.parse(told["architecture"]).ops) <= smaller * 1e6


def test_padnas_with_few_evaluations_leaves_a_table_all_the_same(
    space: Path, budget: float, tmp_path: Path
) -> None:
    for evaluations in ("4", "5"):
        out = tmp_path / evaluations
        result = search("padnas", space, budget, out, "--evaluations", evaluations, "--set", "stages=3")
        assert result.exit_code == 0, result.output
        ScoreTable.load(out / "scores.json").check(load_space(space))


def test_a_small_space_is_not_evaluated_so_far_that_nothing_is_held_out(space: Path, tmp_path: Path) -> None:
    command = ["search", "random", "--space", space, *QUICK, "--epochs", "1", "--out", tmp_path / "out"]
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["evaluations"] == 27 - 24
    assert ScoreTable.load(tmp_path / "out" / "scores.json").provenance["held_out"]["networks"] == 24


def test_a_search_with_too_few_epochs_or_evaluations_says_so_before_it_trains(
    space: Path, budget: float, tmp_path: Path
) -> None:
    for name, more, words in (
        ("padnas", ["--evaluations", "2"], "take 3 evaluations, not 2"),
        ("random", ["--evaluations", "1"], "at least two"),
        ("random", ["--held-out", "26"], "27 networks, 26 of them held out"),
        ("proxyless, two", ["--epochs", "1"], "no step of 1 epochs learns the architecture"),
    ):
        result = search(name, space, budget, tmp_path / name, *more)
        assert result.exit_code == 1, result.output
        assert words in result.stderr
        assert not (tmp_path / name / "supernet.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ddpnas", "--evaluations", "5"], 2, "ddpnas has no --evaluations with --data"),
        (["proxyless", "--evaluations", "5"], 2, "proxyless has no --evaluations with --data"),
        (["proxyless", "--set", "target=3"], 2, "give the target as --budget"),
        (["ddpnas", "--set", "round=3"], 2, "ddpnas has no setting 'round'; its settings are rounds"),
        (["random", "--set", "rounds=3"], 2, "random has no setting 'rounds'; it has no settings"),
        (["padnas", "--set", "train=none"], 2, "padnas has no setting 'train'"),
        (["padnas", "--set", "keep=much"], 2, "keep is a number, not 'much'"),
        (["padnas", "--set", "keep=2"], 2, "keep is a share"),
        (["random", "--table", "one-change"], 2, "belong to ponas"),
        (["ddpnas", "--fine-tune-steps", "3", "--table", "progressive"], 2, "belong to ponas"),
        (["random", "--evaluator", "tabular"], 2, "not both"),
        (["ponas", "--budget", "1MMACs"], 2, "give --budget to `hwprofile specialize`"),
        (["ddpnas", "--budget", "1ms"], 2, "--latency"),
        (["ddpnas", "--budget", "0.000001MMACs"], 4, "smallest reachable"),
        *(
            (([method, "--space", "nasbench201"]), 1, "nasbench201")
            for method in ("ddpnas", "random", "proxyless")
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
    space: Path, home: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    where = [] if "--space" in arguments else ["--space", str(space)]
    result = run("search", *arguments, *where, *QUICK, "--out", tmp_path / "out")
    assert words in result.stderr, result.output
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out" / "supernet.npz").exists()
