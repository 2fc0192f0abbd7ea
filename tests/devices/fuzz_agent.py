"""What requests are fed to: the agent, with a runtime and a clock that stand in."""

from __future__ import annotations

import io
import random
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from devices.agent import conditions, frames, main, timing
from devices.agent.loaded import Loaded
from tests.fuzzing import Mutator

PREFIX = struct.Struct(">4sIQ")
Target = tuple[Callable[[], bytes], Callable[[bytes], bool]]


class Clock:
    """A millisecond passes whenever it is read, and sleeping takes no time: nothing is waited for."""

    now_ns = 0

    def perf_counter_ns(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns

    thread_time_ns = perf_counter_ns

    def monotonic(self) -> float:
        return self.perf_counter_ns() / 1e9

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


class StandIn:
    """A runtime that takes any payload."""

    NAME = "onnxruntime"

    @staticmethod
    def version() -> str:
        return "0"

    @staticmethod
    def load(payload: bytes, settings: dict[str, Any]) -> Loaded:
        if not payload:
            raise ValueError("no graph")
        return Loaded(lambda: None)

    @staticmethod
    def node_times(payload: bytes, settings: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
        return {"nodes": ["a"], "us": [[1]] * plan["runs"], "run_us": [1] * plan["runs"]}


def mutated_frames(seeds: Sequence[bytes], rng: random.Random) -> Callable[[], bytes]:
    """Frames that were changed as bytes, in their lengths, in the text of their header or inside its JSON."""
    mutator = Mutator(seeds, rng)

    def make() -> bytes:
        data = rng.choice(seeds)
        _, length, payload = PREFIX.unpack_from(data)
        text, rest = data[PREFIX.size : PREFIX.size + length], data[PREFIX.size + length :]
        way = rng.random()
        if way < 0.15:
            return mutator.as_bytes(data)
        if way < 0.25:  # lengths that promise more, less, or very much
            lengths = (
                rng.choice([0, 1, length, 2**20, 2**31, 2**32 - 1]),
                rng.choice([0, payload, 2**30, 2**40]),
            )
            return PREFIX.pack(b"HWP1", *lengths) + text + rest
        text = mutator.as_bytes(text) if way < 0.45 else mutator.as_json(text)
        if way > 0.95:
            rest = mutator.as_bytes(rest)
        return PREFIX.pack(b"HWP1", len(text), len(rest)) + text + rest

    return make


def agent(seeds: Sequence[bytes], rng: random.Random, folder: Path) -> Target:
    """Requests, as the agent's loop reads and answers them; one agent for all of them."""
    clock: Any = Clock()
    for module in (timing, conditions):
        vars(module)["time"] = clock
    sys.modules["devices.agent.onnxruntime_runtime"] = StandIn  # type: ignore[assignment]  # not a module
    timing.WHOLES["evict_bytes"] = (0, 1 << 20)  # a plan may ask for more memory than is allowed here
    running = main.Agent()

    def take(data: bytes) -> bool:
        stream = io.BytesIO(data)
        refused = False
        while True:
            try:
                header, payload = frames.read(stream.read)
            except (frames.FrameError, EOFError) as error:
                return refused or not isinstance(error, EOFError)
            sink = io.BytesIO()
            main.write(sink, *running.answer(header, payload), number=header.get("number"))
            read, _ = frames.read(io.BytesIO(sink.getvalue()).read)
            error_text = str(read.get("error", ""))
            assert not error_text.startswith(
                ("MemoryError", "RecursionError", "TypeError", "AttributeError")
            ), read
            refused = refused or "error" in read

    return mutated_frames(seeds, rng), take
