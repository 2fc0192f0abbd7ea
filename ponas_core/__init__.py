"""The search core: spaces, sizes, scores and the exact solver.

Knows nothing of devices, predictors or files' places.
"""
