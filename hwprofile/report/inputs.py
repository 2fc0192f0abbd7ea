"""What a report is made from: files in any order, each recognised by its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from devices.agent import strict_json
from hwprofile import fitting
from hwprofile.errors import UserError
from hwprofile.profile import Profile
from hwprofile.profile_lines import LARGEST_LINE_BYTES, reason
from hwprofile.report.documents import ResultFile, SearchFile, ValidationFile
from ponas_core.score_table import ScoreTable, ScoreTableError
from predictors.model_file import SavedModel

LARGEST_DOCUMENT_BYTES = 300_000_000
KNOWN = (
    "a profile (hwprofile bench), a model (fit), the output of `validate --json`, a folder or result.json of "
    "`search`, or result.json of `specialize`"
)
JOURNAL = {"architecture", "accuracy", "basis"}
VALIDATION = {"measurements", "noise_floor_mape", "interval_coverage"}
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)
Content = TypeVar("Content")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Inputs:
    """Everything that a report shows, each kind in the order in which it was given.

    Attributes:
        profiles: profiles.
        models: fitted predictors with their files.
        validations: models held against fresh networks.
        searches: searches.
        scores: score tables that searches have left.
        results: specialisations.
    """

    profiles: list[Profile] = field(default_factory=list)
    models: list[tuple[Path, SavedModel]] = field(default_factory=list)
    validations: list[ValidationFile] = field(default_factory=list)
    searches: list[SearchFile] = field(default_factory=list)
    scores: list[ScoreTable] = field(default_factory=list)
    results: list[ResultFile] = field(default_factory=list)


def read_inputs(paths: Sequence[Path]) -> Inputs:
    """Read files and folders.

    Raises:
        UserError: a file is missing, unknown or malformed; the message says which, and what is known.
    """
    found = Inputs()
    for path in paths:
        for file in _in_folder(path) if path.is_dir() else [path]:
            _read(file, found)
    return found


def _in_folder(folder: Path) -> list[Path]:
    """The files of a search or a specialisation; the journal only where there is no result yet."""
    names = ["result.json"] if (folder / "result.json").exists() else ["evaluations.jsonl"]
    files = [folder / name for name in [*names, "scores.json"] if (folder / name).exists()]
    if not files:
        raise UserError(f"{folder} holds neither result.json nor evaluations.jsonl: give {KNOWN}")
    return files


def _read(path: Path, found: Inputs) -> None:
    """Add what a file holds."""
    first = _first_line(path)
    if first.get("file") == "hwprofile-profile":
        found.profiles.append(Profile.load(path))
        return
    if set(first) >= JOURNAL:
        found.searches.append(_made(path, SearchFile.from_journal, _journal(path)))
        return
    document = _document(path)
    if set(document) >= VALIDATION:
        found.validations.append(_made(path, ValidationFile.from_json, document))
        return
    add = _READERS.get(str(document.get("file")))
    if add is None:
        raise UserError(f"{path} is nothing that a report shows: give {KNOWN}")
    add(path, document, found)


def _first_line(path: Path) -> Mapping[str, Any]:
    """The object in the first line; an empty one where it holds none."""
    try:
        with path.open("rb") as file:
            value = strict_json.loads(file.readline(LARGEST_LINE_BYTES))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _document(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > LARGEST_DOCUMENT_BYTES:
            raise UserError(f"{path} is too large for a report: give {KNOWN}")
        value = strict_json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): give {KNOWN}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is nothing that a report shows: give {KNOWN}")
    return value


def _journal(path: Path) -> list[Mapping[str, Any]]:
    """Lines of a journal; one that a crash cut off is left out."""
    rows: list[Mapping[str, Any]] = []
    for line in path.read_bytes().splitlines():
        try:
            row = strict_json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and set(row) >= JOURNAL:
            rows.append(row)
    return rows


def _made(path: Path, make: Callable[[Path, Content], Found], content: Content) -> Found:
    try:
        return make(path, content)
    except _MALFORMED as error:
        raise UserError(f"{path} is damaged: {reason(error)}; run the command that wrote it again") from error


def _add_result(path: Path, document: Mapping[str, Any], found: Inputs) -> None:
    found.results.append(_made(path, ResultFile.from_json, document))


def _add_search(path: Path, document: Mapping[str, Any], found: Inputs) -> None:
    found.searches.append(_made(path, SearchFile.from_json, document))


def _add_model(path: Path, document: Mapping[str, Any], found: Inputs) -> None:
    found.models.append((path, fitting.load(path)))


def _add_scores(path: Path, document: Mapping[str, Any], found: Inputs) -> None:
    try:
        found.scores.append(ScoreTable.load(path))
    except ScoreTableError as error:
        raise UserError(str(error)) from error


_READERS: Mapping[str, Callable[[Path, Mapping[str, Any], Inputs], None]] = {
    "hwprofile-result": _add_result,
    "hwprofile-search": _add_search,
    "hwprofile-predictor": _add_model,
    "hwprofile-scores": _add_scores,
}
"""What adds a document, by what its field `file` says."""
