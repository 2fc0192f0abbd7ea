"""Predictors of networks' latencies: fitted on what was measured, kept in a file, asked about others."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hwprofile import display
from hwprofile.catalog import family_named
from hwprofile.errors import UserError
from hwprofile.network_files import MeasuredNetworks, networks_in
from ponas_core.features import Features, NetworkSpace
from predictors.model_file import Model, ModelFileError, SavedModel, estimator

BACKGROUND_NETWORKS = 2000
FEWEST_NETWORKS = 3
CHUNK = 20_000
"""Networks that are described at once."""


def fit(
    measured: MeasuredNetworks, kind: str = "auto", interval: str = "scaled", seed: int = 0
) -> SavedModel:
    """Fit a predictor on measured networks.

    Args:
        measured: the networks.
        kind: a name in `predictors.model_file.ESTIMATORS`.
        interval: `scaled` or `cv+`, see `predictors.estimators.regressor`.
        seed: of folds, trees and background.

    Raises:
        UserError: too few networks, or an unknown kind.
    """
    if len(set(measured.networks)) < FEWEST_NETWORKS:
        raise UserError(
            f"{measured.origin} holds {len(set(measured.networks))} different networks; "
            f"a predictor needs {FEWEST_NETWORKS} at least, and 20 for intervals from errors that were seen"
        )
    background = background_of(measured.space, seed)
    model = unfitted(kind, background, interval, seed)
    model.fit(measured.space.describe(measured.networks).values, np.array(measured.latencies_ms))
    recipe = {"background_networks": BACKGROUND_NETWORKS, "seed": seed, "software": _software()}
    return SavedModel(
        kind,
        model,
        measured.space_name,
        _digest(background),
        [str(network) for network in measured.networks],
        measured.latencies_ms,
        recipe,
    )


def background_of(space: NetworkSpace, seed: int) -> Features:
    """Networks of the space that nobody needs to have measured: what is usual there."""
    rng = np.random.default_rng(seed)
    return space.describe([space.sample(rng) for _ in range(BACKGROUND_NETWORKS)])


def unfitted(kind: str, background: Features, interval: str, seed: int) -> Model:
    """A predictor with the groups of features of its space, and what is usual there.

    Raises:
        ValueError: an unknown kind.
    """
    common = {"interval": interval, "seed": seed}
    if kind not in {"auto", "gp"}:
        return estimator(kind, **common)
    number = {group: index for index, group in enumerate(dict.fromkeys(background.groups))}
    process = estimator(
        "gp",
        groups=[number[group] for group in background.groups],
        background=background.values,
        covariances={number[group]: alike for group, alike in background.alike.items()},
        large_sample=[number[group] for group in background.for_many],
        **common,
    )
    return process if kind == "gp" else estimator("auto", gaussian_process=process, **common)


def _digest(features: Features) -> str:
    return hashlib.sha256("\n".join(features.names).encode()).hexdigest()[:16]


def _software() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("hwprofile", "numpy", "scipy", "scikit-learn")}


def load(path: Path) -> SavedModel:
    """Read a predictor.

    Raises:
        UserError: the file is unusable.
    """
    try:
        return SavedModel.load(path)
    except ModelFileError as error:
        raise UserError(str(error)) from error


def save(saved: SavedModel, path: Path) -> None:
    """Write a predictor.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        saved.save(path)
    except ModelFileError as error:
        raise UserError(str(error)) from error


def export(saved: SavedModel, path: Path) -> None:
    """Write a predictor as an ONNX graph; the names of its features are in the metadata.

    Raises:
        UserError: the file cannot be written.
    """
    from onnx import helper

    from predictors.onnx_models import predictor_model

    graph = predictor_model(saved.model)
    rng = np.random.default_rng(0)
    space = family_named(saved.space)
    names = list(space.describe([space.sample(rng)]).names)
    helper.set_model_props(graph, {"space": saved.space, "features": "\n".join(names)})
    try:
        path.write_bytes(graph.SerializeToString())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def predict(saved: SavedModel, path: Path, *, quiet: bool) -> str:
    """Predictions for the networks in a CSV file (`arch`), as CSV: one row each, in order.

    Raises:
        UserError: the file has no column `arch`, a row names no network of the space, or the space describes
            its networks otherwise than when the predictor was fitted.
    """
    space = family_named(saved.space)
    names, networks = networks_in(path, space)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arch", "latency_ms", "low_ms", "high_ms", "interval", "out_of_range"])
    basis, strange = saved.model.interval_basis_, 0
    with display.progress("predict", quiet=quiet) as progress:
        for start in range(0, len(networks), CHUNK):
            chunk = networks[start : start + CHUNK]
            rows = _described(space, chunk, saved).values
            columns = zip(
                names[start : start + CHUNK],
                saved.model.predict(rows).tolist(),
                saved.model.predict_interval(rows).tolist(),
                saved.model.out_of_range(rows).tolist(),
                strict=True,
            )
            for name, median, (low, high), beyond in columns:
                writer.writerow([name, repr(median), repr(low), repr(high), basis, "yes" if beyond else "no"])
                strange += beyond
            progress.advance(start + len(chunk), len(networks), f"{start + len(chunk)} networks")
    if strange and not quiet:
        display.notice(
            f"{strange} of {len(networks)} networks are unlike all that were measured (column out_of_range)"
        )
    return text.getvalue()


def _described(space: NetworkSpace, networks: Sequence[Any], saved: SavedModel) -> Features:
    features = space.describe(networks)
    if _digest(features) != saved.features:
        raise UserError(
            f"the space {saved.space} describes its networks otherwise than when this predictor was fitted; "
            "the measured networks are in its file: fit it again"
        )
    return features


def to_json(saved: SavedModel) -> dict[str, Any]:
    """What was fitted, for machines."""
    model = saved.model
    return {
        "kind": saved.kind,
        "chosen": getattr(model, "choice_", saved.kind),
        "held_out_errors": getattr(model, "errors_", {saved.kind: model.held_out_error_}),
        "space": saved.space,
        "networks": model.networks_,
        "interval": model.interval_basis_,
    }


def for_people(saved: SavedModel) -> str:
    """What was fitted and, where there was a choice, why."""
    facts = to_json(saved)
    ranked = sorted(facts["held_out_errors"].items(), key=lambda pair: pair[1])
    rows = [
        [name, f"{100 * error:.2f} %", "chosen" if name == facts["chosen"] else ""] for name, error in ranked
    ]
    table = display.table(["model", "held-out error", ""], rows)
    basis = {
        "cross-validated": "95 % intervals: from errors on networks that were held out",
        "cv+": "95 % intervals: CV+, whatever the model",
        "model-based": "95 % intervals: model-based, as fewer than 20 networks were measured: "
        "they rest on the model more than on errors that were seen",
    }
    return f"{saved.space}: {facts['networks']} measured networks\n{table}\n{basis[facts['interval']]}"
