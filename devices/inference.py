"""What a graph answers, not how long it takes: on this computer's processor, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class InferenceError(ValueError):
    """A graph cannot be run; the message says why."""


@dataclass(frozen=True)
class Classifier:
    """A graph with one input (batch, C, H, W) and one output (batch, classes), float32.

    Attributes:
        onnx: the file's bytes.
    """

    onnx: bytes

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        try:
            return onnxruntime.InferenceSession(self.onnx, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise InferenceError(f"ONNX Runtime cannot load it: {error}") from error

    @cached_property
    def notes(self) -> dict[str, str]:
        """The file's metadata."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @cached_property
    def shape_in(self) -> tuple[int | None, int, int, int]:
        """Batch (None for any), channels, height, width; InferenceError for any other kind of input."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = list(inputs[0].shape) if len(inputs) == len(outputs) == 1 else []
        if len(shape) != 4 or not all(isinstance(size, int) for size in shape[1:]):
            found = ", ".join(f"{value.name} {value.shape}" for value in [*inputs, *outputs])
            raise InferenceError(
                f"needs one input (batch, C, H, W) of fixed size and one output, has {found}"
            )
        batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        return (batch, *shape[1:])

    @cached_property
    def classes(self) -> int:
        """Numbers in one output; InferenceError where they are not fixed."""
        shape = self._session.get_outputs()[0].shape
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise InferenceError(f"needs an output (batch, classes), has {shape}")
        return int(shape[1])

    def predicted(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.intp]]:
        """The class of every image: (n, C, H, W) to (n,), in whatever batches the graph takes."""
        batch, *_ = self.shape_in
        name = self._session.get_inputs()[0].name
        for images in batches:
            size = batch or len(images)
            rest = -len(images) % size  # a last short batch is filled up, and what fills it is dropped
            filled = np.concatenate([images, np.zeros((rest, *images.shape[1:]), np.float32)])
            outputs = [
                self._session.run(None, {name: filled[start : start + size]})[0]
                for start in range(0, len(filled), size)
            ]
            yield np.concatenate(outputs).argmax(axis=1)[: len(images)]
