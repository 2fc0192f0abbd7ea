"""What a runtime is to its host: a name, its ways to execute, and the artefact that its target loads."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from numpy.typing import NDArray

from devices.agent.runtimes import runtime
from devices.archive import archive


class Unsupported(ValueError):
    """A graph, or a setting, that a runtime cannot take; the message says which and why."""


def _module(file: Path) -> ModuleType:
    """A file as a module of its own."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Runtime(ABC):
    """Prepares graphs on the host for the runtime of the same name on the target.

    Attributes:
        name: as typed; the module `devices/agent/<name>_runtime.py` is its other half.
        agent_file: the source of that other half, where another package brings the runtime; it travels along.
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
    agent_file: ClassVar[Path | None] = None
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

    def program(self) -> bytes:
        """The agent that travels to the target.

        Raises:
            OSError: `agent_file` cannot be read.
        """
        return archive() if self.agent_file is None else archive(self.name, self.agent_file.read_bytes())

    def installed(self) -> str | None:
        """The version on this computer; None where it is not installed."""
        half = runtime(self.name) if self.agent_file is None else _module(self.agent_file)
        try:
            return str(half.version())
        except ModuleNotFoundError:
            return None

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
