"""Facts about the photos of a dataset that decide at which size a network should see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["PhotoFacts", "photo_facts"]

_SMALL = 10.0  # per cent of the objects are smaller than the one that decides
_LARGE = 95.0  # per cent of the objects are not longer than the one that should fit into half a tile


@dataclass(frozen=True)
class PhotoFacts:
    """Numbers of a dataset.

    Attributes:
        n_train: annotated images of the split "train".
        n_val: those of "val".
        shorter: their median shorter side in pixels; None if not recorded, as before a dataset is frozen.
        longer: their median longer side.
        object_share: side of a small object (the root of its area) as a share of the longer side of its image; None
            without boxes or sizes.
        large_share: longer side of a large object, likewise.
    """

    n_train: int
    n_val: int
    shorter: float | None = None
    longer: float | None = None
    object_share: float | None = None
    large_share: float | None = None


def photo_facts(data: Manifest) -> PhotoFacts:
    """Return the facts about the images of ``data``, from its table alone."""
    splits = np.array(data.table["split"].to_pylist(), dtype=object)
    annotated = data.kind.is_annotated(data.table)
    n_train, n_val = (int(np.sum((splits == name) & annotated)) for name in ("train", "val"))
    sides = np.array([data.table[name].to_numpy(zero_copy_only=False) for name in ("width", "height")], dtype=float)
    known = np.isfinite(sides).all(0) & (splits == "train")
    if not known.any():
        return PhotoFacts(n_train, n_val)
    shorter, longer = sides.min(0), sides.max(0)
    facts = PhotoFacts(n_train, n_val, float(np.median(shorter[known])), float(np.median(longer[known])))
    boxes = data.kind.drawn_boxes(data.table, data.class_names)
    if boxes is None or not len(boxes):
        return facts
    x1, y1, x2, y2 = boxes.boxes_xyxy.T
    of_image = boxes.image_index
    wide, high = np.maximum(x2 - x1, 0), np.maximum(y2 - y1, 0)
    share = np.sqrt(wide * high) / longer[of_image]
    usable = known[of_image] & np.isfinite(share) & (share > 0) & ~boxes.crowd
    if not usable.any():
        return facts
    small = float(np.percentile(share[usable], _SMALL))
    large = float(np.percentile((np.maximum(wide, high) / longer[of_image])[usable], _LARGE))
    return replace(facts, object_share=small, large_share=large)
