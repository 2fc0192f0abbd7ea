"""Latency predictors as scikit-learn estimators; imported by kind (`predictors.catalog`), as they take time."""
