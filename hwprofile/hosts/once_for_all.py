"""Once-for-All (`ofa`): the object with `get_efficiency` that its `EvolutionFinder` takes. Milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwprofile.errors import UserError
from hwprofile.hosts.latency_of_ops import LatencyOfOps, latency_of, median_ms
from ponas_core.blocks import MBConv, Skip
from ponas_core.space import Layer, SearchSpace


class OfaLatency:
    """Latencies of Once-for-All's sub-networks from one latency model a resolution.

    Args:
        models: of `ofa-mbv3` (or a space with its layers) at different resolutions.
    """

    def __init__(self, models: Iterable[LatencyOfOps]) -> None:
        """Sort the models by the resolution of their space."""
        self._models = {model.space.shape_in.height: model for model in models}

    @classmethod
    def from_files(cls, files: Iterable[Path | str], space: str | None = None) -> OfaLatency:
        """From profiles, each of one resolution (`hwprofile bench --space ofa-mbv3@160`).

        Raises:
            UserError: a file is unusable, or of another space.
        """
        return cls(latency_of(file, space) for file in files)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions that can be asked for: the `image_size_list` of their encoder."""
        return tuple(sorted(self._models))

    def get_efficiency(self, arch_dict: Mapping[str, Any]) -> float:
        """Predicted latency of a sub-network, milliseconds.

        Args:
            arch_dict: `ks` and `e`, one a layer; `d`, one a stage; `r` or `image_size`. What stands for
                layers behind the depth of a stage does not count.

        Raises:
            UserError: a resolution without a model, or no sub-network of the space.
        """
        resolution = _resolution(arch_dict)
        model = self._models.get(resolution)
        if model is None:
            known = ", ".join(map(str, self.resolutions)) or "none"
            raise UserError(
                f"no latencies at resolution {resolution}, only at {known}: "
                f"hwprofile bench --space ofa-mbv3@{resolution}"
            )
        return median_ms(model, sub_network(model.space, arch_dict))


def sub_network(space: SearchSpace, arch_dict: Mapping[str, Any]) -> tuple[int, ...]:
    """Op indexes of a sub-network; UserError where the space has none such."""
    kernels, expansions, depths = (list(arch_dict[name]) for name in ("ks", "e", "d"))
    layers, deepest = len(space.layers), len(space.layers) // max(len(depths), 1)
    if not len(kernels) == len(expansions) == layers or deepest * len(depths) != layers:
        raise UserError(
            f"{space.name} has {layers} layers, but the sub-network has {len(kernels)} kernels, "
            f"{len(expansions)} expansions and {len(depths)} stages"
        )
    return tuple(
        _op(
            layer,
            None if place % deepest >= depths[place // deepest] else (kernels[place], expansions[place]),
        )
        for place, layer in enumerate(space.layers)
    )


def _op(layer: Layer, wanted: tuple[int, int] | None) -> int:
    for op, block in enumerate(layer.blocks):
        if wanted is None and isinstance(block, Skip):
            return op
        if isinstance(block, MBConv) and (block.kernel, block.expansion) == wanted:
            return op
    what = "cannot be left out" if wanted is None else f"has no kernel {wanted[0]} with expansion {wanted[1]}"
    raise UserError(f"{layer.name} {what}; it has {', '.join(map(str, layer.blocks))}")


def _resolution(arch_dict: Mapping[str, Any]) -> int:
    found = arch_dict.get("r", arch_dict.get("image_size"))
    if isinstance(found, Sequence):  # the tutorial writes a list of one
        found = found[0] if len(found) == 1 else None
    if found is None:
        raise UserError("the sub-network has no resolution: give it `r` or `image_size`")
    return int(found)
