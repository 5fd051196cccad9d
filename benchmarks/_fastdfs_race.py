"""FastDFS in the race of storage: opening names, committing, and downloading against the protocol itself.

On the cluster whose trackers ONLINEML_FASTDFS_TRACKERS names, else on the tests' model of one, on the loopback. The
peer is the protocol with nothing around it: a connection each to tracker and server, a request, its reply. It asks the
tracker for each file, as every client of FastDFS does that knows an id only; "direct" it knows the server beforehand.

`results` gives the rows for `storage.py`; run alone, this prints them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from _race import arguments, finish

from onlineml.storage import io
from onlineml.storage.fastdfs.administer import create_volume
from onlineml.storage.fastdfs.records import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem

N_NAMES = 100_000
N_PHOTOS, PHOTO_BYTES = 400, 50_000
BIG_BYTES = 64_000_000
N_COMMITS = 300
ROUNDS = 7
MODEL = Path(__file__).parents[1] / "tests" / "support" / "fastdfs_server.py"

OPENING = """
import sys, time, fsspec
import onlineml.storage.fastdfs
def megabytes():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
begin = time.perf_counter()
fs, path = fsspec.url_to_fs(sys.argv[1])
assert fs.exists(path + "/photos/0/0.jpg")
seconds = time.perf_counter() - begin
print(seconds, megabytes(), len(fs.find(path)))
"""


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The trackers of a cluster."""
    real = os.environ.get("ONLINEML_FASTDFS_TRACKERS")
    if real:
        yield real
        return
    command = [sys.executable, "-I", str(MODEL), "{}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def require(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(what)


class Protocol:
    """The wire and nothing else."""

    def __init__(self, trackers: str) -> None:
        host, _, port = trackers.partition(",")[0].rpartition(":")
        self.tracker = (host, int(port))
        self.connections: dict[tuple[str, int], socket.socket] = {}

    def ask(self, address: tuple[str, int], command: int, body: bytes) -> bytes:
        if address not in self.connections:
            self.connections[address] = socket.create_connection(address)
            self.connections[address].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self.connections[address]
        connection.sendall(struct.pack(">QBB", len(body), command, 0) + body)
        answer = bytearray(connection.recv(65536))
        length, _, status = struct.unpack_from(">QBB", answer)
        require(status == 0, os.strerror(status))
        if len(answer) < length + 10:
            have = len(answer)
            answer += bytes(length + 10 - have)
            view = memoryview(answer)
            while have < length + 10:
                have += connection.recv_into(view[have:])
        return bytes(memoryview(answer)[10:])

    def where(self, file: str) -> tuple[str, int]:
        group, _, name = file.partition("/")
        answer = self.ask(self.tracker, 102, group.encode().ljust(16, b"\0") + name.encode())
        host, (port,) = answer[16:-8].rstrip(b"\0").decode(), struct.unpack(">Q", answer[-8:])
        return host, port

    def download(self, file: str, server: tuple[str, int] | None = None) -> bytes:
        group, _, name = file.partition("/")
        return self.ask(server or self.where(file), 14, bytes(16) + group.encode().ljust(16, b"\0") + name.encode())


def in_turn(ways: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Units a second of each way: the median of rounds that alternate, so that all meet the same machine."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begin = time.perf_counter()
            units = way()
            rates[name].append(units / (time.perf_counter() - begin))
    return {name: statistics.median(found) for name, found in rates.items()}


def row(race: str, ours: float, *, aim: float, most: bool, peers: dict[str, float] | None = None) -> dict[str, Any]:
    """A result; most: whether ours may be no more than the aim, else no less."""
    ratio = ours / next(iter(peers.values())) if peers else ours
    holds = ratio <= aim if most else ratio >= aim
    return {"race": race, "ours": ours, "peers": peers or {}, "ratio": ratio, "aim": aim, "holds": holds}


def names(trackers: str) -> list[dict[str, Any]]:
    """Open a volume of many names in a process that has just begun: from a snapshot, and from single records."""
    url = create_volume(trackers)
    fs, path = fsspec.url_to_fs(url)
    size = 20_000
    ids = [f"group1/M00/{n % 256:02X}/{n // 256 % 256:02X}/fwAKA2sHW6SActh6A{n:010d}645.jpg" for n in range(N_NAMES)]
    entries = [
        (f"photos/{n // 1000}/{n}.jpg", Entry(ids[n], 50_000 + n, 1_795_644_324_000 + n)) for n in range(N_NAMES)
    ]
    for start in range(0, N_NAMES, size):  # names alone: what they stand for is not there
        fs.commit({f"{path}/{name}": entry for name, entry in entries[start : start + size]})
    for number in range(N_COMMITS):
        fs.pipe_file(f"{path}/more/{number}", b"")
    found = []
    for _ in range(ROUNDS):
        done = subprocess.run([sys.executable, "-c", OPENING, url], capture_output=True, text=True, check=True)
        seconds, megabytes, count = done.stdout.split()
        require(int(count) == N_NAMES + N_COMMITS, "names are missing")
        found.append((float(seconds), float(megabytes)))
    seconds, megabytes = (statistics.median(values) for values in zip(*found, strict=True))
    return [
        row(f"FastDFS, {N_NAMES:,} names opened, s", seconds, aim=1.0, most=True),
        row(f"FastDFS, {N_NAMES:,} names opened, MB of the process at most", megabytes, aim=200, most=True),
    ]


def commits(fs: FastDFSFileSystem, path: str) -> list[dict[str, Any]]:
    """Write small files one after the other."""
    taken = []
    for number in range(N_COMMITS):
        begin = time.perf_counter()
        fs.pipe_file(f"{path}/commits/{number}", b"x" * 300)
        taken.append(time.perf_counter() - begin)
    return [row("FastDFS, a small file written, median ms", statistics.median(taken) * 1000, aim=10, most=True)]


def photos(fs: FastDFSFileSystem, path: str, trackers: str) -> list[dict[str, Any]]:
    """Download photos: one after the other, and many with one call."""
    contents = {f"{path}/photos/{n}.jpg": random.Random(n).randbytes(PHOTO_BYTES) for n in range(N_PHOTOS)}
    fs.pipe(contents)
    ids = [fs.info(name)["file_id"] for name in contents]
    urls = [fs.unstrip_protocol(name) for name in contents]
    wire = Protocol(trackers)
    servers = [wire.where(file) for file in ids]
    require(wire.download(ids[0]) == fs.cat_file(urls[0]) == contents[next(iter(contents))], "contents differ")
    rates = in_turn(
        {
            "protocol": lambda: len([wire.download(file) for file in ids]),
            "protocol, direct": lambda: len([wire.download(*pair) for pair in zip(ids, servers, strict=True)]),
            "one": lambda: len([fs.cat_file(name) for name in contents]),
            "many": lambda: len([data for data in io.read_many(urls) if isinstance(data, bytes)]),
        }
    )
    peers = {"protocol": rates["protocol"], "protocol, direct": rates["protocol, direct"]}
    return [
        row("FastDFS, photos of 50 KB read one by one, a second", rates["one"], aim=0.8, most=False, peers=peers),
        row("FastDFS, photos of 50 KB read together, a second", rates["many"], aim=0.8, most=False, peers=peers),
    ]


def big(fs: FastDFSFileSystem, path: str, trackers: str) -> list[dict[str, Any]]:
    """Download a large file into memory and onto the disk."""
    fs.pipe_file(f"{path}/big", random.Random(0).randbytes(BIG_BYTES))
    file = fs.info(f"{path}/big")["file_id"]
    wire = Protocol(trackers)
    with tempfile.TemporaryDirectory() as folder:
        rates = in_turn(
            {
                "protocol": lambda: len(wire.download(file)),
                "memory": lambda: len(fs.cat_file(f"{path}/big")),
                "disk": lambda: fs.get_file(f"{path}/big", f"{folder}/big") or BIG_BYTES,
            }
        )
    rates = {name: rate / 1e6 for name, rate in rates.items()}
    peers = {"protocol": rates["protocol"]}
    return [
        row("FastDFS, 64 MB read into memory, MB/s", rates["memory"], aim=0.8, most=False, peers=peers),
        row("FastDFS, 64 MB copied to the disk, MB/s", rates["disk"], aim=0.8, most=False, peers=peers),
    ]


def results() -> list[dict[str, Any]]:
    """All rows."""
    with cluster() as trackers:
        fs, path = fsspec.url_to_fs(create_volume(trackers))
        found = [*commits(fs, path), *photos(fs, path, trackers), *big(fs, path, trackers), *names(trackers)]
    for one in found:
        print(json.dumps(one), flush=True)
    return found


if __name__ == "__main__":
    finish(results(), arguments(__doc__ or "").json)
