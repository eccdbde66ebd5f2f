"""What a model's file says about itself: its inputs and outputs, and the metadata that exporters leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.literals import literal
from videodag_cli.vision.onnx.labels import labels_in

Size = tuple[int, int]
"""Width and height in pixels."""

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}
_PICTURE_DTYPES = ("float32", "float16", "float64", "uint8")
MAX_SIDE = 8192


@dataclass(frozen=True)
class Port:
    """One input or output of a model."""

    name: str
    shape: tuple[int | None, ...]
    """None where the model leaves a dimension open."""
    dtype: str

    def __str__(self) -> str:
        shape = "x".join("?" if n is None else str(n) for n in self.shape) or "scalar"
        return f"{printable(self.name, limit=60)} {shape} {self.dtype}"


@dataclass(frozen=True)
class ModelFacts:
    """A model's ports and metadata. `picture` is the input that takes the picture."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str]
    names: tuple[str, ...] | None
    task: str | None
    picture: Port
    channels_first: bool
    """NCHW; else NHWC."""
    fixed_batch: bool
    """The batch axis is 1 and cannot be anything else."""
    batch_axis: bool = True
    """False: the input is one picture of 3xHxW, as torchvision's detectors have it; `picture` has the axis all the same."""

    @property
    def fixed_size(self) -> tuple[int | None, int | None]:
        """Width and height where the model fixes them."""
        height, width = self.picture.shape[2:] if self.channels_first else self.picture.shape[1:3]
        return width, height

    @property
    def trained_size(self) -> Size | None:
        """Width and height that the metadata gives (`imgsz`)."""
        value = literal(self.metadata.get("imgsz", ""))
        if isinstance(value, int):
            value = [value, value]
        if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, int) for v in value):
            height, width = value
            return (width, height) if 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE else None
        return None

    @property
    def stride(self) -> int:
        """The network's largest stride, by which open sizes have to be divisible."""
        value = literal(self.metadata.get("stride", ""))
        return value if isinstance(value, int) and 1 <= value <= 512 else 32

    def summary(self) -> str:
        """`inputs: ...; outputs: ...` for messages."""
        ins = ", ".join(str(p) for p in self.inputs)
        outs = ", ".join(str(p) for p in self.outputs[:6])
        return f"inputs: {ins}; outputs: {outs}" + (", ..." if len(self.outputs) > 6 else "")


def model_facts(session: Any, *, name: str) -> ModelFacts:
    """Read a session's ports and metadata; raises `ParamError` when no input takes a picture."""
    inputs = tuple(_port(p) for p in session.get_inputs())
    outputs = tuple(_port(p) for p in session.get_outputs())
    metadata = {str(k): str(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    pictures = [p for p in inputs if len(p.shape) == 4 and p.dtype in _PICTURE_DTYPES]
    batch_axis = bool(pictures)
    if not pictures:
        alone = [p for p in inputs if len(p.shape) == 3 and p.shape[0] == 3 and p.dtype in _PICTURE_DTYPES]
        pictures = [Port(p.name, (1, *p.shape), p.dtype) for p in alone]
    if len(pictures) != 1:
        listed = ", ".join(str(p) for p in inputs) or "none"
        raise ParamError(
            f"model {printable(name)} is not a detector this tool can feed: it needs one picture as input, 1x3xHxW, 3xHxW or 1xHxWx3 "
            f"of float or uint8; found {listed}",
            word="param.file",
        )
    picture = pictures[0]
    batch, second, _, last = picture.shape
    if second != 3 and last != 3 and not (second is None or last is None):
        raise ParamError(
            f"model {printable(name)} does not take a colour picture: it needs 3 channels, found {picture}",
            word="param.file",
        )
    if batch not in (1, None):
        raise ParamError(
            f"model {printable(name)} takes exactly {batch} pictures at once; export it with a batch of 1 or an open batch",
            word="param.file",
        )
    task = metadata.get("task") or None
    return ModelFacts(
        inputs=inputs,
        outputs=outputs,
        metadata=metadata,
        names=labels_in(metadata),
        task=printable(task, limit=40) if task else None,
        picture=picture,
        channels_first=second == 3 or (second is None and last != 3),
        fixed_batch=batch == 1,
        batch_axis=batch_axis,
    )


def _port(port: Any) -> Port:
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in port.shape or ())
    return Port(port.name, shape, DTYPES.get(port.type, port.type))
