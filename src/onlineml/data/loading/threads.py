"""The threads of a process in which OpenCV decodes and augments; none of them does so while the process forks."""

from __future__ import annotations

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["AT_WORK", "OpenCVThreads", "augmented", "one_cv2_thread", "opencv_threads"]

T = TypeVar("T")


class OpenCVThreads(NamedTuple):
    """The lasting threads of one process.

    A thread takes a lock of OpenCV when it first uses it and when it ends; a process forked in that moment would wait
    for that lock for ever. So these threads last as long as the process, and a fork waits for what they are at.
    """

    decoding: ThreadPoolExecutor
    augmenting: ThreadPoolExecutor
    large: threading.Lock
    """Only one thread decodes a very large image."""


class _AtWork:
    """A context in which a thread uses OpenCV: forks wait for its end, and it waits for forks. Not reentrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._start()

    def _start(self) -> None:
        self._n_at_work = self._n_forks = 0

    def __enter__(self) -> Self:
        with self._changed:
            self._changed.wait_for(lambda: not self._n_forks)
            self._n_at_work += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._n_at_work -= 1
            self._changed.notify_all()

    def before_fork(self) -> None:
        self._changed.acquire()
        self._n_forks += 1
        self._changed.wait_for(lambda: not self._n_at_work)

    def after_fork(self) -> None:
        self._n_forks -= 1
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """The threads that waited do not exist here."""
        self._start()
        self._changed.release()


AT_WORK = _AtWork()
_threads_of: dict[int, OpenCVThreads] = {}


def opencv_threads() -> OpenCVThreads:
    """The threads of this process; a forked one makes its own."""
    found = _threads_of.get(os.getpid())
    if found is None:
        _guard_forks()
        decoding, augmenting = (
            ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix=f"onlineml-{work}")
            for work in ("decode", "augment")
        )
        found = _threads_of[os.getpid()] = OpenCVThreads(decoding, augmenting, threading.Lock())
    return found


@functools.cache
def _guard_forks() -> None:
    if hasattr(os, "register_at_fork"):  # not where processes cannot fork
        os.register_at_fork(
            before=AT_WORK.before_fork,
            after_in_parent=AT_WORK.after_fork,
            after_in_child=AT_WORK.after_fork_in_child,
        )


def augmented(make: Callable[[], T]) -> T:
    """Return what ``make`` returns, called in a lasting thread while OpenCV has no threads of its own."""

    def work() -> T:
        with AT_WORK, one_cv2_thread():
            return make()

    return opencv_threads().augmenting.submit(work).result()


@contextmanager
def one_cv2_thread() -> Iterator[None]:
    """Limit OpenCV to one thread within the block: its threads slow down small images and torch."""
    import cv2  # noqa: PLC0415

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
