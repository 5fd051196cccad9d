"""Order, and the loader: the same batches whoever makes them, from wherever it goes on; no thread outlives its use."""

from __future__ import annotations

import gc
import signal
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onlineml.data.augment.classification import Augmenter
from onlineml.data.loading.datasets import ImageDataset, ImageRows
from onlineml.data.loading.loaders import BatchOrder, Loader, prefetch
from onlineml.data.loading.texts import Texts
from onlineml.errors import ConfigError
from picture_files import noise, pool
from processes import LONG_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # torch's advice where the cores are fewer
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # Python 3.12 on forks
]

N = 26


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> ImageRows:
    manifest = pool(tmp_path_factory.mktemp("pool"), [noise(i) for i in range(N)])
    return ImageRows(Texts(manifest.table["image_id"]), Texts(manifest.urls()), manifest.label_ids(), None)


def _loader(rows: ImageRows, *, num_workers: int = 0, seed: int = 5, **options) -> Loader:
    dataset = ImageDataset(rows, size_hw=(12, 12), augmenter=Augmenter((12, 12), "standard", seed=seed))
    order = BatchOrder(np.arange(N), batch_size=4, seed=seed, shuffle=True)
    return Loader(dataset, order, num_workers=num_workers, **options)


def _facts(batch: dict) -> tuple:
    """All that a batch holds, comparable."""
    return (batch["image"].numpy().tobytes(), batch["label"].tolist(), batch["index"].tolist(), list(batch["image_id"]))


def _epoch(loader: Loader, epoch: int) -> list[tuple]:
    loader.order.set_epoch(epoch)
    return [_facts(batch) for batch in loader]


def test_an_empty_order(rows: ImageRows):
    for weights in (None, np.zeros(0)):
        order = BatchOrder(np.zeros(0, np.int64), batch_size=4, shuffle=True, weights=weights, drop_last=True)
        assert len(order) == 0
        assert list(order) == []
        loader = Loader(ImageDataset(rows, size_hw=(12, 12)), order)
        assert list(loader) == []
        assert loader.state_dict() == {"epoch": 0, "batch": 0}


def _keys(order: BatchOrder) -> list[tuple[int, int]]:
    return [key for batch in order for key in batch]


def test_an_order_is_a_function_of_seed_and_epoch():
    rows = np.array([3, 8, 5, 1, 99, 42, 7])
    order = BatchOrder(rows, batch_size=3, seed=1, shuffle=True)
    first = _keys(order)
    np.random.seed(0)
    assert _keys(order) == first == _keys(BatchOrder(rows, batch_size=3, seed=1, shuffle=True))
    assert [epoch for epoch, _ in first] == [0] * 7
    assert sorted(index for _, index in first) == sorted(rows)
    order.set_epoch(1)
    second = _keys(order)
    assert [epoch for epoch, _ in second] == [1] * 7
    orders = {tuple(i for _, i in keys) for keys in (first, second)}
    orders.add(tuple(i for _, i in _keys(BatchOrder(rows, batch_size=3, seed=2, shuffle=True))))
    assert len(orders) == 3
    assert [index for _, index in _keys(BatchOrder(rows, batch_size=3))] == rows.tolist()


@pytest.mark.parametrize(
    ("n", "size", "drop", "sizes"),
    [
        (7, 3, False, [3, 3, 1]),
        (7, 3, True, [3, 3]),
        (6, 3, True, [3, 3]),
        (3, 3, True, [3]),
        (2, 3, True, [2]),  # all there is: nothing to learn from otherwise
        (1, 1, True, [1]),
    ],
)
def test_sizes_of_batches(n: int, size: int, drop: bool, sizes: list[int]):
    order = BatchOrder(np.arange(n), batch_size=size, shuffle=True, drop_last=drop)
    assert [len(batch) for batch in order] == sizes
    assert len(order) == len(sizes)


def test_what_is_dropped_differs_from_epoch_to_epoch():
    order = BatchOrder(np.arange(7), batch_size=3, shuffle=True, drop_last=True)
    seen = set()
    for epoch in range(100):
        order.set_epoch(epoch)
        seen |= set(range(7)) - {index for _, index in _keys(order)}
    assert seen == set(range(7))


def test_every_order_is_as_likely():
    """Each image at each place 1/5 of the time: chi-square of 16 degrees of freedom, .999 quantile 39.25."""
    order = BatchOrder(np.arange(5), batch_size=5, seed=3, shuffle=True)
    counts = np.zeros((5, 5))
    for epoch in range(500):
        order.set_epoch(epoch)
        counts[np.arange(5), order.order()] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 39.25


def test_weights_draw_as_they_say():
    """Of 10,000 draws: chi-square of 3 degrees of freedom, .999 quantile 16.27; each epoch of its own draws."""
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    rows = np.repeat([10, 20, 30, 40], 25)
    order = BatchOrder(rows, batch_size=10, seed=1, shuffle=True, weights=np.repeat(weights, 25))
    drawn = []
    for epoch in range(100):
        order.set_epoch(epoch)
        assert len(order.order()) == 100
        drawn.append(order.order())
    counts = np.array([(np.concatenate(drawn) == row).sum() for row in (10, 20, 30, 40)])
    expected = weights / 10 * 10_000
    assert ((counts - expected) ** 2 / expected).sum() < 16.27
    assert len({d.tobytes() for d in drawn}) == 100


def test_wrong_numbers_are_refused(rows: ImageRows):
    with pytest.raises(ConfigError, match="batch_size=0: expected at least 1"):
        BatchOrder(np.arange(3), batch_size=0)
    with pytest.raises(ConfigError, match=r"num_workers=-1: expected 0 \(a thread\) or more"):
        _loader(rows, num_workers=-1)


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_identical_for_any_number_of_workers(rows: ImageRows, workers: int):
    """Two whole epochs, then an epoch gone on with in the middle, after an iteration that was abandoned."""
    alone, others = _loader(rows), _loader(rows, num_workers=workers)
    assert _epoch(alone, 0) == _epoch(others, 0)
    assert _epoch(alone, 1) == _epoch(others, 1)
    for loader in (alone, others):
        for _ in zip(range(2), loader, strict=False):
            pass
        loader.load_state_dict({"epoch": 1, "batch": 3})
    rest = [_facts(batch) for batch in alone]
    assert len(rest) == 4
    assert [_facts(batch) for batch in others] == rest == _epoch(_loader(rows), 1)[3:]


def test_making_batches_draws_none_of_the_trainings_random_numbers(rows: ImageRows):
    """Else dropout would differ between 0 workers and some, whose processes are made once and not each epoch."""
    for workers in (0, 1):
        loader = _loader(rows, num_workers=workers)
        torch.manual_seed(0)
        before = torch.get_rng_state()
        for epoch in range(2):
            _epoch(loader, epoch)
        assert torch.equal(torch.get_rng_state(), before)


class Handlers:
    """In place of images: what the process that makes a batch does at SIGINT and SIGTERM."""

    reader = SimpleNamespace(open_caches=lambda: None)

    def __getitems__(self, keys: list) -> dict:
        return {"bad": [], "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]}


def test_workers_do_not_inherit_what_a_training_does_at_a_signal():
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        loader = Loader(Handlers(), BatchOrder(np.arange(2), batch_size=2), num_workers=1)
        (batch,) = loader
    finally:
        signal.signal(signal.SIGTERM, before)
    loader.close()
    assert batch["handlers"] == [signal.SIG_IGN, signal.SIG_DFL]


@pytest.mark.parametrize("done", range(8))
def test_a_loader_goes_on_where_its_state_says(rows: ImageRows, done: int):
    loader = _loader(rows)
    loader.order.set_epoch(6)
    batches = iter(loader)
    whole = [_facts(next(batches)) for _ in range(done)]
    state = loader.state_dict()
    if done == 7:  # the end of an epoch is the start of one; Lightning sets which
        assert state == {"epoch": 6, "batch": 0}
        return
    whole += [_facts(batch) for batch in batches]
    assert state == {"epoch": 6, "batch": done}
    other = _loader(rows)
    other.load_state_dict(state)
    other.order.set_epoch(6)  # as Lightning does when it goes on
    rest = []
    for count, batch in enumerate(other, start=done + 1):
        assert other.state_dict() == {"epoch": 6, "batch": count % 7}
        rest.append(_facts(batch))
    assert rest == whole[done:]
    assert _epoch(other, 6) == whole  # the next time from the start
    assert _epoch(other, 7) == _epoch(_loader(rows), 7)


def test_a_new_epoch_starts_at_its_start(rows: ImageRows):
    loader = _loader(rows)
    loader.load_state_dict({"epoch": 2, "batch": 5})
    assert _epoch(loader, 3) == _epoch(_loader(rows), 3)
    assert len(loader) == 7


def test_images_are_what_they_say(rows: ImageRows):
    """Against the files themselves: fitted to their own size, images are as they were written."""
    dataset = ImageDataset(rows, size_hw=(20, 20))
    loader = Loader(dataset, BatchOrder(np.arange(N)[::-1], batch_size=5))
    for batch in loader:
        assert batch["image"].dtype == torch.uint8
        assert batch["image"].shape == (len(batch["image_id"]), 3, 20, 20)
        assert batch["image"].is_contiguous(memory_format=torch.channels_last)
        assert batch["bad"] == []
        for image, label, index, image_id in zip(
            batch["image"], batch["label"].tolist(), batch["index"].tolist(), batch["image_id"], strict=True
        ):
            assert np.array_equal(image.permute(1, 2, 0).numpy(), noise(index))
            assert (image_id, label) == (f"image-{index}", index % 2)


def _threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "onlineml-loader" and t.is_alive()]


def _none_left() -> bool:
    end = time.monotonic() + LONG_S
    while _threads() and time.monotonic() < end:
        time.sleep(0.01)
    return not _threads()


def test_the_thread_ends_when_iteration_is_abandoned(rows: ImageRows):
    batches = iter(_loader(rows))
    next(batches)
    assert len(_threads()) == 1
    batches.close()
    assert _none_left()
    for _ in _loader(rows):
        break
    gc.collect()
    assert _none_left()


def test_the_thread_ends_when_the_bad_are_too_many_though_the_error_is_kept(rows: ImageRows, tmp_path: Path):
    def refuse(bad: list) -> None:
        raise ValueError(f"{bad[0].image_id} is bad")

    (tmp_path / "empty.png").write_bytes(b"")
    some = ImageRows(
        Texts(["broken", *rows.image_ids]), Texts([str(tmp_path / "empty.png"), *rows.urls]), np.zeros(27, int), None
    )
    loader = Loader(ImageDataset(some, size_hw=(12, 12)), BatchOrder(np.arange(27), batch_size=2), on_bad=refuse)
    with pytest.raises(ValueError, match="broken is bad") as caught:
        list(loader)
    assert caught.traceback  # its frames hold the loader's
    assert _none_left()


def test_workers_begin_after_opencv_had_threads_of_its_own(rows: ImageRows):
    """As it has once a notebook scaled a photo, or a model was evaluated."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        cv2.resize(noise(0, (2000, 2000)), (900, 900), interpolation=cv2.INTER_LINEAR)
        assert len(_epoch(_loader(rows, num_workers=1), 0)) == 7
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_reach_the_caller(rows: ImageRows, workers: int):
    dataset = ImageDataset(rows, size_hw=(12, 12))
    loader = Loader(dataset, BatchOrder(np.array([0, 1, 2, 9999]), batch_size=3), num_workers=workers)
    batches = iter(loader)
    assert next(batches)["index"].tolist() == [0, 1, 2]
    with pytest.raises(IndexError):
        next(batches)
    assert _none_left()


def test_ahead_of_nothing():
    assert list(prefetch(iter([]))) == []


def test_ahead_keeps_the_order_and_stays_two_before():
    made = []

    def make() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            yield i

    batches = prefetch(make())
    seen = [next(batches)]
    time.sleep(0.3)
    assert len(made) <= 1 + 2 + 1  # handed out, waiting, and one in the making
    seen += list(batches)
    assert seen == list(range(20))
    assert _none_left()


def test_ahead_raises_after_the_good_ones():
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    batches = prefetch(make())
    assert [next(batches), next(batches)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert _none_left()
    assert list(batches) == []


@given(st.integers(1, 40), st.integers(1, 20), st.integers(2, 4), st.booleans())
def test_processes_share_the_images_of_each_step(n, size, n_ranks, weighted):
    """Together they have the batches of one process."""
    rows, weights = np.arange(n), np.arange(1.0, n + 1) if weighted else None
    options = {"seed": 3, "shuffle": True, "drop_last": True, "weights": weights, "batch_size": size}
    if min(n, size) < n_ranks:
        with pytest.raises(ConfigError, match=f"{n_ranks} processes need at least {n_ranks} images for each step"):
            BatchOrder(rows, n_ranks=n_ranks, **options)
        return
    together = BatchOrder(rows, **options)
    parts = [BatchOrder(rows, rank=rank, n_ranks=n_ranks, **options) for rank in range(n_ranks)]
    for order in (together, *parts):
        order.set_epoch(2)
        order.start_batch = min(1, len(together))

    assert {len(order) for order in parts} == {len(together)}
    shared = [[key for keys in step for key in keys] for step in zip(*parts, strict=True)]
    assert shared == [list(keys) for keys in together]
    sizes = [len(keys) for order in parts for keys in order]
    assert not sizes or (min(sizes) > 0 and max(sizes) - min(sizes) <= 1)


@given(st.integers(0, 40), st.integers(1, 9), st.integers(2, 5))
def test_processes_deal_out_whole_batches_of_a_validation(n, size, n_ranks):
    """Dealt out in turn, they are those of one process: each image once, and no process without a batch."""
    rows = np.arange(n)
    parts = [list(BatchOrder(rows, batch_size=size, rank=rank, n_ranks=n_ranks)) for rank in range(n_ranks)]

    assert all(parts)
    longest = max(map(len, parts))
    dealt = [part[turn] for turn in range(longest) for part in parts if turn < len(part) and part[turn]]
    assert dealt == list(BatchOrder(rows, batch_size=size))
