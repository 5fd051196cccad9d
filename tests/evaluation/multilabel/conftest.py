"""Scores that the tests of figures, pages and JSON share."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation_cases import HOSTILE, png
from multilabel_cases import NAMES, answers
from onlineml.evaluation import MultilabelScores, multilabel_scores


@pytest.fixture(scope="session")
def labelled() -> MultilabelScores:
    """Six classes of 240 images in 60 groups; one class is absent, one has a hostile name, some images are empty."""
    probabilities, truth = answers(n=240, n_classes=6, seed=1)
    truth[:, 5] = False
    ids = [f"image-{i}" for i in range(240)]
    return multilabel_scores(
        probabilities.astype(np.float32),
        truth,
        ["cat", "dog", HOSTILE, "日本", "e", "absent"],
        thresholds={"cat": 0.4, "dog": 0.5, HOSTILE: 0.5, "日本": 0.6, "e": 0.5, "absent": 0.9},
        groups=[str(i // 4) for i in range(240)],
        image_ids=ids,
        uris=[f"s3://lab/{i}.jpg?<b>" for i in range(240)],
        slices={"camera": [None if i % 7 == 0 else ("<i>old</i>", "new")[i % 2] for i in range(240)]},
        thumbnails=dict.fromkeys(ids, png()),
        n_bootstrap=200,
        split="test",
        manifest_hash="0123abcd" * 8,
        model_ref="s3://lab/models/7-<u>",
    )


@pytest.fixture(scope="session")
def no_labels() -> MultilabelScores:
    """No images at all."""
    return multilabel_scores(np.zeros((0, 3)), np.zeros((0, 3), bool), NAMES, slices={"camera": []})
