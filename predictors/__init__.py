"""Latency models: rows of named numbers with milliseconds in, milliseconds with an interval out."""
