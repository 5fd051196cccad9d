"""Real S3-compatible server processes for tests, on free loopback ports, for the whole session.

moto is the main one. OpenStack Swift is a second implementation, of other people: it checks signatures, and does not
keep all conditions of writes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a-secret-that-nobody-may-see"  # noqa: S105 (of the test servers)


@dataclass(frozen=True)
class S3Server:
    """Where the server is; `new_bucket` gives a fresh ``s3://`` URL."""

    endpoint_url: str
    key: str = "testing"

    @property
    def storage_options(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "secret": SECRET,
            "endpoint_url": self.endpoint_url,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same as fsspec's configuration, for processes that are given URLs only."""
        return {
            "FSSPEC_S3_KEY": self.key,
            "FSSPEC_S3_SECRET": SECRET,
            "FSSPEC_S3_ENDPOINT_URL": self.endpoint_url,
        }

    def new_bucket(self) -> str:
        import s3fs

        bucket = f"test-{uuid.uuid4().hex[:12]}"
        s3fs.S3FileSystem(**self.storage_options).mkdir(bucket)
        return f"s3://{bucket}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    port = _free_port()
    script = Path(__file__).with_name("moto_process.py")
    command = [sys.executable, "-W", "ignore", str(script), str(port)]
    with _ended(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)) as process:
        deadline = time.monotonic() + 240
        while not _answers(port):
            assert process.poll() is None, "moto's server ended; is moto[server] installed?"
            assert time.monotonic() < deadline, "moto's server does not answer"
            time.sleep(0.1)
        yield S3Server(f"http://127.0.0.1:{port}")


def _swift(folder: str) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("swift_process.py")
    command = [sys.executable, "-W", "ignore", str(script), folder, SECRET]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="session")
def swift_server() -> Iterator[S3Server]:
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (it syncs its SQLite files often)
    with (
        tempfile.TemporaryDirectory(dir=in_memory) as folder,
        _ended(_swift(f"{folder}/swift")) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "Swift ended; is swift installed?"
        yield S3Server(f"http://127.0.0.1:{int(line)}", key="test:tester")
