"""Small spaces, small images, and weights that leave no part of a network without work."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from ponas_core.datasets.images import ArrayImages, LabelledImages
from ponas_core.datasets.normalization import Normalization
from ponas_core.onnx_writer import INPUT
from ponas_core.operators import TensorShape
from ponas_core.space_file import space_from_toml
from ponas_core.training.batches import Augmentation, DeviceImages
from ponas_core.training.networks import Network, Supernet, start_training
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Trainer
from ponas_core.weights import WeightsOrigin

Floats = NDArray[np.float32]

CPU = torch.device("cpu")
TOML = """
schema_version = 1
name = "toy"
description = "3 layers of 2 to 4 blocks"
input = [2, 8, 8]
activation = "relu"

[[stem]]
block = "conv_k3"
channels = 6
stride = 2

[[stages]]
layers = 2
channels = 6
blocks = ["skip", "mb_k3_e2", "mb_k3_e3_se", "conv_k3"]

[[stages]]
channels = 8
stride = 2
blocks = ["conv_k1_linear", "fb_k3_e2_g2"]

[[head]]
block = "classifier_h8"
channels = 4
"""
TOY = space_from_toml(TOML)
PLAIN = Augmentation()
BARE = space_from_toml(
    'schema_version = 1\nname = "bare"\ninput = [2, 4, 4]\nactivation = "relu"\n'
    '[[stages]]\nchannels = 4\nblocks = ["classifier", "classifier_h6"]\n'
)
"""A space without batch normalisation."""


class DrawnWeights:
    """Every weight drawn by name: kernels that keep the size of numbers; scales, shifts, statistics differ.

    Far spread ones make a network of sixty convolutions enlarge the last bit of its first ones.
    """

    origin: WeightsOrigin = "trained"

    def __init__(self, seed: int = 0, spread: float = 1.0) -> None:
        self.seed, self.spread = seed, spread

    def get(self, name: str, shape: tuple[int, ...]) -> Floats:
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        part = name.rpartition(".")[2]
        if part in {"gamma", "variance"}:
            return np.exp(self.spread * rng.uniform(-0.7, 0.7, shape)).astype(np.float32)
        scale = math.sqrt(2 / math.prod(shape[1:])) if part == "weight" else 0.3 * self.spread
        return (scale * rng.standard_normal(shape)).astype(np.float32)


def drawn_images(shape: TensorShape, batch: int = 2, seed: int = 0) -> Floats:
    size = (batch, shape.channels, shape.height, shape.width)
    return np.random.default_rng(seed).standard_normal(size, dtype=np.float32)


def run(model: onnx.ModelProto, x: Floats) -> Floats:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[Floats] = session.run(None, {INPUT: x})
    return found[0]


@torch.no_grad()
def through(module: torch.nn.Module, x: Floats) -> Floats:
    """What a module gives in evaluation mode."""
    found: Floats = module.eval()(torch.from_numpy(x)).numpy()
    return found


def relative_error(found: Floats, wanted: Floats) -> float:
    """The largest difference in units of the largest number."""
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def toy_images(count: int = 64, seed: int = 0, shape: TensorShape = TOY.shape_in) -> LabelledImages:
    """Noise with a bright quarter, which is the label (0 to 3)."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 128, (count, shape.channels, shape.height, shape.width), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 4
    half, across = shape.height // 2, shape.width // 2
    for image, label in zip(pixels, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[:, row * half : (row + 1) * half, column * across : (column + 1) * across] += 120
    return LabelledImages(ArrayImages(pixels), labels)


def on_cpu(images: LabelledImages) -> DeviceImages:
    return DeviceImages(images, Normalization.of(images), CPU)


class DoubleImages(DeviceImages):
    """Images in double precision: with a model in it too, sums in another order differ in the 16th digit."""

    def batch(self, indexes: NDArray[np.intp]) -> tuple[torch.Tensor, torch.Tensor]:
        x, labels = super().batch(indexes)
        return x.double(), labels


def read_losses(path: Path) -> list[tuple[int, float]]:
    """Steps and losses of a file that a training leaves."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(row.keys() == {"step", "loss"} for row in rows)
    return [(row["step"], row["loss"]) for row in rows]


def recipe(**changes: object) -> TrainingRecipe:
    """Four steps an epoch of the 64 toy images."""
    wanted: dict[str, object] = {
        "epochs": 3,
        "batch": 16,
        "augmentation": Augmentation(1, True, 2),
        "seed": 3,
    }
    return TrainingRecipe(**(wanted | changes))  # type: ignore[arg-type]


def supernet(seed: int = 3) -> Supernet:
    model = Supernet(TOY)
    start_training(model, seed)
    return model


def network(ops: tuple[int, ...] = (1, 2, 1), seed: int = 3) -> Network:
    model = Network(TOY.architecture(ops))
    start_training(model, seed)
    return model


def trainer(
    model: Network | Supernet | None = None, images: LabelledImages | None = None, **changes: object
) -> Trainer:
    return Trainer(model or supernet(), on_cpu(images or toy_images()), recipe(**changes))
