"""Loading names when they are first used (PEP 562), so that importing is quick; and a line for whoever waits."""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["import_path", "lazy_exports", "told_if_slow"]

_PATIENCE_S = 2.0


def import_path(path: str) -> Any:
    """Import what a path names.

    Args:
        path: ``"package.module:name"``.
    """
    module, _, name = path.partition(":")
    with told_if_slow(f"Loading what {name} needs, once per kernel"):
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
        with told_if_slow(f"Loading what {package}.{name} needs, once per kernel"):
            value = getattr(importlib.import_module(f"{package}.{home}"), name) if home else None
            value = importlib.import_module(f"{package}.{name}") if value is None else value
        setattr(sys.modules[package], name, value)
        return value

    def names_of() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return load, names_of, names


@contextmanager
def told_if_slow(text: str, *, after_s: float = _PATIENCE_S) -> Iterator[None]:
    """Print what is being done if the block takes longer, in a notebook only: programs and logs show nothing.

    Args:
        text: such as "Loading the model".
        after_s: seconds.
    """
    if not _in_notebook():
        yield
        return
    timer = threading.Timer(after_s, _tell, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(text: str) -> None:
    sys.stdout.write(f"{text} \N{HORIZONTAL ELLIPSIS}\n")
    sys.stdout.flush()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # whoever runs in a kernel has imported it
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None
