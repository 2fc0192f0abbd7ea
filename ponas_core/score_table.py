"""Score tables: one number per (layer, block), higher is better, whose sum ranks the networks of a space."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponas_core.accuracies import KnownAccuracies
from ponas_core.cell_space import OpSpace
from ponas_core.complexity import complexity
from ponas_core.cost import Limit
from ponas_core.space import Architecture, SearchSpace

SCHEMA_VERSION = 1
_LARGEST_FILE_BYTES = 10_000_000
_LARGEST_EXPONENT = 700.0  # of a float
CEILING = 101.0
"""Accuracy in per cent from which on the log of the error is not defined; one above 100, so 100 is finite."""

ScoreKind: TypeAlias = Literal["accuracy", "macs-proxy", "custom"]
Link: TypeAlias = Literal["log-error", "identity"]


class ScoreTableError(ValueError):
    """A score table cannot be used; the message says why and what to do."""


def log_error(accuracy: ArrayLike) -> NDArray[np.float64]:
    """The scale on which tables of link `log-error` add up: -log(101 - accuracy in per cent), rising."""
    return -np.log(CEILING - np.asarray(accuracy, np.float64))


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
        total = self.total(ops)
        return CEILING - math.exp(min(-total, _LARGEST_EXPONENT)) if self.link == "log-error" else total

    def total(self, ops: Sequence[int]) -> float:
        """The sum for a network, before the link."""
        return self.intercept + math.fsum(row[op] for row, op in zip(self.rows, ops, strict=True))

    def check(self, space: OpSpace) -> None:
        """Raise ScoreTableError unless the table has one finite number for each block of the space."""
        wanted = list(space.op_counts)
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


class Check(Protocol):
    """What looks at the best networks of a table anew, on images that did not fill it."""

    def get(self, architecture: Architecture) -> float | None:
        """Accuracy of a network in per cent by table and images together; None where it was not looked at."""
        ...

    def best(
        self, space: SearchSpace, table: ScoreTable, limits: Sequence[Limit], count: int
    ) -> list[Architecture]:
        """At least `count` of the table's best networks under limits, where there are so many, looked at now.

        Raises:
            Infeasible: no network holds the limits.
        """
        ...


@dataclass(frozen=True)
class Scores:
    """What a search maximises.

    Attributes:
        table: tells a value of every network.
        known: true values, where they are known.
        check: looks at the table's best anew, where there are images to do so.
    """

    table: ScoreTable
    known: KnownAccuracies | None = None
    check: Check | None = None

    def value(self, architecture: Architecture) -> float:
        """The known value of a network, else the checked one, else the table's."""
        for source in (self.known, self.check):
            found = source.get(architecture) if source else None
            if found is not None:
                return found
        return self.table.value(architecture.ops)

    def is_checked(self, architecture: Architecture) -> bool:
        """Whether `value` rests on images that did not fill the table."""
        return self.check is not None and self.check.get(architecture) is not None

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
