"""`hwprofile search METHOD` among networks of known accuracies, as a person types it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofile.budget import parse_budget
from hwprofile.cli.learning import METHODS as TYPED
from hwprofile.errors import BudgetInfeasible
from hwprofile.learning.known_networks import KnownNetworks
from hwprofile.learning.pool import Choosing
from ponas_core.accuracies import published_accuracies
from ponas_core.complexity import complexity
from ponas_core.score_table import ScoreTable
from ponas_core.searches.methods import METHODS
from tests.hwprofile.learning.known_worlds import (
    CELLS,
    MACRO,
    World,
    answer,
    cell,
    commas,
    digits,
    run,
    write_csv,
)

ROOT = Path(__file__).parents[3]
SPELLINGS = pytest.mark.parametrize(
    ("space", "written"),
    [(MACRO, digits), (MACRO, commas), (CELLS, cell), (CELLS, digits)],
    ids=["digits", "commas", "cells", "cells-digits"],
)


@pytest.fixture
def macro(home: Path, tmp_path: Path) -> World:
    return World.written(tmp_path, MACRO, digits)


def test_the_command_offers_every_method_that_there_is() -> None:
    assert set(METHODS) <= set(TYPED)
    assert len(TYPED) == 9


@SPELLINGS
@pytest.mark.parametrize("method", ["random", "table-guided"])
def test_the_answer_is_in_the_words_of_the_file(
    home: Path, tmp_path: Path, space: object, written: Callable[[Sequence[int]], str], method: str
) -> None:
    world = World.written(tmp_path, space, written)  # type: ignore[arg-type]  # one of two spaces
    budget = world.median_ms()
    told = answer(*world.search("--evaluations", 30, "--seed", 3, "--budget", f"{budget!r}ms", method=method))
    name = told["architecture"]
    assert told["score"] == world.accuracy[name]
    assert told["latency_ms"] == world.latency_ms[name] <= budget
    assert told["budget"] == {"latency_ms": budget}
    assert told["budget_text"] == [f"{budget!r}ms"]
    assert (told["method"], told["space"], told["seed"]) == (method, world.space.name, 3)
    assert told["candidates"] == sum(latency <= budget for latency in world.latency_ms.values())
    assert told["scores"] is None
    history = told["history"]
    assert told["evaluations"] == len(history) == 30
    assert len({row["architecture"] for row in history}) == 30
    for row in history:
        assert row["score"] == world.accuracy[row["architecture"]]
        assert row["latency_ms"] == world.latency_ms[row["architecture"]] <= budget
    assert told["score"] == max(row["score"] for row in history)
    assert not (home.parent / "search").exists()  # nothing is written unasked


def test_without_latencies_and_budgets_every_row_is_a_candidate(macro: World) -> None:
    told = answer("search", "random", *macro.evaluator, "--evaluations", 1000)
    assert told["evaluations"] == told["candidates"] == len(macro.accuracy)
    assert told["score"] == max(macro.accuracy.values())
    assert told["latency_ms"] is None
    assert told["budget"] == {}
    assert all(set(row) == {"architecture", "score"} for row in told["history"])


def test_one_evaluation_is_enough(macro: World) -> None:
    told = answer(*macro.search("--evaluations", 1))
    assert [row["architecture"] for row in told["history"]] == [told["architecture"]]


def test_a_hundred_evaluations_are_the_default(macro: World) -> None:
    assert answer(*macro.search())["evaluations"] == 100


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"ponas"}))
def test_a_seed_decides(macro: World, method: str) -> None:
    first, again, other = (
        answer(*macro.search("--evaluations", 20, "--seed", seed, method=method)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first["history"] != other["history"]


def test_networks_without_accuracy_or_latency_are_no_candidates(home: Path, tmp_path: Path) -> None:
    world = World.written(tmp_path, MACRO, digits, networks=40)
    best = sorted(world.accuracy, key=lambda name: -world.accuracy[name])
    unknown, absent, empty = best[:5], best[5:10], best[10:15]
    write_csv(
        world.accuracies_csv,
        ["arch", "val"],
        [
            (name, ["", " ", "nan"][n % 3] if name in unknown else value)
            for n, (name, value) in enumerate(world.accuracy.items())
        ],
    )
    rows = [
        (name, "" if name in empty else ms) for name, ms in world.latency_ms.items() if name not in absent
    ]
    write_csv(world.latencies_csv, ["arch", "latency_ms"], rows)
    told = answer(*world.search("--evaluations", 1000))
    assert {row["architecture"] for row in told["history"]} == set(best[15:])
    assert told["architecture"] == best[15]


def test_a_network_that_stands_twice_with_one_value_counts_once(home: Path, tmp_path: Path) -> None:
    rows = [("00000001", 90.0), ("0,0,0,0,0,0,0,1", 90.0), ("00000002", 80.0)]
    path = write_csv(tmp_path / "twice.csv", ["arch", "val"], rows)
    told = answer("search", "random", "--space", "nasbench-macro", "--evaluator", f"tabular:{path}:val")
    assert (told["evaluations"], told["architecture"]) == (2, "00000001")


def test_published_accuracies_need_no_file(home: Path) -> None:
    known = published_accuracies(MACRO)
    assert known is not None
    told = answer(
        "search", "table-guided", "--space", "nasbench-macro", "--evaluator", "tabular",
        "--budget", "35MMACs", "--budget", "0.6Mparams", "--budget", "3MB", "--evaluations", 20,
    )  # fmt: skip
    ops = MACRO.parse(told["architecture"]).ops
    assert told["architecture"] == commas(ops)
    assert told["score"] == known.values[ops]
    assert told["budget"] == {"macs": 35e6, "params": 0.6e6, "stored_bytes": 3e6}
    for row in told["history"]:
        found = MACRO.parse(row["architecture"]).ops
        assert complexity(MACRO, "macs").total(found) <= 35e6
        assert complexity(MACRO, "params").total(found) <= 0.6e6


def test_sizes_of_cells_are_limited_without_latencies(home: Path, tmp_path: Path) -> None:
    world = World.written(tmp_path, CELLS, cell)
    told = answer("search", "random", *world.evaluator, "--budget", "80MMACs", "--budget", "0.5Mparams")
    cells = [CELLS.parse(row["architecture"]) for row in told["history"]]
    assert cells
    assert all(CELLS.macs(found) <= 80e6 and CELLS.params(found) <= 0.5e6 for found in cells)


def test_gzipped_files_are_read_as_others(home: Path, tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.mkdir()
    packed.mkdir()
    worlds = World.written(plain, CELLS, cell), World.written(packed, CELLS, cell, suffix=".csv.gz")
    assert worlds[1].latencies_csv.read_bytes()[:2] == b"\x1f\x8b"
    first, second = (answer(*world.search("--budget", "5ms")) for world in worlds)
    assert first == second


def test_settings_of_the_method_are_set_and_told(macro: World) -> None:
    plain = answer(*macro.search("--evaluations", 30, method="table-guided"))
    told = answer(
        *macro.search("--evaluations", 30, "--set", "first=0.9", "--set", "batch=2", method="table-guided")
    )
    assert told["settings"] == {**plain["settings"], "first": 0.9, "batch": 2}
    assert told["history"] != plain["history"]


def test_people_get_a_few_lines(macro: World) -> None:
    result = run(*macro.search("--evaluations", 30, "--budget", "5.5ms"))
    assert result.exit_code == 0
    told = answer(*macro.search("--evaluations", 30, "--budget", "5.5ms"))
    lines = result.stdout.splitlines()
    assert f"network    {told['architecture']}" in lines
    assert f"score      {told['score']:.2f} %" in lines
    assert "budget     5.5ms" in lines
    assert f"evaluated  30 of {told['candidates']} candidates" in lines
    assert [line.split()[0] for line in lines[-6:]] == ["1", "2", "5", "10", "20", "30"]
    assert lines[-1].endswith(f" {told['score']:.2f} %")
    few = run(*macro.search("--evaluations", 3)).stdout
    assert "best so far" not in few


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--budget", "5"], 2, "needs a unit"),
        (["--budget", "60%"], 2, "a search does not know yet"),
        (["--budget", "2mJ"], 2, "no energy source"),
        (["--evaluations", "0"], 2, "--evaluations"),
        (["--set", "first"], 2, "write NAME=VALUE"),
        (["--set", "first=2"], 2, "first is a share"),
        (["--set", "batch=1.5"], 2, "batch is a whole number"),
        (["--set", "size=1"], 2, "its settings are first=0.3, batch=8"),
        (["--data", "digits"], 2, "not both"),
        (["--latency", "none.csv"], 1, "cannot read none.csv"),
        (["--latency", "none.json"], 1, "cannot read"),
        (["--budget", "1us"], 4, "the smallest reachable is"),
        (["--budget", "1kMACs"], 4, "the smallest reachable is"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
    macro: World, arguments: list[str], code: int, words: str
) -> None:
    result = run(*macro.search(*arguments, "--out", "out", method="table-guided"))
    assert result.exit_code == code, result.output
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["random"], 2, "give --data"),
        (["random", "--data", "digits", "--space", "nasbench201"], 1, "nasbench201"),
        (["random", "--evaluator", "told"], 2, "write tabular"),
        (["random", "--evaluator", "tabular:accuracies.csv"], 2, "tabular:FILE.csv:COLUMN"),
        (["random", "--evaluator", "tabular", "--space", "digits"], 1, "comes without accuracies"),
        (["random", "--evaluator", "tabular", "--space", "none"], 1, "no space 'none'"),
        (["random", "--evaluator", "tabular:none.csv:val"], 1, "cannot read none.csv"),
        (["random", "--evaluator", "tabular:accuracies.csv:top1"], 1, "needs a header with the column top1"),
        (["random", "--evaluator", "tabular:accuracies.csv:val", "--budget", "5ms"], 2, "needs --latency"),
        (["random", "--evaluator", "tabular:accuracies.csv:val", "--space", "nasbench201"], 1, "line 2"),
        (["guess", "--evaluator", "tabular"], 2, "guess"),
        (
            ["ponas", "--evaluator", "tabular", "--held-out", "9", "--set", "checked=4"],
            2,
            "ponas has no --set",
        ),
        (["random", "--evaluator", "tabular", "--table", "one-change"], 2, "belong to ponas"),
        (["ponas", "--data", "digits", "--budget", "5ms"], 2, "hwprofile specialize"),
    ],
)
def test_what_is_named_wrongly_is_one_sentence_and_an_exit_code(
    macro: World, arguments: list[str], code: int, words: str
) -> None:
    result = run("search", "--space", "nasbench-macro", *arguments)
    assert result.exit_code == code, result.output
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("accuracies", "latencies", "words"),
    [
        (["00000000,90", "00000001,many"], ["00000000,1"], "line 3: val is an accuracy in per cent"),
        (["00000000,90", "00000001,100.5"], ["00000000,1"], "line 3: val is an accuracy"),
        (["00000000,90", "00000003,80"], ["00000000,1"], "line 3"),
        (["00000000,90", "00000001,1", "00000000,91"], ["00000000,1"], "line 4: 00000000 stands in line 2"),
        (["00000000,90", "00000000,"], ["00000000,1"], "line 3: 00000000 stands in line 2"),
        (["00000000,"], ["00000000,1"], "holds no accuracy"),
        (["00000000,90"], ["00000000,slow"], "line 2: latency_ms is a number of milliseconds"),
        (["00000000,90"], ["00000000,-1"], "line 2: latency_ms"),
        (["00000000,90"], ["00000000,inf"], "line 2: latency_ms"),
        (["00000000,90"], ["00000000,1", "00000000,2"], "line 3: 00000000 stands in line 2"),
        (["00000000,90"], ["0000000,1"], "line 2"),
        (["00000000,90"], ["00000001,1"], "knows the latency of none"),
        (["00000000,90"], ["00000001,"], "holds no latency"),
    ],
)
def test_an_unusable_row_is_named(
    home: Path, tmp_path: Path, accuracies: list[str], latencies: list[str], words: str
) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["arch,val", *accuracies]))
    (tmp_path / "l.csv").write_text("\n".join(["arch,latency_ms", *latencies]))
    result = run(
        "search",
        "random",
        "--space",
        "nasbench-macro",
        "--evaluator",
        "tabular:a.csv:val",
        "--latency",
        "l.csv",
    )
    assert result.exit_code == 1, result.output
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_latency_of_nothing_holds_any_budget(home: Path, tmp_path: Path) -> None:
    accuracies = write_csv(tmp_path / "a.csv", ["arch", "val"], [("000000", 10.0), ("111111", 50.0)])
    latencies = write_csv(tmp_path / "l.csv", ["arch", "latency_ms"], [("000000", 0), ("111111", 1)])
    told = answer(
        "search", "random", "--space", "nasbench201", "--evaluator", f"tabular:{accuracies}:val",
        "--latency", latencies, "--budget", "1us",
    )  # fmt: skip
    assert (told["architecture"], told["latency_ms"]) == ("000000", 0.0)


def test_the_bytes_of_a_cell_are_not_known(home: Path, tmp_path: Path) -> None:
    world = World.written(tmp_path, CELLS, cell, networks=5)
    result = run(*world.search("--budget", "5MB"))
    assert result.exit_code == 2
    assert "not known" in result.stderr


@pytest.mark.parametrize("budget", ["1us", "1kMACs", "1kparams", "1kB"])
def test_the_smallest_reachable_value_can_be_typed_as_a_budget(macro: World, budget: str) -> None:
    result = run(*macro.search("--budget", budget))
    assert result.exit_code == 4
    smallest = result.stderr.strip().rsplit(" is ", 1)[1]
    assert answer(*macro.search("--budget", smallest))["candidates"] == 1


def test_of_several_budgets_that_nothing_holds_one_is_named_after_the_other(macro: World) -> None:
    first, second = ["--budget", "1us"], ["--budget", "1kMACs"]
    for _ in range(2):
        result = run(*macro.search(*first, *second))
        assert result.exit_code == 4
        reachable = ["--budget", result.stderr.strip().rsplit(" is ", 1)[1]]
        first, second = (reachable, second) if reachable[1].endswith("ms") else (first, reachable)
    assert answer(*macro.search(*first, *second))["candidates"] >= 1


def test_budgets_that_hold_alone_but_not_together_name_what_is_reachable(macro: World) -> None:
    fastest = min(macro.latency_ms, key=macro.latency_ms.__getitem__)
    macs = complexity(MACRO, "macs")
    by_macs = {name: macs.total(MACRO.parse(name).ops) for name in macro.latency_ms}
    smallest = min(by_macs.values())
    assert by_macs[fastest] > smallest
    tight = f"{macro.latency_ms[fastest]!r}ms"
    result = run(*macro.search("--budget", tight, "--budget", f"{smallest / 1e6!r}MMACs"))
    assert result.exit_code == 4
    assert f"beside {smallest / 1e6!r} MMACs is " in result.stderr
    reachable = result.stderr.strip().rsplit(" is ", 1)[1]
    told = answer(*macro.search("--budget", reachable, "--budget", f"{smallest / 1e6!r}MMACs"))
    assert by_macs[told["architecture"]] == smallest


@given(
    latencies=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6, unique=True),
    share=st.floats(0.1, 1.0, exclude_max=True),
)
def test_budgets_are_held_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, latencies: list[float], share: float
) -> None:
    folder = tmp_path_factory.mktemp("exact")
    names = [digits(CELLS.architecture((n, 1, 2, 3, 4, n % 2)).ops) for n in range(5)][: len(latencies)]
    latencies = latencies[: len(names)]
    known = KnownNetworks.named(
        CELLS, f"tabular:{write_csv(folder / 'a.csv', ['arch', 'v'], [(name, 50) for name in names])}:v"
    )
    path = write_csv(folder / "l.csv", ["arch", "latency_ms"], list(zip(names, latencies, strict=True)))
    for latency in latencies:
        pool = Choosing.typed(path, [f"{latency!r}ms"]).pool(CELLS, known.ops)
        assert pool.candidates.count == sum(other <= latency for other in latencies)
    below = math.nextafter(min(latencies), 0) if share > 0.5 else share * min(latencies)
    with pytest.raises(BudgetInfeasible) as caught:
        Choosing.typed(path, [f"{below!r}ms"]).pool(CELLS, known.ops)
    smallest = str(caught.value).rsplit(" is ", 1)[1]
    assert parse_budget(smallest).at_most == min(latencies)
    assert Choosing.typed(path, [smallest]).pool(CELLS, known.ops).candidates.count == 1


@SPELLINGS
def test_a_folder_keeps_table_evaluations_and_result(
    home: Path, tmp_path: Path, space: object, written: Callable[[Sequence[int]], str]
) -> None:
    world = World.written(tmp_path, space, written)  # type: ignore[arg-type]  # one of two spaces
    command = world.search("--evaluations", 25, "--out", tmp_path / "out")
    told = answer(*command)
    kept = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (kept.pop("schema_version"), kept.pop("file")) == (1, "hwprofile-search")
    assert kept == told
    assert told["scores"] == str(tmp_path / "out" / "scores.json")
    table = ScoreTable.load(tmp_path / "out" / "scores.json")
    table.check(world.space)
    assert table.provenance["search"] == "random"
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(before["evaluations.jsonl"].splitlines()) == 25
    assert answer(*command) == told
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert {**told, "scores": None} == answer(*world.search("--evaluations", 25))


def test_too_few_evaluations_fill_no_table(macro: World, tmp_path: Path) -> None:
    told = answer(*macro.search("--evaluations", 2, "--out", tmp_path / "out"))
    assert told["scores"] is None
    assert not (tmp_path / "out" / "scores.json").exists()


def test_evaluations_of_another_file_or_column_are_left_alone(macro: World, tmp_path: Path) -> None:
    command = macro.search("--evaluations", 10, "--out", tmp_path / "out")
    first = answer(*command)
    rows = [(name, value / 2) for name, value in macro.accuracy.items()]
    write_csv(macro.accuracies_csv, ["arch", "val"], rows)
    second = answer(*command)
    assert [row["score"] for row in second["history"]] == [row["score"] / 2 for row in first["history"]]


SLOW = """
import sys, time
from ponas_core.evaluation import Ledger
told = Ledger.accuracy
def slow(self, network):
    if not self.keeps(network):
        time.sleep(0.01)
    return told(self, network)
Ledger.accuracy = slow
from hwprofile.cli import main
main(sys.argv[1:])
"""


def started(command: Sequence[object]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def stopped(process: subprocess.Popen[bytes], journal: Path, lines: int, number: int) -> bytes:
    """Send a signal once so many evaluations are paid for; what it said on stderr."""
    until = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= lines):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(number)
    return process.communicate(timeout=60)[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_an_interrupted_search_goes_on_and_pays_for_nothing_twice(
    macro: World, tmp_path: Path, number: int, code: int
) -> None:
    def command(out: str) -> list[object]:
        return macro.search("--evaluations", 90, "--out", tmp_path / out, method="table-guided")

    journal = tmp_path / "killed" / "evaluations.jsonl"
    for lines in (20, 60):
        process = started(command("killed"))
        errors = stopped(process, journal, lines, number)
        assert process.returncode == code, errors
        assert b"Traceback" not in errors
    kept = journal.read_bytes().count(b"\n")
    assert 60 <= kept < 90
    resumed, whole = answer(*command("killed")), answer(*command("whole"))
    assert {**resumed, "scores": None} == {**whole, "scores": None}
    rows = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    assert max(Counter(row["architecture"] for row in rows).values()) == 1
    assert len(rows) == 90
    tables = [(tmp_path / out / "scores.json").read_bytes() for out in ("killed", "whole")]
    assert tables[0] == tables[1]


def test_ponas_tells_the_best_network_of_its_table_too(macro: World, home: Path, tmp_path: Path) -> None:
    told = answer(
        "search", "ponas", "--space", "nasbench-macro", "--evaluator", "tabular", "--budget", "35MMACs",
        "--evaluations", 40, "--held-out", 10, "--out", tmp_path / "out",
    )  # fmt: skip
    known = published_accuracies(MACRO)
    assert known is not None
    ops = MACRO.parse(told["architecture"]).ops
    macs = complexity(MACRO, "macs")
    assert macs.total(ops) <= 35e6
    assert told["score"] == known.values[ops]
    assert told["latency_ms"] is None
    assert told["evaluations"] == len(told["history"]) == 50
    table = ScoreTable.load(Path(told["scores"]))
    within = [found for found in known.values if macs.total(found) <= 35e6]
    assert table.total(ops) == pytest.approx(max(map(table.total, within)))
