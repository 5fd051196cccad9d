"""Fetching the bytes of a manifest's images, with prefetching of the next batches."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from onlineml.storage.io import read_many
from onlineml.storage.urls import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from typing import Any

    from onlineml.data.loading.datasets import ImageRows

__all__ = ["Fetcher"]

_THREADS = 4  # each waits for one fetch of many images
_PREFETCH_BYTES = 128_000_000  # of prefetched images, per process


class _Job(NamedTuple):
    """One fetch, and the position of an image in it."""

    fetch: Future[list[bytes | OSError]]
    position: int


class Fetcher:
    """Reads images of a manifest, with prefetching except from local disks.

    Use it in one thread; forks and pickles do not get pending fetches.

    Args:
        rows: the images.
    """

    def __init__(self, rows: ImageRows) -> None:
        self.rows = rows
        self._jobs: dict[int, _Job] = {}
        self._pid = 0
        self._fetched = self._fetched_bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"rows": self.rows, "_jobs": {}, "_pid": 0, "_fetched": 0, "_fetched_bytes": 0}

    def prefetch(self, indices: Iterable[int]) -> None:
        """Start fetching images of the next requests; other pending fetches are dropped."""
        self._own()
        urls = self.rows.urls
        # an index out of range raises when it is requested
        wanted = [i for i in dict.fromkeys(indices) if i < len(urls) and local_path(urls[i]) is None]
        wanted = wanted[: max(1, int(_PREFETCH_BYTES * (self._fetched + 1) / (self._fetched_bytes + 100_000)))]
        self._jobs = {i: self._jobs[i] for i in wanted if i in self._jobs}
        new = [i for i in wanted if i not in self._jobs]
        if new:
            fetch = _threads().submit(self._read, new)
            self._jobs.update({index: _Job(fetch, position) for position, index in enumerate(new)})

    def take(self, indices: Sequence[int]) -> list[bytes | OSError]:
        """Return contents or errors; images that were not prefetched are fetched now."""
        self._own()
        here = {index: self._jobs.pop(index) for index in indices if index in self._jobs}
        missing = [index for index in indices if index not in here]
        found = dict(zip(missing, self._read(missing), strict=True)) if missing else {}
        for index, job in here.items():
            found[index] = job.fetch.result()[job.position]
        contents = [found[index] for index in indices]
        self._fetched += len(contents)
        self._fetched_bytes += sum(len(content) for content in contents if isinstance(content, bytes))
        return contents

    def _read(self, indices: Sequence[int]) -> list[bytes | OSError]:
        rows = self.rows
        versions, digests = ([own[i] for i in indices] if own else None for own in (rows.versions, rows.digests))
        urls = [rows.urls[i] for i in indices]
        return read_many(urls, versions=versions, digests=digests, storage_options=rows.storage_options)

    def _own(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._jobs = os.getpid(), {}


_threads_of: dict[int, ThreadPoolExecutor] = {}


def _threads() -> ThreadPoolExecutor:
    """The threads of this process; a fork gets its own."""
    found = _threads_of.get(os.getpid())
    if found is None:
        found = _threads_of[os.getpid()] = ThreadPoolExecutor(_THREADS, thread_name_prefix="onlineml-fetch")
    return found
