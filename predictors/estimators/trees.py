"""Random forest and gradient boosting: what many trees say together.

scikit-learn grows the trees; they are kept as plain arrays and read here, so that a model in a file predicts
the same with any later scikit-learn.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

from predictors.estimators.regressor import Floats, Interval, LatencyRegressor, State

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Trees:
    """Trees side by side: of every node what it asks, where it sends to, and what it says.

    Attributes:
        roots: (trees,), the first node of each.
        feature: (nodes,), the column that is asked for; -1 at a leaf.
        threshold: (nodes,); not above goes left. Columns are compared in float32, as scikit-learn does.
        left: (nodes,), the next node; of a leaf itself.
        right: (nodes,), likewise.
        value: (nodes,), what a leaf adds.
        constant: what is added to the sum of all trees.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    constant: float

    @classmethod
    def of(cls, grown: list[Any], share: float, constant: float) -> Trees:
        """From fitted `DecisionTreeRegressor`s, each counting by `share`."""
        parts = [estimator.tree_ for estimator in grown]
        starts = np.cumsum([0, *(part.node_count for part in parts)])[:-1]
        nodes = np.concatenate([np.full(part.node_count, at) for part, at in zip(parts, starts, strict=True)])
        own = np.arange(len(nodes))
        left = np.concatenate([part.children_left for part in parts])
        right = np.concatenate([part.children_right for part in parts])
        leaf = left < 0
        return cls(
            starts.astype(np.int32),
            np.where(leaf, -1, np.concatenate([part.feature for part in parts])).astype(np.int32),
            np.where(leaf, 0.0, np.concatenate([part.threshold for part in parts])),
            np.where(leaf, own, left + nodes).astype(np.int32),
            np.where(leaf, own, right + nodes).astype(np.int32),
            share * np.concatenate([part.value[:, 0, 0] for part in parts]),
            constant,
        )

    def predict(self, X: Floats) -> Floats:
        """Sum over the trees, (rows,)."""
        asked = X.astype(np.float32)
        total = np.full(len(X), self.constant)
        for root in self.roots:
            at = np.full(len(X), root)
            while (self.feature[at] >= 0).any():
                goes_left = asked[np.arange(len(X)), self.feature[at]] <= self.threshold[at]
                at = np.where(goes_left, self.left[at], self.right[at])
            total += self.value[at]
        return total


class _TreeRegressor(LatencyRegressor):
    """Both kinds keep and read their trees alike."""

    trees_: Trees

    @abstractmethod
    def _grown(self, X: Floats, y: Floats) -> Trees: ...

    def _learn(self, X: Floats, y: Floats, like: Self | None) -> None:
        self.trees_ = self._grown(X, y)

    def _predicted_ms(self, X: Floats) -> Floats:
        return self.trees_.predict(X)

    def _state(self) -> State:
        return asdict(self.trees_)

    def _restore(self, state: State) -> None:
        self.trees_ = Trees(**state)


class RandomForest(_TreeRegressor):
    """Mean of trees grown on resampled networks (Breiman 2001, "Random forests").

    Args:
        trees: how many.
        interval: see `LatencyRegressor`, as for the others.
        confidence: of the interval.
        seed: of the folds and the trees.
    """

    def __init__(
        self, trees: int = 60, interval: Interval = "scaled", confidence: float = 0.95, seed: int = 0
    ) -> None:
        """Store what is given."""
        super().__init__(interval, confidence, seed)
        self.trees = trees

    def _grown(self, X: Floats, y: Floats) -> Trees:
        forest = RandomForestRegressor(self.trees, max_features="sqrt", random_state=self.seed).fit(X, y)
        return Trees.of(forest.estimators_, 1 / self.trees, 0.0)


class GradientBoosting(_TreeRegressor):
    """Trees that each correct the sum of those before (Friedman 2001, "Greedy function approximation").

    Args:
        trees: how many.
        rate: share of its correction that each tree makes.
        depth: of a tree.
        interval: see `LatencyRegressor`, as for the others.
        confidence: of the interval.
        seed: of the folds and the trees.
    """

    def __init__(
        self,
        trees: int = 120,
        rate: float = 0.12,
        depth: int = 3,
        interval: Interval = "scaled",
        confidence: float = 0.95,
        seed: int = 0,
    ) -> None:
        """Store what is given."""
        super().__init__(interval, confidence, seed)
        self.trees = trees
        self.rate = rate
        self.depth = depth

    def _grown(self, X: Floats, y: Floats) -> Trees:
        model = GradientBoostingRegressor(
            n_estimators=self.trees,
            learning_rate=self.rate,
            max_depth=self.depth,
            subsample=0.7 if len(X) > 1 else 1.0,
            max_features="sqrt",
            random_state=self.seed,
        ).fit(X, y)
        return Trees.of(list(model.estimators_[:, 0]), self.rate, float(y.mean()))
