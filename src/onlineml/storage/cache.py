"""What was read from a bucket, kept on this machine's disk, so that a bucket is read over the link once.

`onlineml.storage.io.read_many` looks here for every object whose version is known, which are the images of manifests:
what a check or a freeze has read, training, evaluation, prediction and galleries then find on the disk, and so does a
second training at another size. (`onlineml.data.loading.decoded_cache` keeps what training makes of them, at one size.)

Objects are files named by a hash of URL and version, so an overwritten object is another file. A file appears by a
rename, whole, and its length and checksum are verified each time it is read: one that is damaged is read from the
bucket again. Any number of threads and processes may use the folder. Each user of the machine has one of their own,
readable by them alone: what the bucket's credentials protect stays protected.

``ONLINEML_CACHE`` names another folder than the user's cache folder, ``ONLINEML_CACHE_GB`` another limit than 20 GB (or
half of what is free, if that is less); 0 switches the cache off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import struct
import threading
import time
import warnings
import zlib
from pathlib import Path

import platformdirs

from onlineml.errors import ConfigError

__all__ = ["ByteCache", "byte_cache", "cache_folder", "limit_from_environment"]

_FOOTER = struct.Struct("<4sQI")  # mark, length, CRC-32; at the end, for what was cut off lacks it
_MARK = b"OML1"
_FOLDERS = 256  # by the first two digits of the name, so that none holds too many files
_GROUP_BYTES = 64_000_000  # the limit is kept by groups of folders, so that keeping it never lists the whole cache
_TOUCH_S = 3600.0  # how old the note of a file's last use may be
_ABANDONED_S = 3600.0
_DEFAULT_LIMIT = 20 * 10**9


def cache_folder() -> Path:
    """The folder of all caches: ``$ONLINEML_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("ONLINEML_CACHE") or platformdirs.user_cache_dir("onlineml"))


def limit_from_environment() -> int | None:
    """The bytes that ``$ONLINEML_CACHE_GB`` allows; None where it is not set.

    Raises:
        ConfigError: it is no number, or negative.
    """
    given = os.environ.get("ONLINEML_CACHE_GB")
    if not given:
        return None
    try:
        limit = float(given) * 1e9
        return int(limit) if limit >= 0 else int("negative")
    except (ValueError, OverflowError):
        raise ConfigError(f"ONLINEML_CACHE_GB={given!r}: expected a number of gigabytes; 0 is no cache") from None


_caches: dict[tuple[str, int, str | None, str | None], ByteCache | None] = {}


def byte_cache(kind: str = "bytes") -> ByteCache | None:
    """The cache of this process as the environment has it; None where it is switched off.

    Args:
        kind: ``"bytes"``: what was read from buckets; or ``"thumbnails"``, which may take a tenth as much.
    """
    key = (kind, os.getpid(), os.environ.get("ONLINEML_CACHE"), os.environ.get("ONLINEML_CACHE_GB"))
    if key not in _caches:  # a forked child has locks and counts of its own
        limit = limit_from_environment()
        user = str(os.getuid()) if hasattr(os, "getuid") else "user"
        if kind == "thumbnails" and limit != 0:
            limit = (_DEFAULT_LIMIT if limit is None else limit) // 10
        _caches[key] = None if limit == 0 else ByteCache(cache_folder() / f"{kind}-{user}", limit_bytes=limit)
    return _caches[key]


class ByteCache:
    """Contents by URL and version, in a folder.

    Nothing here ever raises: what cannot be kept (the disk is full, the folder is not ours) is not, and is said once.

    Args:
        folder: made where it is missing; for this user alone.
        limit_bytes: what the folder may take, about; what was used longest ago goes first. None is 20 GB, or half of
            what is free on the disk if that is less.
    """

    def __init__(self, folder: Path, *, limit_bytes: int | None = None) -> None:
        self.folder = folder
        self._limit = limit_bytes
        self._groups = 0
        self._lock = threading.Lock()
        self._left: dict[int, int] = {}  # bytes that this process may add to a group before it lists it again
        self._off = False
        self._ready = False

    def get(self, url: str, version: str) -> bytes | None:
        """The content, or None where it is not here whole."""
        path = self._path(url, version)
        try:
            with open(path, "rb") as file:  # noqa: PTH123 (Path would take a tenth of the time)
                facts = os.fstat(file.fileno())
                content = file.read(max(facts.st_size - _FOOTER.size, 0))  # apart: cutting it off would be a copy
                footer = file.read()
        except OSError:
            return None
        if not _is_whole(content, footer):
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            return None
        if time.time() - facts.st_mtime > _TOUCH_S:
            with contextlib.suppress(OSError):
                os.utime(path)
        return content

    def put(self, url: str, version: str, content: bytes) -> None:
        """Keep a content; over one that is there already."""
        if self._off or not self._prepared():
            return
        path = self._path(url, version)
        needed = len(content) + _FOOTER.size
        if needed > self._share:
            return
        self._make_room(self._group(path), needed)
        temporary = f"{path}.{secrets.token_hex(6)}.tmp"
        try:
            try:
                self._write(temporary, content)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120
                self._write(temporary, content)
            os.replace(temporary, path)  # noqa: PTH105
        except OSError as err:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            self._switch_off(f"{type(err).__name__}: {err.strerror or err}")

    @property
    def _share(self) -> int:
        """Bytes that one group may hold."""
        return (self._limit or 0) // max(self._groups, 1)

    def _path(self, url: str, version: str) -> str:
        name = hashlib.blake2b(f"{url}\0{version}".encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
        return f"{self.folder}/{name[:2]}/{name}"

    def _group(self, path: str) -> int:
        return int(os.path.basename(path)[:2], 16) * self._groups // _FOLDERS  # noqa: PTH119

    @staticmethod
    def _write(path: str, content: bytes) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.write(_FOOTER.pack(_MARK, len(content), zlib.crc32(content)))

    def _prepared(self) -> bool:
        """Make the folder, once; whether it can be used."""
        if self._ready:
            return True
        with self._lock:
            try:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                self.folder.mkdir(mode=0o700, exist_ok=True)
                facts = self.folder.lstat()
                if not stat.S_ISDIR(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
                    raise PermissionError(0, "it belongs to somebody else")
                if self._limit is None:
                    self._limit = min(_DEFAULT_LIMIT, shutil.disk_usage(self.folder).free // 2)
            except OSError as err:
                self._switch_off(f"{type(err).__name__}: {err.strerror or err}")
                return False
            self._groups = int(min(max(self._limit // _GROUP_BYTES, 1), _FOLDERS))
            self._ready = True
        return True

    def _switch_off(self, reason: str) -> None:
        if self._off:
            return
        self._off = True
        warnings.warn(
            f"what is read from buckets is no longer kept in {self.folder} by this process ({reason}), so it is read "
            "again each time; make room there, or name another folder in ONLINEML_CACHE",
            RuntimeWarning,
            stacklevel=4,
        )

    def _make_room(self, group: int, needed: int) -> None:
        """Count what is to be added; now and then list the group, and delete what was used longest ago."""
        with self._lock:
            left = self._left.get(group, 0)
            if left < needed:
                least = max(needed, self._share // 32)
                # sixteen processes that fill a group at once stay within it: each lists it again after so much
                left = max((self._share - self._held(group, least)) // 16, least)
            self._left[group] = left - needed

    def _held(self, group: int, needed: int) -> int:
        """What a group takes, after deleting from it until there is room for so much more."""
        files = []
        now = time.time()
        for number in range(_FOLDERS):
            if number * self._groups // _FOLDERS != group:
                continue
            with contextlib.suppress(OSError):
                for entry in os.scandir(f"{self.folder}/{number:02x}"):
                    with contextlib.suppress(OSError):  # another process makes room too
                        facts = entry.stat()
                        if not entry.name.endswith(".tmp"):
                            files.append((facts.st_mtime, facts.st_size, entry.path))
                        elif now - facts.st_mtime > _ABANDONED_S:
                            os.unlink(entry.path)  # noqa: PTH108
        held = sum(size for _, size, _ in files)
        if held + needed <= self._share:
            return held
        allowed = max(self._share * 9 // 10 - needed, 0)  # some more, so that it is not full again at once
        for _, size, path in sorted(files):
            if held <= allowed:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            held -= size
        return held


def _is_whole(content: bytes, footer: bytes) -> bool:
    return footer == _FOOTER.pack(_MARK, len(content), zlib.crc32(content))
