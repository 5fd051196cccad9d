"""Matching and average precision against pycocotools, and under weights against repeated images."""

from __future__ import annotations

import numpy as np
import pytest

from detection_cases import FIELDS, boxes_of, found_of, fuzzed, pycocotools_eval
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.matching import IOU_THRESHOLDS, match, overlaps, scene_of
from onlineml.evaluation.detection.ranking import COCO_SCORES, coco_numbers, rank_areas


def numbers(truth, found, n_classes, weights=None):
    """(b, 12) scores and (b, C, T) AP."""
    scene = scene_of(truth, found, n_classes=n_classes)
    rankings, _ = rank_areas(scene, overlaps(scene, min_iou=0.1))
    scores, ap = coco_numbers(rankings, np.ones((1, found.n_images)) if weights is None else weights)
    assert tuple(scores) == COCO_SCORES
    return np.stack([scores[name] for name in COCO_SCORES], axis=1), ap


def test_nothing_at_all_is_undefined():
    for n_images in (0, 3):
        scores, ap = numbers(boxes_of([[]] * n_images), Detections.nothing(n_images), 2)
        assert np.isnan(scores).all()
        assert np.isnan(ap).all()


def test_objects_and_no_detections_are_zero_and_the_reverse_is_undefined():
    box = (0, 0, 50, 50)
    scores, ap = numbers(boxes_of([[(*box, 0)]]), Detections.nothing(1), 2)
    assert scores[0, [0, 1, 2, 4, 6, 7, 8, 10]].tolist() == [0] * 8  # 50 x 50 is medium
    assert np.isnan(scores[0, [3, 5, 9, 11]]).all()
    assert np.isnan(ap[0, 1]).all()
    assert np.isnan(numbers(boxes_of([[]]), found_of([[(*box, 0, 0.9)]]), 1)[0]).all()


@pytest.mark.parametrize("block", range(10))
def test_equals_pycocotools_to_the_last_bits(block):
    worst = 0.0
    for seed in range(30 * block, 30 * block + 30):
        truth, found, n_classes = fuzzed(seed)
        if not len(found):
            continue  # pycocotools cannot load no detections
        judge = pycocotools_eval(truth, found, n_classes)
        ours, ap = numbers(truth, found, n_classes)
        assert np.array_equal(np.isnan(ours[0]), np.isnan(judge.stats)), seed
        worst = max(worst, np.nanmax(np.abs(ours[0] - judge.stats), initial=0))
        precision = judge.eval["precision"][..., 0, 2]  # thresholds, recalls, classes
        theirs = np.where(precision < 0, np.nan, precision).mean(axis=1).T
        assert np.array_equal(np.isnan(ap[0]), np.isnan(theirs)), seed
        worst = max(worst, np.nanmax(np.abs(ap[0] - theirs), initial=0))
    assert worst < 1e-12


def test_more_than_a_hundred_of_a_class_in_an_image_are_cut():
    truth, _, _ = fuzzed(3, n_images=2)
    rng = np.random.default_rng(0)
    boxes = truth.boxes_xyxy[rng.integers(0, len(truth), 400)] if len(truth) else np.zeros((0, 4))
    boxes = boxes + rng.normal(0, 1, (400, 1))
    found = Detections(rng.integers(0, 2, 400), boxes, np.zeros(400, int), rng.random(400), 2)
    assert len(truth)
    judge = pycocotools_eval(truth, found, 4)
    np.testing.assert_allclose(numbers(truth, found, 4)[0][0], judge.stats, atol=1e-12, rtol=0)


@pytest.mark.parametrize("seed", range(40))
def test_a_weight_is_an_image_that_is_there_so_often(seed):
    truth, found, n_classes = fuzzed(seed, n_images=6, ties=False)  # the order of tied scores is the images' order
    weights = np.random.default_rng(seed).integers(0, 4, (3, 6)).astype(float)
    together, ap = numbers(truth, found, n_classes, weights)
    for row, times in enumerate(weights.astype(int)):
        again = np.repeat(np.arange(6), times)
        alone, one_ap = numbers(taken(truth, again), taken_found(found, again), n_classes)
        np.testing.assert_allclose(together[row], alone[0], atol=1e-12, rtol=0)
        np.testing.assert_allclose(ap[row], one_ap[0], atol=1e-12, rtol=0)


def taken(truth, images):
    slices = [truth.of(i) for i in images]
    rows = np.concatenate([np.arange(s.start, s.stop) for s in slices]) if slices else np.zeros(0, int)
    offsets = np.cumsum([0, *(s.stop - s.start for s in slices)])
    columns = (getattr(truth, name)[rows] for name in ("boxes_xyxy", "label_ids", "crowd", "area"))
    return Boxes(*columns, offsets, np.ones(len(images), bool))


def taken_found(found, images):
    rows = [np.flatnonzero(found.image_index == i) for i in images]
    places = np.concatenate([*rows, np.zeros(0, int)]).astype(int)
    numbers_ = np.repeat(np.arange(len(images)), [len(r) for r in rows])
    return Detections(numbers_, *(getattr(found, name)[places] for name in FIELDS[1:]), len(images))


def test_boxes_that_are_none_are_left_out():
    nan = float("nan")
    box = (10, 10, 60, 60)
    truth = boxes_of([[(*box, 0), (nan, 0, 5, 5, 0), (5, 5, 5, 9, 0), (0, 0, 9, 9, -1), (80, 80, 99, 99, 0)]])
    usable = np.array([True] * 4 + [False])
    scene = scene_of(truth, found_of([[(*box, 0, 0.5)]]), n_classes=1, usable=usable)
    assert scene.truth_rows.tolist() == [0]
    assert match(scene, overlaps(scene, min_iou=0.1), ignored=scene.crowd).tolist() == [[0] * len(IOU_THRESHOLDS)]
