"""Mistakes by image, and the images with the most mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.evaluation.detection.tables import KINDS, SeenBox, WorstImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.detection.errors import Diagnosis
    from onlineml.evaluation.detection.matching import Scene
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["Mistakes", "count_mistakes", "seen_images", "worst_images"]

_HIT, _IGNORED = KINDS.index("hit"), KINDS.index("ignored")


def worst_images(
    scene: Scene,
    shown: Diagnosis,
    *,
    names: tuple[str, ...],
    image_ids: tuple[str, ...],
    uris: tuple[str, ...],
    sizes_hw: Ints,
    limit: int,
) -> tuple[WorstImage, ...]:
    """Return the images with the most missed objects and false boxes; ties: the most confident false box first."""
    counts = count_mistakes(scene, shown)
    false = (shown.kind != _HIT) & (shown.kind != _IGNORED)
    surest = np.full(scene.n_images, -np.inf)
    np.maximum.at(surest, scene.found_image[false], scene.scores[false])
    wrong = counts.false + counts.missed
    order = np.lexsort((-surest, -wrong))[: min(limit, int((wrong > 0).sum()))]
    return seen_images(
        scene, shown, order.tolist(), counts, names=names, image_ids=image_ids, uris=uris, sizes_hw=sizes_hw
    )


class Mistakes(NamedTuple):
    """Numbers per image of false boxes, missed objects, and objects in total; (N,) int64 each."""

    false: Ints
    missed: Ints
    objects: Ints


def count_mistakes(scene: Scene, shown: Diagnosis) -> Mistakes:
    """Count mistakes by image."""
    false = (shown.kind != _HIT) & (shown.kind != _IGNORED)
    lost = ~shown.found & ~scene.crowd
    of = (scene.found_image[false], scene.truth_image[lost], scene.truth_image[~scene.crowd])
    return Mistakes(*(np.bincount(images, minlength=scene.n_images).astype(np.int64) for images in of))


def seen_images(
    scene: Scene,
    shown: Diagnosis,
    images: Sequence[int],
    counts: Mistakes,
    *,
    names: tuple[str, ...],
    image_ids: tuple[str, ...],
    uris: tuple[str, ...],
    sizes_hw: Ints,
) -> tuple[WorstImage, ...]:
    """Return some images with all their boxes."""
    return tuple(
        WorstImage(
            image_id=image_ids[i],
            uri=uris[i],
            size_hw=(int(sizes_hw[i, 0]), int(sizes_hw[i, 1])),
            n_objects=int(counts.objects[i]),
            n_missed=int(counts.missed[i]),
            n_false=int(counts.false[i]),
            boxes=_boxes(scene, shown, i, names),
        )
        for i in images
    )


def _boxes(scene: Scene, shown: Diagnosis, image: int, names: tuple[str, ...]) -> tuple[SeenBox, ...]:
    """Return missed objects, then detections by descending score.

    An object that a detection took for another class is not returned: its position is marked already.
    """
    rows = np.flatnonzero((scene.found_image == image) & (shown.kind != _IGNORED))
    rows = rows[np.argsort(-scene.scores[rows], kind="stable")]
    mistaken = shown.truth[rows[shown.kind[rows] == KINDS.index("class")]]
    lost = np.flatnonzero((scene.truth_image == image) & ~shown.found & ~scene.crowd)
    lost = lost[~np.isin(lost, mistaken)]
    missed = [
        SeenBox("missed", _xyxy(scene.truth_xywh[i]), names[scene.truth_label[i]], float("nan"), "") for i in lost
    ]
    said = []
    for row in rows:
        truth = names[scene.truth_label[shown.truth[row]]] if shown.truth[row] >= 0 else ""
        label, score = names[scene.found_label[row]], float(scene.scores[row])
        said.append(SeenBox(KINDS[shown.kind[row]], _xyxy(scene.found_xywh[row]), label, score, truth))
    return (*missed, *said)


def _xyxy(xywh: Floats) -> tuple[float, float, float, float]:
    x, y, w, h = xywh.tolist()
    return x, y, x + w, y + h
