"""Values written as text, in the metadata of a model or in a param."""

from __future__ import annotations

import ast
import json
from typing import Any


def literal(text: str) -> Any:
    """The value of a Python or JSON literal; None for anything else."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
