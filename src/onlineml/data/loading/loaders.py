"""The order of images, and a loader whose batches are the same with any number of workers and after any restart."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import traceback
import weakref
from itertools import chain
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from onlineml.data.loading.threads import one_cv2_thread
from onlineml.errors import ConfigError
from onlineml.lazy import told_if_slow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from onlineml.data.loading.datasets import BadRow, ImageDataset
    from onlineml.data.loading.detection_datasets import DetectionDataset

__all__ = ["BatchKeys", "BatchOrder", "Loader", "prefetch"]

T = TypeVar("T")

_PREFETCHED_BATCHES = 2  # by the loader's own thread; more only takes memory
_FETCHED_AHEAD = 64  # images, the number of connections; at least one whole batch


class BatchKeys(list[tuple[int, int]]):
    """(draw, index) of a batch's images; the number of the draw is the epoch, unless an epoch has several.

    Attributes:
        upcoming: those of the next batches of the same process, for prefetching.
    """

    upcoming: Sequence[tuple[int, int]] = ()


class BatchOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (draw, index), a function of (seed, epoch).

    Args:
        rows: (n,) int64 rows of the dataset.
        batch_size: images per batch, of all processes together.
        seed: the run's seed.
        shuffle: a new order each epoch; False keeps the order of ``rows``.
        weights: (n,) float weights for sampling with replacement; None uses each row once.
        drop_last: leave out the last, smaller batch of an epoch (different images each time).
        rank: of this process among those that work together.
        n_ranks: number of these processes. With ``drop_last``, for training, each has its part of every batch, so that
            together they take the steps of one. Else they deal out whole batches, in turn, and who gets none has one
            without images: nothing is padded, and each image comes once.
        repeats: (n,) int64, how often each row is drawn in an epoch, >= 1; its draws are numbered from 0 over all
            epochs. None: once. Not together with ``weights``.

    Raises:
        ConfigError: a batch without images, or a step with fewer images than processes.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        weights: NDArray[np.float64] | None = None,
        drop_last: bool = False,
        rank: int = 0,
        n_ranks: int = 1,
        repeats: NDArray[np.int64] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: expected at least 1")
        if weights is not None and repeats is not None:
            raise ConfigError("weights and repeats: expected one of them; found both")
        self.repeats = repeats
        self.n_draws = len(rows) if repeats is None else int(repeats.sum())  # in an epoch
        self.shares = drop_last and n_ranks > 1  # each batch
        if self.shares and min(batch_size, self.n_draws) < n_ranks:
            raise ConfigError(
                f"{n_ranks} processes need at least {n_ranks} images for each step; found a batch_size of {batch_size} "
                f"for all of them together, and {self.n_draws} training images: use fewer processes, or a larger "
                "batch_size"
            )
        self.rank, self.n_ranks = rank, n_ranks
        self.rows, self.batch_size, self.seed, self.shuffle = rows, batch_size, seed, shuffle
        self.weights = None if weights is None else weights / weights.sum()
        self.drop_last = drop_last and self.n_draws > batch_size
        self.epoch = 0
        self.start_batch = 0
        self.n_makers = 1  # processes that load batches in turn

    def __len__(self) -> int:
        full, rest = divmod(self.n_draws, self.batch_size)
        n = full + (rest > 0 and not self.drop_last)
        return n if self.shares or self.n_ranks == 1 else max(1, -(-(n - self.rank) // self.n_ranks))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; Lightning calls this."""
        if epoch != self.epoch:
            self.epoch, self.start_batch = epoch, 0

    def order(self) -> NDArray[np.int64]:
        """The images of the epoch, (n,) int64."""
        return self._draws()[:, 1]

    def _draws(self) -> NDArray[np.int64]:
        """The epoch's numbers of draws and images, (n, 2) int64."""
        draws = _numbered(self.rows, self.repeats, self.epoch)
        if not self.shuffle or not len(draws):
            return draws
        generator = np.random.default_rng([self.seed, self.epoch])
        if self.weights is None:
            return generator.permutation(draws)
        return draws[generator.choice(len(draws), size=len(draws), p=self.weights)]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        draws, first, size = self._draws(), self.start_batch, self.batch_size
        n_ahead = -(-_FETCHED_AHEAD * (self.n_ranks if self.shares else 1) // size)

        def keys_of(batch: int) -> list[tuple[int, int]]:
            begin = size * (batch if self.shares else batch * self.n_ranks + self.rank)
            whole = draws[begin : begin + size]
            parts = [len(whole) * rank // self.n_ranks for rank in (self.rank, self.rank + 1)]
            return [(draw, i) for draw, i in (whole[slice(*parts)] if self.shares else whole).tolist()]

        for batch in range(first, len(self)):
            keys = BatchKeys(keys_of(batch))
            following = range(batch + self.n_makers, len(self), self.n_makers)[:n_ahead]
            keys.upcoming = [key for later in following for key in keys_of(later)]
            yield keys


def _numbered(rows: NDArray[np.int64], repeats: NDArray[np.int64] | None, epoch: int) -> NDArray[np.int64]:
    """Return (number of the draw, row) of all draws of an epoch, (n, 2) int64, in the order of the rows."""
    if repeats is None:
        return np.column_stack([np.full(len(rows), epoch, np.int64), rows])
    before = np.repeat(np.cumsum(repeats) - repeats, repeats)
    numbers = np.repeat(repeats * epoch, repeats) + np.arange(len(before)) - before
    return np.column_stack([numbers, np.repeat(rows, repeats)])


class Loader:
    """Iterates a dataset in a `BatchOrder`, prefetched by worker processes or by one thread.

    Its state is (epoch, number of yielded batches), so that Lightning resumes a checkpoint in the middle of an epoch
    with the next batch. Lightning treats it like a `DataLoader`.

    Args:
        dataset: makes a batch from (draw, index) pairs.
        order: the batches of each epoch.
        num_workers: processes; 0 is a thread of this one.
        on_bad: takes the images (and boxes) that a batch left out, before the batch is yielded.
    """

    def __init__(
        self,
        dataset: ImageDataset | DetectionDataset,
        order: BatchOrder,
        *,
        num_workers: int = 0,
        on_bad: Callable[[list[BadRow]], None] | None = None,
    ) -> None:
        if num_workers < 0:
            raise ConfigError(f"num_workers={num_workers}: expected 0 (a thread) or more (processes)")
        self.dataset = dataset
        self.order = order
        self.batch_sampler = SimpleNamespace(sampler=order)  # Lightning calls set_epoch of this sampler
        self.num_workers = num_workers
        self.on_bad = on_bad
        self._handed_out = 0
        order.n_makers = max(1, num_workers)
        self._loader: DataLoader[Any] | None = None
        self._made: weakref.ref[Generator[Any]] | None = None

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        made = self._batches()
        self._made = weakref.ref(made)  # an iteration that nobody holds any more ends by itself
        return made

    def close(self, error: BaseException | None = None) -> None:
        """End the worker processes and the thread, at once; another iteration starts new ones.

        Args:
            error: that ended the work with the batches, if any.
        """
        made = None if self._made is None else self._made()
        if made is not None:
            made.close()
        self._loader = None
        while error is not None:  # a notebook keeps its traceback, and with the frames the loader's iterator
            for frame, _ in traceback.walk_tb(error.__traceback__):
                if frame.f_globals.get("__name__") in {__name__, DataLoader.__module__}:
                    frame.clear()
            error = error.__context__

    def _opened(self) -> DataLoader[Any]:
        """Return the loader, whose processes outlive an epoch."""
        if self._loader is None:
            self.dataset.reader.open_caches()
            self._loader = DataLoader(
                self.dataset,
                batch_sampler=self.order,
                num_workers=self.num_workers,
                collate_fn=_as_it_is,
                worker_init_fn=_leave_signals if self.num_workers else None,
                persistent_workers=self.num_workers > 0,
                # it draws a seed from this generator, which would otherwise change the training's random state
                generator=torch.Generator(),
            )
        return self._loader

    def _batches(self) -> Generator[Any]:
        self._handed_out = self.order.start_batch
        if self.num_workers:
            with one_cv2_thread():  # a fork inherits OpenCV's pool without its threads, and would deadlock
                made = iter(self._opened())
            batches = (batch for batch in made)
        else:
            batches = prefetch(iter(self._opened()))
        with contextlib.closing(batches):  # also if `on_bad` raises, whose traceback would keep the thread alive
            with told_if_slow("Decoding the first batch of images; decoded ones are kept for the next time"):
                first = next(batches, None)
            for batch in () if first is None else chain([first], batches):
                self._handed_out += 1
                bad = [*batch["bad"], *batch.get("bad_boxes", ())]
                if bad and self.on_bad is not None:
                    self.on_bad(bad)
                yield batch
        self.order.start_batch = 0

    def state_dict(self) -> dict[str, int]:
        """Return the position of the loader: the epoch, and the number of its yielded batches."""
        return {"epoch": self.order.epoch, "batch": self._handed_out % max(1, len(self))}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the position in ``state``."""
        self.order.epoch, self.order.start_batch = state["epoch"], state["batch"]


def _as_it_is(batch: Any) -> Any:
    return batch


def _leave_signals(number: int) -> None:
    """Have a worker process end by SIGTERM, and not by Ctrl+C: what a training does then, it has inherited."""
    del number
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def prefetch(batches: Iterator[T]) -> Generator[T]:
    """Yield ``batches`` while a thread loads the next two; the thread ends when the generator is closed."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=_PREFETCHED_BATCHES)
    closed = threading.Event()
    end = object()

    def hand(item: Any) -> None:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for batch in batches:
                hand(batch)
                if closed.is_set():
                    return
            hand(end)
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer's thread
            hand(error)

    thread = threading.Thread(target=work, name="onlineml-loader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join(timeout=10)
