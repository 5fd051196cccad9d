"""Scores looked at image by image add up to the scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import DataError
from onlineml.evaluation import Detections, detection_scores
from onlineml.evaluation.detection.inspection import Inspection


def boxes_of(images: list[list[tuple[list[float], int]]]) -> Boxes:
    flat = [one for image in images for one in image]
    offsets = np.cumsum([0, *(len(image) for image in images)])
    return Boxes(
        np.array([box for box, _ in flat], float).reshape(-1, 4),
        np.array([label for _, label in flat], np.int64),
        np.zeros(len(flat), bool),
        np.full(len(flat), np.nan),
        offsets.astype(np.int64),
        np.ones(len(images), bool),
    )


def found_of(images: list[list[tuple[list[float], int, float]]]) -> Detections:
    flat = [(i, *one) for i, image in enumerate(images) for one in image]
    return Detections(
        image_index=np.array([i for i, *_ in flat], np.int64),
        boxes_xyxy=np.array([box for _, box, _, _ in flat], float).reshape(-1, 4),
        label_ids=np.array([label for _, _, label, _ in flat], np.int64),
        scores=np.array([score for *_, score in flat], float),
        n_images=len(images),
    )


A, B = [0.0, 0, 10, 10], [50.0, 50, 70, 70]
TRUTH = boxes_of([[(A, 0)], [(A, 0), (B, 1)], [], [(B, 1)]])
FOUND = found_of([[(A, 0, 0.9)], [(A, 1, 0.8)], [(B, 1, 0.7)], [(B, 1, 0.9), (A, 0, 0.2)]])


def scores(**changes: object):
    given = {"thresholds": {"cat": 0.5, "dog": 0.5}, "n_bootstrap": 0, "sizes_hw": [(100, 100)] * 4}
    return detection_scores(TRUTH, FOUND, ["cat", "dog"], image_ids=list("abcd"), **{**given, **changes})


def test_the_cells_of_hand_counted_images():
    cells = Inspection(scores()).cells

    seen = sorted(zip(cells.image.tolist(), cells.truth.tolist(), cells.predicted.tolist(), strict=True))
    # a: the cat is found. b: the cat is taken for a dog, the dog is missed. c: a dog where nothing is. d: found; the
    # other box lies below the threshold.
    assert seen == [(0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 2, 1), (3, 1, 1)]


def test_the_cells_add_up_to_the_confusion_of_random_scenes():
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(1, 6))

        def any_boxes(k: int, scored: bool):
            corners = rng.uniform(0, 60, (k, 2))
            sides = rng.uniform(5, 40, (k, 2))
            boxes = np.concatenate([corners, corners + sides], 1).tolist()
            labels = rng.integers(0, 3, k).tolist()
            extra = [rng.uniform(size=k).tolist()] if scored else []
            return list(zip(boxes, labels, *extra, strict=True))

        truth = boxes_of([any_boxes(int(rng.integers(0, 4)), scored=False) for _ in range(n)])
        found = found_of([any_boxes(int(rng.integers(0, 5)), scored=True) for _ in range(n)])
        result = detection_scores(truth, found, ["a", "b", "c"], n_bootstrap=0, sizes_hw=[(100, 100)] * n)
        inspection = Inspection(result)

        counted = np.zeros((4, 4), int)
        np.add.at(counted, (inspection.cells.truth, inspection.cells.predicted), 1)
        assert counted.tolist() == result.confusion.tolist()
        listed = {image.image_id: image for image in result.worst}
        for place, image_id in enumerate(result.image_ids):
            seen = inspection.image(place)
            assert (seen.n_missed + seen.n_false > 0) == (image_id in listed)
            if image_id in listed:
                assert repr(seen) == repr(listed[image_id])


def test_worst_first_and_images_without_mistakes_have_their_boxes_too():
    inspection = Inspection(scores())

    assert inspection.worst_first()[0] == 1
    assert [box.kind for box in inspection.image(0).boxes] == ["hit"]


def test_scores_without_detections_are_refused():
    with pytest.raises(DataError, match="arrays=True"):
        Inspection(dataclasses.replace(scores(), found=None, truth=None, outcomes=None))
