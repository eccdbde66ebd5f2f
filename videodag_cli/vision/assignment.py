"""Pairs with the largest total: the assignment problem, by `scipy.optimize.linear_sum_assignment`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from typing import Any

from videodag_cli.data import Floats, Ints


def largest_total(worth: Floats) -> tuple[Ints, Ints]:
    """Rows and columns, each at most once, whose `worth` (N, M) has the largest sum."""
    rows, columns = _solver()(worth, maximize=True)
    return rows, columns


@cache
def _solver() -> Callable[..., Any]:
    """Scipy's function from the file that it is compiled into: the package around it takes longer to load than many runs last."""
    package = importlib.util.find_spec("scipy")
    for place in package.submodule_search_locations or () if package else ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(place, "optimize", f"_lsap{suffix}")
            if path.is_file():
                try:
                    loader = ExtensionFileLoader("_lsap", str(path))
                    spec = importlib.util.spec_from_file_location("_lsap", path, loader=loader)
                    assert spec is not None
                    module = importlib.util.module_from_spec(spec)
                    loader.exec_module(module)
                    return module.linear_sum_assignment  # type: ignore[no-any-return]
                except (ImportError, AttributeError):  # of another make: then with everything around it
                    continue
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment  # type: ignore[no-any-return]
