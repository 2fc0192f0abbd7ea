"""Dictionaries of arrays, lists and texts in Python's pickle format, read without unpickling.

Unpickling runs whatever a file asks for. Here a small machine interprets the operations that CIFAR's files
consist of (protocol 2: dictionaries, lists, tuples, numbers, texts, numpy arrays) and refuses every other by
name. Nothing that a file names is imported or called.
"""

from __future__ import annotations

import enum
import math
import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError

_MOST_OPERATIONS = 5_000_000  # CIFAR-100 has about 500,000; each may cost memory
_ADVICE = "use the binary version of the data set"


class _Known(enum.Enum):
    """What a file may name; a name stands for itself."""

    RECONSTRUCT = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    ENCODE = enum.auto()


_NAMES = {
    "numpy.core.multiarray _reconstruct": _Known.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _Known.RECONSTRUCT,
    "numpy ndarray": _Known.NDARRAY,
    "numpy dtype": _Known.DTYPE,
    "_codecs encode": _Known.ENCODE,  # how Python 3 writes bytes in protocol 2
}
_DTYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")


class _Dtype:
    """A type of numbers: its name, and the byte order that a file gives it afterwards."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.order = "|"


class _Array:
    """An array whose shape and bytes a file gives afterwards."""

    def __init__(self) -> None:
        self.values: NDArray[Any] | None = None


class _Refused(Exception):
    """The file holds something that these files do not consist of."""


def read_pickled(data: bytes, where: str) -> dict[str, Any]:
    """Values of a pickled dictionary by their names; arrays are numpy's and cannot be written to.

    Args:
        data: the file.
        where: names the file in errors.

    Raises:
        DatasetError: the file is damaged, is no dictionary, or holds anything but numbers, texts, lists and
            arrays of whole numbers.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of escapes that damage brought into a text
            found = _Machine(len(data)).run(data)
        if not isinstance(found, dict):
            raise _Refused("something that is no dictionary")
        return {_text(key): _value(value) for key, value in found.items()}
    except _Refused as refused:
        raise DatasetError(f"{where} holds {refused}, which is not read: {_ADVICE}") from refused
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise DatasetError(f"{where} is damaged ({error}): download it anew, or {_ADVICE}") from error


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise _Refused(f"a name that is no text ({type(value).__name__})")


def _value(value: Any) -> Any:
    if not isinstance(value, _Array):
        return value
    if value.values is None:
        raise _Refused("an array without content")
    return value.values


class _Machine:
    """A stack, its marks and a memo, as the format wants them."""

    def __init__(self, budget_bytes: int) -> None:
        """Take how many bytes of text may be encoded anew: a file could ask for the same one many times."""
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._budget_bytes = budget_bytes

    def run(self, data: bytes) -> Any:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if number >= _MOST_OPERATIONS:
                raise _Refused(f"more than {_MOST_OPERATIONS} operations")
            if opcode.name in _PUSHED:
                self._stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[opcode.name]())
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            else:
                raise _Refused(f"the operation {opcode.name}")
        return self._stack.pop()

    def nothing(self, _: Any) -> None:
        """The version of the format, or the end."""

    def mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def put(self, slot: int) -> None:
        self._memo[slot] = self._stack[-1]

    def get(self, slot: int) -> None:
        self._stack.append(self._memo[slot])

    def tuple_of(self, count: int) -> None:
        if count > len(self._stack):
            raise ValueError("a tuple of more than there is")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def tuple_since_mark(self, _: Any) -> None:
        self._stack.append(tuple(self._since_mark()))

    def append(self, _: Any) -> None:
        item = self._stack.pop()
        self._top(list).append(item)

    def appends(self, _: Any) -> None:
        items = self._since_mark()
        self._top(list).extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set(key, value)

    def set_items(self, _: Any) -> None:
        items = self._since_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def name(self, name: str) -> None:
        if name not in _NAMES:
            raise _Refused(f"the name {name.replace(' ', '.')!r}")
        self._stack.append(_NAMES[name])

    def reduce(self, _: Any) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        match called, arguments:
            case _Known.RECONSTRUCT, (_Known.NDARRAY, (0,), "b" | b"b"):
                self._stack.append(_Array())
            case _Known.DTYPE, (str(name), *_):
                if name not in _DTYPES:
                    raise _Refused(f"an array of {name!r}")
                self._stack.append(_Dtype(name))
            case _Known.ENCODE, (str(text), "latin1"):
                self._stack.append(self._encoded(text))
            case _:
                raise _Refused(f"a call of {called.name if isinstance(called, _Known) else 'a value'}")

    def build(self, _: Any) -> None:
        state = self._stack.pop()
        match self._stack[-1], state:
            case _Dtype() as dtype, (int(), "|" | "<" | ">" as order, *_):
                dtype.order = order
            case _Array() as array, (int(), tuple(shape), _Dtype() as dtype, bool(fortran), bytes(content)):
                array.values = _array(shape, dtype, "F" if fortran else "C", content)
            case _Array() as array, (int(), tuple(shape), _Dtype() as dtype, bool(fortran), str(text)):
                array.values = _array(shape, dtype, "F" if fortran else "C", self._encoded(text))
            case _Array(), _:
                raise _Refused("an array of unknown content")
            case _:
                raise _Refused("a value with a state")

    def _encoded(self, text: str) -> bytes:
        self._budget_bytes -= len(text)
        if self._budget_bytes < 0:
            raise _Refused("more text than it is long")
        return text.encode("latin-1")

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise TypeError(f"no {kind.__name__} to add to")
        return self._stack[-1]

    def _set(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | bytes | int):  # a nested key could take for ever to hash
            raise _Refused(f"a dictionary with the key {type(key).__name__}")
        self._top(dict)[key] = value


def _array(shape: tuple[Any, ...], dtype: _Dtype, order: Any, content: bytes) -> NDArray[Any]:
    found = np.dtype(dtype.order + dtype.name)
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("sizes of an array are not whole numbers")
    if math.prod(shape) * found.itemsize != len(content):
        raise ValueError("an array and its size do not fit")
    return np.frombuffer(content, found).reshape(shape, order=order)


_PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
}
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_OPERATIONS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.nothing,
    "STOP": _Machine.nothing,
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
