"""Race: `onlineml serve` on loopback against `onlineml.predict` on the same photos, and its life under promotions.

Clients with 1, 8 and 32 connections send one photo a request, for --seconds each (10): p50, p99 and photos per second,
beside the rate at which `predict` alone answers the photos from memory, in batches of 32. Then 8 clients ask for six
times as long while a promotion and a rollback happen in turn every twentieth of that time: failed requests, answers
that are not those of the version that they name, and the growth of the server's memory. A server has the threads of the
environment; the clients run beside it on the same machine.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
from _race import arguments, finish, manifest, photos

import onlineml as oml

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = (1, 8, 32)
SIDE = 224
BACKBONE = "mobilenet_v3_small"


def that_says(classes: list[str], i: int) -> Any:
    """A model of random weights whose answer is always class ``i``."""
    model = oml.ImageClassifier(class_names=classes, backbone=BACKBONE, weights="random")
    model.size_hw = (SIDE, SIDE)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(8.0 * torch.nn.functional.one_hot(torch.tensor(i), len(classes)))
    return model.eval()


@contextlib.contextmanager
def server(project: Any, look_every_s: float) -> Iterator[tuple[int, psutil.Process]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "onlineml", "serve", f"{project.url}@champion", "--port", str(port)]
    command += ["--look-every", str(look_every_s), "--max-waiting", "1000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port)
                connection.request("GET", "/v2/health/ready")
                if connection.getresponse().status == 200:
                    break
            if process.poll() is not None:
                raise RuntimeError("the server ended")
            time.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


class Load:
    """Clients that ask until a time; what they saw."""

    def __init__(self, port: int, contents: list[bytes], says: dict[str, str]) -> None:
        self.port, self.contents, self.says = port, contents, says
        self.times: list[float] = []
        self.failed = self.mixed = 0

    def client(self, number: int, until: float) -> None:
        connection, i = http.client.HTTPConnection("127.0.0.1", self.port), number
        while time.perf_counter() < until:
            begin = time.perf_counter()
            connection.request("POST", "/predict", self.contents[i % len(self.contents)])
            response = connection.getresponse()
            body = response.read()
            self.times.append(time.perf_counter() - begin)
            i += 1
            if response.status != 200:
                self.failed += 1
                continue
            answer = json.loads(body)
            self.mixed += answer["predictions"][0].get("label") != self.says[answer["version"]]

    def run(self, clients: int, seconds: float) -> None:
        until = time.perf_counter() + seconds
        with ThreadPoolExecutor(clients) as pool:
            for one in [pool.submit(self.client, i, until) for i in range(clients)]:
                one.result()


def alone(model: Any, contents: list[bytes], seconds: float) -> float:
    """Photos per second of `predict` in this process."""
    list(oml.predict(model, contents[:32]))
    n, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        n += len(list(oml.predict(model, contents, batch_size=32)))
    return n / (time.perf_counter() - begin)


def steady(project: Any, process: psutil.Process, load: Load, seconds: float) -> list[float]:
    """Load while the champion changes 20 times; the server's megabytes at the start and after each change."""
    memory, ended = [process.memory_info().rss / 1e6], threading.Event()

    def promote() -> None:
        changes = 0
        while not ended.wait(seconds / 20):
            project.models.rollback() if changes % 2 else project.promote(2, reason="load")
            changes += 1
            memory.append(process.memory_info().rss / 1e6)

    thread = threading.Thread(target=promote)
    thread.start()
    try:
        load.run(8, seconds)
    finally:
        ended.set()
        thread.join()
    return memory


def main() -> None:
    given = arguments(__doc__ or "")
    seconds, results = given.seconds or 10.0, []
    with tempfile.TemporaryDirectory() as scratch:
        data = manifest(photos(given.data, Path(scratch)))
        contents = [Path(url).read_bytes() for url in data.urls()[:64]]
        classes = list(data.class_names)
        project = oml.Project.create(f"{scratch}/project", task="classification")
        says = {project.publish(that_says(classes, i)).version: classes[i] for i in (0, 1)}
        project.promote(1, reason="the first")
        bound = alone(oml.load_model(f"{project.url}@champion"), contents, seconds)
        with server(project, max(0.1, seconds / 20)) as (port, process):
            for clients in CLIENTS:
                load = Load(port, contents, says)
                load.run(clients, seconds)
                p50, p99 = (1000 * statistics.quantiles(load.times, n=100)[q] for q in (49, 98))
                rate = len(load.times) / seconds
                title = f"{clients} connections, {BACKBONE} at {SIDE} px"
                print(
                    f"{title}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {rate:.1f} photos/s ({rate / bound:.2f} of predict "
                    f"alone), {load.failed} failed",
                    flush=True,
                )
                results.append({"race": title, "ours": rate, "peers": {"predict alone": bound}, "ratio": rate / bound,
                                "p50_ms": p50, "p99_ms": p99, "failed": load.failed})  # fmt: skip
            load = Load(port, contents, says)
            memory = steady(project, process, load, 6 * seconds)
            print(f"promotions and rollbacks: {len(load.times)} requests, {load.failed} failed, {load.mixed} mixed, "
                  f"memory {memory[0]:.0f} MB, then {[round(one) for one in memory[1:]]}", flush=True)  # fmt: skip
            results.append({"race": "promotions", "requests": len(load.times), "failed": load.failed,
                            "mixed": load.mixed, "memory_mb": memory})  # fmt: skip
    finish(results, given.json)


if __name__ == "__main__":
    main()
