"""Download of published weights: resumed, checked, bounded in time, and not tried where there is no network."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from onlineml.errors import WeightsError
from onlineml.lazy import told_if_slow
from onlineml.storage.urls import redacted

try:
    import fcntl
except ImportError:  # Windows: two processes that fetch the same file at once are not kept apart
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ENVIRONMENT", "fetch", "is_offline", "matches"]

ENVIRONMENT = "ONLINEML_WEIGHTS"  # "random", "offline", or the folder or URL of a mirror
# until the headers of an answer, by `patient`: "auto" must not hold up a notebook
_ANSWER_S = {False: 5.0, True: 30.0}
_CHUNK_S = 20.0  # without a byte
_TRIES = 3  # without a further byte
_CHUNK = 1 << 20
_SHA256 = re.compile(r'^"?([0-9a-f]{64})"?$')
_silent: dict[str, str] = {}  # hosts that did not answer in this process, with the reason


class _UnreachableError(OSError):
    """The host did not answer; trying again would take as long."""


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, and remembers the checksum that Hugging Face's hub sends with them."""

    checksum = ""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:  # noqa: PLR0917
        self.checksum = _checksum(headers) or self.checksum
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _checksum(headers: Any) -> str:
    found = _SHA256.match(headers.get("X-Linked-Etag") or headers.get("ETag") or "")
    return found[1] if found else ""


def is_offline() -> bool:
    """Return whether the environment forbids the network: ``ONLINEML_WEIGHTS=offline`` or ``HF_HUB_OFFLINE=1``."""
    hub = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return hub or os.environ.get(ENVIRONMENT, "") in {"offline", "random"}


def matches(path: Path, sha256: str) -> bool:
    """Return whether a file exists with a checksum that begins with ``sha256``; an empty one fits every file."""
    if not path.is_file():
        return False
    if not sha256:
        return path.stat().st_size > 0
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(sha256)


def fetch(url: str, target: Path, *, sha256: str = "", patient: bool = True) -> Path:
    """Download a file once; an interrupted download is continued, also by a later process.

    Proxies are those of the environment (``https_proxy``, ``no_proxy``).

    Args:
        url: http or https.
        target: appears complete or not at all; used as it is if it has the checksum.
        sha256: of the file, or its beginning; empty to take the one that the hub sends, if any.
        patient: try again what did not answer before in this process.

    Returns:
        ``target``.

    Raises:
        WeightsError: it cannot be obtained, with the reason.
    """
    if matches(target, sha256):
        return target
    host = urlsplit(url).netloc.rpartition("@")[2]
    if is_offline():
        raise WeightsError(f"{redacted(url)} is not fetched: the environment says offline")
    if not patient and host in _silent:
        raise WeightsError(f"{host} cannot be reached ({_silent[host]})")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        with told_if_slow(f"Downloading {redacted(url)}"), _alone(part) as file:
            if not matches(target, sha256):
                _complete(url, file, sha256=sha256, answer_s=_ANSWER_S[patient])
                part.replace(target)
    except (URLError, HTTPException, OSError) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        if isinstance(error, _UnreachableError) or (isinstance(error, URLError) and not isinstance(error, HTTPError)):
            _silent[host] = reason
        raise WeightsError(f"{redacted(url)} cannot be downloaded ({reason})") from error
    return target


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """Open a part of a download for this process alone; others wait, and find the whole file afterwards."""
    with part.open("a+b") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    with suppress(FileNotFoundError):
        if not part.stat().st_size:
            part.unlink()


def _complete(url: str, file: IO[bytes], *, sha256: str, answer_s: float) -> None:
    """Fetch what a part lacks.

    Raises:
        OSError: it stays incomplete, or its checksum is wrong.
    """
    left, anew = _TRIES, False
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            sent = _continue(url, file, answer_s=answer_s)
        except _UnreachableError:
            raise
        except (HTTPException, ConnectionError, TimeoutError, URLError) as error:
            refused = isinstance(error, HTTPError) and error.code < 500
            left = _TRIES if file.seek(0, os.SEEK_END) > before else left - 1
            if left <= 0 or refused:
                raise
            continue
        expected = sha256 or sent
        if _digest(file).startswith(expected):
            return
        file.truncate(0)  # continued with another file, or damaged on the way
        if anew:
            msg = f"its checksum is not {expected[:16]}"
            raise OSError(msg)
        anew = True


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _continue(url: str, file: IO[bytes], *, answer_s: float) -> str:
    """Append what the server has beyond the part, and return the checksum that it sends, or ``""``."""
    begin = file.seek(0, os.SEEK_END)
    redirects = _Redirects()
    request = Request(url, headers={"Range": f"bytes={begin}-"} if begin else {})  # noqa: S310 (http, as documented)
    try:
        answer = _answer(redirects, request, within_s=answer_s)
    except HTTPError as error:
        error.close()
        if error.code != 416:  # nothing is left to send
            raise
        return redirects.checksum or _checksum(error.headers)
    with answer:
        if answer.status != 206:
            file.truncate(0)
            begin = 0
        length = answer.headers.get("Content-Length")
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
        file.flush()
        if length is not None and file.tell() - begin < int(length):
            msg = f"the connection ended after {file.tell():,} of {begin + int(length):,} bytes"
            raise ConnectionError(msg)
        return redirects.checksum or _checksum(answer.headers)


def _answer(redirects: _Redirects, request: Request, *, within_s: float) -> Any:
    """Open a request; looking up a name has no time limit of its own, so a thread does it."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(build_opener(redirects).open(request, timeout=_CHUNK_S))
        except BaseException as error:  # noqa: BLE001 (raised again by the caller)
            found.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(within_s)
    if not found:
        msg = f"no answer within {within_s:.0f} s"
        raise _UnreachableError(msg)
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]
