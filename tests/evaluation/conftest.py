"""Scores that the tests of figures and pages share."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation_cases import HOSTILE, png, predictions
from onlineml.evaluation import ClassificationScores, classification_scores


@pytest.fixture(scope="session")
def scores() -> ClassificationScores:
    """Six classes of 240 images in 60 groups; one class is absent, one has a hostile name."""
    probabilities, labels = predictions(n=240, n_classes=6, seed=1)
    labels[labels == 5] = 4
    ids = [f"image-{i}" for i in range(240)]
    return classification_scores(
        probabilities.astype(np.float32),
        labels,
        ["cat", "dog", HOSTILE, "日本", "e", "absent"],
        groups=[str(i // 4) for i in range(240)],
        image_ids=ids,
        uris=[f"s3://lab/{i}.jpg?<b>" for i in range(240)],
        slices={"camera": [None if i % 7 == 0 else ("<i>old</i>", "new")[i % 2] for i in range(240)], "width": labels},
        thumbnails=dict.fromkeys(ids, png()),
        n_bootstrap=200,
        split="test",
        manifest_hash="0123abcd" * 8,
        model_ref="s3://lab/models/7-<u>",
    )


@pytest.fixture(scope="session")
def nothing() -> ClassificationScores:
    """No images at all."""
    return classification_scores(np.zeros((0, 3)), [], ["a", "b", "c"], slices={"camera": []})
