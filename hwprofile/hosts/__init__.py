"""Adapters to other people's packages: one short file a host, the host imported inside functions.

Latencies are in **milliseconds** everywhere but in `hwprofile.hosts.archai`, whose host counts in seconds.
"""
