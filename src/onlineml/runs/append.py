"""Text file, on any storage, that is appended to while other processes read it; and rows of metrics as its lines."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.runs.backlog import Backlog
    from onlineml.storage.location import Location

__all__ = ["BufferedAppender", "finite", "line_of", "rows_of"]

_INFINITE = {"inf": math.inf, "-inf": -math.inf}
_PUT_SECONDS = 2.0  # an object store replaces whole objects only: a growing file is uploaded again at most this often


class BufferedAppender:
    """A text file that grows: appended to on a local disk, rewritten completely on other filesystems.

    Text that cannot be stored is kept, and stored with the next. Several threads may use one object.

    Args:
        file: where it is.
        backlog: of its run.
    """

    def __init__(self, file: Location, backlog: Backlog) -> None:
        self._file, self._backlog = file, backlog
        self._local = file.local
        self._lock = threading.Lock()  # of the text; never held while something is stored
        self._storing = threading.RLock()
        self._text: str | None = None  # the whole file's text, if it is rewritten completely
        self._added = ""  # since it was stored
        self._saved_at = -math.inf

    def append(self, text: str) -> None:
        """Add text; it is stored if that is due."""
        with self._lock:
            self._added += text
        if self._local is not None or time.monotonic() - self._saved_at >= _PUT_SECONDS:
            self.store()

    def store(self) -> None:
        """Store text that was added, or leave that to the backlog."""
        self._backlog.write(self._file.name, self.flush)

    def replace(self, text: str) -> None:
        """Replace the whole text."""
        with self._storing:
            self._put(text, n_added=0)

    def flush(self) -> None:
        """Store text that was added, after ending a line that a killed writer left unfinished.

        Raises:
            OSError: it cannot be stored now.
        """
        with self._storing:
            with self._lock:
                added = self._added
            if added and self._local is None:
                self._put(_mended(self._stored() if self._text is None else self._text) + added, n_added=len(added))
            elif added:
                _append_local(Path(self._local or ""), added)
                self._forget(len(added))

    def read(self, last_bytes: int | None = None) -> str:
        """Return all text, or its last bytes; ``""`` if the file does not exist."""
        self.flush()
        return self._stored(last_bytes)

    def _put(self, text: str, *, n_added: int) -> None:
        io.write_bytes(self._file, text.encode())
        self._text = text
        self._saved_at = time.monotonic()
        self._forget(n_added)

    def _forget(self, n_added: int) -> None:
        with self._lock:
            self._added = self._added[n_added:]

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


def line_of(row: Mapping[str, float | str]) -> str:
    """Return a row of metrics as a line of JSON."""
    return json.dumps(finite(row), ensure_ascii=False, allow_nan=False) + "\n"


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row to strict JSON values: nan becomes null, infinities become texts."""
    return {name: _strict(value) for name, value in row.items()}


def rows_of(text: str) -> list[dict[str, Any]]:
    """Return the rows of lines, without a line that a kill truncated."""
    rows = []
    for line in text.split("\n"):
        with contextlib.suppress(msgspec.DecodeError, RecursionError, UnicodeError):
            row = msgspec.json.decode(line, type=dict[str, Any])
            rows.append({name: _restored(value) for name, value in row.items()})
    return rows


def _strict(value: Any) -> Any:
    if hasattr(value, "item"):  # a scalar of numpy or torch
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _restored(value: Any) -> Any:
    return math.nan if value is None else _INFINITE.get(value, value) if isinstance(value, str) else value
