"""What an ONNX file refers to, read from its bytes before anything runs it.

A model may keep its weights in further files and name them by path; the runtime would open those. This walks the file's protocol
buffer (https://protobuf.dev/programming-guides/encoding/) far enough to find every such reference, without building the model in memory.
Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OP_TYPE, _NODE_ATTRIBUTE = 4, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_FUNCTION_NODE, _FUNCTION_ATTRIBUTE = 7, 11
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_MAX_DEPTH = 32


class WireError(ValueError):
    """The bytes are not a protocol buffer message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number and value: an integer, or the bytes of a nested message, text or packed array."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise WireError(f"field {number} has the unknown wire type {kind}")
        if position + length > len(message):
            raise WireError("a field ends beyond the end of its message")
        yield number, message[position : position + length]
        position += length


def external_files(model: bytes) -> list[str]:
    """Every file that the model would have the runtime open; raises `WireError` for what is not an ONNX model."""
    found: list[str] = []
    has_graph = False
    for number, value in fields(memoryview(model)):
        if not isinstance(value, memoryview):
            continue
        if number == _MODEL_GRAPH:
            has_graph = True
            found += _in_graph(value, 0)
        elif number == _MODEL_FUNCTION:
            found += _in_function(value)
    if not has_graph:
        raise WireError("there is no graph in it")
    return found


def _in_graph(graph: memoryview, depth: int) -> list[str]:
    if depth > _MAX_DEPTH:
        raise WireError(f"graphs are nested more than {_MAX_DEPTH} deep")
    found: list[str] = []
    for number, value in fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_INITIALIZER:
            found += _in_tensor(value)
        elif number == _GRAPH_SPARSE:
            found += _in_sparse(value)
        elif number == _GRAPH_NODE:
            found += _in_node(value, depth)
    return found


def _in_function(function: memoryview) -> list[str]:
    found: list[str] = []
    for number, value in fields(function):
        if not isinstance(value, memoryview):
            continue
        if number == _FUNCTION_NODE:
            found += _in_node(value, 0)
        elif number == _FUNCTION_ATTRIBUTE:
            found += _in_attribute(value, 0)
    return found


def _in_node(node: memoryview, depth: int) -> list[str]:
    found: list[str] = []
    for number, value in fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_OP_TYPE and bytes(value) == b"EPContext":
            found.append("a compiled context (EPContext)")
        elif number == _NODE_ATTRIBUTE:
            found += _in_attribute(value, depth)
    return found


def _in_attribute(attribute: memoryview, depth: int) -> list[str]:
    found: list[str] = []
    for number, value in fields(attribute):
        if not isinstance(value, memoryview):
            continue
        if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            found += _in_tensor(value)
        elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            found += _in_graph(value, depth + 1)
        elif number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
            found += _in_sparse(value)
    return found


def _in_sparse(tensor: memoryview) -> list[str]:
    return [
        name
        for number, value in fields(tensor)
        if number in (_SPARSE_VALUES, _SPARSE_INDICES) and isinstance(value, memoryview)
        for name in _in_tensor(value)
    ]


def _in_tensor(tensor: memoryview) -> list[str]:
    found: list[str] = []
    outside = False
    for number, value in fields(tensor):
        if number == _TENSOR_DATA_LOCATION and value == 1:
            outside = True
        elif number == _TENSOR_EXTERNAL_DATA and isinstance(value, memoryview):
            entry = {n: bytes(v) for n, v in fields(value) if isinstance(v, memoryview)}
            if entry.get(_ENTRY_KEY) == b"location":
                found.append(entry.get(_ENTRY_VALUE, b"").decode("utf-8", "replace"))
    return found if found or not outside else ["a file without a name"]


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise WireError("a number ends beyond the end of its message")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WireError("a number is longer than 64 bits")
