"""Memory that a network gives back between two steps stays with the process."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["keeping_freed_memory"]

# mallopt(3)'s names for what it sets
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_NEVER = 2**31 - 1
_BY_USER = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_"}

_lock = threading.Lock()
_inside = 0


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Within, the C library of Linux keeps what is freed; after it, what was freed is returned to the system.

    Activations of a few megabytes are freed and asked for again at each step. glibc gives such blocks back to the
    system, which hands them out anew page by page, each page wiped: up to a third of a step's time on a CPU. Kept,
    they take no more memory than the largest step needs. Nothing is done where the user has set the C library up by the
    environment, and where it is another than glibc.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    global _inside  # noqa: PLW0603 - the setting is the process's
    with _lock:
        _inside += 1
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                # what glibc sets itself to as soon as a program has freed a block of 32 MB
                libc.mallopt(_MMAP_MAX, 65536)
                libc.mallopt(_MMAP_THRESHOLD, 32 << 20)
                libc.mallopt(_TRIM_THRESHOLD, 64 << 20)
                libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    by_user = _BY_USER & os.environ.keys() or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform != "linux" or by_user:
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
