"""Arrays as pandas gives them, column after column in memory: the same scores, and nothing is written into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from detection_cases import fuzzed
from evaluation_cases import predictions, same
from multilabel_cases import answers
from onlineml.evaluation import classification_scores, multilabel_scores
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.score import detection_scores

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("cat", "dog", "fox")


def of_pandas(array: np.ndarray) -> np.ndarray:
    """As ``frame.to_numpy()``, and refusing to be written."""
    found = pd.DataFrame(array).to_numpy() if array.ndim == 2 else array
    found = np.asfortranarray(found)
    found.setflags(write=False)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("scores_of", "given"), [(classification_scores, predictions), (multilabel_scores, answers)])
def test_scores_of_probabilities(scores_of: Callable[..., Any], given: Callable[..., Any], dtype: type) -> None:
    probabilities, truth = given(n=40, n_classes=3, seed=3)
    probabilities = probabilities.astype(dtype)
    usual = scores_of(probabilities, truth, NAMES, n_bootstrap=20)
    assert same(usual, scores_of(of_pandas(probabilities), of_pandas(truth), NAMES, n_bootstrap=20))
    assert np.array_equal(usual.probabilities, probabilities)


def test_scores_of_boxes() -> None:
    truth, found, n_classes = fuzzed(5, n_images=8)
    names = tuple(f"class {i}" for i in range(n_classes))
    other = Detections(
        found.image_index, of_pandas(found.boxes_xyxy), found.label_ids, of_pandas(found.scores), found.n_images
    )
    usual = detection_scores(truth, found, names, n_bootstrap=20)
    again = detection_scores(truth, other, names, n_bootstrap=20)
    for name in usual.score_names():
        assert usual.score(name) == pytest.approx(again.score(name), nan_ok=True)
        assert usual.interval(name) == pytest.approx(again.interval(name), nan_ok=True)
