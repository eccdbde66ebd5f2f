"""Small ONNX detectors for tests: they put out given numbers for any picture, in the layout that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def constant_model(
    path: Path,
    outputs: Mapping[str, Array],
    *,
    shape: Sequence[int | str] = (1, 3, 64, 64),
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
    more_inputs: Mapping[str, tuple[int, Sequence[int | str]]] | None = None,
    open_outputs: bool = False,
) -> Path:
    """A model whose outputs are the given arrays; with `open_outputs` the file does not say their shapes."""
    inputs = [helper.make_tensor_value_info("images", _TYPES[dtype], list(shape))]
    for name, (kind, dimensions) in (more_inputs or {}).items():
        inputs.append(helper.make_tensor_value_info(name, kind, list(dimensions)))
    infos, nodes, weights = [], [], []
    for name, value in outputs.items():
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value), f"{name}_value"))
        nodes.append(helper.make_node("Identity", [f"{name}_value"], [name]))
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        dimensions = [f"d{i}" for i in range(value.ndim)] if open_outputs else list(value.shape)
        infos.append(helper.make_tensor_value_info(name, kind, dimensions))
    return save(path, nodes, inputs, infos, weights, metadata or {})


def brightness_model(path: Path, *, batch: int | str = "n") -> Path:
    """YOLOv8 layout on 64x64; the score of each of its one box is the mean of the picture, so every picture gives its own."""
    cells = 84
    box = np.zeros((1, 5, cells), np.float32)
    box[0, :4, 0] = (32, 32, 20, 40)
    mask = np.zeros((1, 5, cells), np.float32)
    mask[0, 4, 0] = 1
    weights = [numpy_helper.from_array(box, "box"), numpy_helper.from_array(mask, "mask")]
    weights.append(numpy_helper.from_array(np.array([0, 1, 1], np.int64), "flat"))
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Reshape", ["mean", "flat"], ["score"]),
        helper.make_node("Mul", ["score", "mask"], ["scores"]),
        helper.make_node("Add", ["scores", "box"], ["output0"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 64, 64])]
    infos = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, 5, cells])]
    return save(path, nodes, inputs, infos, weights, {"names": "{0: 'lamp'}"})


def save(
    path: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: list[Any],
    metadata: Mapping[str, str],
) -> Path:
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
