"""The input of a network: its size, how many pictures it takes at once, and what it wants beside the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.onnx.model_facts import MAX_SIDE, ModelFacts, Size

DEFAULT_SIDE = 640
_BATCH = 4


def input_size(facts: ModelFacts, wanted: Size | None, name: str, *, default: int = DEFAULT_SIDE) -> Size:
    """Width and height to feed: what the model fixes, what the user wants, what the metadata says, or the default."""
    fallback = wanted or facts.trained_size or (default, default)
    fixed = facts.fixed_size
    size = (fixed[0] or fallback[0], fixed[1] or fallback[1])
    if wanted is not None and size != wanted:
        raise ParamError(
            f"model {printable(name)} takes pictures of {size[0]}x{size[1]} only; param size asks for {wanted[0]}x{wanted[1]}"
        )
    if max(size) > MAX_SIDE:
        raise ParamError(
            f"model {printable(name)} takes pictures of {size[0]}x{size[1]}; the limit is {MAX_SIDE} a side"
        )
    if wanted is not None and "stride" in facts.metadata and (size[0] % facts.stride or size[1] % facts.stride):
        raise ParamError(f"param size: width and height must be multiples of the model's stride {facts.stride}")
    return size


def tensor_shape(facts: ModelFacts, size: Size) -> tuple[int, int, int, int]:
    """Of one picture, as the network takes it."""
    return (1, 3, size[1], size[0]) if facts.channels_first else (1, size[1], size[0], 3)


def tried(session: Any, facts: ModelFacts, size: Size, name: str) -> dict[str, NDArray[Any]]:
    """What the model makes of a black picture. Raises `ParamError` where it fails on that size."""
    try:
        return run_model(session, facts, np.zeros(tensor_shape(facts, size), facts.picture.dtype), size)
    except ParamError:
        raise
    except Exception as error:  # onnxruntime's errors share no base class of their own
        reason = printable(" ".join(str(error).split()), limit=200)
        raise ParamError(
            f"model {printable(name)} fails on an input of {size[0]}x{size[1]}: {reason}; set param size to another",
            word="param.file",
        ) from error


def safe_batch(session: Any, facts: ModelFacts, shape: tuple[int, ...], size: Size) -> int:
    """How many pictures may go in at once: `_BATCH` if that gives the same bytes as one by one, else 1."""
    random = np.random.default_rng(0)
    high = 256 if facts.picture.dtype == "uint8" else 1
    pictures = (random.random((_BATCH, *shape[1:])) * high).astype(facts.picture.dtype)
    try:
        single = [run_model(session, facts, pictures[i : i + 1], size) for i in range(_BATCH)]
        for count in range(2, _BATCH + 1):
            together = run_model(session, facts, pictures[:count], size)
            for name, values in together.items():
                rows = np.concatenate([one[name] for one in single[:count]])
                if rows.shape != values.shape or rows.tobytes() != np.ascontiguousarray(values).tobytes():
                    return 1
    except Exception:  # a model that says its batch is open, and is wrong
        return 1
    return _BATCH


def run_model(session: Any, facts: ModelFacts, picture: NDArray[Any], size: Size) -> dict[str, NDArray[Any]]:
    """One call of the model: outputs by name, half precision widened."""
    feed: dict[str, NDArray[Any]] = {facts.picture.name: picture if facts.batch_axis else picture[0]}
    for port in facts.inputs:
        if port.name != facts.picture.name:
            feed[port.name] = _companion(port, len(picture), size)
    values = session.run(None, feed)
    return {
        port.name: np.asarray(value, np.float32 if value.dtype == np.float16 else value.dtype)
        for port, value in zip(facts.outputs, values, strict=True)
        if isinstance(value, np.ndarray)
    }


def _companion(port: Any, count: int, size: Size) -> NDArray[Any]:
    """The value of a further input: always such that boxes come out in the network's pixels."""
    name = port.name.lower()
    if name in ("orig_target_sizes", "orig_size"):
        row: tuple[float, ...] = size
    elif name in ("target_sizes", "im_shape", "image_shape"):
        row = (size[1], size[0])
    elif name == "scale_factor":
        row = (1.0, 1.0)
    elif name == "pixel_mask" and len(port.shape) == 3:
        height, width = port.shape[1] or size[1], port.shape[2] or size[0]
        return np.ones((count, height, width), port.dtype)
    else:
        raise ParamError(
            f"the model has an input that no known detector has: {port}; export it with the picture as its only input",
            word="param.file",
        )
    return np.array([row] * count, port.dtype)
