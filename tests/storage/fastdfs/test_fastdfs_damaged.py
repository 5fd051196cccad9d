"""Damaged replies of FastDFS servers: each gives one of our errors that names a server, in time, or right content."""

from __future__ import annotations

import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from fastdfs_server import Cluster, Dropped, Settings
from fuzzing import attack
from onlineml.storage import io
from onlineml.storage.fastdfs import places
from onlineml.storage.fastdfs.administer import create_volume

if TYPE_CHECKING:
    import socket
    from pathlib import Path

pytestmark = pytest.mark.fastdfs

QUICK: dict[str, Any] = {"timeout_s": 0.2, "connect_timeout_s": 1.0, "attempts": 1, "patience_s": 0.05}
CONTENT = b"content" * 100
NAMES_A_SERVER = r"FastDFS (server|cluster)|tracker|storage server|volume|group1/M00"
_BY_REQUEST = {14, 22, 102, 105}  # what they answer depends on the file
_LONGEST_S = 60.0  # of the clock, on a busy machine


class Damaged(Cluster):
    """Servers whose replies are the files of a folder, once recorded: those that differ are sent instead of the own.

    After one of eight the connection stays open, as if more came.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(Settings())
        self.folder, self.records = folder, True
        self.recorded: dict[Path, bytes] = {}

    def answer(
        self, connection: socket.socket, handler: Any, command: int, body: bytes, fault: Any
    ) -> tuple[bytes, int]:
        answer, status = super().answer(connection, handler, command, body, fault)
        whole = struct.pack(">QBB", len(answer), 100, status) + answer
        path = self.folder / f"reply-{command}-{zlib.crc32(body) if command in _BY_REQUEST else 0:08x}"
        if self.records:
            self.recorded[path] = whole
            path.write_bytes(whole)
        elif path in self.recorded and (sent := path.read_bytes()) != self.recorded[path]:
            connection.sendall(sent)
            time.sleep(0 if zlib.crc32(sent) % 8 else 3 * QUICK["timeout_s"])
            raise Dropped
        return answer, status


def _attack(folder: Path, monkeypatch: pytest.MonkeyPatch, *, long: bool = False) -> None:
    cluster = Damaged(folder)
    url = create_volume(cluster.begin(), storage_options=QUICK)
    io.write_bytes(f"{url}/a", CONTENT, storage_options=QUICK)

    monkeypatch.setattr(places, "_clients", {})
    monkeypatch.setattr(places, "_volumes", {})

    def read() -> None:
        places._clients.clear()  # as in a new process
        places._volumes.clear()
        begun = time.monotonic()
        try:
            io.list_files(url, storage_options=QUICK)
            assert io.read_bytes(f"{url}/a", storage_options=QUICK) == CONTENT
            io.write_bytes(f"{url}/b", b"1", storage_options=QUICK)
            io.delete(f"{url}/b", storage_options=QUICK)
        finally:
            assert time.monotonic() - begun < _LONGEST_S

    read()
    cluster.records = False
    assert {int(path.name.split("-")[1]) for path in cluster.recorded} >= {11, 14, 24, 101, 103}
    attack(cluster.recorded, read, long=long, named=NAMES_A_SERVER)


def test_only_our_errors_come_out_of_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _attack(tmp_path, monkeypatch)


@pytest.mark.slow
def test_only_our_errors_come_out_of_any_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _attack(tmp_path, monkeypatch, long=True)
