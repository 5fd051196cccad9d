"""Probes of a store's conditional writes: several writers race for one object, and the successful ones are counted.

A store that checks first and writes afterwards is detected by a slow upload: its condition was true when it began, but
not when it ended, because another write was completed in between. A store with a short gap between check and write is
detected by many concurrent writers, with some probability.
"""

from __future__ import annotations

import contextlib
import secrets
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fsspec.asyn

from onlineml.errors import ConflictError
from onlineml.storage.retries import patiently
from onlineml.storage.s3 import client as s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["RACERS", "create_holds", "swap_holds"]

RACERS = 8
_ROUNDS = 2  # in the first round most writers wait for a connection; only in the second do they write concurrently
# codes of a store that does not know the header
_UNKNOWN = frozenset({"NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400"})
_FIRST = b"first"
_WAIT_S = 20.0
_HEADSTART_S = 0.1  # so that the slow writer's condition is checked before the other one writes
_SLOW_BYTES = 2000


def create_holds(fs: Any, path: str, create: Callable[[str, bytes], object]) -> bool:
    """Return whether exactly one of several racing creators succeeds.

    Args:
        fs: the filesystem.
        path: probes are objects beside it.
        create: writes a new object; raises if it exists.

    Raises:
        OSError: no writer could write at all.
    """
    if s3.is_s3(fs):
        with _probe_beside(path, fs) as probe:
            if not _refuses_the_slow(fs, probe, {"IfNoneMatch": "*"}):
                return False
    for _ in range(_ROUNDS):
        with _probe_beside(path, fs) as probe:
            if not _one_won(_race(lambda data, probe=probe: create(probe, data)), fs, probe):  # type: ignore[misc]
                return False
    return True


def swap_holds(fs: Any, path: str, tag_of: Callable[[str], str], swap: Callable[[str, bytes, str], object]) -> bool:
    """Return whether exactly one of several writers succeeds that race to replace the same version of an object.

    Args:
        fs: s3fs's filesystem.
        path: probes are objects beside it.
        tag_of: returns an object's version.
        swap: replaces an object of a given version; raises if it has another.

    Raises:
        OSError: no writer could write at all.
    """
    with _probe_beside(path, fs) as probe:
        patiently(fs, "pipe_file", probe, _FIRST)
        if not _refuses_the_slow(fs, probe, {"IfMatch": f'"{tag_of(probe)}"'}):
            return False
    for _ in range(_ROUNDS):
        with _probe_beside(path, fs) as probe:
            patiently(fs, "pipe_file", probe, _FIRST)
            tag = tag_of(probe)
            if not _one_won(_race(lambda data, probe=probe, tag=tag: swap(probe, data, tag)), fs, probe):  # type: ignore[misc]
                return False
    return True


@contextlib.contextmanager
def _probe_beside(path: str, fs: Any) -> Iterator[str]:
    """Yield a new path, hidden so that no listing of images counts it; the object is removed afterwards."""
    folder = path.rpartition("/")[0]
    probe = f"{folder}/.onlineml-probe-{secrets.token_hex(8)}"
    try:
        yield probe
    finally:
        with contextlib.suppress(Exception):  # permission to write does not imply permission to delete
            fs.rm_file(probe)


def _race(write: Callable[[bytes], object]) -> dict[bytes, Exception | None]:
    """Start several writers at the same time; return the content each wrote, with its error or None."""
    start = threading.Barrier(RACERS)

    def attempt(data: bytes) -> Exception | None:
        start.wait()
        try:
            write(data)
        except Exception as err:  # noqa: BLE001 (each backend has exceptions of its own)
            return err
        return None

    contents = [f"{number}-{secrets.token_hex(8)}".encode() for number in range(RACERS)]
    with ThreadPoolExecutor(RACERS) as racers:
        return dict(zip(contents, racers.map(attempt, contents), strict=True))


def _one_won(outcomes: dict[bytes, Exception | None], fs: Any, probe: str) -> bool:
    """Return whether exactly one writer succeeded and its content is stored.

    Raises:
        OSError: no writer succeeded, for a reason other than the condition.
    """
    winners = [data for data, error in outcomes.items() if error is None]
    if not winners:
        error = next(error for error in outcomes.values() if error is not None)
        if s3.server_code(error) not in _UNKNOWN and not isinstance(error, FileExistsError | ConflictError):
            raise error
        return False
    return len(winners) == 1 and bytes(patiently(fs, "cat_file", probe)) == winners[0]


def _refuses_the_slow(fs: Any, probe: str, condition: dict[str, str]) -> bool:
    """Return whether a write that begins before another and ends after it is refused; True if that cannot be tested."""
    try:
        slow = _Upload(fs, probe, condition)
        fast = _Upload(fs, probe, condition)
        with contextlib.closing(slow), contextlib.closing(fast):
            slow.begin()
            time.sleep(_HEADSTART_S)
            fast.begin()
            if fast.end() >= 300:
                return True  # the condition, or the presigned URL, is refused: the race will decide
            return slow.end() >= 300
    except (OSError, HTTPException):  # a proxy or certificate known to s3fs only, or a server that disconnects
        return True


class _Upload:
    """One conditional PUT in two halves, with a URL that botocore presigned."""

    def __init__(self, fs: Any, path: str, condition: dict[str, str]) -> None:
        bucket, key, _ = fs.split_path(path)
        self._headers = {{"IfNoneMatch": "If-None-Match", "IfMatch": "If-Match"}[k]: v for k, v in condition.items()}
        url = urlsplit(fsspec.asyn.sync(fs.loop, _signed, fs, {"Bucket": bucket, "Key": key, **condition}))
        self._connection = HTTPConnection(url.netloc, timeout=_WAIT_S)
        if url.scheme == "https":
            self._connection = HTTPSConnection(url.netloc, timeout=_WAIT_S, context=ssl.create_default_context())
        self._target = f"{url.path}?{url.query}" if url.query else url.path
        self._data = secrets.token_bytes(_SLOW_BYTES)

    def begin(self) -> None:
        self._connection.putrequest("PUT", self._target)
        for name, value in self._headers.items():
            self._connection.putheader(name, value)
        self._connection.putheader("Content-Length", str(len(self._data)))
        self._connection.endheaders(self._data[: _SLOW_BYTES // 2])

    def end(self) -> int:
        """Send the rest; return the status of the response."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server may have responded already
            self._connection.send(self._data[_SLOW_BYTES // 2 :])
        return self._connection.getresponse().status

    def close(self) -> None:
        self._connection.close()


async def _signed(fs: Any, parameters: dict[str, str]) -> str:
    await fs.set_session()
    client = await fs.get_s3(parameters["Bucket"])
    return str(await client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=60))
