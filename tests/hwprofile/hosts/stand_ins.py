"""What the hosts document of themselves, in a few lines, so that adapters are tried where none is there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest


def install(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Put a module of this dotted name, and its parents, where imports find them."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = ".".join(parts[:length])
        monkeypatch.setitem(sys.modules, path, ModuleType(path))
    for key, value in content.items():
        setattr(sys.modules[name], key, value)


class Trial:
    """Optuna's trial: it takes the block that `choose` says, and keeps parameters and constraints."""

    def __init__(self, choose: Callable[[str, Sequence[str]], str]) -> None:
        self.choose = choose
        self.params: dict[str, str] = {}
        self.constraints: dict[str, float] = {}

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        self.params[name] = self.choose(name, choices)
        return self.params[name]

    def set_constraint(self, key: str, value: float) -> None:
        self.constraints[key] = value


class Problem:
    """pymoo's `ElementwiseProblem`: it keeps its bounds and evaluates one vector."""

    def __init__(self, **bounds: Any) -> None:
        self.bounds = bounds

    def evaluate(self, x: Sequence[int]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        self._evaluate(x, out)  # type: ignore[attr-defined]  # of the subclass
        return out


class Evaluator:
    """Archai's `ModelEvaluator`: it refuses methods of a subclass that are not marked as overriding."""

    def __init_subclass__(cls) -> None:
        assert getattr(cls.evaluate, "__override__", False)

    def evaluate(self, arch: Any, budget: float | None = None) -> float:
        raise NotImplementedError


class Choice:
    """NNI's `Categorical`: values under a label."""

    def __init__(self, label: str, values: Sequence[str]) -> None:
        self.label, self.values = label, list(values)


class ModelSpace:
    """NNI's: its mutables by label."""

    def __init__(self, choices: Mapping[str, Sequence[str]]) -> None:
        self.choices = {label: Choice(label, values) for label, values in choices.items()}

    def simplify(self) -> dict[str, Choice]:
        return self.choices


class Expression:
    """NNI's: something to evaluate for a sample, which adds up."""

    def __init__(self, evaluate: Callable[[Mapping[str, str]], float]) -> None:
        self.evaluate = evaluate

    def __radd__(self, other: float) -> Expression:
        return Expression(lambda sample: other + self.evaluate(sample))

    def __add__(self, other: Expression) -> Expression:
        return Expression(lambda sample: self.evaluate(sample) + other.evaluate(sample))

    @staticmethod
    def switch_case(choice: Choice, cases: Mapping[str, float]) -> Expression:
        return Expression(lambda sample: cases[sample[choice.label]])


class Profiler:
    """NNI's `ExpressionProfiler`."""

    expression: Expression

    def __init__(self, model_space: ModelSpace) -> None:
        self.model_space = model_space

    def profile(self, sample: Mapping[str, str]) -> float:
        return self.expression.evaluate(sample)
