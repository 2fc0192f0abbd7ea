"""Latency tables in the forms that other people's code reads and writes."""
