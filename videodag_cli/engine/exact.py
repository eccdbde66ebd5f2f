"""Values of tools as bytes and back, exactly: types, floats to the last bit, the layout of arrays. Nothing that is read is run."""

from __future__ import annotations

import dataclasses
import math
import struct
import sys
from collections.abc import Collection
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

_HEAD = struct.Struct("<I")
_OURS = "videodag_cli."
_KINDS = frozenset("biufcSU")
_JSON_INTEGERS = range(-(2**63), 2**64)


class InexactError(Exception):
    """A value that would not come back as it is."""


def to_bytes(value: Any, *, modules: Collection[str] = ()) -> bytes:
    """The value as bytes. Raises `InexactError` for anything but plain values, numpy arrays, tuples, lists, mappings, and dataclasses.

    modules: where dataclasses may be defined, beside this package.
    """
    blobs = bytearray()
    try:
        head = orjson.dumps(_Writer(modules, blobs).tree(value))
    except (TypeError, RecursionError) as error:
        raise InexactError(str(error)) from error
    return _HEAD.pack(len(head)) + head + bytes(blobs)


def from_bytes(data: bytes, *, modules: Collection[str] = ()) -> Any:
    """The value that `to_bytes` made these bytes of. Raises `InexactError` for others, and for classes that are not there any more."""
    try:
        (length,) = _HEAD.unpack_from(data)
        start = _HEAD.size + length
        return _Reader(modules, memoryview(data)[start:]).value(orjson.loads(data[_HEAD.size : start]))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, struct.error) as error:
        raise InexactError(str(error)) from error


def _is_known(module: str, modules: Collection[str]) -> bool:
    return module.startswith(_OURS) or module in modules


class _Writer:
    """A tree of JSON in which a list is a tag and its content; bytes go to `blobs`."""

    def __init__(self, modules: Collection[str], blobs: bytearray) -> None:
        self._modules = modules
        self._blobs = blobs

    def tree(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if value in _JSON_INTEGERS else ["i", str(value)]
        if kind is float:
            return value if math.isfinite(value) else ["f", struct.pack("<d", value).hex()]
        if kind is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                return ["s", value.encode("utf-8", "surrogatepass").hex()]
            return value
        if kind is bytes:
            return ["b", value.hex()]
        if kind is list or kind is tuple:
            return ["l" if kind is list else "t", *map(self.tree, value)]
        if kind is dict:
            return ["d", *([self.tree(key), self.tree(item)] for key, item in value.items())]
        if kind is np.ndarray:
            return self._array(value)
        if isinstance(value, np.generic):
            _, dtype, _, _, _, place = self._array(np.asarray(value))
            return ["n", dtype, place]
        if dataclasses.is_dataclass(value) and _is_known(kind.__module__, self._modules):
            return self._fields(value)
        raise InexactError(f"{kind.__module__}.{kind.__qualname__}")

    def _fields(self, value: Any) -> Any:
        kind = type(value)
        names = [field.name for field in dataclasses.fields(value)]
        if "<" in kind.__qualname__ or not getattr(value, "__dict__", {}).keys() <= set(names):
            raise InexactError(f"{kind.__qualname__} holds more than its fields")
        return ["c", kind.__module__, kind.__qualname__, *(self.tree(getattr(value, name)) for name in names)]

    def _array(self, array: NDArray[Any]) -> list[Any]:
        if array.dtype.kind not in _KINDS or array.dtype.metadata:
            raise InexactError(f"an array of {array.dtype}")
        order = list(range(array.ndim))
        if not array.flags.c_contiguous:
            order.sort(key=lambda axis: -array.strides[axis])
            if not array.transpose(order).flags.c_contiguous:
                raise InexactError("an array with gaps")
        place = self._place(array.transpose(order))
        return ["a", array.dtype.str, list(array.shape), order, array.flags.writeable, place]

    def _place(self, array: NDArray[Any]) -> int:
        place = len(self._blobs)
        self._blobs += array.tobytes()
        return place


class _Reader:
    def __init__(self, modules: Collection[str], blobs: memoryview) -> None:
        self._modules = modules
        self._blobs = blobs

    def value(self, tree: Any) -> Any:
        if type(tree) is not list:
            return tree
        tag, *rest = tree
        if tag == "a":
            return self._array(*rest)
        if tag == "l":
            return [self.value(item) for item in rest]
        if tag == "t":
            return tuple(self.value(item) for item in rest)
        if tag == "d":
            return {self.value(key): self.value(item) for key, item in rest}
        if tag == "c":
            return self._made(*rest)
        if tag == "n":
            return self._taken(np.dtype(rest[0]), 1, rest[1])[0]
        if tag == "f":
            return struct.unpack("<d", bytes.fromhex(rest[0]))[0]
        if tag == "i":
            return int(rest[0])
        if tag == "s":
            return bytes.fromhex(rest[0]).decode("utf-8", "surrogatepass")
        if tag == "b":
            return bytes.fromhex(rest[0])
        raise InexactError(f"unknown tag {tag!r}")

    def _array(self, dtype: str, shape: list[int], order: list[int], writeable: bool, place: int) -> NDArray[Any]:
        flat = self._taken(np.dtype(dtype), math.prod(shape), place)
        array = flat.reshape([shape[axis] for axis in order]).transpose(np.argsort(order).tolist())
        array.flags.writeable = writeable
        return array

    def _taken(self, dtype: np.dtype[Any], count: int, place: int) -> NDArray[Any]:
        if dtype.kind not in _KINDS:
            raise InexactError(f"an array of {dtype}")
        return (
            np.frombuffer(self._blobs, dtype, count, place).copy()
            if count and dtype.itemsize
            else np.empty(count, dtype)
        )

    def _made(self, module: str, name: str, *values: Any) -> Any:
        """A dataclass as it was, without its `__init__`: that may not give back what it was given."""
        if not _is_known(module, self._modules):
            raise InexactError(f"a class of {module}")
        kind: Any = sys.modules[module]
        for part in name.split("."):
            kind = getattr(kind, part)
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module):
            raise InexactError(f"{name} is not a dataclass")
        fields = dataclasses.fields(kind)
        made = object.__new__(kind)
        for field, value in zip(fields, values, strict=True):
            object.__setattr__(made, field.name, self.value(value))
        return made
