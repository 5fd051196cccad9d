# /// script
# dependencies = ["fsspec", "litdata>=0.2.76", "opencv-python-headless>=4.11", "s3fs", "torch", "torchvision", "zstd"]
# ///
"""Race: photos from S3, twenty milliseconds away, into batches of a loader.

A thousand JPEGs of about 57 KB lie on a server in memory behind a proxy that delays every byte by half a round trip.
`onlineml`'s loader reads, decodes and resizes them to 224 pixels, against a dataset that opens each file through
fsspec, against fsspec's filecache and against litdata's raw streaming, with 0 and 2 worker processes, with nothing on
this machine at first and then again; and against the same photos on the local disk. Rounds alternate, so that a machine
whose speed drifts slows all; the medians count.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _fastdfs_race
import cv2
import numpy as np
from _race import arguments, finish

import onlineml as oml
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
N_PHOTOS, N_NAIVE = 1000, 160  # the naive way is so slow that some of the photos do
ROUND_TRIP_S = 0.020
BATCH, SIZE_HW = 32, (224, 224)
ROUNDS = 1
TURNS = 5  # of ours and of local files, where both are much the same
WORKERS = (0, 2)
PEERS = ("litdata", "filecache")
PEER_LIMIT_S = 240
SECRETS = {"key": "any", "secret": "thing"}

Rates = dict[str, list[float]]  # images per second of each round, by what was measured


def make_photos(folder: Path) -> None:
    """640 x 480 JPEGs with the detail of photos, about 57 KB each."""
    rng = np.random.default_rng(0)
    for i in range(N_PHOTOS):
        shapes = cv2.resize(
            rng.integers(0, 255, (12, 16, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC
        )
        grain = cv2.resize(rng.integers(-28, 28, (240, 320, 3)).astype(np.int16), (640, 480))
        pixels = np.clip(shapes.astype(np.int16) + grain, 0, 255).astype(np.uint8)
        path = folder / ("cats" if i % 2 else "dogs") / f"{i:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())


@contextlib.contextmanager
def process(script: str, *options: str) -> Iterator[str]:
    """A process of ours that prints the port on which it listens."""
    command = [sys.executable, str(HERE / script), *options]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None  # noqa: S101 (for the type checker)
    try:
        yield started.stdout.readline().strip()
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def note(rates: Rates, name: str, value: float) -> None:
    rates.setdefault(name, []).append(value)
    print(f"{name}: {value:.0f} images/s", flush=True)


# ---- reading alone ----


def race_reading(urls: list[str], options: dict[str, Any], direct: dict[str, Any], rates: Rates) -> None:
    """Bytes only: one after another, as s3fs reads many by default, ours."""
    import s3fs

    files = s3fs.S3FileSystem(**options)
    begin = time.perf_counter()
    for url in urls[: N_NAIVE // 4]:
        with files.open(url, "rb") as file:
            file.read()
    note(rates, "read, naive", N_NAIVE // 4 / (time.perf_counter() - begin))
    begin = time.perf_counter()
    files.cat(urls[: N_NAIVE * 2])
    note(rates, "read, s3fs's cat", N_NAIVE * 2 / (time.perf_counter() - begin))
    for name, where in (("read, ours", options), ("read, ours, without the proxy", direct)):
        io.read_many(urls[:64], storage_options=where)  # connections are there
        begin = time.perf_counter()
        failed = [found for found in io.read_many(urls, storage_options=where) if isinstance(found, OSError)]
        note(rates, name, len(urls) / (time.perf_counter() - begin))
        if failed:
            raise failed[0]


# ---- whole loaders ----


def epochs(data: Any, workers: int, *, n: int, decoded: bool = False) -> list[float]:
    """Images per second of our loader's first epochs."""
    dm = oml.ClassificationDataModule(
        data, size_hw=SIZE_HW, batch_size=BATCH, num_workers=workers, augment="none", cache=decoded
    )
    loader = dm.train_dataloader()
    found = []
    for epoch in range(n):
        loader.order.set_epoch(epoch)
        begin, images = time.perf_counter(), 0
        for batch in loader:
            images += len(batch["index"])
        found.append(images / (time.perf_counter() - begin))
    return found


@contextlib.contextmanager
def nothing_kept() -> Iterator[str]:
    """An empty folder for caches."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ONLINEML_CACHE"] = folder
        yield folder


def race_loader(data: Any, local: Any, packed: Any, workers: int, rates: Rates) -> None:
    """Ours: from an empty machine, again, from the local disk, from shards; and with decoded images kept."""
    w = f"{workers} workers"
    with nothing_kept():
        note(rates, f"ours, cold, {w}", epochs(data, workers, n=1)[0])
        for _ in range(TURNS):
            note(rates, f"ours, warm, {w}", epochs(data, workers, n=2)[1])
            note(rates, f"local files, {w}", epochs(local, workers, n=2)[1])
    with nothing_kept():
        note(rates, f"ours, packed, cold, {w}", epochs(packed, workers, n=1)[0])
    if not workers:
        with nothing_kept():
            note(rates, "ours, decoded, third epoch", epochs(data, 0, n=3, decoded=True)[2])
        with nothing_kept():
            note(rates, "local files, decoded, third epoch", epochs(local, 0, n=3, decoded=True)[2])


def race_peer(peer: str, urls: list[str], endpoint: str, workers: int, rates: Rates) -> None:
    """A peer in the peers' environment; the naive way in it too, or else in ours."""
    python = os.environ.get("ONLINEML_PEERS_PYTHON", sys.executable)
    access = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "thing", "AWS_REGION": "us-east-1"}
    environment = {**os.environ, **access, "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    with tempfile.TemporaryDirectory() as scratch:
        listing = Path(scratch) / "urls.json"
        listing.write_text(json.dumps(urls), encoding="utf-8")
        command = [python, str(HERE / "_storage_peers.py"), peer, str(workers), str(listing), f"{scratch}/cache"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment, timeout=PEER_LIMIT_S
            )
        except subprocess.TimeoutExpired:
            print(f"{peer}, {workers} workers: not finished after {PEER_LIMIT_S} s, no figure", flush=True)
            return
    if done.returncode:
        print(f"{peer} failed: {done.stderr[-2000:]}", flush=True)
        return
    cold, warm = json.loads(done.stdout.splitlines()[-1])
    note(rates, f"{peer}, cold, {workers} workers", cold)
    note(rates, f"{peer}, warm, {workers} workers", warm)


# ---- what it says ----


def verdicts(rates: Rates) -> list[dict[str, Any]]:
    """Each aim with the medians that it compares."""
    median = {name: statistics.median(values) for name, values in rates.items()}

    def against(race: str, ours: str, peers: tuple[str, ...], aim: float) -> dict[str, Any]:
        found = {peer: median[peer] for peer in peers if peer in median}
        ratio = median[ours] / max(found.values()) if found else float("nan")
        return {"race": race, "ours": median[ours], "peers": found, "ratio": ratio, "aim": aim, "holds": ratio >= aim}

    results = [against("read S3, images/s", "read, ours", ("read, naive", "read, s3fs's cat"), 1.0)]
    for workers in WORKERS:
        w = f"{workers} workers"
        results += [
            against(f"loader, cold, {w}, images/s", f"ours, cold, {w}", (f"naive, cold, {w}",), 10.0),
            *(
                against(f"loader, {state}, {w}, peers, images/s", f"ours, {state}, {w}",
                        tuple(f"{peer}, {state}, {w}" for peer in PEERS), 1.0)
                for state in ("cold", "warm")
            ),
            against(f"loader, second epoch, {w}, images/s", f"ours, warm, {w}", (f"local files, {w}",), 0.9),
            against(f"loader, packed, cold, {w}, images/s", f"ours, packed, cold, {w}", (f"ours, cold, {w}",), 1.0),
        ]  # fmt: skip
    decoded = ("ours, decoded, third epoch", ("local files, decoded, third epoch",))
    results += [against("loader, decoded cache, images/s", *decoded, 0.9)]
    return results


def main() -> None:
    given = arguments(__doc__ or "")
    cv2.setNumThreads(1)
    rates: Rates = {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_photos(scratch / "bucket" / "photos")
        local = oml.Manifest.from_folders(str(scratch / "bucket" / "photos"))
        local.pack(scratch / "bucket" / "packed")
        server = stack.enter_context(process("_object_server.py", str(scratch / "bucket"), "lab"))
        proxy = stack.enter_context(process("_delay_proxy.py", server, str(ROUND_TRIP_S)))
        options = {**SECRETS, "endpoint_url": f"http://127.0.0.1:{proxy}"}
        data = oml.Manifest.from_folders("s3://lab/photos", storage_options=options)
        packed = oml.Manifest.load("s3://lab/packed", root="s3://lab/packed", storage_options=options)
        for _ in range(ROUNDS):
            for workers in reversed(WORKERS):  # forks first
                race_loader(data, local, packed, workers, rates)
                for peer in ("naive", *PEERS):
                    urls = data.urls()[:N_NAIVE] if peer == "naive" else data.urls()
                    race_peer(peer, urls, options["endpoint_url"], workers, rates)
        race_reading(data.urls(), options, {**options, "endpoint_url": f"http://127.0.0.1:{server}"}, rates)
    finish([*verdicts(rates), *_fastdfs_race.results()], given.json)


if __name__ == "__main__":
    main()
