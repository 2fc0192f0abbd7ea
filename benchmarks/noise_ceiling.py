"""What no predictor can beat on NAS-Bench-201: how far two measurements of one network differ.

    python -m benchmarks.noise_ceiling

A cell without the edge from node 1 to node 2 computes the same with the two nodes exchanged, but was
measured as a network of its own: such pairs tell the noise of every device. The predictions of a Gaussian
process on 900 cells stand for the truth; noise drawn from the pairs is put on them, and they are held against
the result: what a predictor that knows the truth would score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.published import Published, published
from hwprofile.description import Description
from hwprofile.display import table
from ponas_core.cells import Cell
from predictors.metrics import accuracy

LEARNED, SEED = 900, 0
EXCHANGED = (1, 0, 2, 3, 5, 4)
"""Where each edge goes when nodes 1 and 2 change places; edges are 0-1, 0-2, 1-2, 0-3, 1-3, 2-3."""


def equal_pairs(data: Published) -> list[tuple[int, int]]:
    """Indexes of cells that compute the same and were measured apart."""
    index = {cell.ops: number for number, cell in enumerate(data.networks)}
    pairs = []
    for number, cell in enumerate(data.networks):
        other = index[Cell(tuple(cell.ops[edge] for edge in EXCHANGED)).ops]
        if cell.ops[2] == 0 and cell.connected and number < other:
            pairs.append((number, other))
    return pairs


def log_noise(latency_ms: NDArray[np.float64], pairs: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Relative noise of one measurement, as logarithms, both signs."""
    apart = np.array([np.log(latency_ms[one] / latency_ms[other]) for one, other in pairs]) / np.sqrt(2)
    apart = apart[np.isfinite(apart)]
    return np.concatenate([apart, -apart])


def main() -> None:
    """Print the table."""
    data = published("nasbench201")
    pairs = equal_pairs(data)
    print(f"{len(pairs)} pairs of networks that compute the same")
    description = Description.of(data.space, SEED)
    rng, lines, scores = np.random.default_rng(SEED), [], []
    for device in data.quiet():
        latency_ms = data.latency_ms[device]
        noise = log_noise(latency_ms, pairs)
        if not noise.size:
            continue  # one network of each class was measured
        learned, tested = data.split(device, SEED)
        learned = learned[:LEARNED]
        model = description.unfitted("gp", "none")
        model.fit(description.rows([data.networks[i] for i in learned]), latency_ms[learned])
        predicted_ms = model.predict(description.rows([data.networks[i] for i in tested]))
        real = accuracy(predicted_ms, latency_ms[tested])
        best = accuracy(predicted_ms, predicted_ms * np.exp(rng.choice(noise, len(predicted_ms))))
        scores.append((real.spearman, real.within_10, best.spearman, best.within_10))
        spread = f"{100 * np.median(np.abs(noise)):.1f} %"
        lines.append([device, spread, *(_shown(*pair) for pair in (scores[-1][:2], scores[-1][2:]))])
    mean = np.mean(scores, axis=0)
    lines.append(["mean", "", _shown(*mean[:2]), _shown(*mean[2:])])
    print(table(["device", "median noise", f"gp {LEARNED}", "noise alone"], lines))


def _shown(rank: float, within_10: float) -> str:
    return f"{rank:.4f} / {100 * within_10:.1f}"


if __name__ == "__main__":
    main()
