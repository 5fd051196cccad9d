"""One peer's way of reading photos from S3 in a loader, run by the peers' own Python: images per second of two epochs.

All peers decode and resize with the same OpenCV calls, so that what differs is how the bytes come.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

SIZE, BATCH = 224, 32


def picture(data: bytes) -> torch.Tensor:
    """(3, 224, 224) uint8."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return torch.from_numpy(cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)


class Opened(Dataset[torch.Tensor]):
    """Each image through fsspec's open, as most datasets do it; with filecache, through a copy on the disk."""

    def __init__(self, urls: list[str], options: dict[str, Any]) -> None:
        self.urls, self.options = urls, options

    def __len__(self) -> int:
        return len(self.urls)

    def __getitem__(self, index: int) -> torch.Tensor:
        with fsspec.open(self.urls[index], "rb", **self.options) as file:
            return picture(file.read())


def over_http(worker: int = 0) -> None:
    """Let litdata, in this process, read from a server without TLS: it has no setting for that."""
    del worker
    from litdata.streaming import downloader

    downloader._OBSTORE_CLIENT_OPTIONS = {**downloader._OBSTORE_CLIENT_OPTIONS, "allow_http": True}  # noqa: SLF001


def dataset(peer: str, urls: list[str], cache: str) -> Any:
    if peer == "naive":
        return Opened(urls, {})
    if peer == "filecache":
        return Opened([f"filecache::{url}" for url in urls], {"filecache": {"cache_storage": cache}})
    from litdata import StreamingRawDataset

    over_http()
    found = StreamingRawDataset(urls[0].rsplit("/", 2)[0], cache_dir=cache, cache_files=True, transform=picture)
    return torch.utils.data.Subset(found, range(len(urls)))


def main(peer: str, workers: str, listing: str, cache: str) -> None:
    cv2.setNumThreads(1)
    urls = json.loads(Path(listing).read_text())
    images = dataset(peer, urls, cache)
    loader = DataLoader(
        images, batch_size=BATCH, shuffle=True, num_workers=int(workers), persistent_workers=workers != "0",
        # litdata lists the bucket through obstore in this process, whose threads a fork would wait for without end
        multiprocessing_context="spawn" if workers != "0" and peer == "litdata" else None,
        worker_init_fn=over_http if peer == "litdata" else None,
    )  # fmt: skip
    rates = []
    for _ in range(2):
        begin, n = time.perf_counter(), 0
        for batch in loader:
            n += len(batch)
        rates.append(n / (time.perf_counter() - begin))
    print(json.dumps(rates))


if __name__ == "__main__":
    main(*sys.argv[1:])
