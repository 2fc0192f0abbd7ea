"""What a runtime is to its host: a name, its ways to execute, and the artefact that its target loads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray


class Unsupported(ValueError):
    """A graph, or a setting, that a runtime cannot take; the message says which and why."""


class Runtime(ABC):
    """Prepares graphs on the host for the runtime of the same name on the target.

    Attributes:
        name: as typed; the module `devices/agent/<name>_runtime.py` is its other half.
        description: one line for people.
        requirement: what `pip install` takes to have it.
        providers: the ways to execute that are always there, the default first.
        may_have_more_providers: whether a target may have others.
        in_caller: providers that compute in the calling thread where they are given one thread: its CPU time
            then tells which samples were preempted.
        precisions: arithmetic that it can be asked for, the default first.
        profiles_nodes: whether its half in the agent tells the time of each operator inside a graph.
        builds_for_graph: names of what its half in the agent builds of a graph and wants back with the next
            load of it.
        builds_for_target: the same of what serves every graph on a target.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    requirement: ClassVar[str]
    providers: ClassVar[tuple[str, ...]]
    may_have_more_providers: ClassVar[bool] = False
    in_caller: ClassVar[tuple[str, ...]]
    precisions: ClassVar[tuple[str, ...]]
    profiles_nodes: ClassVar[bool]
    builds_for_graph: ClassVar[tuple[str, ...]] = ()
    builds_for_target: ClassVar[tuple[str, ...]] = ()

    @property
    def builds(self) -> tuple[str, ...]:
        """Names of all that its half in the agent builds and wants back."""
        return (*self.builds_for_graph, *self.builds_for_target)

    def on_gpu(self, provider: str) -> bool:
        """Whether a provider computes on a GPU, which takes longer to warm up and has caches of its own."""
        return False

    @property
    def providers_in_words(self) -> str:
        """The providers for people, on one line."""
        return ", ".join(self.providers)

    def check_provider(self, provider: str) -> None:
        """Raise ValueError for a provider that no target can have; the message lists the known ones."""
        if provider not in self.providers and not self.may_have_more_providers:
            raise ValueError(f"{self.name} has the providers {', '.join(self.providers)}, not {provider}")

    @abstractmethod
    def prepare(self, onnx: bytes, precision: str, calibration: Mapping[str, NDArray[Any]]) -> bytes:
        """The artefact that the target's half loads.

        Args:
            onnx: an fp32 ONNX file.
            precision: one of `precisions`.
            calibration: inputs by name, (samples, *shape), that set the ranges of int8; random where absent.

        Raises:
            Unsupported: the graph has an operator that this runtime cannot take.
        """
