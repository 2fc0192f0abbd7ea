"""Syne Tune's multi-objective evolution on error, latency and what a latency budget is exceeded by.

    pip install syne-tune
    hwprofile bench --space cifar-tiny --out mine.profile.jsonl
    python examples/hosts/syne_tune_search.py mine.profile.jsonl 0.2     # milliseconds

Multiply-accumulates stand in for accuracy here: train the network in place of `error`. A training script that
Syne Tune starts reports the same metrics: `Reporter()(error=..., **metrics(config))`.
"""

import sys

from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler
from syne_tune.optimizer.schedulers.multiobjective import MultiObjectiveRegularizedEvolution
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

from hwprofile.catalog import scores_named
from hwprofile.hosts.latency_of_ops import LatencyBudget, latency_of, ops_of
from hwprofile.hosts.syne_tune import LATENCY, VIOLATION, LatencyMetrics, config_space


def main(file: str, budget_ms: float) -> None:
    """Ask, evaluate, tell; then print what holds the budget."""
    latency = latency_of(file)
    space, score = latency.space, scores_named(latency.space, "macs").table
    metrics, configs = LatencyMetrics(LatencyBudget(latency, budget_ms)), config_space(space)
    searcher = MultiObjectiveRegularizedEvolution(configs, population_size=20, random_seed=0)
    scheduler = AskTellScheduler(
        SingleFidelityScheduler(
            configs, metrics=["error", LATENCY, VIOLATION], searcher=searcher, random_seed=0
        )
    )
    for _ in range(100):
        trial = scheduler.ask()
        error = -score.total(ops_of(space, trial.config))
        scheduler.tell(trial, {"error": error, **metrics(trial.config)})
    held = [trial for trial in scheduler.completed_experiments.values() if trial.metrics[VIOLATION] == 0]
    for trial in sorted(held, key=lambda trial: trial.metrics["error"])[:10]:
        network = space.architecture(ops_of(space, trial.config))
        sys.stdout.write(f"held {network} {trial.metrics[LATENCY]:.9g} ms\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
