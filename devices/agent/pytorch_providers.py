"""PyTorch's ways to execute, by the names that people type: `cuda+compile+channels_last` and shorter ones."""

from dataclasses import dataclass
from typing import Dict


@dataclass(frozen=True)
class Way:
    """How the calls of a graph are executed.

    Attributes:
        cuda: on the first GPU of NVIDIA's; else on the processor.
        compiled: through torch.compile; else one call after another.
        captured: as a CUDA graph that was captured once and is replayed.
        channels_last: with the channels of one pixel side by side.
    """

    cuda: bool = False
    compiled: bool = False
    captured: bool = False
    channels_last: bool = False

    @property
    def name(self) -> str:
        """As typed: the parts that hold, in this order, joined by plus signs."""
        parts = {
            "cuda": self.cuda,
            "compile": self.compiled,
            "graph": self.captured,
            "channels_last": self.channels_last,
        }
        return "+".join(name for name, holds in parts.items() if holds) or "eager"


def _ways() -> Dict[str, Way]:
    choices = (False, True)
    found = [
        Way(cuda, compiled, captured, channels_last)
        for cuda in choices
        for channels_last in choices
        for compiled in choices
        for captured in choices
        if cuda or not captured  # what is captured is a CUDA graph
    ]
    return {way.name: way for way in found}


WAYS = _ways()
"""Every way by its name, those of the processor first."""


def parsed(provider: str) -> Way:
    """The way of this name.

    Raises:
        ValueError: there is none.
    """
    if provider not in WAYS:
        raise ValueError("provider {} is absent here; present: {}".format(provider, ", ".join(WAYS)))
    return WAYS[provider]
