"""Searches over the networks that hold a budget: values in, values out; no file, no clock, no device."""
