"""Measurements as one self-contained HTML page: what was found in files becomes values, values become a page."""
