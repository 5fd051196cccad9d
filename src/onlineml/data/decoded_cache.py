"""Images decoded once, kept at the training scale in one memory-mapped file that all workers and runs share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import platformdirs

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["DecodedCache", "default_folder"]

_VERSION = "1"  # of the layout and of what decoding means: raise it when either changes
_HEADER = np.dtype([("height", "<u2"), ("width", "<u2"), ("crc32", "<u4")])


def default_folder() -> Path:
    """The folder for decoded images: ``$ONLINEML_CACHE`` or the user's cache folder, then ``decoded``."""
    return Path(os.environ.get("ONLINEML_CACHE") or platformdirs.user_cache_dir("onlineml")) / "decoded"


class DecodedCache:
    """A sparse file of one slot per image: (H, W, 3) uint8 pixels behind a header with their checksum.

    Keyed by what the images are (their ids, in order) and the scale, never by labels: a corrected label finds its
    pixels at once, and an overwritten object has another id, so it never finds old ones. Any number of threads, workers
    and runs may fill it at the same time: they write the same bytes. What a crash tore fails its checksum, looked at
    once in each process, and is decoded and kept again. Holds no open file until used, so that it pickles.

    Args:
        image_ids: of all images, in the manifest's order.
        short_side: longest length of a kept image's shorter side, in pixels.
        folder: where the file lies; the default is `default_folder`.
        limit_bytes: keep at most this much in the folder: older files go first, then images beyond the limit are
            decoded each time. The default is 20 GB, or half of what is free on the disk if that is less.
    """

    def __init__(
        self,
        image_ids: Sequence[str],
        *,
        short_side: int,
        folder: Path | None = None,
        limit_bytes: int | None = None,
    ) -> None:
        if short_side < 1:
            raise ConfigError(f"short_side={short_side}: expected at least 1 pixel")
        digest = hashlib.sha256(f"{_VERSION} {short_side}\n".encode() + "\n".join(image_ids).encode()).hexdigest()
        self.path = (folder or default_folder()) / f"{digest[:32]}-{short_side}.u8"
        self.slot_bytes = 2 * short_side * short_side * 3
        self.short_side = short_side
        self.limit_bytes = limit_bytes
        self.n_images = len(image_ids)
        self._header: Any = None
        self._pixels: Any = None
        self._readable: Any = None
        self._checked: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_header": None, "_pixels": None, "_readable": None}

    def get(self, index: int) -> NDArray[np.uint8] | None:
        """The kept pixels of image ``index``, (H, W, 3) uint8 and read-only, or None."""
        self._open()
        if index >= len(self._pixels):
            return None
        height, width, crc = self._header[index].tolist()
        if not 0 < height * width * 3 <= self.slot_bytes:
            return None
        pixels: NDArray[np.uint8] = self._readable[index, : height * width * 3].reshape(height, width, 3)
        if not self._checked[index]:
            if zlib.crc32(pixels.data) != crc:
                return None
            self._checked[index] = True
        return pixels

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Keep ``pixels``, (H, W, 3) uint8 with the shorter side at most ``short_side``, as image ``index``."""
        self._open()
        if index >= len(self._pixels) or pixels.size > self.slot_bytes or self._checked[index]:
            return
        pixels = np.ascontiguousarray(pixels)
        self._pixels[index, : pixels.size] = pixels.reshape(-1)
        # one copy of eight bytes, for others may be reading; a tuple would be written field by field
        self._header[index] = np.array((*pixels.shape[:2], zlib.crc32(pixels.data)), dtype=_HEADER)

    def _open(self) -> None:
        if self._header is not None:
            return
        offset = self.n_images * _HEADER.itemsize
        with self._file() as file:
            rows = (os.fstat(file.fileno()).st_size - offset) // self.slot_bytes
            header = np.memmap(file, dtype=_HEADER, mode="r+", shape=(self.n_images,))
            self._pixels = np.memmap(file, dtype=np.uint8, mode="r+", offset=offset, shape=(rows, self.slot_bytes))
        self._readable = np.asarray(self._pixels)
        self._readable.flags.writeable = False
        self._checked = np.zeros(self.n_images, dtype=bool)
        self._header = header

    def _file(self) -> BinaryIO:
        """Open the file, made if it is not there; once open it stays usable, even if another process removes it."""
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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        limit = self.limit_bytes
        if limit is None:
            limit = min(20 * 10**9, shutil.disk_usage(self.path.parent).free // 2)
        wanted = offset + self.n_images * self.slot_bytes
        _make_room(self.path.parent, limit - wanted)
        rows = max(1, min(self.n_images, (limit - offset) // self.slot_bytes))
        temporary = self.path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        with temporary.open("wb") as file:
            file.truncate(offset + rows * self.slot_bytes)
        try:
            os.link(temporary, self.path)  # of two processes that make it, one wins and both use the winner's
        except FileExistsError:
            pass
        except OSError:  # a filesystem without hard links
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


def _make_room(folder: Path, limit_bytes: int) -> None:
    """Delete the files that were opened longest ago until what is left takes at most ``limit_bytes`` of the disk."""
    files = []
    for file in folder.glob("*.u8"):
        with contextlib.suppress(FileNotFoundError):  # another process makes room too
            files.append((file.stat().st_mtime, file.stat().st_blocks * 512, file))
    kept = 0
    for _, size, file in sorted(files, reverse=True):
        kept += size
        if kept > max(0, limit_bytes):
            file.unlink(missing_ok=True)
