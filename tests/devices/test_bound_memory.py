"""Bound inputs and outputs live as long as what runs them, also where the runtime does not keep them."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from devices.agent import onnxruntime_runtime


class Value:
    """An `OrtValue`, which uses an array's memory."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    @classmethod
    def ortvalue_from_numpy(cls, array: np.ndarray[Any, Any]) -> Value:
        return cls(array)


class Binding:
    """Keeps nothing alive, as in releases before 1.30."""

    def __init__(self) -> None:
        self.values: list[weakref.ref[Value]] = []

    def bind_ortvalue_input(self, name: str, value: Value) -> None:
        self.values.append(weakref.ref(value))

    bind_ortvalue_output = bind_ortvalue_input


class Session:
    """One float input, one output of a static or a dynamic shape."""

    def __init__(self, output: list[int | str]) -> None:
        self.output = output

    def __call__(self, *_: object, **__: object) -> Session:
        return self

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="input", type="tensor(float)", shape=[1, 4])]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="output", type="tensor(float)", shape=self.output)]

    def io_binding(self) -> Binding:
        return Binding()

    def run(self, _: object, feeds: dict[str, Any]) -> list[Any]:
        return [np.zeros((1, 4), np.float32)]

    def run_with_iobinding(self, binding: Binding) -> None:
        assert len(binding.values) == 2
        assert all(value() is not None for value in binding.values)


@pytest.mark.parametrize("output", [[1, 4], ["N", 4]], ids=["static", "dynamic"])
def test_memory_is_kept_for_as_long_as_it_is_bound(output: list[int | str]) -> None:
    runtime = SimpleNamespace(
        get_available_providers=lambda: ["CPU"], InferenceSession=Session(output), OrtValue=Value
    )
    infer, _ = onnxruntime_runtime._open(runtime, b"", None, "CPU")
    gc.collect()
    infer()
