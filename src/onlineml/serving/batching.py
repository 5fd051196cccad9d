"""Batches across requests: a thread predicts for all photos that are waiting, each request with one version."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.inference.predictor import predict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.serving.current import CurrentModel, Opened

__all__ = ["Answer", "Batcher", "BusyError", "Options"]


class BusyError(Exception):
    """More photos are waiting than a server takes."""


@dataclass(frozen=True)
class Answer:
    """The rows of one request, in the order of its photos, all from one model."""

    rows: Sequence[Any]
    opened: Opened


class Options(NamedTuple):
    """Arguments of `onlineml.predict` that a request chooses."""

    top_k: int | None = None
    threshold: float | None = None
    miss_rate: float | None = None


@dataclass(frozen=True, eq=False)
class _Request:
    photos: Sequence[Any]
    options: Options
    future: Future[Answer] = field(default_factory=Future)


class Batcher:
    """Predicts in a thread of its own, in batches of whatever is waiting when the last batch is done.

    No request waits for others to come: under light load batches are small, under heavy load they fill up. A request is
    never divided, so that all of its photos are answered by one version.

    Args:
        current: the model.
        max_batch: photos from which a batch takes no further request.
        max_waiting: photos that may wait, beyond which `submit` refuses.
        on_batch: is told the number of photos and the seconds of each batch.
    """

    def __init__(
        self, current: CurrentModel, *, max_batch: int, max_waiting: int, on_batch: Callable[[int, float], None]
    ) -> None:
        self._current, self._max_batch, self._max_waiting = current, max_batch, max_waiting
        self._on_batch = on_batch
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._held: _Request | None = None
        self._waiting, self._lock = 0, threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if it does not run."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="onlineml-serving", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Answer what is waiting, then end the thread."""
        thread = self._thread
        if thread is not None:
            self._requests.put(None)
            thread.join()
            self._thread = None

    @property
    def is_alive(self) -> bool:
        """True while the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def waiting(self) -> int:
        """Number of photos that wait or are being predicted for."""
        return self._waiting

    def submit(self, photos: Sequence[Any], options: Options) -> Future[Answer]:
        """Return the future answer for photos; cancelling it before its batch begins saves the work.

        Args:
            photos: contents of files, or (H, W, 3) uint8 arrays in RGB.
            options: of all of them.

        Raises:
            BusyError: too many photos are waiting.
        """
        request = _Request(photos, options)
        with self._lock:
            if self._waiting and self._waiting + len(photos) > self._max_waiting:
                raise BusyError
            self._waiting += len(photos)
        self._requests.put(request)
        return request.future

    def _work(self) -> None:
        while requests := self._next():
            for options in dict.fromkeys(request.options for request in requests):
                together = [request for request in requests if request.options == options]
                wanted = [request for request in together if request.future.set_running_or_notify_cancel()]
                if wanted and not self._answered(wanted, options) and len(wanted) > 1:
                    for request in wanted:  # each by itself, so that one cannot fail the others
                        self._answered([request], options)
            with self._lock:
                self._waiting -= sum(len(request.photos) for request in requests)

    def _next(self) -> list[_Request]:
        """Return the requests of the next batch, waiting for the first; none at the end."""
        first = self._held or self._requests.get()
        self._held = None
        if first is None:
            return []
        taken, n = [first], len(first.photos)
        while n < self._max_batch:
            try:
                following = self._requests.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._requests.put(None)  # the end, after this batch
                break
            if n + len(following.photos) > self._max_batch:
                self._held = following
                break
            taken.append(following)
            n += len(following.photos)
        return taken

    def _answered(self, requests: Sequence[_Request], options: Options) -> bool:
        """Answer requests together; of one alone, an error is the answer."""
        opened, begin = self._current.opened, time.perf_counter()
        photos = [photo for request in requests for photo in request.photos]
        size = min(len(photos), self._max_batch)
        try:
            rows = list(
                predict(
                    opened.model,
                    photos,
                    top_k=options.top_k,
                    threshold=options.threshold,
                    miss_rate=options.miss_rate,
                    batch_size=size,
                )
            )
        except Exception as error:  # noqa: BLE001 - told to the one who asked; the thread must live
            if len(requests) == 1:
                requests[0].future.set_exception(error)
            return False
        self._on_batch(len(photos), time.perf_counter() - begin)
        done = 0
        for request in requests:
            n = len(request.photos)
            request.future.set_result(Answer(rows[done : done + n], opened))
            done += n
        return True
