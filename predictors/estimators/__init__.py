"""Latency predictors as scikit-learn estimators; imported by kind, as scikit-learn takes its time."""
