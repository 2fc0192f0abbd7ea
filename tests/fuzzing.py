"""Mutated inputs, and a process of its own that feeds them to a reader under limits of time and memory."""

from __future__ import annotations

import base64
import importlib
import json
import random
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SEED = 20250
LIMIT_S = 10.0
"""For one input, on machines that others use too; the slowest is told."""
LARGEST_RSS_BYTES = 256_000_000

INTERESTING: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**19, 10**40, 0.5, -0.0, 1e308, 5e-324,
    float("nan"), float("inf"), "", "0", "x" * 300, "x" * 300 + ".toml", "\0.toml", "/dev/zero", "\x1b[2J",
    "\ud800", "é\u202e", [], {}, [[]], [{}], {"a": {}}, [0] * 50,
]  # fmt: skip
TOKENS = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 30,
    b"-0",
    b"1.5",
    b"null",
    b"true",
    b'"7"',
    b"[]",
    b"{}",
    b"0",
]
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


class Mutator:
    """Makes inputs out of seeds; the same ones for the same seed of its generator."""

    def __init__(self, seeds: Sequence[bytes], rng: random.Random) -> None:
        self.seeds = seeds
        self.rng = rng

    def as_bytes(self, data: bytes) -> bytes:
        """One to four changes that know nothing of the format."""
        for _ in range(self.rng.randint(1, 4)):
            data = self.rng.choice(
                [self._flipped, self._cut, self._doubled, self._spliced, self._overwritten, self._renumbered]
            )(data)
        return data

    def as_json(self, data: bytes) -> bytes:
        """One to three changes inside a JSON value; other bytes are changed as bytes."""
        try:
            value = json.loads(data)
        except ValueError:
            return self.as_bytes(data)
        for _ in range(self.rng.randint(1, 3)):
            value = self._changed(value)
        return json.dumps(value, separators=(",", ":")).encode()

    def _changed(self, value: Any, depth: int = 0) -> Any:
        rng = self.rng
        inner = (
            list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        )
        if inner and rng.random() < (0.98 if depth == 0 else 0.9):
            key = rng.choice(list(inner))
            copied = dict(value) if isinstance(value, dict) else list(value)
            what = rng.random()
            if what < 0.15:
                del copied[key]
            elif what < 0.25 and isinstance(copied, list):
                copied.extend([copied[key]] * rng.choice([1, 2, 1000]))
            elif what < 0.25 and isinstance(copied, dict):
                copied[str(rng.choice(INTERESTING))] = copied[key]
            elif what < 0.32:
                copied[key] = copied[rng.choice(list(inner))]
            else:
                copied[key] = self._changed(copied[key], depth + 1)
            return copied
        if rng.random() < 0.05:
            for _ in range(rng.choice([1, 3, 60])):
                value = [value] if rng.random() < 0.5 else {"a": value}
            return value
        if isinstance(value, int | float) and abs(value) < 1e300 and rng.random() < 0.7:
            return rng.choice([-value, value * 10**6, value * 0.3, value + 1, -1.5 * value])
        return rng.choice(INTERESTING)

    def _flipped(self, data: bytes) -> bytes:
        found = bytearray(data)
        for _ in range(self.rng.choice([1, 1, 8])):
            if found:
                found[self.rng.randrange(len(found))] ^= 1 << self.rng.randrange(8)
        return bytes(found)

    def _cut(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:start] if self.rng.random() < 0.5 else data[:start] + data[end:]

    def _doubled(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:end] + data[start:end] * self.rng.choice([1, 1, 20]) + data[end:]

    def _spliced(self, data: bytes) -> bytes:
        other = self.rng.choice(self.seeds)
        return data[: self._span(data)[0]] + other[self._span(other)[0] :]

    def _overwritten(self, data: bytes) -> bytes:
        start, _ = self._span(data)
        new = self.rng.choice([self.rng.randbytes(self.rng.randint(1, 8)), b"\xff" * 8, bytes(8)])
        return data[:start] + new + data[start + len(new) :]

    def _renumbered(self, data: bytes) -> bytes:
        found = list(NUMBER.finditer(data))
        if not found:
            return data
        one = self.rng.choice(found)
        return data[: one.start()] + self.rng.choice(TOKENS) + data[one.end() :]

    def _span(self, data: bytes) -> tuple[int, int]:
        start = self.rng.randint(0, len(data))
        return start, min(len(data), start + self.rng.choice([1, 2, 16, 200]))


def report(
    target: str, seeds: Sequence[bytes], count: int, folder: Path, timeout_s: float = 500.0
) -> dict[str, Any]:
    """Feed a target with so many mutated inputs in a process of its own.

    Args:
        target: `module:function`; given the seeds and a generator, it returns what makes one input and what
            takes it: an error that the latter lets through is a fault.
        seeds: real inputs.
        count: how many mutated ones.
        folder: for the seeds and the target's own files.
        timeout_s: for all of them.

    Returns:
        What `run` prints.
    """
    place = folder / "seeds.json"
    place.write_text(json.dumps([base64.b64encode(seed).decode() for seed in seeds]))
    command = [sys.executable, "-m", "tests.fuzzing", target, str(place), str(count), str(folder)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    told = ("count", "refused", "slowest_s", "peak_bytes")
    print(f"{target}, seed {SEED}: " + ", ".join(f"{name} {found[name]}" for name in told))
    return found


def assert_unhurt(found: dict[str, Any], count: int) -> None:
    """No input got through a reader's own errors, took long, or filled memory."""
    assert found["fault"] is None, f"{found['fault']}\ninput (base64): {found['input']}"
    assert found["count"] == count
    assert 0 < found["refused"] < count, "mutations that are all refused, or none, try little"
    assert found["slowest_s"] < LIMIT_S, f"slowest input (base64): {found['slowest']}"
    assert found["peak_bytes"] < LARGEST_RSS_BYTES


class TookLong(BaseException):
    """An input was not done with in its time."""


def _ring(*_: object) -> None:
    raise TookLong


def run(make: Callable[[], bytes], take: Callable[[bytes], bool], count: int) -> dict[str, Any]:
    """Make and take inputs; `take` tells whether it was refused. Ends at the first fault."""
    found: dict[str, Any] = {
        "count": 0,
        "refused": 0,
        "slowest_s": 0.0,
        "slowest": "",
        "fault": None,
        "input": "",
    }
    signal.signal(signal.SIGALRM, _ring)
    for _ in range(count):
        data = make()
        started = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        try:
            found["refused"] += take(data)
        except (Exception, TookLong):
            found["fault"], found["input"] = traceback.format_exc()[-3000:], base64.b64encode(data).decode()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        elapsed = time.perf_counter() - started
        found["count"] += 1
        if elapsed > found["slowest_s"]:
            found["slowest_s"], found["slowest"] = round(elapsed, 4), base64.b64encode(data[:5000]).decode()
        if found["fault"]:
            break
    found["peak_bytes"] = _peak_bytes()
    return found


def _peak_bytes() -> int:
    """Largest resident size of this process; `ru_maxrss` would count what its parent had then."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _address_space_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> None:
    """What the process runs: `module:function SEEDS COUNT FOLDER`."""
    target, seeds_file, count, folder = sys.argv[1:]
    module, _, function = target.partition(":")
    seeds = [base64.b64decode(seed) for seed in json.loads(Path(seeds_file).read_text())]
    make, take = getattr(importlib.import_module(module), function)(seeds, random.Random(SEED), Path(folder))
    # memory that is asked for and never touched counts too
    limit = _address_space_bytes() + LARGEST_RSS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps(run(make, take, int(count))))


if __name__ == "__main__":
    main()
