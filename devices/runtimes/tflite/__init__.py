"""Writes TFLite files from ONNX graphs."""
