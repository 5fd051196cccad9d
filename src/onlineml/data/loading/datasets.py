"""Batches of uint8 images from storage: fetched concurrently, decoded once, augmented by (seed, epoch, image)."""

from __future__ import annotations

import hashlib
import re
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from onlineml.arguments.counted import count
from onlineml.data.augment.classification import Augmenter, kept_for_training, training_scale
from onlineml.data.images.decode import decode, may_need_much_memory
from onlineml.data.loading.fetching import Fetcher
from onlineml.data.loading.texts import Texts
from onlineml.data.loading.threads import AT_WORK, augmented, opencv_threads
from onlineml.data.manifest.schema import url_column, version_column
from onlineml.errors import BadImageError, ChangedError, NotFoundError
from onlineml.storage.cache import byte_cache
from onlineml.storage.location import Confidential
from onlineml.storage.urls import local_path, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from onlineml.data.loading.decoded_cache import DecodedCache
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Options

__all__ = [
    "BadRow",
    "CachedImage",
    "ImageBatch",
    "ImageDataset",
    "ImageReader",
    "ImageRows",
    "image_key",
]

_HASH = re.compile("[0-9a-f]{32}(?:[0-9a-f]{32})?")  # of a place and its version, or of content


class BadRow(NamedTuple):
    """An image that a batch left out."""

    image_id: str
    uri: str
    finding: str
    detail: str


class ImageBatch(TypedDict):
    """A batch from a loader; B is smaller than the batch size if images were bad."""

    image: torch.Tensor
    """(B, 3, H, W) uint8, RGB in 0..255, channels-last in memory."""
    label: torch.Tensor
    """(B,) int64 class index, -1 is unlabelled; of sets of labels (B, C) float32, nan is unknown."""
    index: torch.Tensor
    """(B,) int64 row of the loader's manifest."""
    image_id: NDArray[np.object_]
    """(B,) str; not a list, which Lightning would traverse."""
    bad: list[BadRow]


@dataclass(frozen=True)
class ImageRows(Confidential):
    """The columns of a manifest needed for reading.

    Attributes:
        image_ids, urls: one text per image.
        labels: (N,) int64, or (N, C) float32 of images with sets of labels.
        storage_options: of the filesystem; contains secrets, so it is never shown.
        versions: version of each image, see `onlineml.Manifest.versions`; if empty, bytes are not cached.
        digests: the sha256 that each content must have, or ``""``; empty: any.
    """

    image_ids: Texts
    urls: Texts
    labels: NDArray[Any]
    storage_options: Options
    versions: Texts = field(default_factory=Texts)
    digests: Texts = field(default_factory=Texts)

    @classmethod
    def of(cls, manifest: Manifest, labels: NDArray[Any]) -> ImageRows:
        """Return those of a manifest, with N labels, or rows of labels, in the format of batches."""
        table, urls = manifest.table, Texts(url_column(manifest.table, root=manifest.root))
        versions, digests = Texts(version_column(table)), Texts(table["sha256"])
        return cls(Texts(table["image_id"]), urls, labels, manifest.storage_options, versions, digests)

    def _without_credentials(self) -> dict[str, Any]:
        return {"urls": Texts(map(storable, self.urls)), "storage_options": None}

    def __repr__(self) -> str:
        return f"ImageRows({count(len(self.urls), 'image')})"


class CachedImage(NamedTuple):
    """An image at its cached training scale."""

    pixels: NDArray[np.uint8]
    """(h, w, 3) uint8 RGB, upright; read-only if from the cache."""
    size_hw: tuple[int, int]
    """Height and width of the upright original."""


class ImageReader:
    """Decoded images of a manifest, from the cache or else in one concurrent, prefetched read.

    Args:
        rows: the images.
        min_side: see `onlineml.data.images.decode`.
        keep: converts decoded pixels and the original's (height, width) to the cached pixels.
        cache: of decoded images; None decodes each time.
    """

    def __init__(
        self,
        rows: ImageRows,
        *,
        min_side: int | None,
        keep: Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]],
        cache: DecodedCache | None = None,
    ) -> None:
        self.rows, self.min_side, self.keep, self.cache = rows, min_side, keep, cache
        self._fetcher = Fetcher(rows)

    def open_caches(self) -> None:
        """Open the caches, so that processes that are started next need not tell that one cannot be used."""
        if self.cache is not None:
            self.cache.is_usable()
        # a path from the root on is local, as nearly all are or none
        if self.rows.versions and any(local_path(url) is None for url in self.rows.urls.matching("^[^/]|:")):
            cache = byte_cache()
            if cache is not None:
                cache.is_usable()

    def load(self, indices: Sequence[int], upcoming: Iterable[int] = ()) -> tuple[dict[int, CachedImage], list[BadRow]]:
        """Return the images by index, and the bad ones.

        Args:
            indices: of the images.
            upcoming: indices of the next requests, which are prefetched if images must be decoded now.

        Raises:
            StorageError: the store failed (a missing object is a bad image instead).
        """
        images = self._cached(indices)
        missing = [i for i in dict.fromkeys(indices) if i not in images]
        bad = []
        if missing:
            data = self._fetcher.take(missing)
            later = list(upcoming)
            have = self._cached(later)
            self._fetcher.prefetch(i for i in later if i not in have)
            for index, result in zip(missing, opencv_threads().decoding.map(self._decode, data), strict=True):
                if isinstance(result, BadImageError):
                    url = storable(self.rows.urls[index])
                    bad.append(BadRow(self.rows.image_ids[index], url, result.finding, result.detail))
                    continue
                images[index] = result
                if self.cache is not None:
                    self.cache.put(index, *result)
        return images, bad

    def _cached(self, indices: Sequence[int]) -> dict[int, CachedImage]:
        found = {} if self.cache is None else self.cache.find(indices)
        return {index: CachedImage(*kept) for index, kept in found.items()}

    def _decode(self, data: bytes | OSError) -> CachedImage | BadImageError:
        if isinstance(data, NotFoundError):
            return BadImageError("missing", "nothing is stored at this URL")
        if isinstance(data, ChangedError):
            return BadImageError("changed", str(data))
        if isinstance(data, OSError):
            raise data
        try:
            large = may_need_much_memory(data, min_side=self.min_side)
            with opencv_threads().large if large else nullcontext(), AT_WORK:
                decoded = decode(data, min_side=self.min_side)
                return CachedImage(self.keep(decoded.pixels, decoded.size_hw), decoded.size_hw)
        except BadImageError as error:
            return error


def _kept(pixels: NDArray[np.uint8], _: tuple[int, int], *, size_hw: tuple[int, int], whole: bool) -> NDArray[np.uint8]:
    return kept_for_training(pixels, size_hw, whole=whole)


class ImageDataset(Dataset[ImageBatch]):
    """A manifest's images as uint8 batches.

    A key is ``(epoch, index)``, which determines the augmentation without any state in a worker. Holds only URLs and
    options; clients, threads and mapped files are created in the process that uses them.

    Args:
        rows: the images.
        size_hw: height and width of a batch's images.
        augmenter: for training; None fits each image to ``size_hw`` (evaluation).
        cache: decoded images; None decodes each time.
        whole: see `onlineml.data.augment.classification.kept_for_training`.
    """

    def __init__(
        self,
        rows: ImageRows,
        *,
        size_hw: tuple[int, int],
        augmenter: Augmenter | None = None,
        cache: DecodedCache | None = None,
        whole: bool = False,
    ) -> None:
        self.rows = rows
        self.size_hw = size_hw
        self.augmenter = Augmenter(size_hw, "none") if augmenter is None else augmenter
        self.cache = cache
        keep = partial(_kept, size_hw=size_hw, whole=whole)
        self.reader = ImageReader(rows, min_side=training_scale(size_hw), keep=keep, cache=cache)

    def __len__(self) -> int:
        return len(self.rows.urls)

    def __getitem__(self, key: tuple[int, int]) -> ImageBatch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> ImageBatch:
        """One batch.

        Args:
            keys: (epoch, index) of each image, all of one epoch; `onlineml.data.loading.loaders.BatchKeys` include the
                next ones.

        Raises:
            StorageError: the store failed (a missing object is a bad image instead).
        """
        upcoming = [index for _, index in getattr(keys, "upcoming", ())]
        images, bad = self.reader.load([index for _, index in keys], upcoming)
        rows = np.array([index for _, index in keys if index in images], dtype=np.int64)
        shown, epoch = [images[i].pixels for i in rows.tolist()], keys[0][0] if keys else 0
        ids = [self.rows.image_ids[i] for i in rows.tolist()]
        # independent of an image's position, so that adding images does not change the augmentation of others
        image_keys = np.array([image_key(image_id) for image_id in ids], dtype=np.uint64)
        augment = partial(self.augmenter, shown, epoch=epoch, image_keys=image_keys)
        pixels = augmented(augment)
        return {
            "image": torch.from_numpy(pixels).permute(0, 3, 1, 2),
            "label": torch.from_numpy(self.rows.labels[rows]),
            "index": torch.from_numpy(rows),
            "image_id": np.array(ids, dtype=object),
            "bad": bad,
        }


def image_key(image_id: str) -> int:
    """The first 64 bits of an id that is a hash, else of its hash."""
    if _HASH.fullmatch(image_id):
        return int(image_id[:16], 16)
    return int.from_bytes(hashlib.blake2b(image_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
