"""Spaces as TOML files: `space_from_toml` and `toml_from_space` are inverse to each other.

schema_version = 1
name = "tiny"
description = "Two choices at three layers"
input = [3, 32, 32]            # channels, height, width
activation = "relu6"           # relu, relu6, hswish or linear
resolutions = [24, 32]         # optional: heights and widths of the input, for an elastic space

[[stem]]                       # fixed layers in front
block = "conv_k3"
channels = 16
stride = 2
activation = "relu"            # optional, in every table: another one than the space's

[[stages]]                     # `layers` layers; the first has the stride, the others 1
layers = 3
channels = 24
stride = 2
blocks = ["mb_k3_e3", "onnx:mine.onnx"]

[[head]]
block = "classifier"
channels = 10

[architectures]                # optional: networks with a name, read wherever an architecture is
small = "0,0,0"                # op indexes or block strings
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from ponas_core import onnx_blocks
from ponas_core.blocks import Block, OnnxBlock, Placement, parse_block
from ponas_core.elastic import ElasticSpace
from ponas_core.operators import ACTIVATIONS, Activation, TensorShape
from ponas_core.space import Layer, SearchSpace

SCHEMA_VERSION = 1
_LARGEST_FILE_BYTES = 1_000_000
_MOST_LAYERS = 1000
_LARGEST_SIZE = 1_000_000  # channels, height, width, stride
_LONGEST_SHOWN = 60  # characters of a wrong value in a message

_TOP_KEYS = (
    "schema_version", "name", "description", "input", "activation", "resolutions", "stem", "stages", "head",
    "architectures",
)  # fmt: skip
_STAGE_KEYS = ("channels", "stride", "activation", "layers", "blocks")
_FIXED_KEYS = ("channels", "stride", "activation", "block")

_Space = TypeVar("_Space", SearchSpace, ElasticSpace)


class SpaceError(ValueError):
    """The text of a space cannot be used; the message says where and what to do."""


def shipped_spaces() -> tuple[str, ...]:
    """Names of the spaces that come with this package."""
    files = resources.files("ponas_core.spaces").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def shipped_space(name: str) -> SearchSpace:
    """A space that comes with this package, at the resolution of its file; KeyError for an unknown name."""
    return space_from_toml(_shipped_text(name))


def elastic_space(name: str) -> ElasticSpace:
    """A space that comes with this package, at all of its resolutions.

    Raises:
        KeyError: an unknown name.
        SpaceError: it has one resolution only.
    """
    return elastic_from_toml(_shipped_text(name))


def _shipped_text(name: str) -> str:
    if name not in shipped_spaces():
        raise KeyError(f"no shipped space {name!r}; there are {', '.join(shipped_spaces())}")
    return resources.files("ponas_core.spaces").joinpath(f"{name}.toml").read_text("utf-8")


def load_space(path: Path) -> SearchSpace:
    """Read a user's space at the resolution of its file; `onnx:` blocks are looked for beside it.

    Raises:
        SpaceError: the file is missing, too large or malformed.
    """
    return _loaded(path, space_from_toml)


def load_elastic_space(path: Path) -> ElasticSpace:
    """Read a user's space at all of its resolutions.

    Raises:
        SpaceError: the file is missing, too large, malformed or has one resolution only.
    """
    return _loaded(path, elastic_from_toml)


def _loaded(path: Path, read: Callable[[str, Path], _Space]) -> _Space:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"cannot read the space {path}: {error}") from error
    if len(data) > _LARGEST_FILE_BYTES:
        raise SpaceError(f"{path} is larger than a space can be ({_LARGEST_FILE_BYTES} bytes)")
    try:
        return read(text, path.parent)
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from error


def space_from_toml(text: str, folder: Path | None = None) -> SearchSpace:
    """Read a space from the text of its TOML file, at the resolution of its `input`.

    Args:
        text: the file's text.
        folder: where `onnx:` blocks are looked for; None refuses them.

    Raises:
        SpaceError: not TOML, another version, a missing or unknown key, or layers that do not fit.
    """
    found = _read(text, folder)
    return found.space if isinstance(found, ElasticSpace) else found


def elastic_from_toml(text: str, folder: Path | None = None) -> ElasticSpace:
    """Read a space at all of its `resolutions`.

    Args:
        text: the file's text.
        folder: where `onnx:` blocks are looked for; None refuses them.

    Raises:
        SpaceError: as `space_from_toml`, or no `resolutions`.
    """
    found = _read(text, folder)
    if isinstance(found, ElasticSpace):
        return found
    raise SpaceError(f"space {found.name} has one resolution; write `resolutions = [...]` for a choice")


def _read(text: str, folder: Path | None) -> SearchSpace | ElasticSpace:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # plain ValueError: a number of thousands of digits
        raise SpaceError(f"not a TOML file: {error}") from error
    _check_version(document)
    _check_keys(document, _TOP_KEYS, "the space")
    try:
        space = _with_names(_space(document, folder), document)
        return ElasticSpace(space, _resolutions(document)) if "resolutions" in document else space
    except (TypeError, ValueError) as error:
        raise SpaceError(str(error)) from error


def toml_from_space(given: SearchSpace | ElasticSpace) -> str:
    """Write a space as TOML; `space_from_toml` and `elastic_from_toml` give an equal space back."""
    space = given.space if isinstance(given, ElasticSpace) else given
    activation = (*space.stem, *space.layers)[0].place.activation
    lines = [
        f"schema_version = {SCHEMA_VERSION}",
        f"name = {_quoted(space.name)}",
        f"description = {_quoted(space.description)}",
        f"input = [{space.shape_in.channels}, {space.shape_in.height}, {space.shape_in.width}]",
        f'activation = "{activation}"',
        *([f"resolutions = {list(given.resolutions)}"] if isinstance(given, ElasticSpace) else []),
    ]
    for title, layers in (("stem", space.stem), ("stages", space.layers), ("head", space.head)):
        for run in _runs(layers, grouped=title == "stages"):
            lines += ["", f"[[{title}]]", *_run_lines(run, activation, grouped=title == "stages")]
    if space.named:
        lines += ["", "[architectures]", *_named_lines(space)]
    return "\n".join(lines) + "\n"


def _run_lines(run: Sequence[Layer], activation: Activation, *, grouped: bool) -> Iterator[str]:
    place = run[0].place
    if grouped:
        yield f"layers = {len(run)}"
    yield f"channels = {place.channels_out}"
    yield f"stride = {place.stride}"
    if place.activation != activation:
        yield f'activation = "{place.activation}"'
    names = [_quoted(str(block)) for block in run[0].blocks]
    yield f"blocks = [{', '.join(names)}]" if grouped else f"block = {names[0]}"


def _named_lines(space: SearchSpace) -> Iterator[str]:
    for name, ops in space.named.items():
        key = _quoted(name) if "." in name else name  # a dot outside quotes begins a table
        yield f"{key} = {_quoted(str(space.architecture(ops)))}"


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for what lies beyond ASCII (surrogate pairs) and for DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _runs(layers: Sequence[Layer], *, grouped: bool) -> Iterator[list[Layer]]:
    run: list[Layer] = []
    for layer in layers:
        alike = bool(run) and layer.place.stride == 1 and layer.blocks == run[0].blocks
        if alike and grouped and _width_and_activation(layer) == _width_and_activation(run[0]):
            run.append(layer)
            continue
        if run:
            yield run
        run = [layer]
    if run:
        yield run


def _width_and_activation(layer: Layer) -> tuple[int, Activation]:
    return layer.place.channels_out, layer.place.activation


def _check_version(document: Mapping[str, Any]) -> None:
    version = document.get("schema_version")
    if type(version) is not int or version < 1:
        raise SpaceError(f"write `schema_version = {SCHEMA_VERSION}` at the top of the space")
    if version > SCHEMA_VERSION:
        raise SpaceError(
            f"the space has schema version {_shown(version)}, this program reads {SCHEMA_VERSION}: "
            "update hwprofile"
        )


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise SpaceError(f"{where} has no key {_shown(', '.join(unknown))}; known keys: {', '.join(known)}")


def _space(document: Mapping[str, Any], folder: Path | None) -> SearchSpace:
    activation = _activation(document, "the space")
    shape = _input_shape(document)
    layers: dict[str, list[Layer]] = {"stem": [], "stages": [], "head": []}
    for title, found in layers.items():
        for position, table in enumerate(_tables(document, title)):
            where = f"{title}[{position}]"
            for layer in _layers(table, title, where, shape, activation, len(found), folder):
                found.append(layer)
                shape = layer.recipe(0).output(shape)
                if len(found) > _MOST_LAYERS:
                    raise SpaceError(f"{where}: more than {_MOST_LAYERS} layers in {title}")
    return SearchSpace(
        name=_required(document, "name", str, "the space"),
        description=_required({"description": "", **document}, "description", str, "the space"),
        shape_in=_input_shape(document),
        stem=tuple(layers["stem"]),
        layers=tuple(layers["stages"]),
        head=tuple(layers["head"]),
    )


def _with_names(space: SearchSpace, document: Mapping[str, Any]) -> SearchSpace:
    table = document.get("architectures", {})
    if not isinstance(table, dict):
        raise SpaceError("write architectures as one [architectures] table")
    found = {}
    for name, text in table.items():
        where = f"architectures: {_shown(name)}"
        if not isinstance(text, str):
            raise SpaceError(
                f"{where} needs op indexes or block strings in quotes, got {_shown(text)}; "
                "a name with a dot stands in quotes too"
            )
        try:
            found[name] = space.parse(text).ops
        except ValueError as error:
            raise SpaceError(f"{where}: {error}") from error
    return replace(space, named=found)


def _layers(
    table: Mapping[str, Any],
    title: str,
    where: str,
    shape: TensorShape,
    activation: Activation,
    count_before: int,
    folder: Path | None,
) -> Iterator[Layer]:
    searchable = title == "stages"
    _check_keys(table, _STAGE_KEYS if searchable else _FIXED_KEYS, where)
    activation = _activation({"activation": activation, **table}, where)
    channels = _whole(table.get("channels"), f"{where}: channels", _LARGEST_SIZE)
    stride = _whole(table.get("stride", 1), f"{where}: stride", _LARGEST_SIZE)
    names = _required(table, "blocks", list, where) if searchable else [_required(table, "block", str, where)]
    for position in range(_whole(table.get("layers", 1), f"{where}: layers", _MOST_LAYERS)):
        place = Placement(shape, channels, stride if position == 0 else 1, activation)
        name = f"{'layer' if searchable else title}{count_before + position}"
        layer = Layer(name, place, tuple(_block(word, place, where, folder) for word in names))
        yield layer
        shape = layer.recipe(0).output(shape)


def _block(word: object, place: Placement, where: str, folder: Path | None) -> Block:
    if not isinstance(word, str):
        raise SpaceError(f"{where}: a block is a string, not {_shown(word)}")
    try:
        block = parse_block(word)
    except ValueError as error:
        raise SpaceError(f"{where}: {error}") from error
    if not isinstance(block, OnnxBlock):
        return block
    if folder is None:
        raise SpaceError(f"{where}: {word} needs the space to be a file with the graph beside it")
    try:
        return onnx_blocks.load(block, folder, place)
    except ValueError as error:
        raise SpaceError(f"{where}: {error}") from error


def _activation(table: Mapping[str, Any], where: str) -> Activation:
    name = _required(table, "activation", str, where)
    if name not in ACTIVATIONS:
        raise SpaceError(f"{where}: activation {_shown(name)}: use one of {', '.join(ACTIVATIONS)}")
    found: Activation = name
    return found


def _resolutions(document: Mapping[str, Any]) -> tuple[int, ...]:
    numbers = _required(document, "resolutions", list, "the space")
    return tuple(_whole(number, "resolutions: each", _LARGEST_SIZE) for number in numbers)


def _input_shape(document: Mapping[str, Any]) -> TensorShape:
    numbers = _required(document, "input", list, "the space")
    if len(numbers) != 3:
        raise SpaceError(f"input is [channels, height, width], got {_shown(numbers)}")
    return TensorShape(*(_whole(number, "input: each size", _LARGEST_SIZE) for number in numbers))


def _tables(document: Mapping[str, Any], title: str) -> list[Mapping[str, Any]]:
    tables = document.get(title, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SpaceError(f"write {title} as [[{title}]] tables")
    return tables


def _required(table: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = table.get(key)
    if type(value) is not kind:
        raise SpaceError(f"{where} needs `{key}` as {kind.__name__}, got {_shown(value)}")
    return value


def _whole(value: object, what: str, largest: int) -> int:
    if type(value) is not int or not 1 <= value <= largest:
        raise SpaceError(f"{what} is a whole number from 1 to {largest}, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print a number of thousands of digits
        return "a huge number"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
