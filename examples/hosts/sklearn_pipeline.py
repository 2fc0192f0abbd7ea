"""scikit-learn: our latency regressors in a pipeline, cross-validated and tuned.

hwprofile bench --space cifar-tiny --out mine.profile.jsonl
python examples/hosts/sklearn_pipeline.py mine.profile.jsonl
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from hwprofile.hosts.latency_of_ops import latency_of
from predictors.estimators.ridge import RidgeRegression
from predictors.estimators.trees import RandomForest

NETWORKS = 60


def main(file: str) -> None:
    """Learn the latencies that a profile's model says of random networks, milliseconds."""
    latency, rng = latency_of(Path(file)), np.random.default_rng(0)
    networks = [latency.space.sample(rng) for _ in range(NETWORKS)]
    features = latency.space.describe(networks).values
    latency_ms, _ = latency.predict_ops(np.array([network.ops for network in networks]))
    pipeline = make_pipeline(VarianceThreshold(), RidgeRegression(interval="none"))
    r2 = cross_val_score(pipeline, features, latency_ms, cv=4)
    sys.stdout.write(f"ridge: R² {r2.mean():.4f}\n")
    forest = make_pipeline(VarianceThreshold(), RandomForest(interval="none"))
    search = GridSearchCV(forest, {"randomforest__trees": [10, 60]}, cv=3)
    search.fit(features, latency_ms)
    sys.stdout.write(f"forest: R² {search.best_score_:.4f} with {search.best_params_}\n")


if __name__ == "__main__":
    main(sys.argv[1])
