"""The FastDFS clusters that tests use: a real one where ONLINEML_FASTDFS_TRACKERS names its trackers, else models."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FastDFSModel", "fastdfs_model", "fastdfs_trackers"]

SERVER = Path(__file__).with_name("fastdfs_server.py")


@dataclass(frozen=True)
class FastDFSModel:
    """A model of a cluster, in a process of its own."""

    trackers: str
    process: subprocess.Popen[str]

    def control(self, **changes: Any) -> dict[str, Any]:
        """Change settings and plant faults (see the server); what is stored now comes back."""
        host, _, port = self.trackers.partition(":")
        body = json.dumps(changes).encode()
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(struct.pack(">QBB", len(body), 250, 0) + body)
            with connection.makefile("rb") as answer:
                length, _, status = struct.unpack(">QBB", answer.read(10))
                assert status == 0
                facts: dict[str, Any] = json.loads(answer.read(length))
        return facts


def start_model(**settings: Any) -> FastDFSModel:
    process = subprocess.Popen(
        [sys.executable, "-I", str(SERVER), json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return FastDFSModel(process.stdout.readline().strip(), process)


def stop_model(model: FastDFSModel) -> None:
    model.process.kill()
    model.process.communicate()


@pytest.fixture(scope="session")
def fastdfs_trackers() -> Iterator[str]:
    """The trackers of a cluster that works, as in a URL."""
    real = os.environ.get("ONLINEML_FASTDFS_TRACKERS")
    if real:
        yield real
        return
    model = start_model()
    yield model.trackers
    stop_model(model)


@pytest.fixture
def fastdfs_model() -> Iterator[Callable[..., FastDFSModel]]:
    """Starts models with the settings that are given; they end with the test."""
    models: list[FastDFSModel] = []

    def start(**settings: Any) -> FastDFSModel:
        models.append(start_model(**settings))
        return models[-1]

    yield start
    for model in models:
        stop_model(model)
