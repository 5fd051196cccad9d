"""Images with any number of labels, to score."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

NAMES = ("cat", "dog", "fox")


def answers(*, n: int, n_classes: int, seed: int = 0, share: float = 0.3, gain: float = 2.0, digits: int | None = None):
    """(N, K) float64 probabilities and (N, K) bool truth; few `digits` make ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, n_classes)) < share
    logits = rng.normal(size=(n, n_classes)) + gain * (truth - 0.5)
    probabilities = 1 / (1 + np.exp(-logits))
    return (probabilities if digits is None else probabilities.round(digits)), truth


@st.composite
def label_cases(draw, *, min_images: int = 1):
    """Answers with classes that are never there, always there, never given; with ties, empty images and few images."""
    n, n_classes = draw(st.integers(min_images, 30)), draw(st.integers(1, 5))
    probabilities, truth = answers(
        n=n,
        n_classes=n_classes,
        seed=draw(st.integers(0, 2**32 - 1)),
        share=draw(st.sampled_from([0.1, 0.4, 0.8])),
        gain=draw(st.sampled_from([0.0, 2.0, 6.0])),
        digits=draw(st.sampled_from([1, 2, None])),
    )
    kinds = draw(st.lists(st.sampled_from(["as it is", "absent", "everywhere", "never given"]), min_size=n_classes,
                          max_size=n_classes))  # fmt: skip
    for place, kind in enumerate(kinds):
        truth[:, place] = {"absent": False, "everywhere": True}.get(kind, truth[:, place])
        probabilities[:, place] *= 0.01 if kind == "never given" else 1
    return probabilities, truth
