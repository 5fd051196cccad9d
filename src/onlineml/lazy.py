"""Packages that load each of their public names when it is first used (PEP 562), so that importing is quick."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["import_path", "lazy_exports"]


def import_path(path: str) -> Any:
    """Import what a path names.

    Args:
        path: ``"package.module:name"``.
    """
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def lazy_exports(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the values that a package's ``__init__`` assigns to ``__getattr__``, ``__dir__`` and ``__all__``.

    Args:
        package: the package's ``__name__``.
        homes: by public name, the module below the package that defines it; an empty string where the name itself is
            that of a module below.
    """
    names = sorted(homes)

    def load(name: str) -> Any:
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}; it has {', '.join(names)}"
            raise AttributeError(msg)
        home = homes[name]
        value = getattr(importlib.import_module(f"{package}.{home}"), name) if home else None
        value = importlib.import_module(f"{package}.{name}") if value is None else value
        setattr(sys.modules[package], name, value)
        return value

    def names_of() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return load, names_of, names
