"""PONAS, PAD-NAS, DDPNAS and ProxylessNAS on the same images and the same budget in ms, to trained networks.

    python -m benchmarks.four_searches --out DIR

All train on scikit-learn's digits for as many epochs, on this computer's processor, and end in a score table
and a supernet. From there one walk serves them all: the exact solver takes the best networks of the table
within the budget, images that chose nothing before choose among them, the winner learns on by itself, is
exported, measured in fresh processes, and tested on images that chose nothing. `searched` is what the search
itself chose, by its predicted latency; `network` is what the walk ended with. One seed: with 360 test images
the accuracies of four methods are told apart by several points only, which the intervals say.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.digits_walk import hwprofile

METHODS = {
    "ponas": ["--epochs", "108"],
    "padnas": ["--epochs", "108", "--evaluations", "96"],
    "ddpnas": ["--epochs", "108"],
    "proxyless": ["--epochs", "108", "--set", "warmup_epochs=27"],
}
"""Options of each; for DDPNAS, 108 epochs are twelve samplings of 4 + 3 + 2 networks."""
SHARE = 50
"""Of the latency of PONAS' most accurate network, per cent: the budget of all."""
FINE_TUNE_EPOCHS = 30
DIGITS = ("--space", "digits", "--data", "digits")


def main() -> None:
    """Search by every method, and print a row for each."""
    from hwprofile.display import table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    os.environ["HWPROFILE_HOME"] = str(given.out / "home")
    _, benched = hwprofile("bench", "--space", "digits")
    budget, rows = f"{SHARE}%", []
    for method, options in METHODS.items():
        folder, limit = given.out / method, []
        if method != "ponas":
            limit = ["--latency", benched["profile"], "--budget", budget]
        seconds, searched = hwprofile(
            "search", method, *DIGITS, "--batch-size", "32", *options, *limit, "--out", folder
        )
        _, found = hwprofile(
            "specialize", *DIGITS, "--search", folder, "--budget", budget,
            "--fine-tune", FINE_TUNE_EPOCHS, "--out", folder / "network",
        )  # fmt: skip
        budget = f"{found['budget']['latency_ms']!r}ms"
        measured, counted = found["measured_ms"], found["counted"]
        rows.append(
            [
                method,
                f"{seconds:.0f} s",
                searched["architecture"] if limit else "",
                found["architecture"],
                f"{1000 * measured['median']:.1f} us",
                "yes" if found["holds_budget"] else "NO",
                f"{counted['accuracy']:.2f} %",
                f"{counted['accuracy_low']:.2f} to {counted['accuracy_high']:.2f}",
            ]
        )
    print(f"budget: {budget} ({SHARE} % of the latency of PONAS' most accurate network)\n")
    head = ["method", "search", "searched", "network", "measured", "holds", "test accuracy", "95 %"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
