"""COCO's matching of detections to objects, for all images, classes, thresholds and sizes of object at once.

The definition is that of pycocotools: in each image and class the detection with the highest score chooses first, among
the objects not yet taken whose overlap reaches the threshold. It takes the object with the largest overlap, and an
ignored one (a crowd, or of another size) only if no other is left. Of equal overlaps the later object is chosen. A
crowd can be taken more than once.

Matching is sequential only within one image and class. It therefore proceeds in rounds: in round r the r-th detection
of every image and class chooses, for all 4 x 10 sizes and thresholds. Detections that overlap no object by half are
unmatched in any case, and are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.coco.arrays import AREA_RANGES, MAX_DETECTIONS
from onlineml.evaluation.detection.matching import IOU_THRESHOLDS, pair_iou

if TYPE_CHECKING:
    import numpy.typing as npt

    from onlineml.evaluation.coco.arrays import CocoArrays
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["Matches", "Ranked", "match", "outside_areas", "rank", "run_starts"]

_CHUNK_PAIRS = 2_000_000  # pairs of detection and object at a time: 16 MB per column
_CHUNK_CHOICES = 20_000  # detections that choose at a time: about 10 MB for 40 choices each
_TOOK_OBJECT, _TOOK_IGNORED = np.int8(1), np.int8(2)


@dataclass(frozen=True, eq=False)
class Ranked:
    """Detections in the order in which precision is counted; at most 100 per class and image.

    Attributes:
        rows: (D',) indices into the input arrays, by class; within a class by descending score, then by image.
        place: (D',) int64, rank within the class and image, from 0.
        class_starts: (C + 1,) int64; the detections of class c are ``class_starts[c]`` to ``class_starts[c + 1]``.
    """

    rows: Ints
    place: Ints
    class_starts: Ints


@dataclass(frozen=True, eq=False)
class Matches:
    """Outcome of the detections that overlap an object of their class by half or more.

    Attributes:
        at: (M,) int64, indices into `Ranked.rows`, ascending.
        outcome: (M, 4, 10) int8 by size and threshold: 0 took nothing, 1 took an object, 2 took an ignored object.
    """

    at: Ints
    outcome: npt.NDArray[np.int8]


def outside_areas(area: Floats) -> npt.NDArray[np.bool_]:
    """Return (n, 4) for (n,) areas: whether each is outside the range of small, medium, … objects."""
    return (area[:, None] < AREA_RANGES[:, 0]) | (area[:, None] > AREA_RANGES[:, 1])


def _compact(values: Ints, limit: int) -> Array:
    """Convert to 16 bits if possible: numpy sorts those by radix, about ten times as fast."""
    return values.astype(np.uint16) if limit <= 2**16 else values


def _by(values: Ints, limit: int, order: Ints) -> Ints:
    """Sort `order` further by ``values[order]``, stably."""
    keys = _compact(values, limit)[order]
    if len(keys) and (keys[1:] >= keys[:-1]).all():
        return order
    return order[np.argsort(keys, kind="stable")]


def _by_score(scores: Floats, order: Ints) -> Ints:
    """Sort `order` further by descending score: radix sort of the float's bits, 16 at a time."""
    bits = (scores + 0.0).view(np.uint64)  # + 0.0 converts -0.0 to 0.0
    sign = np.uint64(2**63)
    falling = np.where(bits & sign, bits, ~(bits | sign))  # unsigned, smallest for the highest score
    for shift in (0, 16, 32, 48):
        piece = (falling >> np.uint64(shift)).astype(np.uint16)
        if len(piece) and (piece != piece[0]).any():
            order = order[np.argsort(piece[order], kind="stable")]
    return order


def run_starts(*columns: Array) -> Ints:
    """Return the starts of runs of equal rows, and the number of rows."""
    n = len(columns[0])
    new = np.zeros(n, bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return np.append(np.flatnonzero(new), n)


def rank(arrays: CocoArrays) -> Ranked:
    """Sort the detections, and drop those beyond the 100 of highest score per class and image."""
    rows = _by(arrays.found_image, arrays.n_images, np.arange(len(arrays.found_scores)))
    rows = _by_score(arrays.found_scores, rows)
    rows = _by(arrays.found_class, arrays.n_classes, rows)
    image, class_id = arrays.found_image[rows], arrays.found_class[rows]
    grouped = _by(class_id, arrays.n_classes, _by(image, arrays.n_images, np.arange(len(rows))))
    starts = run_starts(class_id[grouped], image[grouped])
    place = np.empty(len(rows), np.int64)
    place[grouped] = np.arange(len(rows)) - np.repeat(starts[:-1], np.diff(starts))
    kept = place < MAX_DETECTIONS[-1]
    class_starts = np.searchsorted(class_id[kept], np.arange(arrays.n_classes + 1))
    return Ranked(rows[kept], place[kept], class_starts)


def match(arrays: CocoArrays, ranked: Ranked) -> Matches:
    """Match all detections to the objects, at every threshold and for every size of object."""
    at, truth, overlap = _overlapping_pairs(arrays, ranked)
    order = np.lexsort((truth, overlap, at))  # the pairs of a detection are sorted from the worst to the best choice
    at, truth, overlap = at[order], truth[order], overlap[order]
    starts = run_starts(at)
    who = at[starts[:-1]]
    group = arrays.found_class[ranked.rows[who]] * arrays.n_images + arrays.found_image[ranked.rows[who]]
    outcome = np.zeros((len(who), len(AREA_RANGES), len(IOU_THRESHOLDS)), np.int8)
    ignored = outside_areas(arrays.truth_area) | arrays.truth_crowd[:, None]
    taken = np.zeros((len(ignored), *outcome.shape[1:]), bool)
    n_columns = len(AREA_RANGES) * len(IOU_THRESHOLDS)
    for turn in _rounds(group, ranked.place[who]):
        pairs = _ranges(starts[turn], starts[turn + 1])
        sizes = starts[turn + 1] - starts[turn]
        best = _choose(taken[truth[pairs]], ignored[truth[pairs]], overlap[pairs], sizes).reshape(-1)
        took = np.flatnonzero(best >= 0)  # flat indices: three indices would cost three times as much
        detection, column = np.divmod(took, n_columns)
        chosen = truth[pairs[best[took]]]
        taken.reshape(-1)[chosen * n_columns + column] = ~arrays.truth_crowd[chosen]
        is_ignored = ignored.reshape(-1)[chosen * len(AREA_RANGES) + column // len(IOU_THRESHOLDS)]
        outcome.reshape(-1)[turn[detection] * n_columns + column] = np.where(is_ignored, _TOOK_IGNORED, _TOOK_OBJECT)
    return Matches(who, outcome)


def _choose(taken: Array, ignored: Array, overlap: Floats, sizes: Ints) -> Array:
    """Return the pair that each of n detections takes.

    Args:
        taken: (p, 4, 10) bool, the pair's object is no longer free.
        ignored: (p, 4) bool.
        overlap: (p,), ascending within a detection, whose pairs are contiguous.
        sizes: (n,) number of pairs of each detection.

    Returns:
        (n, 4, 10) int32 in [0, p), or -1 for none.
    """
    n_pairs = len(overlap)
    # 1e-10: pycocotools lowers a threshold of 1, which never occurs among these ten
    allowed = (overlap[:, None] >= IOU_THRESHOLDS)[:, None, :] & ~taken
    worth = np.arange(1, n_pairs + 1, dtype=np.int32)[:, None] + np.where(
        ignored, 0, np.int32(n_pairs)
    )  # real objects before all ignored ones
    best = np.maximum.reduceat(allowed * worth[:, :, None], np.cumsum(sizes) - sizes, axis=0)
    best -= np.int32(n_pairs) * (best > n_pairs)
    return best - np.int32(1)


def _rounds(group: Ints, place: Ints) -> list[Ints]:
    """Group detections by round: the first of every group, the second, …; indices into `group`, ascending.

    No two of one part belong to the same group; a long round is split into several parts, which bounds the memory.
    """
    order = np.lexsort((place, group))
    starts = run_starts(group[order])
    turn = np.arange(len(order)) - np.repeat(starts[:-1], np.diff(starts))
    by_turn = np.argsort(turn, kind="stable")
    cuts = np.searchsorted(turn[by_turn], np.arange(1, turn.max(initial=0) + 1))
    cuts = np.sort(np.append(cuts, np.arange(_CHUNK_CHOICES, len(order), _CHUNK_CHOICES)))
    return [np.sort(part) for part in np.split(order[by_turn], cuts) if len(part)]


def _ranges(starts: Ints, ends: Ints) -> Ints:
    """Return the numbers of all ranges, concatenated."""
    sizes = ends - starts
    return np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())


def _overlapping_pairs(arrays: CocoArrays, ranked: Ranked) -> tuple[Ints, Ints, Floats]:
    """Return pairs of detection (index in `ranked`) and object of one image and class with overlap >= 0.5, with it."""
    key = arrays.truth_class * arrays.n_images + arrays.truth_image
    truths = np.argsort(key, kind="stable")
    starts = run_starts(key[truths])
    wanted = arrays.found_class[ranked.rows] * arrays.n_images + arrays.found_image[ranked.rows]
    keys = key[truths[starts[:-1]]]
    group = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    at = np.flatnonzero(keys[group] == wanted) if len(keys) else np.zeros(0, np.int64)
    first, last = starts[group[at]], starts[group[at] + 1] if len(at) else starts[:0]
    parts = []
    for part in np.split(np.arange(len(at)), _chunks(last - first)):
        rows, columns = np.repeat(at[part], (last - first)[part]), truths[_ranges(first[part], last[part])]
        own, theirs = arrays.found_xywh[ranked.rows[rows]], arrays.truth_xywh[columns]
        overlap = pair_iou(own, theirs, arrays.truth_crowd[columns])
        near = overlap >= IOU_THRESHOLDS[0]
        parts.append((rows[near], columns[near], overlap[near]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def _chunks(sizes: Ints) -> Ints:
    """Return positions at which to cut, so that the sizes of a part sum up to about `_CHUNK_PAIRS`."""
    total = np.cumsum(sizes)
    return np.searchsorted(total, np.arange(_CHUNK_PAIRS, total[-1] if len(total) else 0, _CHUNK_PAIRS))
