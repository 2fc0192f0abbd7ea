"""The one exception of this package."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set cannot be used; the message says why and what to do."""
