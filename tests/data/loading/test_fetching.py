"""Images fetched before they are asked for: the same batches, each object once, the wait for the store hidden."""

from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import onlineml as oml
from fault_proxy import FaultProxy, fault_proxy
from onlineml.data.loading import fetching
from onlineml.data.loading.datasets import ImageDataset, ImageRows
from onlineml.data.loading.fetching import Fetcher
from onlineml.data.loading.loaders import BatchKeys, BatchOrder, Loader
from onlineml.data.loading.texts import Texts
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import NotFoundError
from onlineml.storage import io
from picture_files import noise, png
from processes import LONG_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["fault_proxy"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # torch's advice where the cores are fewer
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # Python 3.12 on forks
]


def _rows(urls: list[str], **options: Any) -> ImageRows:
    texts = {name: Texts(values) for name, values in options.items()}
    return ImageRows(Texts(urls), Texts(urls), np.zeros(len(urls), np.int64), None, **texts)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """What is asked of the store, in place of a store: an image's content is its URL."""
    threads = ThreadPoolExecutor(4)  # its own: what another test left behind is not asked of this one's store
    monkeypatch.setitem(fetching._threads_of, os.getpid(), threads)
    asked: list[list[str]] = []

    def read_many(urls: list[str], **_: Any) -> list[bytes | OSError]:
        asked.append(list(urls))
        return [NotFoundError(url) if "missing" in url else url.encode() for url in urls]

    monkeypatch.setattr(fetching, "read_many", read_many)
    with threads:
        yield asked


# ------------------------------------------------------------------------------------------------------------ fetcher


def test_nothing_is_asked_for() -> None:
    fetcher = Fetcher(_rows([]))
    fetcher.prefetch([])
    assert fetcher.take([]) == []


def test_what_was_begun_is_not_asked_for_again(reads: list[list[str]]) -> None:
    urls = [f"memory://x/{i}" for i in range(8)]
    fetcher = Fetcher(_rows(urls))
    fetcher.prefetch([3, 1, 3])
    fetcher.prefetch([1, 3, 5])  # goes on with the same
    assert fetcher.take([1, 2, 3]) == [b"memory://x/1", b"memory://x/2", b"memory://x/3"]
    fetcher.prefetch([5, 9999])  # a wrong index is an error of its own batch
    assert fetcher.take([5]) == [b"memory://x/5"]
    assert sorted(url[-1] for asked in reads for url in asked) == ["1", "2", "3", "5"]
    fetcher.prefetch([6])
    fetcher.prefetch([7])  # 6 is wanted no more
    assert fetcher.take([6, 7]) == [b"memory://x/6", b"memory://x/7"]
    with pytest.raises(IndexError):
        fetcher.take([9999])


def test_an_error_stands_in_its_place(reads: list[list[str]]) -> None:
    fetcher = Fetcher(_rows(["memory://x/0", "memory://x/missing"]))
    fetcher.prefetch([0, 1])
    first, second = fetcher.take([0, 1])
    assert first == b"memory://x/0"
    assert isinstance(second, NotFoundError)
    assert len(reads) == 1


def test_local_files_are_not_fetched_ahead(reads: list[list[str]], tmp_path: Path) -> None:
    fetcher = Fetcher(_rows([str(tmp_path / "a"), f"file://{tmp_path}/b", "memory://x/c"]))
    fetcher.prefetch([0, 1, 2])
    fetcher.take([2])
    assert reads == [["memory://x/c"]]


def test_large_images_are_fetched_ahead_in_small_numbers(
    reads: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PREFETCH_BYTES", 1_000_000)
    monkeypatch.setattr(fetching, "read_many", lambda urls, **_: [b"x" * 300_000 for _ in urls])
    fetcher = Fetcher(_rows([f"memory://x/{i}" for i in range(100)]))
    fetcher.take(list(range(20)))
    fetcher.prefetch(range(20, 100))
    assert 1 <= len(fetcher._jobs) <= 4
    assert not reads


def test_neither_a_pickle_nor_a_fork_takes_along_what_is_on_its_way(
    reads: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetcher = Fetcher(_rows(["memory://x/0", "memory://x/1"]))
    fetcher.prefetch([0])
    fetcher._jobs[0].fetch.result()
    copy = pickle.loads(pickle.dumps(fetcher))  # noqa: S301 (our own)
    assert copy.take([0]) == [b"memory://x/0"]
    assert len(reads) == 2
    fetcher.prefetch([1])
    fetcher._jobs[1].fetch.result()
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert fetcher.take([1]) == [b"memory://x/1"]
    assert len(reads) == 4


# ------------------------------------------------------------------------------------------------------------- loader


@pytest.mark.parametrize(("n_makers", "batch_size"), [(1, 4), (1, 64), (2, 4), (3, 8), (2, 100)])
def test_a_batch_tells_what_its_maker_makes_next(n_makers: int, batch_size: int) -> None:
    order = BatchOrder(np.arange(500), batch_size=batch_size, seed=3, shuffle=True)
    order.n_makers = n_makers
    order.set_epoch(2)
    batches = list(order)
    assert [len(batch) for batch in batches] == [batch_size] * (500 // batch_size) + [500 % batch_size] * (
        500 % batch_size > 0
    )
    for number, batch in enumerate(batches):
        following = [key for later in batches[number + n_makers :: n_makers] for key in later]
        upcoming = list(batch.upcoming)
        assert upcoming == following[: len(upcoming)]
        assert len(upcoming) >= min(64, len(following))
        assert len(upcoming) < 64 + batch_size
    copy = pickle.loads(pickle.dumps(batches[0]))  # noqa: S301 (our own): as it goes to a worker
    assert isinstance(copy, BatchKeys)
    assert (copy, copy.upcoming) == (batches[0], batches[0].upcoming)


def test_the_next_batch_is_on_its_way_while_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [f"memory://x/{i}" for i in range(12)]
    begun: list[str] = []
    all_begun = threading.Event()

    def read_many(asked: list[str], **_: Any) -> list[bytes]:
        begun.extend(asked)
        if len(begun) == len(urls):
            all_begun.set()
        return [png(noise(1))] * len(asked)

    def waits(_: object, data: bytes) -> Any:
        assert all_begun.wait(LONG_S)  # without fetching ahead it would wait for itself
        return original(dataset.reader, data)

    monkeypatch.setattr(fetching, "read_many", read_many)
    dataset = ImageDataset(_rows(urls), size_hw=(8, 8))
    original = type(dataset.reader)._decode
    monkeypatch.setattr(type(dataset.reader), "_decode", waits)
    batches = list(Loader(dataset, BatchOrder(np.arange(12), batch_size=4)))
    assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert sorted(begun) == sorted(urls)


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Thirty images, one of them none; the same are in ``photos`` on the disk. The cache is empty."""
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))
    place = s3_server.new_bucket()
    for i in range(30):
        data = png(noise(i)) if i != 7 else b"no picture"
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        io.write_bytes(f"{place}/{'ab'[i % 2]}/{i:02}.png", data, storage_options=s3_server.storage_options)
    return place


def _epochs(manifest: Manifest, workers: int) -> list[tuple[Any, ...]]:
    same = manifest.with_column("image_id", list(manifest.column("uri")))
    dm = oml.ClassificationDataModule(same, size_hw=(12, 12), batch_size=4, num_workers=workers, cache=False, max_bad=1)
    loader = dm.train_dataloader()
    made = []
    for epoch in range(2):
        loader.order.set_epoch(epoch)
        made += [(b["image"].numpy().tobytes(), b["image_id"].tolist(), len(b["bad"])) for b in loader]
    return made


@pytest.mark.s3
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_from_a_bucket_are_those_from_a_disk_and_each_object_is_read_once(
    bucket: str, s3_server: S3Server, fault_proxy: FaultProxy, tmp_path: Path, workers: int
) -> None:
    options = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    there = _epochs(Manifest.from_folders(bucket, storage_options=options), workers)
    assert there == _epochs(Manifest.from_folders(tmp_path / "photos"), workers)
    gets = [path for method, path in fault_proxy.seen if method == "GET" and path.endswith(".png")]
    assert len(gets) == len(set(gets)) == len({image_id for _, ids, _ in there for image_id in ids}) + 1  # the bad one


@pytest.mark.s3
def test_without_a_cache_each_epoch_reads_each_object_once(
    bucket: str, s3_server: S3Server, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLINEML_CACHE_GB", "0")
    options = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    made = _epochs(Manifest.from_folders(bucket, storage_options=options), 0)
    gets = [path for method, path in fault_proxy.seen if method == "GET" and path.endswith(".png")]
    assert len(gets) == sum(len(ids) + n_bad for _, ids, n_bad in made)
