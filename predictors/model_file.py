"""Fitted predictors as JSON: what was learned, from which networks, and how. No pickle, nothing is executed.

Arrays are stored bit for bit, so a loaded model predicts what the saved one did, whatever scikit-learn is
installed by then; the networks and their latencies are kept, so that any later version can fit anew.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from predictors.sources import Sources

if TYPE_CHECKING:
    from predictors.estimators.automatic import AutomaticRegressor
    from predictors.estimators.regressor import LatencyRegressor

SCHEMA_VERSION = 1
FORMAT = "hwprofile-predictor"
ESTIMATORS: dict[str, tuple[str, str]] = {
    "auto": ("predictors.estimators.automatic", "AutomaticRegressor"),
    "gp": ("predictors.estimators.gaussian_process", "GroupedGaussianProcess"),
    "ridge": ("predictors.estimators.ridge", "RidgeRegression"),
    "boosting": ("predictors.estimators.trees", "GradientBoosting"),
    "forest": ("predictors.estimators.trees", "RandomForest"),
}
"""Module and class of every kind of model; imported when asked for, as scikit-learn takes its time."""

_LARGEST_FILE_BYTES = 300_000_000
_LARGEST_ARRAY_BYTES = 1_000_000_000
_DTYPES = ("float64", "float32", "int64", "int32", "bool")
Model: TypeAlias = "LatencyRegressor | AutomaticRegressor"

_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, zlib.error)
"""What reading a damaged file may raise somewhere inside."""


class ModelFileError(ValueError):
    """A file cannot be used as a predictor; the message says what to do."""


@dataclass(frozen=True)
class SavedModel:
    """A fitted predictor with what it was fitted on.

    Attributes:
        kind: a name in `ESTIMATORS`.
        model: the fitted estimator.
        space: name or file of the space of the networks.
        features: digest of the names of the features, in order.
        networks: what was measured, as written by the space.
        latencies_ms: one a network.
        recipe: how the features came about, and whatever else is needed to fit anew.
        sources: other devices whose latencies are further features; None for none.
    """

    kind: str
    model: Model
    space: str
    features: str
    networks: Sequence[str]
    latencies_ms: Sequence[float]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    sources: Sources | None = None

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            ModelFileError: it cannot be written.
        """
        document = {
            "schema_version": SCHEMA_VERSION,
            "file": FORMAT,
            "kind": self.kind,
            "parameters": _parameters(self.model),
            "space": self.space,
            "features": self.features,
            "units": "ms",
            "recipe": dict(self.recipe),
            "networks": list(self.networks),
            "latencies_ms": [float(value) for value in self.latencies_ms],
            "sources": None if self.sources is None else self.sources.to_state(),
            "learned": self.model.to_state(),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_packed(document)) + "\n", "utf-8")
        except OSError as error:
            raise ModelFileError(f"cannot write {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path, ask: Callable[[str], object] = str) -> SavedModel:
        """Read a file.

        Args:
            path: the file.
            ask: told the kind of the model before it is looked for in `ESTIMATORS`; may add a row.

        Raises:
            ModelFileError: missing, too large, no predictor, of an unknown kind or version, or damaged.
        """
        document = _document(path)
        kind = document.get("kind")
        if isinstance(kind, str):
            ask(kind)
            if kind not in ESTIMATORS:
                raise ModelFileError(
                    f"{path} is a predictor of the kind {kind!r:.80}, which is not known here: install the "
                    f"package that brings it, or fit it again as one of {', '.join(ESTIMATORS)}"
                )
        try:
            kind = document["kind"]
            model = estimator(kind, **document["parameters"]).from_state(_unpacked(document["learned"]))
            networks, latencies_ms = document["networks"], document["latencies_ms"]
            if len(networks) != len(latencies_ms) or not all(isinstance(name, str) for name in networks):
                raise ValueError("networks and latencies_ms do not agree")
            texts = {name: document[name] for name in ("space", "features")}
            if not all(isinstance(text, str) for text in texts.values()):
                raise ValueError("space and features are text")
            if not isinstance(document["recipe"], dict):
                raise ValueError("a recipe is an object")
            sources = _unpacked(document["sources"])
            return cls(
                kind,
                model,
                **texts,
                networks=networks,
                latencies_ms=latencies_ms,
                recipe=document["recipe"],
                sources=None if sources is None else Sources.from_state(sources),
            )
        except _DAMAGE as error:
            raise ModelFileError(
                f"{path} is damaged ({type(error).__name__}: {error}): fit it again"
            ) from error


def estimator(kind: str, **parameters: Any) -> Model:
    """An unfitted predictor.

    Args:
        kind: a name in `ESTIMATORS`.
        parameters: of its constructor.

    Raises:
        ValueError: an unknown kind or parameter; the message lists the known kinds.
    """
    if kind not in ESTIMATORS:
        raise ValueError(f"no predictor {kind!r}; there are {', '.join(ESTIMATORS)}")
    module, name = ESTIMATORS[kind]
    try:
        model: Model = getattr(import_module(module), name)(**parameters)
    except TypeError as error:
        raise ValueError(f"{kind}: {error}") from error
    return model


def _parameters(model: Model) -> dict[str, Any]:
    """What the constructor was given, where it is short; the rest is in what was learned."""
    plain = model.get_params(deep=False)
    return {name: value for name, value in plain.items() if isinstance(value, str | int | float)}


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _LARGEST_FILE_BYTES:
        raise ModelFileError(f"{path} is larger than a predictor can be ({_LARGEST_FILE_BYTES} bytes)")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is no JSON file: {error}") from error
    if not isinstance(document, dict) or document.get("file") != FORMAT:
        raise ModelFileError(f"{path} is no predictor: make one with `hwprofile fit`")
    version = document.get("schema_version")
    if version != SCHEMA_VERSION or type(version) is not int:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        cure = "update hwprofile" if newer else "fit it again from the networks in it"
        raise ModelFileError(
            f"{path} has schema version {version!r}, this program reads {SCHEMA_VERSION}: {cure}"
        )
    return document


def _packed(value: Any) -> Any:
    """Arrays as compressed text, numbers that JSON lacks as text."""
    if isinstance(value, np.ndarray):
        data = base64.b64encode(zlib.compress(np.ascontiguousarray(value).tobytes())).decode()
        return {"dtype": value.dtype.name, "shape": list(value.shape), "zlib": data}
    if isinstance(value, Mapping):
        return {str(name): _packed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item) for item in value]
    if isinstance(value, np.generic):
        return _packed(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _unpacked(value: Any) -> Any:
    """What `_packed` made; ValueError for an array that is none."""
    if isinstance(value, dict):
        if set(value) == {"dtype", "shape", "zlib"}:
            return _array(value)
        if set(value) == {"float"}:
            return float(value["float"])
        return {name: _unpacked(item) for name, item in value.items()}
    return [_unpacked(item) for item in value] if isinstance(value, list) else value


def _array(packed: Mapping[str, Any]) -> Any:
    if packed["dtype"] not in _DTYPES or not isinstance(packed["shape"], list):
        raise ValueError(f"arrays have a shape and are of {', '.join(_DTYPES)}")
    dtype, shape = np.dtype(packed["dtype"]), [int(size) for size in packed["shape"]]
    expected = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected > _LARGEST_ARRAY_BYTES:
        raise ValueError(f"an array of shape {shape}")
    reader = zlib.decompressobj()
    data = reader.decompress(base64.b64decode(packed["zlib"], validate=True), expected + 1)
    if len(data) != expected:
        raise ValueError(f"an array of shape {shape} needs {expected} bytes")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
