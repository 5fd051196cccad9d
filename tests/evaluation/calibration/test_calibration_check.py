"""Miss rates of groups of photos, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from onlineml.evaluation.calibration.check import check_evidence
from onlineml.evaluation.calibration.evidence import of_probabilities


def test_a_group_counts_once_for_each_class_that_it_shows():
    """Film a shows red twice, one missed, and blue once, missed; film b shows red once; the fifth photo is alone."""
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.8, 0.2], [0.4, 0.6]])
    evidence = of_probabilities(probabilities, np.array([0, 0, 1, 0, 1]), np.array([0, 0, 0, 1, 2]))
    films = ["a", "a", "a", "b", None]
    found = check_evidence(evidence, {"red": 0.5, "blue": 0.5}, by="film", groups=films, n_bootstrap=200, seed=0)

    assert found["of"].tolist() == ["all", "class", "class", "film"]
    assert found.name.tolist() == ["", "red", "blue", "a"]
    assert found.shown.tolist() == [5, 3, 2, 3]
    assert found.missed.tolist() == pytest.approx([(0.5 + 1 + 0 + 0) / 4, 0.5 / 2, 1 / 2, (0.5 + 1) / 2])
    assert found["size"].tolist() == pytest.approx([1, 1, 1, 1])
    assert found.false.tolist() == pytest.approx([2 / 5, 1 / 5, 1 / 5, 2 / 3])
    assert (found.low[:3] < found.missed[:3]).all()
    assert np.isnan(found.low[3])  # one film alone says nothing of films


def test_no_photo_has_no_rate():
    evidence = of_probabilities(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    found = check_evidence(evidence, {"red": 0.5, "blue": 0.5}, by="film", groups=[], n_bootstrap=5, seed=0)

    assert found.shown.tolist() == [0, 0, 0]
    assert found.missed.isna().all()
