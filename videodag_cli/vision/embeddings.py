"""Vectors that say what a picture, or a part of it, looks like; and files of vectors that have names."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from videodag_cli.data import Floats
from videodag_cli.errors import ParamError, printable

Encoding = Literal["base64", "list"]
MAX_REFERENCE_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Embeddings:
    """(N, D) vectors of the frame, or of its boxes."""

    vectors: Floats
    detections: tuple[int, ...] | None = None
    """Which row of the detections each is of; None: the whole frame."""
    encoding: Encoding = "base64"

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per vector, with `detection` where it is of a box."""
        written = [v.tolist() if self.encoding == "list" else encoded(v) for v in self.vectors]
        if self.detections is None:
            return [{"vector": vector} for vector in written]
        return [{"detection": row, "vector": v} for row, v in zip(self.detections, written, strict=True)]


@dataclass(frozen=True, eq=False)
class NamedVectors:
    """(N, D) vectors of length 1 and their N names."""

    names: tuple[str, ...]
    vectors: Floats


def encoded(vector: Floats) -> str:
    """Numbers of 16 bits, little-endian, as base64. Raises `ValueError` for numbers that these cannot hold."""
    with np.errstate(over="ignore"):
        half = vector.astype("<f2")
    if not np.isfinite(half).all():
        raise ValueError(
            "a vector holds numbers beyond 65504, which 16 bits cannot hold; set normalize=true or encoding=list"
        )
    return base64.b64encode(half.tobytes()).decode()


def unit(vectors: Floats) -> Floats:
    """The vectors at length 1; those of length 0 stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0))


def read_named_vectors(path: Path) -> NamedVectors:
    """A JSON object from name to vector, or to a list of vectors, as `embed.image` writes them. Raises `ParamError`."""
    shown = printable(path.name, limit=80)
    try:
        if path.stat().st_size > MAX_REFERENCE_BYTES:
            raise ParamError(f"reference {shown} is larger than {MAX_REFERENCE_BYTES // 2**20} MB", word="param.file")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ParamError(f"reference {shown} cannot be read: {error.strerror}", word="param.file") from error
    except (ValueError, RecursionError) as error:
        raise ParamError(f"reference {shown} is not JSON", word="param.file") from error
    if not isinstance(found, dict) or not found:
        raise ParamError(
            f'reference {shown} is not an object of names and vectors: {{"anna": "<vector>", "ben": ["<vector>", ...]}}',
            word="param.file",
        )
    names: list[str] = []
    vectors: list[Floats] = []
    for name, value in found.items():
        several = value if isinstance(value, list) and value and not isinstance(value[0], int | float) else [value]
        for one in several:
            vector = _vector(one)
            if vector is None or not vector.size or not np.isfinite(vector).all() or not vector.any():
                raise ParamError(
                    f"reference {shown}: {printable(name, limit=60)!r} is not a vector (numbers, or base64 of 16-bit ones), or is all 0",
                    word="param.file",
                )
            names.append(name)
            vectors.append(vector)
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise ParamError(
            f"reference {shown} holds vectors of {lengths[0]} and of {lengths[-1]} numbers", word="param.file"
        )
    return NamedVectors(tuple(names), unit(np.array(vectors)))


def _vector(value: object) -> Floats | None:
    if isinstance(value, str):
        try:
            return np.frombuffer(base64.b64decode(value, validate=True), "<f2").astype(np.float64)
        except (binascii.Error, ValueError):
            return None
    if isinstance(value, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in value):
        return np.array(value, np.float64)
    return None
