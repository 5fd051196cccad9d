"""Error types and confusion: by hand, and what each error costs as pycocotools scores the mended detections."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from detection_cases import boxes_of, found_of, fuzzed, pycocotools_eval
from onlineml.evaluation import Detections, detection_scores
from onlineml.evaluation.detection.errors import diagnose
from onlineml.evaluation.detection.matching import match, overlaps, scene_of
from onlineml.evaluation.detection.tables import ERRORS, KINDS

OBJECT = (0, 0, 100, 100)
HALF = (0, 0, 100, 40)  # IoU 0.4 with the object
AWAY = (300, 300, 400, 400)


def scores(truth, found, n_classes=2, **options):
    names = [f"c{i}" for i in range(n_classes)]
    return detection_scores(boxes_of(truth), found_of(found), names, n_bootstrap=0, **options)


def counts(result):
    return {error.name: error.n_all for error in result.errors if error.n_all}


def test_without_objects_nothing_costs_anything():
    empty = scores([[], []], [[], []])
    assert [error.name for error in empty.errors] == list(ERRORS)
    assert all(error.n == error.n_all == 0 and math.isnan(error.ap_50_cost) for error in empty.errors)
    assert not empty.confusion.any()


@pytest.mark.parametrize(
    ("found", "kinds", "missed"),
    [
        ([(*OBJECT, 0, 0.9)], ["hit"], 0),
        ([(*OBJECT, 1, 0.9)], ["class"], 0),
        ([(*HALF, 0, 0.9)], ["localisation"], 0),
        ([(*HALF, 1, 0.9)], ["both"], 1),
        ([(*AWAY, 0, 0.9)], ["background"], 1),
        ([(0, 0, 100, 9, 0, 0.9)], ["background"], 1),  # IoU 0.09
        ([(*OBJECT, 0, 0.9), (*OBJECT, 0, 0.8)], ["hit", "duplicate"], 0),
        ([(*OBJECT, 0, 0.8), (*OBJECT, 0, 0.9)], ["duplicate", "hit"], 0),
        ([(*OBJECT, 0, 0.9), (*HALF, 0, 0.8)], ["hit", "localisation"], 0),
        ([(*OBJECT, 0, 0.9), (*OBJECT, 1, 0.8)], ["hit", "class"], 0),
        ([], [], 1),
    ],
)
def test_each_kind_by_hand(found, kinds, missed):
    result = scores([[(*OBJECT, 0)]], [found])
    assert [KINDS[k] for k in result.outcomes] == kinds
    assert result.errors[-1].n_all == missed


def test_a_crowd_is_neither_missed_nor_an_error():
    crowd = (0, 0, 200, 200, 0, True)
    inside = (10, 10, 60, 60)
    result = scores([[crowd]], [[(*inside, 0, 0.9), (*inside, 1, 0.8)]])
    assert [KINDS[k] for k in result.outcomes] == ["ignored", "background"]
    assert counts(result) == {"background": 1}
    assert result.n_objects == 0
    assert result.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_costs_by_hand():
    """Two objects of one class, one found; a surer box on nothing: AP is 1/2 up to recall 1/2."""
    result = scores([[(*OBJECT, 0), (*AWAY, 0)]], [[(*OBJECT, 0, 0.8), (600, 0, 700, 99, 0, 0.9)]], n_classes=1)
    assert result.map_50 == pytest.approx(0.5 * 51 / 101)
    cost = {error.name: error.ap_50_cost for error in result.errors}
    assert cost["background"] == pytest.approx(0.5 * 51 / 101)  # precision 1 up to recall 1/2
    assert cost["missed"] == pytest.approx(0.5 - 0.5 * 51 / 101)  # precision 1/2 up to recall 1
    assert cost["class"] == cost["localisation"] == cost["both"] == cost["duplicate"] == 0


def test_a_class_of_which_all_is_missed_and_nothing_said_leaves_the_mean():
    result = scores([[(*OBJECT, 0), (*AWAY, 1)]], [[(*OBJECT, 0, 0.8)]])
    assert result.map_50 == pytest.approx(0.5)
    assert result.errors[-1].ap_50_cost == pytest.approx(0.5)


def mended(truth, found, result, kind):
    """Truth and detections as the paper mends one type of error, in the data itself."""
    scene = scene_of(truth, found, n_classes=len(result.class_names))
    pairs = overlaps(scene, min_iou=0.1)
    every = np.ones(len(found), bool)
    judged = diagnose(scene, pairs, match(scene, pairs, ignored=scene.crowd)[:, 0], kept=every)
    boxes, labels = found.boxes_xyxy.copy(), found.label_ids.copy()
    if kind == "missed":
        keep = ~judged.missed
        images = truth.image_index[keep]
        offsets = np.searchsorted(images, np.arange(found.n_images + 1))
        columns = {name: getattr(truth, name)[keep] for name in ("boxes_xyxy", "label_ids", "crowd", "area")}
        return dataclasses.replace(truth, **columns, offsets=offsets), found
    wrong = np.flatnonzero(judged.kind == KINDS.index(kind))
    gone = set(wrong.tolist())
    if kind in {"class", "localisation"}:
        best = {}
        for row in wrong:
            target = int(judged.truth[row])
            free = not judged.found[target]
            if free and (target not in best or found.scores[row] > found.scores[best[target]]):
                best[target] = row
        for target, row in best.items():
            boxes[row], labels[row] = truth.boxes_xyxy[target], truth.label_ids[target]
            gone.discard(int(row))
    stay = np.array([i not in gone for i in range(len(found))], bool)
    return truth, Detections(found.image_index[stay], boxes[stay], labels[stay], found.scores[stay], found.n_images)


@pytest.mark.parametrize("seed", range(40))
def test_costs_are_what_pycocotools_says_of_the_mended_data(seed):
    truth, found, n_classes = fuzzed(seed, crowds=False, ties=False)
    cells = found.image_index * n_classes + found.label_ids
    if not len(found) or not len(truth) or np.bincount(cells).max() > 100:
        pytest.skip("nothing to mend, or more than the 100 that count, of which the 101st would take a place")
    result = detection_scores(truth, found, [f"c{i}" for i in range(n_classes)], n_bootstrap=0)
    before = pycocotools_eval(truth, found, n_classes).stats[1]
    for error in result.errors:
        better, boxes = mended(truth, found, result, error.name)
        if not len(boxes) or not len(better):
            continue
        classes = pycocotools_eval(better, boxes, n_classes).eval["precision"][0, :, :, 0, 2]
        classes = np.where(classes < 0, np.nan, classes).mean(axis=0)
        emptied = np.isnan(classes) & (result.per_class.support > 0) & np.isin(np.arange(n_classes), boxes.label_ids)
        classes[emptied] = 0.0
        assert error.ap_50_cost == pytest.approx(np.nanmean(classes) - before, abs=1e-12), (seed, error.name)


@pytest.mark.parametrize("seed", range(40))
def test_every_box_and_object_is_told_once(seed):
    truth, found, n_classes = fuzzed(seed)
    result = detection_scores(truth, found, [f"c{i}" for i in range(n_classes)], n_bootstrap=0)
    per = result.per_class
    assert result.confusion[:-1].sum(axis=1).tolist() == per.support.tolist()
    assert result.confusion[:, :-1].sum(axis=0).tolist() == per.predicted.tolist()
    np.testing.assert_array_equal(np.diag(result.confusion)[:-1], np.nan_to_num(per.recall * per.support).round())
    wrong = {error.name: error.n for error in result.errors}
    assert sum(wrong[name] for name in ERRORS[:-1]) == result.n_false
    assert wrong["missed"] <= result.n_missed


def test_confusion_by_hand():
    truth = [[(*OBJECT, 0), (*AWAY, 1), (0, 300, 50, 350, 0)]]
    found = [[
        (*OBJECT, 1, 0.9),  # surer, and the only one of its class there: but the hit comes first
        (*OBJECT, 0, 0.6),
        (*AWAY, 0, 0.7),  # taken for the object of class 1
        (*AWAY, 0, 0.65),  # no object is left for it
        (500, 500, 550, 550, 1, 0.8),
    ]]  # fmt: skip
    result = scores(truth, found, thresholds={"c0": 0.5, "c1": 0.5})
    assert result.confusion.tolist() == [[1, 0, 1], [1, 0, 0], [1, 2, 0]]
    assert [(p.truth, p.predicted, p.n, p.share) for p in result.confused_pairs()] == [("c1", "c0", 1, 1.0)]
    assert (result.n_hits, result.n_missed, result.n_false) == (1, 2, 4)
    above = scores(truth, found, thresholds={"c0": 0.62, "c1": 0.85})
    assert above.confusion.tolist() == [[0, 1, 1], [1, 0, 0], [1, 0, 0]]
