"""Toy worlds on disk: CSV files of accuracies that add up, and of latencies that do not."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from hwprofile.cli import main
from ponas_core.cell_space import CELL_SPACES, OpSpace
from ponas_core.space_file import shipped_space

MACRO = shipped_space("nasbench-macro")
CELLS = CELL_SPACES["nasbench201"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def answer(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def digits(ops: Sequence[int]) -> str:
    return "".join(map(str, ops))


def commas(ops: Sequence[int]) -> str:
    return ",".join(map(str, ops))


def cell(ops: Sequence[int]) -> str:
    return str(CELLS.architecture(ops))


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@dataclass
class World:
    """Accuracies and latencies of some networks of a space, by the texts in the files.

    A latency is a sum of op costs, and at random up to half as much again: it does not add up.
    """

    space: OpSpace
    accuracy: dict[str, float]
    latency_ms: dict[str, float]
    accuracies_csv: Path
    latencies_csv: Path

    @classmethod
    def written(
        cls,
        folder: Path,
        space: OpSpace,
        written: Callable[[Sequence[int]], str],
        networks: int = 300,
        seed: int = 0,
        suffix: str = ".csv",
    ) -> World:
        rng = np.random.default_rng(seed)
        rows = [rng.uniform(-0.3, 0.3, count) for count in space.op_counts]
        costs = [rng.uniform(0.1, 1.0, count) for count in space.op_counts]
        drawn = {tuple(rng.integers(space.op_counts).tolist()) for _ in range(networks)}
        accuracy, latency_ms = {}, {}
        for ops in sorted(drawn):
            total = sum(row[op] for row, op in zip(rows, ops, strict=True))
            cost = sum(row[op] for row, op in zip(costs, ops, strict=True))
            accuracy[written(ops)] = float(101 - np.exp(2.2 - total))
            latency_ms[written(ops)] = float(cost * rng.uniform(1, 1.5))
        accuracies = write_csv(
            folder / f"accuracies{suffix}",
            ["id", "arch", "val"],
            [(n, *row) for n, row in enumerate(accuracy.items())],
        )
        latencies = write_csv(folder / f"latencies{suffix}", ["arch", "latency_ms"], list(latency_ms.items()))
        return cls(space, accuracy, latency_ms, accuracies, latencies)

    @property
    def evaluator(self) -> list[object]:
        return ["--space", self.space.name, "--evaluator", f"tabular:{self.accuracies_csv}:val"]

    def search(self, *arguments: object, method: str = "random") -> list[object]:
        return ["search", method, *self.evaluator, "--latency", self.latencies_csv, *arguments]

    def median_ms(self) -> float:
        return float(np.median(list(self.latency_ms.values())))
