"""Scores of parts, pooled, are those of all images scored at once: the numbers, intervals, mistakes and slices."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from detection_cases import boxes_of, found_of, fuzzed
from evaluation_cases import predictions, same
from multilabel_cases import NAMES, answers
from onlineml.errors import DataError
from onlineml.evaluation import classification_scores, detection_scores, multilabel_scores
from onlineml.evaluation.classification.result import ClassificationScores

PARTS = (slice(0, 7), slice(7, 8), slice(8, 30))
IDS = [f"{i:02}" for i in range(30)]
GROUPS = [f"group {i // 2}" for i in range(30)]
PLACES = [f"s3://lab/{i}.jpg" for i in range(30)]
LIGHT = ["day" if i % 3 else "night" for i in range(30)]


def columns(part: slice) -> dict:
    return {
        "image_ids": IDS[part],
        "groups": GROUPS[part],
        "uris": PLACES[part],
        "slices": {"light": LIGHT[part]},
        "seed": 3,
    }


def check(parts, everything) -> None:
    pooled = parts[0].pooled_with(parts[1:])
    for field in dataclasses.fields(everything):
        assert same(getattr(pooled, field.name), getattr(everything, field.name)), field.name


def test_a_classifiers():
    probabilities, labels = predictions(n=30, n_classes=3)

    def scores(part: slice) -> ClassificationScores:
        return classification_scores(probabilities[part], labels[part], NAMES, **columns(part))

    check([scores(part) for part in PARTS], scores(slice(0, 30)))


def test_several_labels_and_the_mean_of_the_thresholds():
    probabilities, truth = answers(n=30, n_classes=3)

    def scores(part: slice, thresholds: float):
        return multilabel_scores(probabilities[part], truth[part], NAMES, thresholds=thresholds, **columns(part))

    parts = [scores(part, threshold) for part, threshold in zip(PARTS, (0.25, 0.5, 0.75), strict=True)]
    check(parts, scores(slice(0, 30), 0.5))


@pytest.mark.parametrize("seed", range(4))
def test_a_detectors(seed):
    truth, found, n_classes = fuzzed(seed, n_images=30, ties=False)
    names = [f"class {i}" for i in range(n_classes)]
    of_image = truth.image_index

    def scores(part: slice, threshold: float):
        rows = np.arange(30)[part]
        objects = [_rows(truth, of_image == i, crowd=True) for i in rows]
        guesses = [_rows(found, found.image_index == i) for i in rows]
        return detection_scores(
            boxes_of(objects),
            found_of(guesses),
            names,
            thresholds=dict.fromkeys(names, threshold),
            sizes_hw=np.full((len(rows), 2), 500),
            **columns(part),
        )

    parts = [scores(part, threshold) for part, threshold in zip(PARTS, (0.25, 0.5, 0.75), strict=True)]
    pooled, everything = parts[0].pooled_with(parts[1:]), scores(slice(0, 30), 0.5)
    for field in dataclasses.fields(everything):
        if field.name not in {"truth", "found"}:
            assert same(getattr(pooled, field.name), getattr(everything, field.name)), field.name
    for arrays, expected in ((pooled.truth, everything.truth), (pooled.found, everything.found)):
        for field in dataclasses.fields(arrays):
            np.testing.assert_array_equal(getattr(arrays, field.name), getattr(expected, field.name))


def _rows(of, mask, *, crowd: bool = False) -> list[tuple]:
    last = (of.crowd, of.area) if crowd else (of.scores,)
    return [
        (*box, int(label), *more)
        for box, label, *more in zip(of.boxes_xyxy[mask], of.label_ids[mask], *(a[mask] for a in last), strict=True)
    ]


def test_what_cannot_be_pooled_is_refused():
    probabilities, labels = predictions(n=4, n_classes=3)
    one = classification_scores(probabilities, labels, NAMES, image_ids=["a", "b", "c", "d"])
    other_names = classification_scores(probabilities, labels, ("cat", "dog", "owl"), image_ids=["e", "f", "g", "h"])
    bare = ClassificationScores.from_json(
        classification_scores(probabilities, labels, NAMES, image_ids=["e", "f", "g", "h"]).to_json(arrays=False)
    )

    with pytest.raises(DataError, match="images in common"):
        one.pooled_with([one])
    with pytest.raises(DataError, match="different classes"):
        one.pooled_with([other_names])
    with pytest.raises(DataError, match="without probabilities"):
        one.pooled_with([bare])
