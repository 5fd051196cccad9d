"""Scores of a multi-label classifier on a manifest, against scikit-learn on what `predict` says."""

from __future__ import annotations

import numpy as np
import pytest

import onlineml as oml
from late import Late
from onlineml.errors import UnknownClassError
from tiny import CLASSES
from tiny_labels import knowing_model, label_manifest

metrics = Late("sklearn.metrics")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, decoded_photos) -> oml.Manifest:
    others = {63: ["blue", "green"], 64: [], 65: ["red"], 66: None}  # of the test: three are wrong, one is nobody's
    return label_manifest(tmp_path_factory.mktemp("labels") / "photos", labels=others)


@pytest.fixture(scope="module")
def model(labelled) -> oml.MultilabelClassifier:
    return knowing_model(labelled)


def test_scores_are_those_of_the_predictions(model, labelled) -> None:
    data = labelled.with_column("camera", [f"camera {i % 2}" for i in range(len(labelled))])
    scores = oml.evaluate(model, data, n_bootstrap=20)
    test = np.flatnonzero(data.column("split") == "test")
    lists = data.table["labels"].to_pylist()
    rows = [int(row) for row in test if lists[row] is not None]
    truth = np.array([[name in lists[row] for name in CLASSES] for row in rows])
    answers = list(oml.predict(model, [data.urls()[row] for row in rows]))
    given = np.array([[name in answer.labels for name in CLASSES] for answer in answers])
    p = np.array([[dict(answer.top)[name] for name in CLASSES] for answer in answers])

    assert scores.n_images == len(rows) == 20
    assert scores.thresholds == model.thresholds
    assert np.array_equal(scores.truth, truth)
    assert np.array_equal(scores.predictions, given)
    assert scores.micro_f1 == pytest.approx(metrics.f1_score(truth, given, average="micro"))
    assert scores.map == pytest.approx(metrics.average_precision_score(truth, p, average="macro"))
    assert {row.value for row in scores.by_slice} == {"camera 0", "camera 1"}
    assert {"image-063", "image-064"} <= {image.image_id for image in scores.worst}
    assert set(scores.thumbnails) == {image.image_id for image in scores.worst}
    assert (scores.split, scores.manifest_hash) == ("test", data.hash)


def test_classes_in_another_order_are_matched_by_name(model, labelled) -> None:
    other = oml.Manifest(labelled.table, CLASSES[::-1], root=labelled.root, task="multilabel")

    assert oml.evaluate(model, other, n_bootstrap=0).map == oml.evaluate(model, labelled, n_bootstrap=0).map


def test_labels_that_the_model_does_not_know_are_refused(labelled) -> None:
    small = knowing_model(label_less(labelled, "red"))

    with pytest.raises(UnknownClassError, match="1 class of the manifest is unknown to the model: red;"):
        oml.evaluate(small, labelled)


def label_less(data: oml.Manifest, name: str) -> oml.Manifest:
    """Without a class."""
    lists = data.table["labels"].to_pylist()
    left = [None if labels is None else [one for one in labels if one != name] for labels in lists]
    fewer = data.with_labels(dict(zip(data.column("image_id"), left, strict=True)))
    return oml.Manifest(fewer.table, tuple(n for n in CLASSES if n != name), root=data.root, task="multilabel")
