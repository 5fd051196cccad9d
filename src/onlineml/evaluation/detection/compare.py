"""Comparison of two detectors on the same images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.evaluation.comparison.counts import paired_counts
from onlineml.evaluation.comparison.pairing import align, shared_cuts
from onlineml.evaluation.comparison.parts import new_classes, part_change, shared_fields
from onlineml.evaluation.comparison.result import ChangedImage, Comparison, PartChange
from onlineml.evaluation.comparison.samples import PairedSamples
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.errors import BACKGROUND_IOU, diagnose
from onlineml.evaluation.detection.halves import THRESHOLDS, Detected, Halves
from onlineml.evaluation.detection.inputs import usable_boxes
from onlineml.evaluation.detection.matching import overlaps, scene_of
from onlineml.evaluation.detection.ranking import rank_area
from onlineml.evaluation.detection.worst import count_mistakes, seen_images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.comparison.pairing import Pairing
    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["compare_detectors"]

_N_DRAWN = 60  # changed images of each kind whose boxes are kept


class _Both(NamedTuple):
    """Detections of both models in the same images."""

    first: Detected
    second: Detected
    paired: Pairing
    sizes_hw: Ints

    @property
    def real(self) -> Array:
        """(G,) bool: objects that are not crowds."""
        return ~self.first.scene.crowd

    @property
    def groups(self) -> Ints:
        """(G,) int64 group of each object."""
        return self.paired.codes[self.first.scene.truth_image]


def compare_detectors(a: DetectionScores, b: DetectionScores, *, n_resamples: int, seed: int) -> Comparison:
    """Compare two detectors, see `onlineml.compare`."""
    _refuse_without_detections(a, b)
    paired = align(a, b, shows_new=_shows_new, truth_problems=_truth_problems)
    cuts = shared_cuts(a, b, paired)
    truth, sizes_hw = _truth(a, paired), a.sizes_hw[paired.a_rows]
    first = _detected(a, _found(a, paired, paired.a_rows, np.arange(paired.n_shared)), truth, sizes_hw, paired)
    second = _detected(b, _found(b, paired, paired.b_rows, paired.b_classes), truth, sizes_hw, paired)
    both = _Both(first, second, paired, sizes_hw)
    found_a, found_b = first.shown.found[both.real], second.shown.found[both.real]
    masks = [codes == place for codes, values in cuts.values() for place in range(len(values))]
    halves = Halves.of(first, second, paired, masks, n_resamples=n_resamples, seed=seed)
    return Comparison(
        **shared_fields(a, b, paired, found_a, found_b),
        new_classes=new_classes(b, paired, score="ap"),
        mistakes_a=first.mistakes.false + first.mistakes.missed,
        mistakes_b=second.mistakes.false + second.mistakes.missed,
        main="map_50_95",
        scores=halves.scores(paired),
        evidence={name: halves.evidence(name, paired) for name in THRESHOLDS},
        by_class=_by_class(both, halves),
        by_slice=_by_slice(both, halves, cuts),
        changed=_changed(both),
        item="object",
        class_score="AP 50\u201395",
        slice_score="AP 50\u201395",
        order="those that changed most first",
    )


def _refuse_without_detections(a: DetectionScores, b: DetectionScores) -> None:
    for which, scores in (("first", a), ("second", b)):
        if scores.found is None or scores.truth is None:
            msg = f"the {which} result was saved without detections, which the comparison needs; evaluate "
            raise DataError(msg + "again, or save with to_json(arrays=True)")


def _shows_new(b: DetectionScores, b_classes: Ints, n_shared: int) -> Array:
    """Return (rows of b,) bool: shows only new classes."""
    truth: Any = b.truth
    known = truth.label_ids >= 0
    images, labels = truth.image_index[known], b_classes[truth.label_ids[known]]
    new, old = (np.bincount(images[k], minlength=b.n_images) for k in (labels >= n_shared, labels < n_shared))
    only: Array = (new > 0) & (old == 0)
    return only


def _truth_problems(a: DetectionScores, b: DetectionScores, paired: Pairing) -> list[str]:
    places = _different_objects(a, b, paired)
    ids = [a.image_ids[i] for i in paired.a_rows[places]]
    return [f"{count(len(ids), 'image has')} different boxes in the truth: {examples(ids)}"] if ids else []


def _different_objects(a: DetectionScores, b: DetectionScores, paired: Pairing) -> Ints:
    """Return indices of the shared images whose objects of shared classes differ."""
    rows_a = _objects(a, paired.a_rows, np.arange(paired.n_shared), paired.n_shared)
    rows_b = _objects(b, paired.b_rows, paired.b_classes, paired.n_shared)
    n_images = len(paired.a_rows)
    counts = [np.bincount(rows[:, 0].astype(np.int64), minlength=n_images) for rows in (rows_a, rows_b)]
    same_number = counts[0] == counts[1]
    kept_a, kept_b = (rows[same_number[rows[:, 0].astype(np.int64)]] for rows in (rows_a, rows_b))
    differs = ~same_number
    differs[kept_a[(kept_a != kept_b).any(axis=1), 0].astype(np.int64)] = True
    return np.flatnonzero(differs).astype(np.int64)


def _objects(scores: DetectionScores, rows: Ints, classes: Ints, n_shared: int) -> Array:
    """Return (m, 7) sorted: index of the image, class, corners, crowd; of the shared images and classes."""
    truth: Any = scores.truth
    place = np.full(scores.n_images, -1, np.int64)
    place[rows] = np.arange(len(rows))
    images = place[truth.image_index]
    labels = np.where(truth.label_ids >= 0, classes[truth.label_ids], -1)
    kept = (images >= 0) & (labels >= 0) & (labels < n_shared)
    table = np.column_stack([images, labels, np.nan_to_num(truth.boxes_xyxy), truth.crowd])[kept]
    in_order: Array = table[np.lexsort(table.T[::-1])]
    return in_order


def _truth(a: DetectionScores, paired: Pairing) -> Boxes:
    given: Any = a.truth
    picked = [np.arange(given.offsets[i], given.offsets[i + 1]) for i in paired.a_rows]
    rows = np.concatenate([np.zeros(0, np.int64), *picked])
    return Boxes(
        boxes_xyxy=given.boxes_xyxy[rows],
        label_ids=given.label_ids[rows],
        crowd=given.crowd[rows],
        area=given.area[rows],
        offsets=np.cumsum([0, *map(len, picked)]),
        annotated=np.ones(len(picked), bool),
    )


def _found(scores: DetectionScores, paired: Pairing, rows: Ints, classes: Ints) -> Detections:
    """Return the detections of shared classes in the shared images, renumbered."""
    given: Any = scores.found
    place = np.full(scores.n_images, -1, np.int64)
    place[rows] = np.arange(len(rows))
    images, labels = place[given.image_index], classes[given.label_ids]
    kept = (images >= 0) & (labels < paired.n_shared)
    return Detections(images[kept], given.boxes_xyxy[kept], labels[kept], given.scores[kept], len(rows))


def _detected(scores: DetectionScores, found: Detections, truth: Boxes, sizes_hw: Ints, paired: Pairing) -> Detected:
    scene = scene_of(truth, found, n_classes=paired.n_shared, usable=usable_boxes(truth, sizes_hw))
    pairs = overlaps(scene, min_iou=BACKGROUND_IOU)
    ranked, matched = rank_area(scene, pairs, "")
    thresholds = np.array([scores.thresholds[name] for name in paired.shared_names], np.float64)
    shown = diagnose(scene, pairs, matched[:, 0], kept=scene.scores >= thresholds[scene.found_label])
    return Detected(scene, shown, ranked, count_mistakes(scene, shown))


def _by_class(both: _Both, halves: Halves) -> tuple[PartChange, ...]:
    labels = both.first.scene.truth_label
    return tuple(
        _part(both, "class", name, both.real & (labels == place), numbers=halves.classes, place=place)
        for place, name in enumerate(both.paired.shared_names)
    )


def _by_slice(both: _Both, halves: Halves, cuts: Mapping[str, tuple[Ints, list[str]]]) -> tuple[PartChange, ...]:
    changes: list[PartChange] = []
    for column, (codes, values) in cuts.items():
        of_object = codes[both.first.scene.truth_image]
        for code, value in enumerate(values):
            objects = both.real & (of_object == code)
            changes.append(_part(both, column, value, objects, numbers=halves.slices, place=len(changes)))
    return tuple(changes)


def _part(
    both: _Both, column: str, value: str, objects: Array, *, numbers: tuple[Floats, Floats], place: int
) -> PartChange:
    """Return the changes among some `objects`, a mask, whose AP is in column `place` of the `numbers`."""
    counts = paired_counts(both.first.shown.found[objects], both.second.shown.found[objects], both.groups[objects])
    a, b = numbers[0][:, place].tolist()
    evidence = PairedSamples(b - a, numbers[1][:, place], counts.n_groups)
    return part_change(column, value, counts, evidence, (a, b))


def _changed(both: _Both) -> tuple[ChangedImage, ...]:
    """Return images with more mistakes, then those with fewer, by descending size of the change."""
    first, second, paired, sizes_hw = both
    was, now = (one.mistakes.false + one.mistakes.missed for one in (first, second))
    changed = []
    for change, gain in (("broken", now - was), ("fixed", was - now)):
        rows = np.flatnonzero(gain > 0)
        rows = rows[np.argsort(-gain[rows], kind="stable")]
        drawn_a, drawn_b = (
            seen_images(
                one.scene,
                one.shown,
                rows[:_N_DRAWN].tolist(),
                one.mistakes,
                names=paired.shared_names,
                image_ids=paired.image_ids,
                uris=paired.uris,
                sizes_hw=sizes_hw,
            )
            for one in (first, second)
        )
        for place, i in enumerate(rows.tolist()):
            changed.append(
                ChangedImage(
                    image_id=paired.image_ids[i],
                    uri=paired.uris[i],
                    change=change,
                    truth=count(int(first.mistakes.objects[i]), "object"),
                    prediction_a=_said(first, i),
                    prediction_b=_said(second, i),
                    boxes_a=drawn_a[place] if place < _N_DRAWN else None,
                    boxes_b=drawn_b[place] if place < _N_DRAWN else None,
                )
            )
    return tuple(changed)


def _said(one: Detected, image: int) -> str:
    numbers = ((int(one.mistakes.missed[image]), "missed"), (int(one.mistakes.false[image]), "false"))
    return ", ".join(f"{n:,} {word}" for n, word in numbers if n) or "no mistakes"
