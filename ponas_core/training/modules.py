"""Blocks as torch modules, from the recipes that the ONNX writer reads.

Names of parameters and buffers are those of `ponas_core.weights`: the state of a `Network` is what
`GivenWeights` takes, and `RandomWeights` gives what a module starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ponas_core.operators import (
    BATCH_NORM_EPSILON,
    Activation,
    ChannelShuffle,
    Classifier,
    Convolution,
    EmbeddedGraph,
    Gate,
    Operator,
    Recipe,
    SqueezeExcite,
)
from ponas_core.training.joint_batch_norm import joint_batch_norm
from ponas_core.weights import Weights

RUNNING_MOMENTUM = 0.1


def _hard_sigmoid(x: Tensor) -> Tensor:
    return functional.relu6(x + 3) / 6


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hswish": functional.hardswish,
}
_GATES: dict[Gate, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "hard_sigmoid": _hard_sigmoid}


class ConvolutionModule(nn.Module):
    """Convolution, batch normalisation, activation.

    Attributes:
        momentum: weight of a batch in the running statistics.
        frozen: whether running statistics are used, and left alone, in training too.
        tracking: whether batches that are normalised by their own statistics move the running ones.
        joint: whether a batch's statistics are those of all processes' images.
    """

    weight: nn.Parameter
    mean: Tensor
    variance: Tensor

    def __init__(self, operator: Convolution) -> None:
        super().__init__()
        self.operator = operator
        self.momentum, self.frozen, self.tracking, self.joint = RUNNING_MOMENTUM, False, True, False
        self.weight = nn.Parameter(torch.empty(operator.weight_shape))
        self.gamma = nn.Parameter(torch.ones(operator.channels_out))
        self.beta = nn.Parameter(torch.zeros(operator.channels_out))
        self.register_buffer("mean", torch.zeros(operator.channels_out))
        self.register_buffer("variance", torch.ones(operator.channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels in, height, width) to (batch, channels out, ...)."""
        kind = self.operator
        x = functional.conv2d(x, self.weight, None, kind.stride, kind.kernel // 2, 1, kind.groups)
        batch_statistics = self.training and not self.frozen
        running = self.tracking or not batch_statistics
        mean, variance = (self.mean, self.variance) if running else (None, None)
        rest = (self.momentum, BATCH_NORM_EPSILON)
        if batch_statistics and self.joint:
            x = joint_batch_norm(x, mean, variance, self.gamma, self.beta, *rest)
        else:
            x = functional.batch_norm(x, mean, variance, self.gamma, self.beta, batch_statistics, *rest)
        return ACTIVATIONS[kind.activation](x)


class SqueezeExciteModule(nn.Module):
    """Global pool, 1×1 convolution, ReLU, 1×1 convolution, gate, product with the input."""

    def __init__(self, operator: SqueezeExcite) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(operator.channels, operator.hidden, 1)
        self.expand = nn.Conv2d(operator.hidden, operator.channels, 1)
        self.gate = _GATES[operator.gate]

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept."""
        pooled = x.mean((2, 3), keepdim=True)
        product: Tensor = x * self.gate(self.expand(functional.relu(self.reduce(pooled))))
        return product


class ChannelShuffleModule(nn.Module):
    """Channels dealt out anew between groups."""

    def __init__(self, operator: ChannelShuffle) -> None:
        super().__init__()
        self.groups = operator.groups

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept."""
        return functional.channel_shuffle(x, self.groups)


class ClassifierModule(nn.Module):
    """Global average pool, a hidden linear layer where there is one, a linear layer."""

    def __init__(self, operator: Classifier) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[operator.activation]
        hidden = operator.hidden
        self.hidden = nn.Conv2d(operator.channels, hidden, 1, bias=False) if hidden else None
        self.weight = nn.Parameter(torch.empty(operator.classes, hidden or operator.channels))
        self.bias = nn.Parameter(torch.zeros(operator.classes))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, classes)."""
        x = x.mean((2, 3), keepdim=True)
        if self.hidden is not None:
            x = self.activation(self.hidden(x))
        return functional.linear(x.flatten(1), self.weight, self.bias)


def _refuse(operator: EmbeddedGraph) -> nn.Module:
    raise ValueError(
        f"{operator.location}: an ONNX file as a block cannot be trained here; train its networks elsewhere "
        "and give their accuracies with --scores FILE.csv"
    )


_MODULES: dict[type[Operator], Callable[[Any], nn.Module]] = {
    Convolution: ConvolutionModule,
    SqueezeExcite: SqueezeExciteModule,
    ChannelShuffle: ChannelShuffleModule,
    Classifier: ClassifierModule,
    EmbeddedGraph: _refuse,
}
"""How each operator becomes a module; a new operator is one row."""


class BlockModule(nn.Sequential):
    """A block: its operators in a chain, and the residual sum where there is one."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(*(_MODULES[type(operator)](operator) for operator in recipe.operators))
        self.residual = recipe.residual

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) in and out; (batch, classes) out of a classifier."""
        y = x
        for operator in self:
            y = operator(y)
        return x + y if self.residual else y


def convolutions(module: nn.Module) -> list[ConvolutionModule]:
    """All convolutions with batch normalisation in a module."""
    return [part for part in module.modules() if isinstance(part, ConvolutionModule)]


def place(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device, kernels with their channels last in memory, which is the faster layout."""
    module.to(device)
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def set_weights(module: nn.Module, weights: Weights) -> None:
    """Fill every parameter and buffer by its name; KeyError or ValueError where one does not fit."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.copy_(torch.from_numpy(np.array(weights.get(name, tuple(tensor.shape)))))


def arrays(module: nn.Module) -> Mapping[str, NDArray[np.float32]]:
    """Copies of every parameter and buffer by name, float32."""
    return {
        name: tensor.detach().to("cpu", torch.float32).contiguous().numpy().copy()
        for name, tensor in module.state_dict().items()
    }
