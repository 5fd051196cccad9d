"""A cache of decoded images at training scale, in one memory-mapped file shared by all workers and runs of a user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
import warnings
import weakref
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow.compute as pc

from onlineml.data.loading.texts import Texts
from onlineml.data.manifest.schema import joined_texts, url_column
from onlineml.errors import ConfigError
from onlineml.storage.cache import limit_from_environment, make_private, own_cache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["DecodedCache", "cache_names", "default_folder"]

_VERSION = "3"  # of the layout and the decoding: increase it when either changes
_ABANDONED_S = 3600.0  # a file is created within seconds
_HASHED_AT_ONCE = 65_536  # ids
_HEADER = np.dtype(
    [("height", "<u2"), ("width", "<u2"), ("crc32", "<u4"), ("original_height", "<u4"), ("original_width", "<u4")]
)
_told: set[Path] = set()  # folders that cannot be used, of which this process or its parent has told


def cache_names(manifest: Manifest, variant: str = "") -> Texts:
    """(N,) names of images for a `DecodedCache`, with their URLs and versions: ids may be 0, 1, … in two manifests."""
    ids, versions = manifest.table["image_id"], pc.fill_null(manifest.table["version"], "None")
    urls = url_column(manifest.table, root=manifest.root)
    return Texts(joined_texts(ids, versions, joined_texts(urls, variant), by="\0"))


def default_folder() -> Path:
    """The folder for decoded images: ``$ONLINEML_CACHE`` or the user's cache folder, then ``decoded-<user id>``."""
    return own_cache("decoded")


class DecodedCache:
    """A sparse file of one slot per image: (H, W, 3) uint8 pixels, their checksum and the size of the original.

    Keyed by the images' ids, in order, and the scale, not by labels, so that corrected labels reuse it, and overwritten
    objects, which have other ids, do not. Any number of threads, workers and runs may fill it concurrently, since they
    write the same bytes. A slot damaged by a crash fails its checksum, verified once per process, and is rewritten. The
    file is opened on first use, so that the object can be pickled. If that is impossible (the folder is read-only or
    somebody else's, the disk is full), nothing is cached, and one warning is issued. Files are readable by this user
    only.

    Args:
        image_ids: of all images, in the manifest's order.
        short_side: maximum length of a cached image's shorter side, in pixels; its longer side is at most twice that.
        inside_hw: instead of ``short_side``, the maximum height and width of a cached image.
        folder: of the file; the default is `default_folder`.
        limit_bytes: maximum size of the folder: the oldest files are deleted, and images beyond the limit are decoded
            each time. The default is ``$ONLINEML_CACHE_GB``, else 20 GB, or half of the free disk space if that is
            less.
    """

    def __init__(
        self,
        image_ids: Sequence[str],
        *,
        short_side: int | None = None,
        inside_hw: tuple[int, int] | None = None,
        folder: Path | None = None,
        limit_bytes: int | None = None,
    ) -> None:
        scale, pixels = _slot(short_side, inside_hw)
        digest = hashlib.sha256(f"{_VERSION} {scale}\n".encode())
        for start in range(0, len(image_ids), _HASHED_AT_ONCE):
            digest.update(("\n" * bool(start) + "\n".join(image_ids[start : start + _HASHED_AT_ONCE])).encode())
        self.path = (folder or default_folder()) / f"{digest.hexdigest()[:32]}-{scale}.u8"
        self.slot_bytes = pixels * 3
        self.limit_bytes = limit_bytes
        self.n_images = len(image_ids)
        self._header: Any = None
        self._pixels: Any = None
        self._descriptor = -1
        self._is_private = folder is None
        self._is_off = False
        self._checked: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_header": None, "_pixels": None, "_descriptor": -1}

    def get(self, index: int) -> NDArray[np.uint8] | None:
        """The cached pixels of image ``index``, (H, W, 3) uint8 and read-only, or None."""
        found = self.find([index])
        return found[index][0] if found else None

    def find(self, indices: Sequence[int]) -> dict[int, tuple[NDArray[np.uint8], tuple[int, int]]]:
        """The cached ones of some images: pixels, (H, W, 3) uint8 and read-only, and the original's (H, W)."""
        found: dict[int, tuple[NDArray[np.uint8], tuple[int, int]]] = {}
        if not self.is_usable():
            return found
        for index, header in zip(indices, self._header[list(indices)].tolist(), strict=True):
            height, width, crc, *original_hw = header
            if index >= len(self._pixels) or not 0 < height * width * 3 <= self.slot_bytes:
                continue
            pixels: NDArray[np.uint8] = self._pixels[index, : height * width * 3].reshape(height, width, 3)
            if not self._checked[index]:
                if _checksum(pixels, original_hw) != crc:
                    continue
                self._checked[index] = True
            found[index] = pixels, (original_hw[0], original_hw[1])
        return found

    def put(self, index: int, pixels: NDArray[np.uint8], original_hw: tuple[int, int] | None = None) -> None:
        """Cache ``pixels``, (H, W, 3) uint8 no larger than a slot; by default the original has the same size."""
        if self._is_off or not self.is_usable():
            return
        if index >= len(self._pixels) or pixels.size > self.slot_bytes or self._checked[index]:
            return
        pixels = np.ascontiguousarray(pixels)
        original = pixels.shape[:2] if original_hw is None else original_hw
        header = np.array((*pixels.shape[:2], _checksum(pixels, original), *original), dtype=_HEADER)
        try:  # not through the mapping, which would kill the process on a full disk
            self._write(self.n_images * _HEADER.itemsize + index * self.slot_bytes, pixels.data.cast("B"))
            self._write(index * _HEADER.itemsize, header.tobytes())  # in one write, since others may be reading
        except OSError as err:
            self._switch_off(err)

    def _switch_off(self, err: OSError) -> None:
        self._is_off = True
        if self.path.parent in _told:
            return
        _told.add(self.path.parent)
        warnings.warn(
            f"decoded images are not cached in {self.path.parent} ({err.strerror or err}) and are decoded each time; "
            "free disk space, or set another folder in ONLINEML_CACHE",
            RuntimeWarning,
            stacklevel=3,
        )

    def _write(self, position: int, data: bytes | memoryview) -> None:
        with memoryview(data) as rest:
            done = 0
            while done < len(rest):
                done += os.pwrite(self._descriptor, rest[done:], position + done)

    def is_usable(self) -> bool:
        """Open the file, if it is not open; return whether it can be used: if not, the first call issues a warning."""
        if self._header is None and not self._is_off:
            try:
                self._open()
            except OSError as err:
                self._switch_off(err)
        return self._header is not None

    def _open(self) -> None:
        offset = self.n_images * _HEADER.itemsize
        with self._opened() as file:
            shape = (os.fstat(file.fileno()).st_size - offset) // self.slot_bytes, self.slot_bytes
            header = np.memmap(file, dtype=_HEADER, mode="r", shape=(self.n_images,))
            self._pixels = np.asarray(np.memmap(file, dtype=np.uint8, mode="r", offset=offset, shape=shape))
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._checked = np.zeros(self.n_images, dtype=bool)
        self._header = header

    def _opened(self) -> BinaryIO:
        """Open the file, creating it if missing; an open file stays usable if another process removes it."""
        if self._is_private:
            make_private(self.path.parent)
        while True:
            try:
                file = self.path.open("r+b")
            except FileNotFoundError:
                self._create()
                continue
            os.utime(file.fileno())
            return file

    def _create(self) -> None:
        offset = self.n_images * _HEADER.itemsize
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        limit = limit_from_environment() if self.limit_bytes is None else self.limit_bytes
        if limit is None:
            limit = min(20 * 10**9, shutil.disk_usage(self.path.parent).free // 2)
        wanted = offset + self.n_images * self.slot_bytes
        _make_room(self.path.parent, limit - wanted)
        rows = max(1, min(self.n_images, (limit - offset) // self.slot_bytes))
        temporary = self.path.with_suffix(f".{secrets.token_hex(8)}.tmp")
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.truncate(offset + rows * self.slot_bytes)
        try:
            os.link(temporary, self.path)  # if two processes create it, both use the first one's
        except FileExistsError:
            pass
        except OSError:  # a filesystem without hard links
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


def _slot(short_side: int | None, inside_hw: tuple[int, int] | None) -> tuple[str, int]:
    """The name of the scale, and the maximum number of pixels of a cached image."""
    if (short_side is None) == (inside_hw is None):
        raise ConfigError("expected one of short_side and inside_hw; found both or none")
    if inside_hw is not None:
        if min(inside_hw) < 1:
            raise ConfigError(f"inside_hw={inside_hw}: expected at least 1 pixel each")
        return f"{inside_hw[0]}x{inside_hw[1]}", inside_hw[0] * inside_hw[1]
    if short_side is None or short_side < 1:
        raise ConfigError(f"short_side={short_side}: expected at least 1 pixel")
    return str(short_side), 2 * short_side * short_side


def _checksum(pixels: NDArray[np.uint8], original_hw: Sequence[int]) -> int:
    """The checksum of pixels and original size, so that a header and pixels of different writers do not match."""
    return zlib.crc32(pixels.data, zlib.crc32(np.array(original_hw, dtype="<u4").tobytes()))


def _make_room(folder: Path, limit_bytes: int) -> None:
    """Delete what killed processes left, then the least recently opened files beyond ``limit_bytes`` of the disk."""
    for left in folder.glob(f"*.{'[0-9a-f]' * 16}.tmp"):  # may be a second name of a cache, which would keep its space
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                left.unlink()
    files = []
    for file in folder.glob("*.u8"):
        with contextlib.suppress(FileNotFoundError):  # deleted by another process
            files.append((file.stat().st_mtime, file.stat().st_blocks * 512, file))
    kept = 0
    for _, size, file in sorted(files, reverse=True):
        kept += size
        if kept > max(0, limit_bytes):
            file.unlink(missing_ok=True)
