"""Devices: ONNX bytes in, raw times and circumstances out. Knows nothing of blocks, tables or searches."""
