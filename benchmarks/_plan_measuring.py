"""Measurements behind the calculator's constants: of decoding a photo, and of the memory of a listing of S3.

python benchmarks/_plan_measuring.py
"""

from __future__ import annotations

import hashlib
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec.asyn

import onlineml as oml
from onlineml.storage import io

N_NAMES = 200_000


class ManyNames:
    """A filesystem of S3's kind in which there are many photos, and which can only list them."""

    protocol = ("s3", "s3a")
    req_kw: dict[str, Any] = {}  # noqa: RUF012 (s3fs has it so)

    def __init__(self, n: int) -> None:
        self.n, self.loop = n, fsspec.asyn.get_loop()

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    async def _call_s3(self, method: str, **asked: Any) -> dict[str, Any]:
        start = int(asked.get("ContinuationToken", 0))
        numbers = range(start, min(start + 1000, self.n))
        found = [
            {
                "Key": f"photos/class_{one % 100:03}/photo_{one:08}.jpg",
                "LastModified": datetime.fromtimestamp(1.7e9 + one, UTC),
                "ETag": f'"{hashlib.md5(str(one).encode()).hexdigest()}"',  # noqa: S324 (S3's ETag)
                "ChecksumAlgorithm": ["CRC64NVME"],
                "ChecksumType": "FULL_OBJECT",
                "Size": 100_000 + one % 1000,
                "StorageClass": "STANDARD",
            }
            for one in numbers
        ]
        return {"Contents": found, "IsTruncated": numbers.stop < self.n, "NextContinuationToken": str(numbers.stop)}


def listing() -> dict[str, float]:
    """Seconds of the processor and bytes of most memory for a name."""
    fs = ManyNames(N_NAMES)
    io.filesystem = lambda at: (fs, at.url.partition("://")[2])  # type: ignore[assignment]
    before, cpu = _peak(), time.process_time()
    oml.Manifest.from_folders("s3://lab/photos")
    return {"cpu_s": (time.process_time() - cpu) / N_NAMES, "bytes": (_peak() - before) / N_NAMES}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def decoding() -> dict[str, float]:
    """Seconds of the processor for a photo of 640 x 480 pixels: opened by a check, and decoded for training."""
    from storage import make_photos

    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder))
        data = oml.Manifest.from_folders(folder, split="hash")
        data.take(range(20)).check()
        cpu = time.process_time()
        data.check()
        checked = (time.process_time() - cpu) / len(data)
        batches = oml.ClassificationDataModule(data, size_hw=(224, 224), batch_size=32, cache=False).train_dataloader()
        cpu = time.process_time()
        n = sum(len(batch["image"]) for batch in batches)
        return {"check_s": checked, "decode_s": (time.process_time() - cpu) / n}


if __name__ == "__main__":
    print("listing", listing(), flush=True)
    print("decoding", decoding(), flush=True)
