"""A real S3-compatible server process for tests: moto on a free loopback port, for the whole session."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a-secret-that-nobody-may-see"  # noqa: S105 (of the test server)


@dataclass(frozen=True)
class S3Server:
    """Where the server is; `new_bucket` gives a fresh ``s3://`` URL."""

    endpoint_url: str

    @property
    def storage_options(self) -> dict[str, Any]:
        return {
            "key": "testing",
            "secret": SECRET,
            "endpoint_url": self.endpoint_url,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same as fsspec's configuration, for processes that are given URLs only."""
        return {
            "FSSPEC_S3_KEY": "testing",
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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    port = _free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert process.poll() is None, "moto's server ended; is moto[server] installed?"
            assert time.monotonic() < deadline, "moto's server does not answer"
            time.sleep(0.1)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
