"""What a model's graph does at its ends, read from the file's bytes: with the picture, and to its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from videodag_cli.vision.onnx.wire import WireError, fields

_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_OUTPUT, _INFO_NAME = 7, 1, 12, 1
_GRAPH_INPUT = 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_INTS = 8
MIN_PATCH_SIDE = 8
_MOVES = frozenset(
    ("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Concat", "Slice", "Split")
)
"""Operations that move numbers without changing them."""


@dataclass(frozen=True)
class Graph:
    """Names of operations in a model."""

    operations: frozenset[str] = frozenset()
    last: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For each output: the operations that changed its numbers last."""
    whole_parts: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    """For each output that is joined from parts: which of them were whole numbers before (a Cast made them)."""
    first: frozenset[str] = frozenset()
    """The operations that take the model's inputs."""
    patch_side: int = 0
    """Side of the patches that the first convolution cuts the picture into, as vision transformers do; 0 where none does."""

    def has(self, *operations: str) -> bool:
        return any(operation in self.operations for operation in operations)


def graph_of(model: bytes) -> Graph:
    """Read a model's operations; an empty `Graph` for bytes that hold none."""
    made_by: dict[bytes, tuple[str, list[bytes]]] = {}
    outputs: list[bytes] = []
    inputs: set[bytes] = set()
    convolutions: list[tuple[bytes, int]] = []
    try:
        for number, graph in fields(memoryview(model)):
            if number != _MODEL_GRAPH or not isinstance(graph, memoryview):
                continue
            for kind, value in fields(graph):
                if kind == _GRAPH_NODE and isinstance(value, memoryview):
                    operation, taken, made = _node(value)
                    made_by.update((name, (operation, taken)) for name in made)
                    if operation == "Conv" and taken:
                        convolutions.append((taken[0], _patch_side(value)))
                elif kind == _GRAPH_INPUT and isinstance(value, memoryview):
                    inputs.update(_names(value))
                elif kind == _GRAPH_OUTPUT and isinstance(value, memoryview):
                    outputs += _names(value)
    except WireError:
        return Graph()
    last = {name.decode("utf-8", "replace"): _changed_by(name, made_by) for name in outputs}
    parts = {name.decode("utf-8", "replace"): _cast_parts(name, made_by) for name in outputs}
    side = max((side for name, side in convolutions if name in inputs), default=0)
    first = frozenset(operation for operation, taken in made_by.values() if inputs & set(taken))
    return Graph(frozenset(operation for operation, _ in made_by.values()), last, parts, first, side)


def _names(info: memoryview) -> list[bytes]:
    return [bytes(value) for number, value in fields(info) if number == _INFO_NAME and isinstance(value, memoryview)]


def _patch_side(convolution: memoryview) -> int:
    """The side of its kernel where that is large and goes on by as much; else 0."""
    found: dict[bytes, list[int]] = {}
    for number, attribute in fields(convolution):
        if number == _NODE_ATTRIBUTE and isinstance(attribute, memoryview):
            (name, *_) = *_names(attribute), b""
            found[name] = [
                value for kind, value in fields(attribute) if kind == _ATTRIBUTE_INTS and isinstance(value, int)
            ]
    kernel = found.get(b"kernel_shape", [])
    return min(kernel) if kernel and min(kernel) >= MIN_PATCH_SIDE and kernel == found.get(b"strides") else 0


def _node(node: memoryview) -> tuple[str, list[bytes], list[bytes]]:
    operation, inputs, outputs = "", [], []
    for number, value in fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_OP_TYPE:
            operation = bytes(value).decode("utf-8", "replace")
        elif number == _NODE_INPUT:
            inputs.append(bytes(value))
        elif number == _NODE_OUTPUT:
            outputs.append(bytes(value))
    return operation, inputs, outputs


def _cast_parts(output: bytes, made_by: Mapping[bytes, tuple[str, list[bytes]]]) -> tuple[bool, ...]:
    """For each input of the Concat that an output comes from: whether nothing but a Cast gave it its numbers."""
    name = output
    for _ in range(len(made_by)):
        operation, inputs = made_by.get(name, ("", []))
        if operation == "Concat":
            return tuple(_is_cast(part, made_by) for part in inputs)
        if operation != "Identity":
            break
        name = inputs[0]
    return ()


def _is_cast(name: bytes, made_by: Mapping[bytes, tuple[str, list[bytes]]]) -> bool:
    for _ in range(len(made_by)):
        operation, inputs = made_by.get(name, ("", []))
        if operation == "Cast" or operation not in _MOVES or operation == "Concat" or not inputs:
            return operation == "Cast"
        name = inputs[0]
    return False


def _changed_by(output: bytes, made_by: Mapping[bytes, tuple[str, list[bytes]]]) -> frozenset[str]:
    """Walk back from an output through what only moves numbers."""
    found, seen, waiting = set(), set(), [output]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in made_by:
            continue
        seen.add(name)
        operation, inputs = made_by[name]
        if operation in _MOVES:
            waiting += inputs if operation == "Concat" else inputs[:1]
        else:
            found.add(operation)
    return frozenset(found)
