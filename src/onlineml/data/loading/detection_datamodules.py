"""`DetectionDataModule`: a manifest with boxes as loaders of uint8 batches and their targets."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.checks import whole
from onlineml.arguments.counted import part_of
from onlineml.data.augment.detection import DetectionAugmenter, Flips
from onlineml.data.augment.detection_geometry import kept_hw, view_hw
from onlineml.data.augment.tiles import tiles_for
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.loading.datamodules import ImageDataModule
from onlineml.data.loading.datasets import BadRow, ImageRows
from onlineml.data.loading.detection_datasets import DetectionDataset, Truth
from onlineml.data.manifest.boxes import declared_sizes_hw
from onlineml.errors import DataError, TooManyBadImagesError
from onlineml.storage.location import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from onlineml.data.augment.classification import Augment
    from onlineml.data.augment.tiles import Tiles
    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["DetectionDataModule"]


class DetectionDataModule(ImageDataModule):
    """Loaders of a detection manifest's splits.

    Each batch is a `onlineml.data.loading.detection_datasets.DetectionBatch`. For evaluation each image is resized to
    fit inside ``size_hw`` at the upper left, so that a box of the original is a box of the batch divided by ``scale``.
    Order, augmentation and mixing are a function of (seed, epoch, image): batches are identical for any ``num_workers``
    and after any restart. Images are decoded once and cached. Unusable images and boxes are left out and listed in
    `findings`.

    Args:
        manifest: images with boxes; unannotated ones are left out, those without objects are kept.
        size_hw: every image fits inside this height and width, in pixels; batches are padded to multiples of 32.
        batch_size: images per step; small batches train better on a few hundred images (blood cells: AP .49 with 4,
            .43 with 8 in the same 160 s).
        seed: of order and augmentation, 0..2**31-1.
        num_workers: loader processes; 0 prefetches in a thread, which is fastest once images are cached.
        augment: ``"auto"`` (as ``"light"``), ``"none"`` (only resized), ``"light"`` (zoom, shift, flip, brightness,
            contrast, saturation), ``"standard"`` (more of these, for a hundred epochs), ``"strong"`` (still more, hue,
            blur) or your own `albumentations.Compose` with ``bbox_params`` of the format ``"pascal_voc"``. Objects of
            which less than a fifth is visible are ignored: neither objects nor background.
        flips: ``"horizontal"``; ``"all"`` (also vertical and transposed, for microscopes and satellites); ``"none"``
            (text).
        multi_scale: smallest and largest random zoom, where 1 fits exactly; None for that of ``augment``.
        mosaic: probability (0..1) that an image is combined with three others.
        copy_paste: probability (0..1) that objects of another image are pasted in.
        known_classes: (N, C) bool, the classes whose objects are all annotated, by image; other classes, such as later
            ones, are not treated as background. None: all objects of all classes are annotated.
        cache: cache decoded images; False decodes each time.
        cache_dir: folder of the cache; the default is the user's cache folder.
        tile_size: for small objects in large photos: side in pixels of the square parts of a photo, each of which is
            scaled to ``size_hw``. An epoch of training has as many random parts of a photo as tiles cover it; for
            evaluation a batch is one whole photo at that scale, which a detector looks at tile by tile. Photos are
            decoded and cached as large as that. None: each whole photo is scaled to ``size_hw``.
        max_bad: allowed share of bad images, and of bad boxes, of a split, 0..1.

    Attributes:
        tiles: their size and overlap, chosen from the training boxes; None without ``tile_size``.

    Raises:
        ConfigError: an argument is outside its range.
        DataError: the manifest has no boxes, or `known_classes` is not of its images and classes.
    """

    task = "detection"

    def __init__(
        self,
        manifest: Manifest,
        *,
        size_hw: tuple[int, int] = (640, 640),
        batch_size: int = 4,
        seed: int = 0,
        num_workers: int = 0,
        augment: Augment | Any = "auto",
        flips: Flips = "horizontal",
        multi_scale: tuple[float, float] | None = None,
        mosaic: float = 0.0,
        copy_paste: float = 0.0,
        known_classes: NDArray[np.bool_] | None = None,
        cache: bool = True,
        cache_dir: str | os.PathLike[str] | None = None,
        tile_size: int | None = None,
        max_bad: float = 0.01,
    ) -> None:
        super().__init__(
            manifest,
            size_hw=size_hw,
            batch_size=batch_size,
            seed=seed,
            num_workers=num_workers,
            max_bad=max_bad,
        )
        self._mixing: dict[str, Any] = {
            "flips": flips,
            "multi_scale": multi_scale,
            "mosaic": mosaic,
            "copy_paste": copy_paste,
        }
        self._sizes_hw: NDArray[np.int64] | None = None
        boxes = manifest.boxes()
        self.tiles = self._tiles(tile_size, boxes)
        self._set_augment(augment)
        wanted = (len(manifest), len(manifest.class_names))
        if known_classes is not None and known_classes.shape != wanted:
            raise DataError(
                f"known_classes has shape {known_classes.shape}; expected {wanted}: one row per image of the manifest, "
                "one column per class"
            )
        self._truth = Truth(boxes, declared_sizes_hw(manifest.table), known_classes)
        self._bad_boxes: dict[str, dict[tuple[str, str, str], BadRow]] = {}  # by split, then image, finding, detail
        self._cache = self._decoded_cache(cache, cache_dir, inside_hw=self._kept_hw())

    @property
    def tile_size(self) -> int | None:
        """Side of a tile in pixels of the photos; None if each photo is seen as a whole."""
        return None if self.tiles is None else self.tiles.size

    def _tiles(self, tile_size: int | None, boxes: Boxes) -> Tiles | None:
        side = whole("tile_size", tile_size, least=8, of="pixels", optional=True)
        if side is None:
            return None
        in_training = self._in_split("train")[boxes.image_index] & ~boxes.crowd
        return tiles_for(side, boxes.boxes_xyxy[in_training])

    def photo_sizes_hw(self) -> NDArray[np.int64]:
        """(N, 2) height and width of the upright photos, from the manifest or else their headers; 0 if unreadable."""
        if self._sizes_hw is None:
            columns = [self.manifest.table[name].fill_null(0).to_numpy() for name in ("height", "width")]
            sizes = np.stack(columns, axis=1).astype(np.int64)
            sizes = np.where((sizes > 0).all(1, keepdims=True), sizes, declared_sizes_hw(self.manifest.table))
            unknown = np.flatnonzero((sizes <= 0).any(1) & self._usable)
            urls = self.manifest.urls()
            places = [Location.of(urls[row], self.manifest.storage_options) for row in unknown]
            sizes[unknown] = upright_sizes_hw(places)
            self._sizes_hw = sizes
        return self._sizes_hw

    def _kept_hw(self) -> tuple[int, int]:
        """The largest height and width of a cached image."""
        inside_hw = kept_hw(self.size_hw)
        if self.tiles is None:
            return inside_hw
        sizes = [(h, w) for h, w in np.unique(self.photo_sizes_hw(), axis=0).tolist() if h > 0 and w > 0]
        kept = [view_hw(one, inside_hw, self.tiles.size) for one in sizes] or [inside_hw]
        most_h, most_w = np.minimum(np.max(kept, axis=0), np.max([*sizes, (1, 1)], axis=0)).tolist()
        return most_h, most_w

    def _cache_variant(self) -> str:
        return "" if self.tiles is None else f"\0{self.size_hw} {self.tiles.size}"

    def _augmenter(self, augment: Augment | Any) -> DetectionAugmenter:
        return DetectionAugmenter(self.size_hw, augment, seed=self.seed, tiles=self.tiles, **self._mixing)

    def settings(self) -> dict[str, Any]:
        return super().settings() | self._mixing | {"tile_size": self.tile_size}

    @property
    def whole_batch_size(self) -> int:
        """Images per batch where they are not augmented: one where tiles are cut from it, so that few are in memory."""
        return self.batch_size if self.tiles is None else 1

    def _draws(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        if self.tiles is None:
            return None
        sizes = np.maximum(self.photo_sizes_hw()[rows], 1).tolist()
        return np.array([self.tiles.draws((h, w), self.size_hw) for h, w in sizes], np.int64)

    def _dataset(self, rows: NDArray[np.int64], *, augmented: bool) -> DetectionDataset:
        images = ImageRows.of(self.manifest, np.full(len(self.manifest), -1, dtype=np.int64))  # batches have no labels
        augmenter = copy.deepcopy(self.augmenter) if augmented else None
        return DetectionDataset(
            images,
            self._truth,
            size_hw=self.size_hw,
            augmenter=augmenter,
            pool=rows,
            cache=self._cache,
            tile_size=self.tile_size,
        )

    @property
    def findings(self) -> pd.DataFrame:
        """The images and boxes that batches left out so far: image_id, uri, finding, detail."""
        import pandas as pd  # noqa: PLC0415

        boxes = [row for rows in self._bad_boxes.values() for row in rows.values()]
        return pd.concat([super().findings, _table(boxes)], ignore_index=True)

    def note_bad(self, bad: Iterable[BadRow], *, split: str) -> None:
        """Add to `findings`; a finding about a box begins with ``box_``.

        Raises:
            TooManyBadImagesError: more than ``max_bad`` of the split's images, or of its boxes, are bad.
        """
        bad = list(bad)
        found = self._bad_boxes.setdefault(split, {})
        found.update({(r.image_id, r.finding, r.detail): r for r in bad if r.finding.startswith("box_")})
        super().note_bad([row for row in bad if not row.finding.startswith("box_")], split=split)
        offsets, rows = self._truth.boxes.offsets, self.rows_of(split)
        n_boxes = int((offsets[rows + 1] - offsets[rows]).sum())
        if len(found) > self.max_bad * n_boxes:
            table = _table(list(found.values()))
            raise TooManyBadImagesError(
                f"in the split {split!r}, {part_of(len(found), n_boxes, 'box is')} bad, more than "
                f"max_bad={self.max_bad:g} allows; see manifest.check() and use its .manifest (without them), or "
                "raise max_bad\n" + table.head(20).to_string(index=False),
                table,
            )


def _table(rows: list[BadRow]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(rows, columns=list(BadRow._fields))
