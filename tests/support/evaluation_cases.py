"""Predictions to score, and an image to show."""

from __future__ import annotations

import dataclasses
import html.parser
import io
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predictions(*, n: int, n_classes: int, seed: int = 0, gain: float = 2.0, digits: int | None = None):
    """(N, C) float64 probabilities and (N,) labels; few `digits` make ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(n_classes, 1), n)
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), labels] += gain
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if digits is not None:
        steps = 10**digits
        probabilities = np.floor(probabilities * steps) + 1
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, labels


@st.composite
def cases(draw, *, min_classes: int = 2):
    """Predictions with absent classes, classes never predicted, ties, and few images."""
    n, n_classes = draw(st.integers(1, 40)), draw(st.integers(min_classes, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    present = rng.choice(n_classes, size=draw(st.integers(1, n_classes)), replace=False)
    weights = rng.integers(1, draw(st.integers(2, 5)), size=(n, n_classes)).astype(float)
    weights[:, rng.random(n_classes) < draw(st.sampled_from([0.0, 0.3]))] *= 0.01
    return weights / weights.sum(axis=1, keepdims=True), rng.choice(present, size=n)


def png(*, side: int = 16, value: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (value, 40, 10)).save(buffer, format="PNG")
    return buffer.getvalue()


HOSTILE = "<script>alert('x')</script> & \"$x_$\" | `a` \x00"


def same(one, other) -> bool:
    """Field by field, nan equal to nan."""
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124 - nan


class Page(html.parser.HTMLParser):
    """Collects what a browser would see: elements with attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def pixels(figure: Figure) -> np.ndarray:
    with Image.open(io.BytesIO(figure._repr_png_())) as image:
        return np.asarray(image)
