"""Whom or what vectors are like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from videodag_cli.data import Floats
from videodag_cli.toolspec import tool
from videodag_cli.vision.embeddings import Embeddings, read_named_vectors, unit


@dataclass(frozen=True, eq=False)
class Matches:
    """How like each vector is to each name."""

    similarities: Floats
    """(N, names)"""
    names: tuple[str, ...]
    detections: tuple[int, ...] | None
    top: int
    min_similarity: float

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per name that is near enough, best first, vector by vector."""
        rows = []
        for number, similarities in enumerate(self.similarities):
            joined = {} if self.detections is None else {"detection": self.detections[number]}
            for place in np.argsort(-similarities, kind="stable")[: self.top].tolist():
                if similarities[place] >= self.min_similarity:
                    rows.append({**joined, "name": self.names[place], "similarity": float(similarities[place])})
        return rows


@tool(version=1, stateless=True, id="embeddings")
class EmbeddingMatcher:
    """The names in a reference file whose vectors are most like those of the frame or its boxes, by the cosine of their angle.

    Where a name has several vectors, the nearest one counts. The reference is JSON: an object from name to vector, or to a list of
    vectors, as `embed.image` writes them with the same model.
    """

    def __init__(
        self,
        *,
        reference: Annotated[Path, Field(description='a JSON file: {"anna": "<vector>", "ben": ["<vector>", ...]}')],
        top: Annotated[int, Field(ge=1, le=1000, description="number of names that are reported")] = 1,
        min_similarity: Annotated[
            float, Field(ge=-1, le=1, description="smallest cosine of a name that is reported; depends on the model")
        ] = 0.5,
    ) -> None:
        self._reference = read_named_vectors(reference)
        self._names = tuple(dict.fromkeys(self._reference.names))
        self._top, self._min_similarity = top, min_similarity

    def __call__(self, embeddings: Embeddings) -> Matches:
        vectors, known = embeddings.vectors, self._reference.vectors
        if len(vectors) and vectors.shape[1] != known.shape[1]:
            raise ValueError(
                f"vectors of {vectors.shape[1]} numbers cannot be compared with a reference of {known.shape[1]}: "
                "it was made with another model"
            )
        each = np.einsum("nd,kd->nk", unit(vectors), known) if len(vectors) else np.empty((0, len(known)))
        best = np.full((len(vectors), len(self._names)), -1.0)
        for column, name in enumerate(self._reference.names):
            place = self._names.index(name)
            best[:, place] = np.maximum(best[:, place], each[:, column])
        return Matches(np.clip(best, -1, 1), self._names, embeddings.detections, self._top, self._min_similarity)
