"""Public names of a package that are loaded when first used, so that importing it stays cheap. Imports next to nothing."""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; the module `typing` is not cheap
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`. homes: by public name, the module below the package that has it."""

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{package}.{home}"), name)

    return get, lambda: sorted(homes)
