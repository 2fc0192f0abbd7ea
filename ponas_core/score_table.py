"""Score tables: one number per (layer, block), higher is better, whose sum ranks the networks of a space."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ponas_core.accuracies import KnownAccuracies
from ponas_core.complexity import complexity
from ponas_core.space import Architecture, SearchSpace

SCHEMA_VERSION = 1
_LARGEST_FILE_BYTES = 10_000_000
_CEILING = 101.0  # accuracy in per cent beyond which the log of the error is not defined

ScoreKind: TypeAlias = Literal["accuracy", "macs-proxy", "custom"]
Link: TypeAlias = Literal["log-error", "identity"]


class ScoreTableError(ValueError):
    """A score table cannot be used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Additive scores of a space.

    Attributes:
        space: name of the space.
        kind: `accuracy` in per cent; `macs-proxy`, multiply-accumulates standing in for accuracy; `custom`.
        meaning: what the numbers are, one sentence for people.
        rows: rows[layer][op], higher is better.
        intercept: score of the rest.
        link: how the sum becomes the number that people read: `log-error`, accuracy = 101 - exp(-sum);
            `identity`, the sum itself.
        provenance: how the table came about.
    """

    space: str
    kind: ScoreKind
    meaning: str
    rows: tuple[NDArray[np.float64], ...]
    intercept: float = 0.0
    link: Link = "identity"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def value(self, ops: Sequence[int]) -> float:
        """What the table says of a network, on the scale that people read."""
        total = self.intercept + math.fsum(row[op] for row, op in zip(self.rows, ops, strict=True))
        return _CEILING - math.exp(-total) if self.link == "log-error" else total

    def check(self, space: SearchSpace) -> None:
        """Raise ScoreTableError unless the table has one finite number for each block of the space."""
        wanted = [len(layer.blocks) for layer in space.layers]
        found = [row.size for row in self.rows]
        if self.space != space.name or wanted != found:
            raise ScoreTableError(
                f"the score table is for {self.space} with {found} ops a layer, "
                f"not for {space.name} with {wanted}"
            )
        if not all(np.isfinite(row).all() for row in self.rows):
            raise ScoreTableError("the score table holds numbers that are not finite")

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "file": "hwprofile-scores",
            "space": self.space,
            "kind": self.kind,
            "meaning": self.meaning,
            "link": self.link,
            "intercept": self.intercept,
            "rows": [row.tolist() for row in self.rows],
            "provenance": dict(self.provenance),
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> ScoreTable:
        """Read a table; ScoreTableError when it is missing, of another version or malformed."""
        try:
            if path.stat().st_size > _LARGEST_FILE_BYTES:
                raise ScoreTableError(f"{path} is too large for a score table")
            document = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ScoreTableError(f"cannot read the score table {path}: {error}") from error
        if not isinstance(document, dict) or document.get("file") != "hwprofile-scores":
            raise ScoreTableError(f'{path} is not a score table: it lacks "file": "hwprofile-scores"')
        _check_version(path, document.get("schema_version"))
        try:
            return cls._from_json(document)
        except (KeyError, TypeError, ValueError) as error:
            raise ScoreTableError(f"{path} is malformed: {error!r}; see docs/files.md") from error

    @classmethod
    def _from_json(cls, document: Mapping[str, Any]) -> ScoreTable:
        if document["kind"] not in ("accuracy", "macs-proxy", "custom"):
            raise ValueError(f"kind {document['kind']!r}")
        if document["link"] not in ("log-error", "identity"):
            raise ValueError(f"link {document['link']!r}")
        return cls(
            space=str(document["space"]),
            kind=document["kind"],
            meaning=str(document["meaning"]),
            rows=tuple(np.array(row, np.float64) for row in document["rows"]),
            intercept=float(document["intercept"]),
            link=document["link"],
            provenance=dict(document["provenance"]),
        )


def macs_proxy(space: SearchSpace) -> ScoreTable:
    """Multiply-accumulates in millions as a stand-in for accuracy, labelled as such."""
    macs = complexity(space, "macs")
    return ScoreTable(
        space=space.name,
        kind="macs-proxy",
        meaning="millions of multiply-accumulates, a proxy: more computation is taken to be more accurate",
        rows=tuple(row / 1e6 for row in macs.rows),
        intercept=macs.fixed / 1e6,
    )


def fitted_table(space: SearchSpace, known: KnownAccuracies, ridge: float = 0.2) -> ScoreTable:
    """Fit accuracies of whole networks by one number per (layer, op), on the scale of the log of the error.

    On that scale accuracies of chains are nearly additive (NAS-Bench-Macro: Spearman 0.979, the noise between
    two training seeds).

    Args:
        space: the space.
        known: accuracies; at least two networks.
        ridge: penalty on the entries; matters only where few networks are known.

    Raises:
        ScoreTableError: fewer than two networks.
    """
    if len(known.values) < 2:
        raise ScoreTableError(f"a score table needs at least two accuracies, got {len(known.values)}")
    sizes = [len(layer.blocks) for layer in space.layers]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ops = np.array(list(known.values), np.intp) + offsets[:-1]
    design = np.zeros((len(ops), int(offsets[-1])))
    np.put_along_axis(design, ops, 1.0, axis=1)
    target = -np.log(_CEILING - np.array(list(known.values.values())))
    mean, centre = float(target.mean()), design.mean(axis=0)
    gram = (design - centre).T @ (design - centre) + ridge * np.eye(design.shape[1])
    entries = np.linalg.solve(gram, (design - centre).T @ (target - mean))
    rows = tuple(entries[start:end] for start, end in itertools.pairwise(offsets))
    return ScoreTable(
        space=space.name,
        kind="accuracy",
        meaning=f"accuracy in per cent, fitted per block on the log of the error; {known.source}",
        rows=rows,
        intercept=mean - float(centre @ entries),
        link="log-error",
        provenance={"source": known.source, "networks": len(known.values), "ridge": ridge},
    )


@dataclass(frozen=True)
class Scores:
    """What a search maximises: a table, and the true values where they are known."""

    table: ScoreTable
    known: KnownAccuracies | None = None

    def value(self, architecture: Architecture) -> float:
        """The known value of a network, else the table's."""
        true = self.known.get(architecture) if self.known else None
        return self.table.value(architecture.ops) if true is None else true

    def is_known(self, architecture: Architecture) -> bool:
        """Whether `value` is a known accuracy, not the table's."""
        return self.known is not None and self.known.get(architecture) is not None


def _check_version(path: Path, version: object) -> None:
    if type(version) is not int or version < SCHEMA_VERSION:
        raise ScoreTableError(f"{path} has no version that is still read: write the table anew")
    if version > SCHEMA_VERSION:
        raise ScoreTableError(
            f"{path} has schema version {version}, newer than {SCHEMA_VERSION}: update hwprofile"
        )
