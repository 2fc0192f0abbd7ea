"""Fused kernels as values: what a runtime executes for a network, and what its latency depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Shape: TypeAlias = tuple[int, int, int]
"""Channels, height, width."""
BYTES = 4
"""Of a float32."""
CONVOLUTIONS = ("conv", "dwconv", "gconv")


class UnreadableGraph(ValueError):
    """A graph cannot be read as kernels; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class FusedKernel:
    """One unit that a runtime executes, with all that its latency depends on.

    Attributes:
        kind: what it computes: `conv`, `dwconv`, `gconv`, `fc`, `maxpool`, `avgpool`, `gap`, `add` (any
            arithmetic on two tensors of one shape), `scale` (by one number a channel), `concat`, `shuffle`,
            `softmax`, `act`.
        shape_in: channels, height and width of the input; of `concat`, of all inputs together.
        shape_out: of the output.
        kernel: height and width of the window.
        stride: of the window, in both directions.
        groups: of `gconv` and `shuffle`.
        dilation: of the window.
        activation: fused; of `act` the activation itself; `linear` for none.
        residual: whether a tensor is added before the activation.
        inputs: how many tensors come in.
        batch: inputs of one inference.
    """

    kind: str
    shape_in: Shape
    shape_out: Shape
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)
    activation: str = "linear"
    residual: bool = False
    inputs: int = 1
    batch: int = 1

    def __str__(self) -> str:
        """The key, as kernels are named in a profile: `conv_k3_s2_relu6@24x56x56-40`."""
        parts = [self.kind]
        with_window = (*CONVOLUTIONS, "maxpool", "avgpool")
        parts += [f"k{_square(self.kernel)}"] if self.kind in with_window else []
        parts += [f"s{_square(self.stride)}"] if self.stride != (1, 1) else []
        parts += [f"g{self.groups}"] if self.groups > 1 else []
        parts += [f"d{_square(self.dilation)}"] if self.dilation != (1, 1) else []
        parts += ["add"] if self.residual else []
        parts += [self.activation] if self.activation != "linear" else []
        out = f"-{self.shape_out[0]}" if self.kind in ("conv", "gconv", "fc") else ""
        return f"{'_'.join(parts)}@{'x'.join(map(str, self.shape_in))}{out}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates, a factor for every element included; 0 where nothing is multiplied."""
        if self.kind == "scale":
            return self.elements_out
        if self.kind not in (*CONVOLUTIONS, "fc"):
            return 0
        return self.batch * math.prod(self.shape_out[1:]) * self._weights

    @property
    def _weights(self) -> int:
        if self.kind not in (*CONVOLUTIONS, "fc"):
            return 0
        groups = self.shape_in[0] if self.kind == "dwconv" else self.groups
        return self.shape_out[0] * (self.shape_in[0] // groups) * math.prod(self.kernel)

    @property
    def weight_bytes(self) -> int:
        """Of the weights, biases aside."""
        return BYTES * self._weights

    @property
    def elements_in(self) -> int:
        """Numbers that come in, weights aside."""
        own = self.batch * math.prod(self.shape_in) * (2 if self.kind == "add" else 1)
        return own + (self.elements_out if self.residual else 0)

    @property
    def elements_out(self) -> int:
        """Numbers that go out."""
        return self.batch * math.prod(self.shape_out)


def _square(window: tuple[int, int]) -> str:
    return str(window[0]) if window[0] == window[1] else f"{window[0]}x{window[1]}"


@dataclass(frozen=True)
class Decomposition:
    """A graph as kernels.

    Attributes:
        kernels: in the order of execution.
        free: operators that cost nothing, with their number: views, constants, what is folded into others.
        unknown: operators that no kernel stands for, with their number.
    """

    kernels: tuple[FusedKernel, ...]
    free: Mapping[str, int]
    unknown: Mapping[str, int]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all kernels."""
        return sum(kernel.macs for kernel in self.kernels)
