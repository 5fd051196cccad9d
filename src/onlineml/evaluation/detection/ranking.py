"""Average precision and average recall under any weights of the images.

Matching an image does not depend on the others, so detections are matched once; a resample or a slice of the images is
a weight per image, and its scores are computed from running sums of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.detection.matching import AREAS, MAX_DETECTIONS, match
from onlineml.evaluation.intervals import sums_by_code
from onlineml.evaluation.metrics import mean_defined, ratio

if TYPE_CHECKING:
    from onlineml.evaluation.detection.matching import Pairs, Scene
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["COCO_SCORES", "Ranking", "class_ap", "coco_numbers", "n_objects", "rank_area", "rank_areas", "ranking"]

RECALLS = np.linspace(0.0, 1.0, 101)  # recalls at which COCO samples precision
_LIMITS = (1, 10, MAX_DETECTIONS)
COCO_SCORES = (
    "map_50_95",
    "map_50",
    "map_75",
    "map_small",
    "map_medium",
    "map_large",
    "ar_1",
    "ar_10",
    "ar_100",
    "ar_small",
    "ar_medium",
    "ar_large",
)  # in the order of COCO's twelve scores


@dataclass(frozen=True, eq=False)
class Ranking:
    """Detections of each class by descending score, with their outcomes at T thresholds.

    Detections that are ignored at every threshold are excluded.

    Attributes:
        order: (R,) int64 detections, those of class 0 first.
        starts: (C + 1,) int64, start of each class.
        image: (R,) int64.
        rank: (R,) int64, within image and class.
        hit: (R, T) bool, took an object that counts.
        ignored: (R, T) bool, neither hit nor miss.
        truth_image: (P,) int64 of the objects that count.
        truth_label: (P,) int64.
    """

    order: Ints
    starts: Ints
    image: Ints
    rank: Ints
    hit: Array
    ignored: Array
    truth_image: Ints
    truth_label: Ints

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.starts) - 1

    @property
    def work(self) -> int:
        """Number of values that a resample reads, for limiting the work."""
        return len(self.order) + int(np.count_nonzero(self.hit)) + int(self.hit.shape[1]) * self.n_classes

    def at(self, thresholds: slice) -> Ranking:
        """Return the ranking at some thresholds only."""
        return Ranking(
            self.order, self.starts, self.image, self.rank, self.hit[:, thresholds], self.ignored[:, thresholds],
            self.truth_image, self.truth_label,
        )  # fmt: skip

    def of_images(self, images: Array) -> Ranking:
        """Return the ranking of some images only, given by an (N,) mask."""
        kept, counted = images[self.image], images[self.truth_image]
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        return Ranking(
            self.order[kept], starts, self.image[kept], self.rank[kept], self.hit[kept], self.ignored[kept],
            self.truth_image[counted], self.truth_label[counted],
        )  # fmt: skip


def falling_order(scene: Scene) -> tuple[Ints, Ints]:
    """Sort detections by class and descending score, ties by image as in pycocotools; also return the class starts."""
    order = np.lexsort((scene.found_image, -scene.scores, scene.found_label))
    order = order[scene.ranked[order]]
    return order, np.searchsorted(scene.found_label[order], np.arange(scene.n_classes + 1)).astype(np.int64)


def ranking(scene: Scene, matched: Array, *, ignored_truth: Array, outside: Array) -> Ranking:
    """Rank the detections.

    Args:
        scene: objects and detections.
        matched: (M, T) result of `match`.
        ignored_truth: (G,) bool, as passed to `match`.
        outside: (M,) bool, detections that are ignored if they took nothing.
    """
    order, starts = falling_order(scene)
    took = matched[order]
    nothing = took < 0
    on_ignored = np.append(ignored_truth, False)[took]  # the last element is the target of index -1
    ignored = on_ignored | (nothing & outside[order, None])
    kept = ~ignored.all(axis=1)
    order = order[kept]
    return Ranking(
        order=order,
        starts=np.concatenate([[0], np.cumsum(kept)])[starts],
        image=scene.found_image[order],
        rank=scene.rank[order],
        hit=(~nothing & ~on_ignored)[kept],
        ignored=ignored[kept],
        truth_image=scene.truth_image[~ignored_truth],
        truth_label=scene.truth_label[~ignored_truth],
    )


def rank_areas(scene: Scene, pairs: Pairs) -> tuple[dict[str, Ranking], Array]:
    """Return the ranking for each range of areas (``""``: all), and the (M, T) matches of all areas."""
    ranked = {name: rank_area(scene, pairs, name) for name in AREAS}
    return {name: ranks for name, (ranks, _) in ranked.items()}, ranked[""][1]


def rank_area(scene: Scene, pairs: Pairs, name: str) -> tuple[Ranking, Array]:
    """Return the ranking for one of the `AREAS`, and its (M, T) matches."""
    low, high = AREAS[name]
    ignored = scene.crowd | (scene.truth_area < low) | (scene.truth_area > high)
    matched = match(scene, pairs, ignored=ignored)
    outside = (scene.found_area < low) | (scene.found_area > high)
    return ranking(scene, matched, ignored_truth=ignored, outside=outside), matched


def n_objects(ranked: Ranking, weights: Floats) -> Floats:
    """Return (b, C) objects that count under (b, N) weights of the images."""
    return sums_by_code(weights[:, ranked.truth_image], ranked.truth_label, n_codes=ranked.n_classes)


def class_ap(ranked: Ranking, weights: Floats) -> Floats:
    """Return the average precision of each class at each threshold, sampled at 101 recalls.

    Args:
        ranked: ranking of one range of areas.
        weights: (b, N) float64 weights of the images.

    Returns:
        (b, C, T) float64; nan for a class without objects.
    """
    support = n_objects(ranked, weights)
    scores = np.full((*support.shape, ranked.hit.shape[1]), np.nan)
    for class_id in np.flatnonzero(support.any(axis=0)):
        rows = slice(ranked.starts[class_id], ranked.starts[class_id + 1])
        drawn = np.ascontiguousarray(weights.T[ranked.image[rows]])  # (n, b)
        scores[:, class_id] = _one_class(ranked.hit[rows], ranked.ignored[rows], drawn, support[:, class_id])
    scores[support == 0] = np.nan
    return scores


def _one_class(hit: Array, ignored: Array, drawn: Floats, support: Floats) -> Floats:
    """Return (b, T) for (n, T) outcomes and (n, b) weights, by descending score, and (b,) numbers of objects."""
    found = np.zeros((drawn.shape[1], hit.shape[1]))
    everyone = np.cumsum(drawn, axis=0)
    for column in range(hit.shape[1]):
        hits, left_out = np.flatnonzero(hit[:, column]), np.flatnonzero(ignored[:, column])
        if not len(hits):
            continue
        said = everyone[hits]
        if len(left_out):
            running = np.concatenate([np.zeros((1, drawn.shape[1])), np.cumsum(drawn[left_out], axis=0)])
            said = said - running[np.searchsorted(left_out, hits)]
        right = np.cumsum(drawn[hits], axis=0)
        precision = right / (said + np.spacing(1))  # pycocotools' own protection against 0 / 0
        highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        # nan is sorted last; the caller sets it to nan
        reached = np.searchsorted(RECALLS, ratio(right, support), side="right")
        found[:, column] = (highest * np.diff(reached, axis=0, prepend=0)).sum(axis=0) / len(RECALLS)
    return found


def class_recall(ranked: Ranking, weights: Floats, *, limit: int) -> Floats:
    """Return (b, C, T) fraction of objects found by the `limit` best detections per image and class; nan without."""
    support = n_objects(ranked, weights)
    found = np.zeros((*support.shape, ranked.hit.shape[1]))
    for class_id in range(ranked.n_classes):
        rows = slice(ranked.starts[class_id], ranked.starts[class_id + 1])
        taken = np.flatnonzero((ranked.rank[rows] < limit) & ranked.hit[rows].any(axis=1)) + rows.start
        found[:, class_id] = weights[:, ranked.image[taken]] @ ranked.hit[taken].astype(np.float64)
    return ratio(found, support[:, :, None])


def coco_numbers(rankings: dict[str, Ranking], weights: Floats) -> tuple[dict[str, Floats], Floats]:
    """Return COCO's twelve scores for each row of weights (b, N).

    Returns:
        (b,) by name, in COCO's order, nan if no class has an object; and (b, C, T) average precision of the classes.
    """
    precision = {name: class_ap(ranked, weights) for name, ranked in rankings.items()}
    everything = precision[""]

    def mean(values: Floats) -> Floats:  # over defined values; a class is defined at all thresholds or at none
        return mean_defined(values.mean(axis=2).T)

    scores = {"map_50_95": mean(everything), "map_50": mean(everything[..., :1]), "map_75": mean(everything[..., 5:6])}
    scores |= {f"map_{name}": mean(values) for name, values in precision.items() if name}
    scores |= {f"ar_{limit}": mean(class_recall(rankings[""], weights, limit=limit)) for limit in _LIMITS}
    for name, ranked in rankings.items():
        if name:
            scores[f"ar_{name}"] = mean(class_recall(ranked, weights, limit=MAX_DETECTIONS))
    return scores, everything
