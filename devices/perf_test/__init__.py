"""Phones without Python: the user's own `onnxruntime_perf_test`, pushed and run over adb.

Its latency is defined otherwise than the agent's. The identity says so, and profiles never mix.
"""
