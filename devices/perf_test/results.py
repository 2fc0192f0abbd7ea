"""The results file of `onnxruntime_perf_test`: one line a run."""

from __future__ import annotations

import math

LARGEST_SECONDS = 3600.0
_FIELDS = 5
"""Name of the model's folder, seconds, peak memory, processor load, number of the run."""


def latencies_ns(text: str, runs: int) -> tuple[int, ...]:
    """Nanoseconds of every run, in their order.

    Args:
        text: the file, as the tool writes it.
        runs: how many were asked for.

    Raises:
        ValueError: the file holds more or fewer runs, or a number that is none.
    """
    lines = text.splitlines()
    if "" in lines:  # statistics follow, where they were asked for
        lines = lines[: lines.index("")]
    if len(lines) != runs:
        raise ValueError(f"the results hold {len(lines)} runs of {runs}")
    return tuple(_nanoseconds(line, number) for number, line in enumerate(lines))


def _nanoseconds(line: str, number: int) -> int:
    fields = line.rsplit(",", _FIELDS - 1)  # the folder's name may hold commas
    if len(fields) != _FIELDS or fields[-1].strip() != str(number):
        raise ValueError(f"line {number + 1} of the results is none of run {number}: {line!r:.80}")
    seconds = float(fields[1])
    if not math.isfinite(seconds) or not 0 < seconds <= LARGEST_SECONDS:
        raise ValueError(f"run {number} took {fields[1]!r:.40} seconds")
    return max(1, round(seconds * 1e9))
