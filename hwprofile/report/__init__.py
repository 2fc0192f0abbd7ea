"""Measurements as one self-contained HTML page: files become values, values become a page."""
