"""Optuna finds the networks that no other beats, all within a latency budget.

    pip install optuna
    hwprofile bench --space cifar-tiny --out mine.profile.jsonl
    python examples/hosts/optuna_search.py mine.profile.jsonl 0.2     # milliseconds

Multiply-accumulates stand in for accuracy here: put your own score in their place.
"""

import sys

import optuna

from hwprofile.catalog import scores_named
from hwprofile.hosts.latency_of_ops import LatencyBudget, latency_of, median_ms
from hwprofile.hosts.optuna import OptunaBudget, suggest_ops, suggested_ops


def main(file: str, budget_ms: float) -> None:
    """Search with NSGA-II for score against latency, then with TPE for the best score in the budget."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    latency = latency_of(file)
    space, score = latency.space, scores_named(latency.space, "macs").table
    limit = OptunaBudget(LatencyBudget(latency, budget_ms))
    is_new = hasattr(optuna.trial.Trial, "set_constraint")  # Optuna 5
    constrained = {} if is_new else {"constraints_func": limit.constraints}

    def both(trial):
        ops = suggest_ops(trial, space)
        if is_new:
            limit.set_on(trial, ops)
        return score.total(ops), median_ms(latency, ops)

    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=0, **constrained)
    )
    study.optimize(both, n_trials=150)
    for trial in study.best_trials:
        sys.stdout.write(f"front {text_of(trial, space)} {trial.values[1]:.9g} ms\n")
    one = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, **constrained))
    one.optimize(lambda trial: both(trial)[0], n_trials=60)
    best = one.best_trial
    sys.stdout.write(f"best {text_of(best, space)} {limit.latency_ms(best):.9g} ms\n")


def text_of(trial, space):
    """The network of a trial as op indexes, as `hwprofile predict` reads them."""
    return space.architecture(suggested_ops(trial, space))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
