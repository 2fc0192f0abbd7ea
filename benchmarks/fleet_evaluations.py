"""What workers of a fleet save a search, and what handing a network to one of them costs.

    python -m benchmarks.fleet_evaluations engine      # milliseconds a network takes beside its evaluation
    python -m benchmarks.fleet_evaluations supernet    # of digits, on the processors of this computer
    python -m benchmarks.fleet_evaluations waiting     # evaluations of 0.2 s that take no processor here
    python -m benchmarks.fleet_evaluations ahead       # what evolution gains and loses by `ahead`

A scheduler and its workers are started on this computer; their start is not counted. Every run is checked:
networks and accuracies are those of the search without a fleet. Runs with and without take turns, and the
median of three is told, since others may use the computer too.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

from hwprofile.display import table
from hwprofile.fleet.evaluations import FleetEvaluator
from hwprofile.fleet.members import EVALUATION
from hwprofile.fleet.scheduler import Scheduler
from hwprofile.fleet.worker import Work
from ponas_core.accuracies import published_accuracies
from ponas_core.evaluation import Evaluator, Ledger, TabularEvaluator
from ponas_core.searches.candidates import Candidates, ListedCandidates, Ops, SolvedCandidates
from ponas_core.searches.evolution import RegularizedEvolution
from ponas_core.searches.interface import Search
from ponas_core.searches.methods import METHODS
from ponas_core.space_file import shipped_space
from tests.hwprofile.fleet.dask_cluster import DaskCluster
from tests.hwprofile.fleet.worlds import HERE, Slow
from tests.ponas_core.searches.worlds import Crew

WORKERS = (1, 2, 4)
REPEATS = 3
WAIT_S = 0.2
WORKERS_OF_PAPER = 8
SEARCHES: dict[str, Search] = {
    **{name: METHODS[name]() for name in ("random", "table-guided", "evolution")},
    "evolution, ahead=4": RegularizedEvolution(ahead=4),
}


@dataclass(frozen=True)
class Task:
    """A search, what it asks, and how a worker makes that.

    Attributes:
        search: asks.
        candidates: the networks.
        evaluator: answers here.
        work: answers on a worker.
        most: networks that are asked for.
    """

    search: Search
    candidates: Candidates
    evaluator: Evaluator
    work: Work
    most: int

    def seconds(self, evaluator: Evaluator) -> tuple[float, list[tuple[Ops, float]]]:
        """How long the search takes, and what it saw."""
        ledger = Ledger(evaluator, most=self.most)
        begin = time.perf_counter()
        self.search.run(self.candidates, ledger, np.random.default_rng(0))
        return time.perf_counter() - begin, [(network.ops, value) for network, value in ledger.history]


@contextmanager
def cluster(workers: int) -> Iterator[DaskCluster]:
    with tempfile.TemporaryDirectory() as folder, DaskCluster(Path(folder), env=HERE) as found:
        for number in range(workers):
            found.add_worker(f"worker-{number}", {EVALUATION: 1}, options=())
        found.ready()
        yield found


def compared(task: Task) -> dict[str, Any]:
    """Median seconds alone and with so many workers, and the same of getting ready and of processor time."""
    alone: list[float] = []
    here: list[float] = []
    there: list[float] = []
    fleet: dict[int, list[float]] = {count: [] for count in WORKERS}
    ready: dict[int, list[float]] = {count: [] for count in WORKERS}
    for _ in range(REPEATS):
        before = time.process_time()
        seconds, seen = task.seconds(task.evaluator)
        alone.append(seconds)
        here.append(time.process_time() - before)
        for count in WORKERS:
            with cluster(count) as started, started.client() as client:
                scheduler = Scheduler(started.address, print)
                begin = time.perf_counter()
                with FleetEvaluator(scheduler, task.work, "", lambda text: None) as evaluator:
                    ready[count].append(time.perf_counter() - begin)
                    before = _processor_s(client)
                    seconds, same = task.seconds(evaluator)
                    there.append(_processor_s(client) - before)
                fleet[count].append(seconds)
                assert same == seen, "a fleet changed the search"
    return {
        "networks": len(seen),
        "alone": statistics.median(alone),
        "fleet": {count: statistics.median(fleet[count]) for count in WORKERS},
        "ready": {count: statistics.median(ready[count]) for count in WORKERS},
        "here_ms": statistics.median(here) / len(seen) * 1e3,
        "there_ms": statistics.median(there) / len(seen) * 1e3,
    }


def _processor_s(client: Client) -> float:
    """Processor time that all workers have used so far."""
    return math.fsum(client.run(time.process_time).values())


def engine() -> None:
    space = shipped_space("nasbench-macro")
    known = published_accuracies(space)
    assert known is not None
    evaluator = TabularEvaluator(known)
    rows = []
    for name in ("random", "spos", "reinforce"):
        found = compared(Task(METHODS[name](), SolvedCandidates(space), evaluator, evaluator, 200))
        beside = [(found["fleet"][count] - found["alone"]) / found["networks"] * 1e3 for count in WORKERS]
        rows.append([name, str(found["networks"]), *(f"{ms:.1f} ms" for ms in beside)])
    print(table(["search", "networks", *(f"{count} workers" for count in WORKERS)], rows))


def speed_up(tasks: dict[str, Task]) -> None:
    rows = []
    for name, task in tasks.items():
        found = compared(task)
        ratios = [found["alone"] / found["fleet"][count] for count in WORKERS]
        rows.append(
            [
                name,
                str(found["networks"]),
                f"{found['alone']:.1f} s",
                *(f"{ratio:.2f}" for ratio in ratios),
                f"{found['ready'][WORKERS[-1]]:.1f} s",
                f"{found['here_ms']:.0f} ms",
                f"{found['there_ms']:.0f} ms",
            ]
        )
    times = [f"× with {count}" for count in WORKERS]
    processor = ["processor alone", "on workers"]
    print(table(["search", "networks", "alone", *times, f"{WORKERS[-1]} get ready", *processor], rows))


def waiting() -> None:
    candidates, slow = SolvedCandidates(shipped_space("nasbench-macro")), Slow(WAIT_S)
    speed_up({name: Task(search, candidates, slow, slow, 100) for name, search in SEARCHES.items()})


def supernet() -> None:
    from hwprofile.learning.evaluators import SupernetRecipe
    from hwprofile.learning.options import training_device
    from hwprofile.learning.search_folder import SearchFolder
    from hwprofile.learning.supernet_search import evaluator_of, trained_supernet
    from hwprofile.learning.training import Learning, TrainingData
    from ponas_core.training.recipe import TrainingRecipe

    space = shipped_space("digits")
    data = TrainingData.named(space, "digits", training_device(space, "cpu", 1, 64), lambda text: None)
    learning = Learning(data, TrainingRecipe(epochs=4, batch=64), checkpoint_every_s=60, quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        trained = trained_supernet(space, learning, SearchFolder(Path(folder)))
    assert trained is not None
    net, weights = trained
    evaluator = evaluator_of(net, weights, data)
    recipe = SupernetRecipe.of(space, weights, data)
    speed_up({"random": Task(METHODS["random"](), SolvedCandidates(space), evaluator, recipe, 60)})


def ahead() -> None:
    space = shipped_space("nasbench-macro")
    known = published_accuracies(space)
    assert known is not None
    candidates = ListedCandidates(space, np.array(list(known.values), np.intp))
    rows, first = [], None
    for lag in (1, 2, 4, 8, 16):
        search, found, faster = RegularizedEvolution(ahead=lag), [], []
        for seed in range(400):
            crew = Crew(TabularEvaluator(known), WORKERS_OF_PAPER)
            ledger = Ledger(crew, most=100)
            best = search.run(candidates, ledger, np.random.default_rng(seed)).ops
            found.append(known.values[best])
            faster.append(ledger.evaluations / crew.clock)
        values = np.array(found)
        first = values if first is None else first
        loss, error = values - first, np.std(values - first, ddof=1) / np.sqrt(len(values))
        told = "" if lag == 1 else f"{loss.mean():+.3f} ± {error:.3f}"
        rows.append([str(lag), f"{np.mean(faster):.1f}", f"{values.mean():.3f} %", told])
    print(table(["ahead", f"× with {WORKERS_OF_PAPER} workers", "found, mean", "against ahead=1"], rows))


PARTS: dict[str, Callable[[], None]] = {
    "engine": engine,
    "supernet": supernet,
    "waiting": waiting,
    "ahead": ahead,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    PARTS[parser.parse_args().part]()
