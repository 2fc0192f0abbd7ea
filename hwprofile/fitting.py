"""Predictors of networks' latencies: fitted on what was measured, kept in a file, asked about others."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwprofile import display, plugins
from hwprofile.catalog import family_named
from hwprofile.description import BACKGROUND_NETWORKS, Description, digest_of, rows_of
from hwprofile.errors import UserError
from hwprofile.networks_csv import MeasuredNetworks, latencies_csv, measured_networks, networks_in
from hwprofile.profile import Profile
from ponas_core.elastic import ElasticSpace
from ponas_core.features import NetworkSpace
from predictors.model_file import ModelFileError, SavedModel
from predictors.sources import Linear, Sources
from predictors.suggestion import suggest as chosen_rows

FEWEST_NETWORKS = 3
MOST_SOURCE_NETWORKS = 1000
CANDIDATES = 2000
"""Random networks from which suggestions are chosen."""
CHUNK = 20_000
"""Networks that are described at once."""


def sources_from(paths: Sequence[Path], space_name: str, seed: int, *, quiet: bool = True) -> Sources | None:
    """Other devices' latencies as features of new ones.

    Args:
        paths: CSV files (arch,latency_ms), or linear predictors of the same space from `hwprofile fit`.
        space_name: the space of them all.
        seed: of the background, and of which networks are learned from where there are very many.
        quiet: no progress.

    Raises:
        UserError: a file is unusable, or of another space.
    """
    if not paths:
        return None
    description = Description.of(family_named(space_name), seed)
    lines = []
    with display.progress("sources", quiet=quiet) as progress:
        for number, path in enumerate(paths):
            progress.advance(number, len(paths), path.name)
            lines.append(_line(path, space_name, description, seed))
    return Sources.of(lines)


def _line(path: Path, space_name: str, description: Description, seed: int) -> Linear:
    if path.suffix == ".json":
        saved = load(path)
        if saved.features != description.digest or not hasattr(saved.model, "as_linear"):
            raise UserError(
                f"{path} cannot be a source: give a predictor of {space_name} made with --model gp or ridge "
                "and without sources, or the CSV file it was fitted on"
            )
        line: Linear = saved.model
        return line
    measured = measured_networks(path, space_name)
    _check_enough(measured)
    order = np.random.default_rng(seed).permutation(len(measured.networks))[:MOST_SOURCE_NETWORKS]
    model: Any = description.unfitted("gp", "none", seed)
    latencies_ms = np.array(measured.latencies_ms)[order]
    fitted: Linear = model.fit(description.rows([measured.networks[index] for index in order]), latencies_ms)
    return fitted


def suggest(
    space_name: str, count: int, source_paths: Sequence[Path], seed: int, *, quiet: bool = True
) -> list[str]:
    """Networks whose latencies tell most about all others, the most telling first.

    Args:
        space_name: the space.
        count: how many.
        source_paths: see `sources_from`; with other devices known, fewer networks tell as much.
        seed: of the random networks from which is chosen.
        quiet: no progress.

    Raises:
        UserError: a file is unusable, or more networks are wanted than there are candidates.
    """
    space = family_named(space_name)
    sources = sources_from(source_paths, space_name, seed, quiet=quiet)
    with display.progress("suggest", quiet=quiet) as progress:
        progress.advance(0, 2, "describe the space")
        description = Description.of(space, seed, sources)
        progress.advance(1, 2, f"choose {count} of {CANDIDATES} networks")
        return _most_telling(space, count, description, seed)


def _most_telling(space: NetworkSpace, count: int, description: Description, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, 1])
    drawn = {str(network): network for network in (space.sample(rng) for _ in range(CANDIDATES))}
    # a cell whose output does not depend on its input cannot be measured
    candidates = [network for network in drawn.values() if getattr(network, "connected", True)]
    if count > len(candidates):
        raise UserError(f"--count {count}: at most {len(candidates)} networks can be suggested here")
    model: Any = description.unfitted("gp")
    chosen = chosen_rows(model.prior_rows(description.rows(candidates)), count)
    return [str(candidates[index]) for index in chosen]


def fit(
    measured: MeasuredNetworks,
    kind: str = "auto",
    interval: str = "scaled",
    seed: int = 0,
    sources: Sources | None = None,
    *,
    quiet: bool = True,
) -> SavedModel:
    """Fit a predictor on measured networks.

    Args:
        measured: the networks.
        kind: a name in `predictors.model_file.ESTIMATORS`, or of a predictor that another package brings.
        interval: `scaled` or `cv+`, see `predictors.estimators.regressor`.
        seed: of folds, trees and background.
        sources: what other devices say.
        quiet: no progress.

    Raises:
        UserError: too few networks, or the package that brings this kind is broken.
    """
    plugins.need("hwprofile.predictors", kind)
    _check_enough(measured)
    with display.progress("fit", quiet=quiet) as progress:
        progress.advance(0, 2, "describe networks")
        description = Description.of(measured.space, seed, sources)
        rows = description.rows(measured.networks)
        progress.advance(1, 2, f"{kind} on {len(rows)} networks, with and without every tenth")
        model = description.unfitted(kind, interval, seed)
        model.fit(rows, np.array(measured.latencies_ms))
    return SavedModel(
        kind,
        model,
        measured.space_name,
        description.digest,
        [str(network) for network in measured.networks],
        measured.latencies_ms,
        {"background_networks": BACKGROUND_NETWORKS, "seed": seed, "software": _software()},
        sources,
    )


def _check_enough(measured: MeasuredNetworks) -> None:
    different = len(set(measured.networks))
    if different < FEWEST_NETWORKS:
        raise UserError(
            f"{measured.origin} holds {different} different networks; "
            f"a predictor needs {FEWEST_NETWORKS} at least, and 20 for intervals from errors that were seen"
        )


def measured_in(profile: Profile) -> MeasuredNetworks:
    """The whole networks in a profile of a space, or of networks.

    Raises:
        UserError: it holds no space's networks.
    """
    name = profile.header.space
    texts = [text for text in profile.of_kind("network") if profile.usable_visits(text)]
    if name is None or not texts:
        raise UserError(
            f"{profile.path} holds no networks of a space: measure some with "
            "`hwprofile bench --space SPACE --networks FILE.csv`"
        )
    space = family_named(name)
    try:
        networks = [_network(space, text) for text in texts]
    except ValueError as error:
        raise UserError(f"{profile.path} holds a network that {name} lacks: {error}") from error
    latencies_ms = [profile.summary(text).median_ms for text in texts]
    return MeasuredNetworks(space, name, networks, latencies_ms, profile.path)


def _network(space: NetworkSpace, text: str) -> Any:
    """A network as a profile names it: of an elastic space's own chain, without a resolution."""
    if isinstance(space, ElasticSpace) and not text.startswith("r"):
        return space.parse(f"r{space.space.shape_in.height}:{text}")
    return space.parse(text)


def _software() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("hwprofile", "numpy", "scipy", "scikit-learn")}


def load(path: Path) -> SavedModel:
    """Read a predictor.

    Raises:
        UserError: the file is unusable.
    """
    try:
        return SavedModel.load(path, lambda kind: plugins.need("hwprofile.predictors", kind))
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
        UserError: the file cannot be written, or this kind of predictor has no graph.
    """
    from onnx import helper

    from predictors.onnx_models import predictor_model

    try:
        graph = predictor_model(saved.model)
    except TypeError as error:
        raise UserError(f"--onnx-out: {error}") from error
    names = family_named(saved.space).describe([]).names
    helper.set_model_props(graph, {"space": saved.space, "features": "\n".join(names)})
    try:
        path.write_bytes(graph.SerializeToString())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def predicted_ms(saved: SavedModel, space: NetworkSpace, networks: Sequence[Any]) -> NDArray[np.float64]:
    """Predicted latencies of networks of the predictor's space, milliseconds.

    Raises:
        UserError: the space describes its networks otherwise than when the predictor was fitted.
    """
    medians_ms = np.empty(len(networks))
    for start in range(0, len(networks), CHUNK):
        part = slice(start, start + CHUNK)
        medians_ms[part] = saved.model.predict(_described(space, networks[part], saved))
    return medians_ms


def predict(saved: SavedModel, path: Path, *, quiet: bool) -> str:
    """Predictions for the networks in a CSV file (`arch`), as CSV: one row each, in order.

    Raises:
        UserError: the file has no column `arch`, a row names no network of the space, or the space describes
            its networks otherwise than when the predictor was fitted.
    """
    space = family_named(saved.space)
    names, networks = networks_in(path, space)
    count = len(networks)
    medians_ms, intervals_ms, beyond = np.empty(count), np.empty((count, 2)), np.empty(count, np.bool_)
    with display.progress("predict", quiet=quiet) as progress:
        for start in range(0, count, CHUNK):
            part = slice(start, start + CHUNK)
            rows = _described(space, networks[part], saved)
            medians_ms[part] = saved.model.predict(rows)
            intervals_ms[part] = saved.model.predict_interval(rows)
            beyond[part] = saved.model.out_of_range(rows)
            done = min(start + CHUNK, count)
            progress.advance(done, count, f"{done} networks")
    if beyond.any() and not quiet:
        display.notice(
            f"{beyond.sum()} of {count} networks are unlike all that were measured (column out_of_range)"
        )
    notes = {
        "interval": [saved.model.interval_basis_] * count,
        "out_of_range": ["yes" if strange else "no" for strange in beyond],
    }
    return latencies_csv(names, medians_ms, intervals_ms, notes)


def _described(space: NetworkSpace, networks: Sequence[Any], saved: SavedModel) -> NDArray[np.float64]:
    features = space.describe(networks)
    if digest_of(features.names, saved.sources) != saved.features:
        raise UserError(
            f"the space {saved.space} describes its networks otherwise than when this predictor was fitted; "
            "the measured networks are in its file: fit it again"
        )
    return rows_of(features, saved.sources)


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
