"""From images to trained networks that hold budgets, on this computer's processor, with sklearn's digits.

    python -m benchmarks.digits_walk --out DIR

Supernet, score table, profile of this processor, then one network for each budget: exported with trained
weights, its latency measured in fresh processes, its accuracy counted on test images. All is done anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SHARES = (35, 50, 70, 100)
SEARCH = ["--epochs", "120", "--batch-size", "32"]


def hwprofile(*arguments: object) -> tuple[float, dict[str, Any]]:
    """Run a command, and give its seconds and its answer."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "hwprofile", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - started, json.loads(done.stdout)


def in_process_s(out: Path, budgets_ms: list[float]) -> list[float]:
    """Seconds from a table to a file: solving, checking the best candidates on images, exporting, testing."""
    from hwprofile.budget import parse_budget
    from hwprofile.chosen_device import chosen_device
    from hwprofile.learning.scores_and_weights import ScoresAndWeights
    from hwprofile.session import Session

    session = Session(chosen_device("cpu"), quiet=True)
    source = ScoresAndWeights(search=out / "search", data="digits")
    seconds = []
    for budget_ms in budgets_ms:
        started = time.perf_counter()
        budgets = [parse_budget(f"{budget_ms!r}ms")]
        session.specialize("digits", None, source, budgets, measure=False, out=out / "timed")
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Walk, and print a row for each budget."""
    from hwprofile.display import table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    os.environ["HWPROFILE_HOME"] = str(given.out / "home")
    started = time.perf_counter()
    search_s, searched = hwprofile(
        "search", "ponas", "--space", "digits", "--data", "digits", *SEARCH, "--out", given.out / "search"
    )
    rank = searched["provenance"]["held_out"]
    bench_s, _ = hwprofile("bench", "--space", "digits")
    rows, budgets_ms = [], []
    for share in SHARES:
        _, found = hwprofile(
            "specialize", "--space", "digits", "--search", given.out / "search", "--data", "digits",
            "--budget", f"{share}%", "--out", given.out / str(share),
        )  # fmt: skip
        budgets_ms.append(found["budget"]["latency_ms"])
        measured, counted = found["measured_ms"], found["counted"]
        rows.append(
            [
                f"{1000 * budgets_ms[-1]:.1f} us ({share} %)",
                f"{1000 * measured['median']:.1f} us",
                f"{1000 * measured['high']:.1f} us",
                "yes" if found["holds_budget"] else "NO",
                f"{counted['accuracy']:.2f} %",
                f"{counted['accuracy_low']:.2f} to {counted['accuracy_high']:.2f}",
                found["architecture"],
            ]
        )
    whole_s = time.perf_counter() - started
    for row, seconds in zip(rows, in_process_s(given.out, budgets_ms), strict=True):
        row.append(f"{seconds:.2f} s")
    print(f"search {search_s:.0f} s, bench {bench_s:.0f} s, everything {whole_s:.0f} s")
    print(
        f"the table's Spearman on {rank['networks']} held-out networks: {rank['spearman']:.3f} "
        f"({rank['spearman_low']:.3f} to {rank['spearman_high']:.3f})\n"
    )
    head = [
        "budget",
        "measured",
        "at most (95 %)",
        "holds",
        "test accuracy",
        "95 %",
        "network",
        "solve to file",
    ]
    print(table(head, rows))


if __name__ == "__main__":
    main()
