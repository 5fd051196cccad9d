"""Bookkeeping writes that failed: kept in this process, told once, and repeated until the store takes them."""

from __future__ import annotations

import atexit
import contextlib
import threading
import warnings
import weakref
from typing import TYPE_CHECKING

from onlineml.storage import patience

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIRST_S", "Backlog"]

FIRST_S = 20.0  # patience of the work itself; the rest is waited for in a thread
_LAST_S = 10.0  # when the process ends
_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_unfinished: weakref.WeakSet[Backlog] = weakref.WeakSet()


class Backlog:
    """Writes of one run that its work must not fail of, each by a name; a newer one takes the place of an older one.

    Args:
        place: the run, for messages.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._owed: dict[str, Callable[[], object]] = {}
        self._writing = threading.RLock()  # one thread writes what is kept
        self._guard = threading.Lock()  # of what is owed and of the thread; held for no request
        self._thread: threading.Thread | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._owed

    def write(self, name: str, store: Callable[[], object], *, lasting: bool = False) -> None:
        """Call ``store``; where it raises an `OSError`, keep it and repeat it in a thread.

        Args:
            name: such as the file's.
            store: writes it; must be allowed to happen twice.
            lasting: wait as long as work does, because nothing follows.
        """
        known = name in self
        if known and not lasting:
            self._keep(name, store)
            return
        try:
            older = self._writing if known else contextlib.nullcontext()  # must not be written after this one
            with patience.at_most(patience.limit_s() if lasting else FIRST_S), older:
                store()
        except OSError as err:
            self._keep(name, store)
            if not known:
                self._tell(name, err)
        else:
            self._owed.pop(name, None)

    def flush(self) -> None:
        """Write all that is kept.

        Raises:
            OSError: the first that cannot be written.
        """
        with self._writing:
            for name, store in list(self._owed.items()):
                store()
                if self._owed.get(name) is store:
                    del self._owed[name]

    def _keep(self, name: str, store: Callable[[], object]) -> None:
        with self._guard:
            self._owed[name] = store
            if self._thread is None or not self._thread.is_alive():
                _unfinished.add(self)
                self._thread = threading.Thread(target=self._repeat, name="onlineml-backlog", daemon=True)
                self._thread.start()

    def _tell(self, name: str, err: OSError) -> None:
        warnings.warn(
            f"{name} of the run {self._place} cannot be stored now: {err}. It is kept in memory and stored as soon as "
            "possible; the work goes on",
            RuntimeWarning,
            stacklevel=3,
        )

    def _repeats(self) -> bool:
        with self._guard:
            if not self._owed:
                self._thread = None  # what is kept from now on starts another
            return bool(self._owed)

    def _repeat(self) -> None:
        ended, wait_s = threading.Event(), _WAIT_S
        while self._repeats():
            ended.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            try:
                self.flush()
            except OSError:
                continue
            except Exception as err:  # noqa: BLE001 (the interpreter ends, or a store has errors of its own)
                self._tell("bookkeeping", OSError(str(err)))
                return


@atexit.register
def _finish() -> None:
    for one in list(_unfinished):
        if one._owed:  # noqa: SLF001 (of this module)
            with patience.at_most(_LAST_S):
                try:
                    one.flush()
                except Exception as err:  # noqa: BLE001 (nothing comes after it)
                    one._tell("the state", OSError(str(err)))  # noqa: SLF001
