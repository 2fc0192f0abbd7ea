"""What every predictor keeps: scikit-learn's contract, honest intervals, files without loss."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from predictors.estimators.automatic import AutomaticRegressor
from predictors.estimators.regressor import error_quantile
from predictors.model_file import ESTIMATORS, Model, SavedModel, estimator
from predictors.onnx_models import predictor_model

QUICK: dict[str, dict[str, Any]] = {
    "gp": {}, "ridge": {}, "boosting": {"trees": 20}, "forest": {"trees": 10},
    "auto": {"candidates": ("gp", "ridge")},
}  # fmt: skip
KINDS = sorted(QUICK)
Floats = NDArray[np.float64]


def made(kind: str, **parameters: Any) -> Model:
    return estimator(kind, **(QUICK[kind] | parameters))


def networks(count: int, seed: int = 0, noise: float = 0.02) -> tuple[Floats, Floats]:
    """Ten layers of three ops each, one-hot, with a cost each, and noise in proportion."""
    rng = np.random.default_rng(seed)
    costs = np.random.default_rng(99).uniform(0.2, 2.0, 30)
    X = np.eye(3)[rng.integers(0, 3, (count, 10))].reshape(count, 30)
    return X, (X @ costs) * (1 + noise * rng.standard_normal(count))


def test_every_kind_is_tried() -> None:
    assert set(KINDS) == set(ESTIMATORS)


@pytest.mark.parametrize(
    "kind",
    [kind if kind in {"gp", "ridge"} else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_scikit_learns_own_checks_pass(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the checks themselves
        results = check_estimator(made(kind), on_fail=None, on_skip=None)
    assert len(results) > 30
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []


@pytest.mark.parametrize("kind", KINDS)
class TestEveryPredictor:
    def test_it_learns_and_its_intervals_hold_what_is_measured(self, kind: str) -> None:
        X, y = networks(150)
        unseen, truth = networks(400, seed=1)
        model = made(kind).fit(X, y)
        predicted, interval = model.predict(unseen), model.predict_interval(unseen)
        assert model.score(unseen, truth) > 0.3
        assert interval.shape == (400, 2)
        assert (interval[:, 0] < predicted).all()
        assert (predicted < interval[:, 1]).all()
        assert (interval[:, 0] > 0).all()
        assert 0.88 < np.mean((interval[:, 0] <= truth) & (truth <= interval[:, 1])) <= 1
        assert model.interval_basis_ == "cross-validated"
        assert 0 < model.held_out_error_ < 0.2

    def test_cross_validation_plus_covers_whatever_the_model(self, kind: str) -> None:
        X, y = networks(60)
        unseen, truth = networks(400, seed=1)
        model = made(kind, interval="cv+").fit(X, y)
        low, high = model.predict_interval(unseen).T
        assert model.interval_basis_ == "cv+"
        assert np.mean((low <= truth) & (truth <= high)) >= 0.9 - np.sqrt(2 / 60)

    @pytest.mark.parametrize("interval", ["scaled", "cv+"])
    def test_below_twenty_networks_an_interval_is_never_called_more_than_model_based(
        self, kind: str, interval: str
    ) -> None:
        X, y = networks(19)
        assert made(kind, interval=interval).fit(X, y).interval_basis_ == "model-based"
        X, y = networks(30)
        repeated = made(kind, interval=interval).fit(np.tile(X[:19], (2, 1)), np.tile(y[:19], 2))
        assert repeated.networks_ == 19
        assert repeated.interval_basis_ == "model-based"

    @pytest.mark.parametrize("interval", ["scaled", "cv+"])
    def test_a_saved_model_predicts_the_same_bytes(self, kind: str, interval: str, tmp_path: Path) -> None:
        X, y = networks(40)
        model = made(kind, interval=interval).fit(X, y)
        saved = SavedModel(kind, model, "made-up", "0", ["a"] * 40, y.tolist(), {"seed": 0})
        saved.save(tmp_path / "model.json")
        loaded = SavedModel.load(tmp_path / "model.json")
        unseen, _ = networks(50, seed=2)
        for ask in ("predict", "predict_interval", "out_of_range"):
            before, after = getattr(model, ask)(unseen), getattr(loaded.model, ask)(unseen)
            assert before.tobytes() == after.tobytes(), ask
        assert loaded.networks == ["a"] * 40
        assert loaded.latencies_ms == y.tolist()
        assert loaded.model.networks_ == 40
        assert loaded.model.interval_basis_ == model.interval_basis_

    def test_what_lies_beyond_the_measured_is_flagged(self, kind: str) -> None:
        X, y = networks(100)
        X = np.column_stack([X, X @ np.arange(30.0)])  # a number that has a range, such as MACs
        model = made(kind).fit(X, y)
        assert model.out_of_range(X).mean() < 0.05
        assert model.out_of_range(3 * X).all()

    def test_its_graph_gives_what_it_gives(self, kind: str) -> None:
        X, y = networks(60)
        model = made(kind).fit(X, y)
        session = onnxruntime.InferenceSession(predictor_model(model).SerializeToString())
        dtype = np.float32 if session.get_inputs()[0].type == "tensor(float)" else np.float64
        unseen, _ = networks(30, seed=3)
        (found,) = session.run(None, {"features": unseen.astype(dtype)})
        np.testing.assert_allclose(found[:, 0], model.predict(unseen), rtol=2e-6)

    def test_the_same_seed_gives_the_same_model_and_a_clone_is_unfitted(self, kind: str) -> None:
        X, y = networks(30)
        model = made(kind, seed=3).fit(X, y)
        again = clone(model)
        assert not hasattr(again, "n_features_in_")
        assert (again.fit(X, y).predict_interval(X) == model.predict_interval(X)).all()

    def test_an_unknown_interval_is_refused(self, kind: str) -> None:
        with pytest.raises(ValueError, match=r"scaled, cv\+ or none"):
            made(kind, interval="narrow").fit(*networks(20))

    def test_without_held_out_networks_nothing_is_claimed(self, kind: str) -> None:
        X, y = networks(40)
        model = made(kind, interval="none").fit(X, y)
        low, high = model.predict_interval(X).T
        assert model.interval_basis_ == "model-based"
        assert np.median((high - low) / y) == pytest.approx(1.0, abs=0.2)
        assert (model.predict(X) == made(kind).fit(X, y).predict(X)).all()

    def test_two_networks_are_enough_to_say_something_unsure(self, kind: str) -> None:
        X, y = networks(2)
        low, high = made(kind).fit(X, y).predict_interval(X).T
        assert ((high - low) / y > 0.2).all()


def test_the_automatic_choice_says_what_it_picked_and_why() -> None:
    X, y = networks(80)
    model = AutomaticRegressor(candidates=("ridge", "forest")).fit(X, y)
    assert set(model.errors_) == {"ridge", "forest"}
    assert model.choice_ == min(model.errors_, key=lambda name: model.errors_[name]) == "ridge"
    with pytest.raises(ValueError, match="candidates are of gp, ridge"):
        AutomaticRegressor(candidates=("magic",)).fit(X, y)


def test_groups_that_the_measurements_do_not_ask_for_do_no_harm() -> None:
    X, y = networks(60)
    noise = np.random.default_rng(5).standard_normal((460, 200))
    unseen, truth = networks(400, seed=1)
    alone = made("gp").fit(X, y)
    beside = made("gp", groups=[0] * 30 + [1] * 200).fit(np.hstack([X, noise[:60]]), y)
    error = np.abs(alone.predict(unseen) / truth - 1).mean()
    assert np.abs(beside.predict(np.hstack([unseen, noise[60:]])) / truth - 1).mean() < 1.5 * error


def test_columns_that_cost_alike_are_learned_together() -> None:
    X, y = networks(12, noise=0.0)  # fewer than there are unknown costs
    costs = np.random.default_rng(99).uniform(0.2, 2.0, 30)
    alike = np.exp(-np.square(costs[:, None] - costs) / 0.02)  # costs tell which columns are alike
    unseen, truth = networks(300, seed=1, noise=0.0)
    plain = made("gp").fit(X, y)
    told = made("gp", groups=[0] * 30, covariances={0: alike}).fit(X, y)
    errors = [np.abs(model.predict(unseen) / truth - 1).mean() for model in (plain, told)]
    assert errors[1] < 0.7 * errors[0]


def test_groups_for_large_samples_wait_for_them() -> None:
    X, y = networks(310)
    few = made("gp", groups=[0] * 15 + [1] * 15, large_sample=[1]).fit(X[:50], y[:50])
    many = made("gp", groups=[0] * 15 + [1] * 15, large_sample=[1]).fit(X, y)
    assert len(few.posterior_.log_weights) == 2
    assert len(many.posterior_.log_weights) == 3
    with pytest.raises(ValueError, match="2 groups were given for 30 columns"):
        made("gp", groups=[0, 1]).fit(X, y)


def test_an_exactly_additive_device_still_has_intervals() -> None:
    X, y = networks(200, noise=0.0)
    low, high = made("gp").fit(X, y).predict_interval(X).T
    assert ((high - low) / y >= 0.0099).all()


def test_an_error_quantile_is_of_the_size_of_the_errors() -> None:
    rng = np.random.default_rng(0)
    found = error_quantile(np.abs(rng.standard_normal(2000)), 0.95)
    assert 1.85 < found < 2.1
    assert error_quantile([0.0, 0.0], 0.95) == 0.0
    assert error_quantile(10 * np.abs(rng.standard_normal(2000)), 0.95) > 9 * found
