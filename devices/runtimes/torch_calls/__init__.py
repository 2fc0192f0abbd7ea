"""Writes ONNX graphs as lists of PyTorch calls; torch itself is not imported here."""
