"""Batches of uint8 images with their boxes, augmented by (seed, epoch, image)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from onlineml.data.augment.detection import Partners
from onlineml.data.augment.detection_geometry import Picture, fitted, keep_inside, kept_scale, least_side, pad_together
from onlineml.data.loading.datasets import BadRow, CachedImage, ImageReader, image_key
from onlineml.data.loading.threads import augmented
from onlineml.data.manifest.box_arrays import clean_boxes, of_another_size, repeated_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.data.augment.detection import DetectionAugmenter
    from onlineml.data.loading.datasets import ImageRows
    from onlineml.data.loading.decoded_cache import DecodedCache
    from onlineml.data.manifest.box_arrays import Boxes

__all__ = ["DetectionBatch", "DetectionDataset", "DetectionTarget", "Truth"]


class DetectionTarget(TypedDict):
    """The objects in one image of a batch."""

    boxes: torch.Tensor
    """(n, 4) float32, x1, y1, x2, y2 in pixels of the batch."""
    labels: torch.Tensor
    """(n,) int64 class index, from 0."""
    ignore: torch.Tensor
    """(k, 4) float32, regions that are neither object nor background: crowds, unknown classes, cropped objects."""
    known: NotRequired[torch.Tensor]
    """(C,) bool, the classes whose objects are all annotated; all classes if absent."""


class DetectionBatch(TypedDict):
    """A batch from a loader; B is smaller than the batch size if images were bad."""

    image: torch.Tensor
    """(B, 3, H, W) uint8, RGB in 0..255, channels-last in memory; H and W are multiples of 32, padding is grey."""
    targets: list[DetectionTarget]
    """One per image."""
    scale: torch.Tensor
    """(B,) float32: the batch's pixels per pixel of the upright original."""
    size_hw: torch.Tensor
    """(B, 2) int64: height and width of the upright original."""
    index: torch.Tensor
    """(B,) int64 row of the loader's manifest."""
    image_id: NDArray[np.object_]
    """(B,) str."""
    bad: list[BadRow]
    """Images that were left out."""
    bad_boxes: list[BadRow]
    """Boxes that were left out of the images of the batch."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The ground truth of the images of `ImageRows`.

    Attributes:
        boxes: of all images.
        declared_hw: (N, 2) int64, the size of each image in the source of its boxes; 0 if not given.
        known: (N, C) bool, the classes whose objects are all annotated in an image; None: all classes of all images.
    """

    boxes: Boxes
    declared_hw: NDArray[np.int64]
    known: NDArray[np.bool_] | None = None

    def known_together(self, images: Sequence[int]) -> torch.Tensor | None:
        """(C,) bool, the classes that are known in all of some images; None if all are."""
        if self.known is None:
            return None
        known = self.known[list(images)].all(axis=0)
        return None if known.all() else torch.from_numpy(known)


class DetectionDataset(Dataset[DetectionBatch]):
    """A manifest's images and boxes as batches, see `onlineml.data.loading.datasets.ImageDataset`.

    Args:
        rows: the images.
        truth: boxes of the same images.
        size_hw: every image fits inside it.
        augmenter: for training; None returns each whole image (evaluation).
        pool: (n,) int64 rows for mosaics and pasted objects.
        cache: of decoded images; None decodes each time.
        tile_size: images are stored, and for evaluation returned, at the scale of tiles, see
            `onlineml.data.augment.detection_geometry.view_scale`; None: inside ``size_hw``.
    """

    def __init__(
        self,
        rows: ImageRows,
        truth: Truth,
        *,
        size_hw: tuple[int, int],
        augmenter: DetectionAugmenter | None = None,
        pool: NDArray[np.int64] | None = None,
        cache: DecodedCache | None = None,
        tile_size: int | None = None,
    ) -> None:
        self.rows, self.truth, self.size_hw, self.augmenter, self.cache = rows, truth, size_hw, augmenter, cache
        self.pool = np.zeros(0, dtype=np.int64) if pool is None else pool
        self.tile_size = tile_size
        keep = partial(keep_inside, size_hw=size_hw, tile_size=tile_size)
        self.reader = ImageReader(rows, min_side=least_side(size_hw, tile_size), keep=keep, cache=cache)

    def __len__(self) -> int:
        return len(self.rows.urls)

    def __getitem__(self, key: tuple[int, int]) -> DetectionBatch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> DetectionBatch:
        """One batch.

        Args:
            keys: (draw, index) of each image; `onlineml.data.loading.loaders.BatchKeys` include the next ones.

        Raises:
            StorageError: the store failed (a missing object is a bad image instead).
        """
        partners = [self._partners(*key) for key in keys]
        upcoming = (i for key in getattr(keys, "upcoming", ()) for i in _wanted([key], [self._partners(*key)]))
        images, bad = self.reader.load(_wanted(keys, partners), upcoming)
        bad += self._wrong_sizes(images)
        pictures: dict[int, Picture] = {}
        bad_boxes: list[BadRow] = []
        for index, kept in images.items():
            pictures[index], found = self._picture(index, kept)
            bad_boxes += found
        used = [(key, with_) for key, with_ in zip(keys, partners, strict=True) if key[1] in pictures]
        results = augmented(lambda: [self._shown(pictures, *key, with_) for key, with_ in used])
        rows = np.array([index for (_, index), _ in used], dtype=np.int64)
        batch = self._batch(results, rows, bad, bad_boxes)
        for target, (key, with_) in zip(batch["targets"], used, strict=True):
            classes = self.truth.known_together(_wanted([key], [with_]))
            if classes is not None:
                target["known"] = classes
        return batch

    def _partners(self, epoch: int, index: int) -> Partners:
        if self.augmenter is None:
            return Partners((), None)
        found = self.augmenter.partners(len(self.pool), epoch=epoch, image_key=image_key(self.rows.image_ids[index]))
        paste = None if found.paste is None else int(self.pool[found.paste])
        return Partners(tuple(self.pool[list(found.mosaic)].tolist()) if found.mosaic else (), paste)

    def _shown(self, pictures: dict[int, Picture], epoch: int, index: int, partners: Partners) -> Picture:
        picture = pictures[index]
        if self.augmenter is None:
            return fitted(picture, self.size_hw, self.tile_size)
        # a bad partner is replaced by the image itself, so that it does not change the augmentation
        mosaic = [pictures.get(i, picture) for i in partners.mosaic]
        paste = None if partners.paste is None else pictures.get(partners.paste)
        own = image_key(self.rows.image_ids[index])
        return self.augmenter(picture, epoch=epoch, image_key=own, mosaic=mosaic, paste=paste)

    def _wrong_sizes(self, images: dict[int, CachedImage]) -> list[BadRow]:
        """Remove images whose boxes were drawn at another image size."""
        bad = []
        for index, kept in list(images.items()):
            declared = tuple(self.truth.declared_hw[index].tolist())
            differ = min(declared) > 0 and declared != kept.size_hw
            boxes = self.truth.boxes.boxes_xyxy[self.truth.boxes.of(index)]
            if differ or of_another_size(boxes, np.zeros(len(boxes), np.int64), np.array([kept.size_hw])).any():
                del images[index]
                (height, width), (own_h, own_w) = kept.size_hw, declared
                drawn = f"boxes were drawn on {own_w} x {own_h} pixels" if differ else "no box fits"
                detail = f"{drawn}; the upright image has {width} x {height}"
                bad.append(BadRow(self.rows.image_ids[index], self.rows.urls[index], "boxes_size_mismatch", detail))
        return bad

    def _picture(self, index: int, kept: CachedImage) -> tuple[Picture, list[BadRow]]:
        """An image with its usable boxes, and its bad boxes."""
        truth = self.truth.boxes
        own = truth.of(index)
        given, label_ids, crowd = truth.boxes_xyxy[own], truth.label_ids[own], truth.crowd[own]
        boxes, codes = clean_boxes(given, kept.size_hw)
        usable = (codes == "") | (codes == "box_clipped")
        codes[usable] = np.where((label_ids < 0) & ~crowd, "box_unknown_class", "")[usable]
        bad = [
            BadRow(
                self.rows.image_ids[index],
                self.rows.urls[index],
                codes[i],
                f"box {i}: ({', '.join(f'{v:g}' for v in given[i])})",
            )
            for i in np.flatnonzero(codes != "")
        ]
        scale = kept_scale(kept.size_hw, self.size_hw, self.tile_size)
        is_object = usable & (label_ids >= 0) & ~crowd
        ignored = usable & ~is_object  # neither background nor object
        objects = np.flatnonzero(is_object)
        repeated = repeated_boxes(boxes[objects], label_ids[objects], np.zeros(len(objects), dtype=np.int64))
        is_object[objects[repeated >= 0]] = False
        picture = Picture(
            kept.pixels, boxes[is_object] * scale, label_ids[is_object], boxes[ignored] * scale, scale, kept.size_hw
        )
        return picture, bad

    def _batch(
        self, pictures: Sequence[Picture], rows: NDArray[np.int64], bad: list[BadRow], bad_boxes: list[BadRow]
    ) -> DetectionBatch:
        pixels = pad_together([picture.pixels for picture in pictures])
        sizes = np.array([picture.size_hw for picture in pictures], dtype=np.int64).reshape(-1, 2)
        return {
            "image": torch.from_numpy(pixels).permute(0, 3, 1, 2),
            "targets": _targets(pictures),
            "scale": torch.tensor([picture.scale for picture in pictures], dtype=torch.float32),
            "size_hw": torch.from_numpy(sizes),
            "index": torch.from_numpy(rows),
            "image_id": np.array([self.rows.image_ids[i] for i in rows.tolist()], dtype=object),
            "bad": bad,
            "bad_boxes": bad_boxes,
        }


def _wanted(keys: Sequence[tuple[int, int]], partners: Sequence[Partners]) -> list[int]:
    """The images of the keys, and those for mixing."""
    mixed = [i for mosaic, paste in partners for i in (*mosaic, *([] if paste is None else [paste]))]
    return [index for _, index in keys] + mixed


def _targets(pictures: Sequence[Picture]) -> list[DetectionTarget]:
    """Return slices of three tensors: each tensor costs a worker a file handle."""
    if not pictures:
        return []
    boxes = torch.from_numpy(np.concatenate([p.boxes_xyxy for p in pictures]).astype(np.float32))
    labels = torch.from_numpy(np.concatenate([p.label_ids for p in pictures]))
    ignore = torch.from_numpy(np.concatenate([p.ignore_xyxy for p in pictures]).astype(np.float32))
    targets: list[DetectionTarget] = []
    start = start_ignore = 0
    for picture in pictures:
        end, end_ignore = start + len(picture.label_ids), start_ignore + len(picture.ignore_xyxy)
        part = slice(start, end)
        targets.append({"boxes": boxes[part], "labels": labels[part], "ignore": ignore[start_ignore:end_ignore]})
        start, start_ignore = end, end_ignore
    return targets
