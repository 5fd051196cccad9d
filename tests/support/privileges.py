"""To be refused what an ordinary user is refused, though root runs the tests."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION_3 = 0x20080522
_DAC = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: to read and write in spite of the modes


def _asked(function: str, header: ctypes.Array[ctypes.c_uint32], sets: ctypes.Array[ctypes.c_uint32]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(header, sets):
        raise OSError(ctypes.get_errno(), function)


@contextmanager
def modes_obeyed() -> Iterator[None]:
    """The modes of files hold for this thread, and for those that it starts, also where root runs it."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        yield
        return
    header, sets = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    _asked("capget", header, sets)
    before = sets[0]  # what is in effect; what is permitted stays, so that this can be undone
    sets[0] &= ~_DAC
    _asked("capset", header, sets)
    try:
        yield
    finally:
        sets[0] = before
        _asked("capset", header, sets)
