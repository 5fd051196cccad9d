"""Text file, on any storage, that is appended to while other processes read it."""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from onlineml.storage import io

if TYPE_CHECKING:
    from onlineml.storage.location import Location

__all__ = ["BufferedAppender"]

_PUT_SECONDS = 2.0  # an object store replaces whole objects only: a growing file is uploaded again at most this often


class BufferedAppender:
    """A text file that grows: appended to on a local disk, rewritten completely on other filesystems.

    Several threads may use one object.
    """

    def __init__(self, file: Location) -> None:
        self._file = file
        self._local = file.local
        self._lock = threading.Lock()
        self._text: str | None = None  # the whole file's text, if it is rewritten completely
        self._unsaved = False
        self._saved_at = -math.inf

    def append(self, text: str) -> None:
        """Add text, after ending a line that a killed writer left unfinished."""
        with self._lock:
            if self._local is not None:
                _append_local(Path(self._local), text)
                return
            self._text = _mended(self._stored() if self._text is None else self._text) + text
            self._unsaved = True
            if time.monotonic() - self._saved_at >= _PUT_SECONDS:
                self._put()

    def replace(self, text: str) -> None:
        """Replace the whole text."""
        with self._lock:
            self._text = text
            self._put()

    def flush(self) -> None:
        """Store text that was added."""
        with self._lock:
            if self._unsaved:
                self._put()

    def read(self, last_bytes: int | None = None) -> str:
        """Return all text, or its last bytes; ``""`` if the file does not exist."""
        self.flush()
        return self._stored(last_bytes)

    def _put(self) -> None:
        io.write_bytes(self._file, (self._text or "").encode())
        self._unsaved = False
        self._saved_at = time.monotonic()

    def _stored(self, last_bytes: int | None = None) -> str:
        try:
            if self._local is not None and last_bytes is not None:
                return _end_of(Path(self._local), last_bytes).decode(errors="replace")
            data = io.read_bytes(self._file)
        except FileNotFoundError:
            return ""
        return data[-last_bytes if last_bytes else 0 :].decode(errors="replace")


def _append_local(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
        torn = end and file.read(1) != b"\n"  # the last writer was killed in the middle of a line
        file.write(("\n" if torn else "").encode() + text.encode())


def _end_of(path: Path, n_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - n_bytes))
        return file.read()


def _mended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
