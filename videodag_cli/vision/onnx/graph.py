"""Which operations are at the end of a model's graph, read from the file's bytes: what was done to its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from videodag_cli.vision.onnx.wire import WireError, fields

_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_OUTPUT, _INFO_NAME = 7, 1, 12, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE = 1, 2, 4
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

    def has(self, *operations: str) -> bool:
        return any(operation in self.operations for operation in operations)

    def ends_in(self, output: str, operation: str) -> bool:
        """Whether nothing but this operation changed the output's numbers last."""
        return self.last.get(output) == frozenset((operation,))


def graph_of(model: bytes) -> Graph:
    """Read a model's operations; an empty `Graph` for bytes that hold none."""
    made_by: dict[bytes, tuple[str, list[bytes]]] = {}
    outputs: list[bytes] = []
    try:
        for number, graph in fields(memoryview(model)):
            if number != _MODEL_GRAPH or not isinstance(graph, memoryview):
                continue
            for kind, value in fields(graph):
                if kind == _GRAPH_NODE and isinstance(value, memoryview):
                    operation, inputs, made = _node(value)
                    made_by.update((name, (operation, inputs)) for name in made)
                elif kind == _GRAPH_OUTPUT and isinstance(value, memoryview):
                    outputs += [bytes(v) for n, v in fields(value) if n == _INFO_NAME and isinstance(v, memoryview)]
    except WireError:
        return Graph()
    last = {name.decode("utf-8", "replace"): _changed_by(name, made_by) for name in outputs}
    parts = {name.decode("utf-8", "replace"): _cast_parts(name, made_by) for name in outputs}
    return Graph(frozenset(operation for operation, _ in made_by.values()), last, parts)


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
