"""Cache of objects read from a bucket on this machine's disk, so that each is downloaded once.

`onlineml.storage.io.read_many` looks here for every object whose version is known, which applies to the images of
manifests. Training, evaluation, prediction and galleries reuse what a check or a freeze has read, and so does a second
training at another image size. (`onlineml.data.loading.decoded_cache` keeps decoded images, at one size.)

Objects are files named by a hash of URL and version, so an overwritten object becomes another file. A file appears
complete, by a rename, and its length and checksum are verified on each read; a damaged file is downloaded again. Any
number of threads and processes may use the folder. Each user of the machine has a folder of their own that only they
can read, so objects protected by bucket credentials stay protected.

``ONLINEML_CACHE`` sets another folder than the user's cache folder. ``ONLINEML_CACHE_GB`` sets another limit than 20 GB
(or half of the free space, if that is less); 0 disables the cache.
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

__all__ = ["ByteCache", "byte_cache", "cache_folder", "limit_from_environment", "make_private", "own_cache"]

_FOOTER = struct.Struct("<4sQI")  # mark, length, CRC-32; at the end, so that a truncated file has none
_MARK = b"OML1"
_FOLDERS = 256  # by the first two digits of the name, so that no folder has too many files
_GROUP_BYTES = 64_000_000  # the limit is enforced per group of folders, so the whole cache is never listed at once
_TOUCH_S = 3600.0  # maximum age of a file's recorded last use
_ABANDONED_S = 3600.0
_DEFAULT_LIMIT = 20 * 10**9


def cache_folder() -> Path:
    """Return the folder of all caches: ``$ONLINEML_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("ONLINEML_CACHE") or platformdirs.user_cache_dir("onlineml"))


def own_cache(kind: str) -> Path:
    """Return the folder of one kind of cache, below `cache_folder`, which may be shared, for this user alone."""
    return cache_folder() / f"{kind}-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def make_private(folder: Path) -> None:
    """Create a folder that only this user can open, if it is missing.

    Raises:
        PermissionError: it belongs to another user, or is not a folder.
        OSError: it cannot be created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_own(folder):
        raise PermissionError(0, "the folder belongs to another user")
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _is_own(folder: Path) -> bool:
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and not (hasattr(os, "getuid") and facts.st_uid != os.getuid())


def limit_from_environment() -> int | None:
    """Return the limit in bytes that ``$ONLINEML_CACHE_GB`` sets; None if it is not set.

    Raises:
        ConfigError: the value is not a number, or negative.
    """
    given = os.environ.get("ONLINEML_CACHE_GB")
    if not given:
        return None
    try:
        limit = float(given) * 1e9
        return int(limit) if limit >= 0 else int("negative")
    except (ValueError, OverflowError):
        raise ConfigError(
            f"ONLINEML_CACHE_GB={given!r}: expected a number of gigabytes, at least 0; 0 disables the cache"
        ) from None


_caches: dict[tuple[str, int, str | None, str | None], ByteCache | None] = {}


def byte_cache(kind: str = "bytes") -> ByteCache | None:
    """Return the cache of this process as configured by the environment; None if it is disabled.

    Args:
        kind: ``"bytes"`` for objects read from buckets, or ``"thumbnails"``, which may take a tenth of the space.
    """
    key = (kind, os.getpid(), os.environ.get("ONLINEML_CACHE"), os.environ.get("ONLINEML_CACHE_GB"))
    if key not in _caches:  # a forked child has its own locks and counts
        limit = limit_from_environment()
        if kind == "thumbnails" and limit != 0:
            limit = (_DEFAULT_LIMIT if limit is None else limit) // 10
        _caches[key] = None if limit == 0 else ByteCache(own_cache(kind), limit_bytes=limit)
        parents = [one for known, one in _caches.items() if one and (known[0], *known[2:]) == (kind, *key[2:])]
        if any(one.is_off for one in parents):
            _caches[key] = None  # the parent has told so
    return _caches[key]


class ByteCache:
    """Cached contents by URL and version, in a folder.

    Its methods never raise: if an object cannot be kept (the disk is full, the folder has another owner), it is not
    cached, and one warning is issued.

    Args:
        folder: created if missing; readable by this user only.
        limit_bytes: approximate maximum size of the folder; the least recently used files are deleted first. None means
            20 GB, or half of the free disk space if that is less.
    """

    def __init__(self, folder: Path, *, limit_bytes: int | None = None) -> None:
        self.folder = folder
        self._limit = limit_bytes
        self._groups = 0
        self._lock = threading.Lock()
        self._left: dict[int, int] = {}  # bytes that this process may add to a group before it must list it again
        self.is_off = False
        self._ready = False

    def is_usable(self) -> bool:
        """Return whether anything can be cached; the first time that it cannot, a warning is issued."""
        return not self.is_off and self._prepared()

    def get(self, url: str, version: str) -> bytes | None:
        """Return the content, or None if it is not in the cache or damaged."""
        path = self._path(url, version)
        try:
            if not self._ready and not _is_own(self.folder):  # somebody else may have put anything there
                return None
            with open(path, "rb") as file:  # noqa: PTH123 (Path would take a tenth of the time)
                facts = os.fstat(file.fileno())
                # read separately: slicing off the footer would make a copy
                content = file.read(max(facts.st_size - _FOOTER.size, 0))
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
        """Store a content, replacing an earlier one."""
        if not self.is_usable():
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
        """Maximum number of bytes of one group."""
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
        """Create the folder once; return whether it is usable."""
        if self._ready:
            return True
        with self._lock:
            try:
                make_private(self.folder)
                if self._limit is None:
                    self._limit = min(_DEFAULT_LIMIT, shutil.disk_usage(self.folder).free // 2)
            except OSError as err:
                self._switch_off(f"{type(err).__name__}: {err.strerror or err}")
                return False
            self._groups = int(min(max(self._limit // _GROUP_BYTES, 1), _FOLDERS))
            self._ready = True
        return True

    def _switch_off(self, reason: str) -> None:
        if self.is_off:
            return
        self.is_off = True
        warnings.warn(
            f"this process no longer caches objects from buckets in {self.folder} ({reason}), so they are downloaded "
            "again each time; free some disk space, or set ONLINEML_CACHE to another folder",
            RuntimeWarning,
            stacklevel=4,
        )

    def _make_room(self, group: int, needed: int) -> None:
        """Account for bytes to be added; from time to time, list the group and delete the least recently used files."""
        with self._lock:
            left = self._left.get(group, 0)
            if left < needed:
                least = max(needed, self._share // 32)
                # sixteen processes that fill a group concurrently stay within the limit, as each lists it again after
                # this many bytes
                left = max((self._share - self._held(group, least)) // 16, least)
            self._left[group] = left - needed

    def _held(self, group: int, needed: int) -> int:
        """Return the size of a group in bytes, after deleting files until ``needed`` more bytes fit."""
        files = []
        now = time.time()
        for number in range(_FOLDERS):
            if number * self._groups // _FOLDERS != group:
                continue
            with contextlib.suppress(OSError):
                for entry in os.scandir(f"{self.folder}/{number:02x}"):
                    with contextlib.suppress(OSError):  # another process may be deleting files too
                        facts = entry.stat()
                        if not entry.name.endswith(".tmp"):
                            files.append((facts.st_mtime, facts.st_size, entry.path))
                        elif now - facts.st_mtime > _ABANDONED_S:
                            os.unlink(entry.path)  # noqa: PTH108
        held = sum(size for _, size, _ in files)
        if held + needed <= self._share:
            return held
        allowed = max(self._share * 9 // 10 - needed, 0)  # a tenth less, so that it is not full again at once
        for _, size, path in sorted(files):
            if held <= allowed:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            held -= size
        return held


def _is_whole(content: bytes, footer: bytes) -> bool:
    return footer == _FOOTER.pack(_MARK, len(content), zlib.crc32(content))
