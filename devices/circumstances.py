"""What a target tells of itself and its state, checked before it is believed, kept or shown.

Identity, software and conditions come from a device or out of a file: both may hold anything. What passes
here is small, plain, and of the types that are read elsewhere; a field that nothing reads may be any plain
value. A field that something begins to read gets its word in a set below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

LARGEST_BYTES = 64 * 1024
DEEPEST = 4
"""An object, a list of GPUs in it, an object for each, a list of reasons in that."""
LARGEST_NUMBER = 1e20
MOST_PROGRAMS = 10_000

NUMBERS = {
    "batch", "busy_here_s", "busy_s", "clock_s", "context_switches", "cpu_count", "cpu_highest_mhz",
    "cpu_limit_mhz", "cpu_mhz", "cpu_pressure_s", "cpu_quota", "last_level_cache_bytes",
    "load_1min", "memory_available_bytes", "memory_pressure_s", "own_s", "parent_s", "preemptions",
    "process", "processors", "quota_lacked_s", "runnable_tasks", "stolen_s", "temperature_c",
    "threads", "throttle_count",
}  # fmt: skip
TEXTS = {
    "cache", "calibration", "clock_source", "compute_capability", "cpu_model", "cuda_version", "emulated",
    "firmware", "governor", "gpu_driver", "kernel", "latency_definition", "machine", "microcode", "os",
    "phase", "power_mode", "precision", "processor_clusters", "provider", "python", "runtime",
    "runtime_version", "system",
}  # fmt: skip
TEXT_LISTS = {"board_throttled_by", "board_was_throttled_by", "cooled_by", "providers"}
GPU_NUMBERS = {
    "index", "clock_mhz", "foreign_processes", "highest_clock_mhz", "lowest_clock_mhz", "memory_clock_mhz",
    "persistence", "power_limit_w", "power_w", "temperature_c", "utilisation",
}  # fmt: skip


def checked(found: object, what: str) -> dict[str, Any]:
    """Identity, software or conditions.

    Args:
        found: what was told.
        what: what to call it in an error.

    Raises:
        ValueError: no object, too large, too deep, or a known field of another type; None is always allowed.
    """
    if not isinstance(found, dict):
        raise ValueError(f"{what} is no object")
    if _is_deeper(found, DEEPEST) or len(json.dumps(found)) > LARGEST_BYTES:
        raise ValueError(f"{what} is not the few plain values that it should be")
    _check_kinds(found, NUMBERS, what)
    for name in TEXTS & found.keys():
        if not isinstance(found[name], str | None):
            raise ValueError(f"{name} in {what} is no text: {found[name]!r:.80}")
    _check_lists(found, what)
    return found


def programs(found: object) -> list[dict[str, Any]]:
    """Other programs on a target: `pid`, `name`, `processors`; ValueError for anything else."""
    if not isinstance(found, list) or len(found) > MOST_PROGRAMS:
        raise ValueError("processes is no list of programs")
    return [_program(one) for one in found]


def _program(one: object) -> dict[str, Any]:
    if not isinstance(one, dict) or type(one.get("pid")) is not int or not isinstance(one.get("name"), str):
        raise ValueError(f"not a program: {one!r:.80}")
    if not _is_number(one.get("processors")):
        raise ValueError(f"not a program: {one!r:.80}")
    return {"pid": one["pid"], "name": one["name"][:200], "processors": one["processors"]}


def _check_lists(found: Mapping[str, Any], what: str) -> None:
    for name in TEXT_LISTS & found.keys():
        if not _is_texts(found[name]):
            raise ValueError(f"{name} in {what} is no list of texts: {found[name]!r:.80}")
    affinity = found.get("affinity")
    if affinity is not None and not (isinstance(affinity, list) and all(map(_is_number, affinity))):
        raise ValueError(f"affinity in {what} is no list of processors")
    gpus = found.get("gpus")
    if gpus is not None and not (isinstance(gpus, list) and all(isinstance(gpu, dict) for gpu in gpus)):
        raise ValueError(f"gpus in {what} is no list of objects")
    for gpu in gpus or ():
        _check_kinds(gpu, GPU_NUMBERS, what)
        if not _is_texts(gpu.get("throttled_by")):
            raise ValueError(f"throttled_by in {what} is no list of texts")


def _check_kinds(found: Mapping[str, Any], numbers: set[str], what: str) -> None:
    for name in numbers & found.keys():
        if found[name] is not None and not _is_number(found[name]):
            raise ValueError(f"{name} in {what} is no number: {found[name]!r:.80}")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= LARGEST_NUMBER  # type: ignore[arg-type]  # a number


def _is_texts(values: object) -> bool:
    return values is None or (isinstance(values, list) and all(isinstance(one, str) for one in values))


def _is_deeper(value: object, levels: int) -> bool:
    inner: Sequence[object] = ()
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)
