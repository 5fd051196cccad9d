"""Models under the names of today: probabilities, heads and boxes of renamed, merged and lost classes, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import DataError
from onlineml.improving.challenger.current_names import (
    current_names,
    distinct,
    remap_probabilities,
)
from onlineml.improving.challenger.detection import RenamedDetector
from onlineml.improving.challenger.score import scores_now
from tiny import CLASSES, TinyNet


def test_names_follow_the_lineage_and_lost_classes_have_none():
    names = current_names(("cat", "dog", "fox"), {"cat": "feline"}, known=["feline", "dog"])

    assert names == ["feline", "dog", None]
    assert distinct([*names, "dog"]) == ("feline", "dog")
    assert distinct([]) == ()


def test_probabilities_of_merged_classes_add_up_and_those_of_lost_ones_go_to_the_others():
    table = np.array([[0.5, 0.2, 0.3], [0.0, 0.0, 1.0]])

    assert remap_probabilities(table, ["a", "b", "c"]) is table
    np.testing.assert_allclose(remap_probabilities(table, ["a", "b", "a"]), [[0.8, 0.2], [1.0, 0.0]])
    np.testing.assert_allclose(remap_probabilities(table, ["a", "b", None]), [[5 / 7, 2 / 7], [0.5, 0.5]])
    assert remap_probabilities(np.zeros((0, 3)), ["a", "b", "a"]).shape == (0, 2)


def test_a_classifier_scored_under_the_names_of_today(manifest):
    model = oml.ImageClassifier(class_names=CLASSES, backbone=TinyNet(), seed=1)
    model.size_hw = (32, 32)
    plain = oml.evaluate(model, manifest)

    same = scores_now(model, manifest, lineage={})
    assert (same.accuracy, same.class_names) == (plain.accuracy, plain.class_names)

    labels = dict(zip(manifest.column("image_id"), manifest.column("label"), strict=True))
    merged = manifest.with_class_names((*CLASSES, "cold")).with_labels(
        {i: "cold" for i, label in labels.items() if label in {"blue", "green"}}
    )
    merged = merged.with_class_names(("cold", "red"))
    now = scores_now(model, merged, lineage={"blue": "cold", "green": "cold"})
    summed = np.stack([plain.probabilities[:, :2].sum(axis=1), plain.probabilities[:, 2]], axis=1)
    truth = np.array(plain.class_names, dtype=object)[plain.labels] == "red"
    assert now.accuracy == pytest.approx(np.mean(summed.argmax(axis=1) == truth))
    assert now.class_names == ("cold", "red")


def test_images_of_classes_that_a_model_never_knew_are_left_out(manifest):
    model = oml.ImageClassifier(class_names=("blue", "green"), backbone=TinyNet(2), seed=1)
    model.size_hw = (32, 32)

    scores = scores_now(model, manifest, lineage={})

    assert scores.n_images == 10  # of 15, five are red
    assert scores.manifest_hash == manifest.hash
    with pytest.raises(DataError, match="exists any more"):
        scores_now(model, manifest.with_class_names(CLASSES), lineage={"blue": "x", "green": "y"})


# ---- detectors ----


@pytest.fixture(scope="module")
def test_images(trained):
    return trained.manifest.select(split="test")


def test_a_detector_as_it_is_and_under_other_names(trained, test_images):
    plain = oml.evaluate(trained.model, test_images)
    assert scores_now(trained.model, test_images, lineage={}).map_50_95 == plain.map_50_95

    names = {"red": "scarlet", "green": "lime"}
    renamed = renamed_boxes(test_images, names, ("scarlet", "lime", "blue"))
    now = scores_now(trained.model, renamed, lineage=names)
    assert now.map_50_95 == pytest.approx(plain.map_50_95, abs=1e-12)
    assert set(now.class_names) == {"scarlet", "lime", "blue"}


def renamed_boxes(data, names, class_names):
    every = data.with_class_names(tuple(dict.fromkeys((*data.class_names, *class_names))))
    rows = data.table.to_pylist()
    said = {r["image_id"]: (r["boxes_xyxy"], [names.get(n, n) for n in r["labels"]]) for r in rows}
    return every.with_boxes(said).with_class_names(class_names)


def test_of_merged_classes_one_box_in_a_place_is_kept_and_lost_classes_are_gone(trained):
    class Two:
        class_names, thresholds, reference = ("a", "b", "c"), {"a": 0.3, "b": 0.2, "c": 0.9}, "r"

        def detect(self, image):
            boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60], [1, 1, 9, 9]])
            return [
                {"boxes": boxes, "labels": torch.tensor([0, 1, 1, 2]), "scores": torch.tensor([0.9, 0.8, 0.7, 0.6])}
            ]

    merged = RenamedDetector(Two(), ["x", "x", None])

    (found,) = merged.detect(torch.zeros(1, 3, 64, 64))
    assert merged.class_names == ("x",)
    assert merged.thresholds == {"x": 0.2}
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7])
    assert found["labels"].tolist() == [0, 0]
    apart = RenamedDetector(Two(), ["x", "y", "z"])
    assert len(apart.detect(torch.zeros(1, 3, 64, 64))[0]["scores"]) == 4


def test_objects_of_classes_that_a_detector_never_knew_are_left_out(trained, test_images):
    plain = oml.evaluate(trained.model, test_images)
    rows = test_images.table.to_pylist()
    others = [r for r in rows if r["labels"]]
    alone, beside = others[0]["image_id"], others[1]
    every = test_images.with_class_names((*CLASSES, "new"))
    data = every.with_boxes(
        {
            alone: (others[0]["boxes_xyxy"], ["new"] * len(others[0]["labels"])),
            beside["image_id"]: ([*beside["boxes_xyxy"], [1, 1, 5, 5]], [*beside["labels"], "new"]),
        }
    )

    scores = scores_now(trained.model, data, lineage={})

    left = test_images.take([r["image_id"] != alone for r in rows])
    assert scores.n_images == plain.n_images - 1
    assert scores.map_50_95 == pytest.approx(oml.evaluate(trained.model, left).map_50_95, abs=1e-12)
