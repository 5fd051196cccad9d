"""Robustness to small changes of the photos that a test set of one camera, light and day does not show.

Champion and challenger are scored on a sample of the test images as they are and slightly altered: brighter, darker,
with less and more contrast, compressed, shifted. Only a fall beyond the champion's and below it blocks: what the one in
use cannot stand either, or stands worse, is no reason against its successor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from onlineml.arguments.counted import count
from onlineml.evaluation.comparison.compare import compare
from onlineml.evaluation.comparison.counts import sign_flip_p
from onlineml.evaluation.intervals import group_codes
from onlineml.improving.news import annotated_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.comparison.result import Comparison
    from onlineml.evaluation.types import Ints
    from onlineml.tasks.base import VisionModule

__all__ = ["ALTERATIONS", "Fall", "robustness", "robustness_notes", "robustness_reasons"]

_LEAST = 0.05  # more mistakes per item than the champion's, from which on a fall blocks
_LEVEL = 0.01  # of all alterations together


def _brighter(by: float) -> Callable[[Tensor], Tensor]:
    return lambda image: _rounded(image.float() + by)


def _contrast(factor: float) -> Callable[[Tensor], Tensor]:
    def altered(image: Tensor) -> Tensor:
        own = image.float()
        mean = own.mean(dim=(1, 2, 3), keepdim=True)
        return _rounded((own - mean) * factor + mean)

    return altered


def _compressed(image: Tensor) -> Tensor:
    return torch.stack([_jpeg(one) for one in image]).to(image.device)


def _jpeg(one: Tensor) -> Tensor:
    file = BytesIO()
    Image.fromarray(_rounded(one.float()).permute(1, 2, 0).cpu().numpy()).save(file, "JPEG", quality=50)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def _shifted(image: Tensor) -> Tensor:
    rows, columns = (torch.arange(n, device=image.device).sub(2).clamp_min(0) for n in image.shape[2:])
    return image[:, :, rows][..., columns]


def _rounded(image: Tensor) -> Tensor:
    return image.round().clamp(0, 255).to(torch.uint8)


ALTERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "brightness +5 of 255": _brighter(5),
    "brightness -5 of 255": _brighter(-5),
    "brightness +20 of 255": _brighter(20),
    "contrast x 0.8": _contrast(0.8),
    "contrast x 1.25": _contrast(1.25),
    "JPEG quality 50": _compressed,
    "a shift by 2 pixels": _shifted,
}


@dataclass(frozen=True)
class Fall:
    """Mistakes that an alteration of the test images adds.

    Attributes:
        alteration: its name.
        n_images: number of altered images.
        champion: mistakes that it adds to the champion's, negative if there are fewer; None: not scored, because the
            challenger does not fall.
        challenger: to the challenger's.
        blocks: whether the challenger falls significantly further than the champion, and below it.
    """

    alteration: str
    n_images: int
    champion: int | None
    challenger: int
    blocks: bool


def robustness(
    models: tuple[VisionModule, VisionModule],
    scores: tuple[BaseScores, BaseScores],
    data: Manifest,
    score: Callable[[VisionModule, Manifest], BaseScores],
    *,
    n_images: int,
    seed: int = 0,
) -> tuple[Fall, ...]:
    """Score both models on altered test images; the champion only where the challenger falls.

    Args:
        models: the model in use, and the new one.
        scores: of both on the test images as they are.
        data: with annotated images in the split ``test``.
        score: evaluates a model on a dataset's test images.
        n_images: at most so many test images, a random sample.
        seed: of the sample.

    Returns:
        One for each of `ALTERATIONS`.
    """
    champion, challenger = models
    test = np.flatnonzero(annotated_in(data, "test"))
    drawn = np.random.default_rng(seed).permutation(test)[:n_images]
    sample = data.take(np.sort(drawn))
    first, second = scores if len(drawn) == len(test) else (score(champion, sample), score(challenger, sample))
    plain = compare(first, second, n_resamples=0)
    found = []
    for name, alter in ALTERATIONS.items():
        altered = compare(first, _score_altered(challenger, alter, sample, score), n_resamples=0)
        fall = Fall(name, plain.n_images, None, int((altered.mistakes_b - plain.mistakes_b).sum()), blocks=False)
        if fall.challenger >= _least(plain):
            altered = compare(_score_altered(champion, alter, sample, score), altered.b, n_resamples=0)
            fall = _compared(fall, plain, altered)
        found.append(fall)
    return tuple(found)


def _score_altered(
    model: Any, alter: Callable[[Tensor], Tensor], sample: Manifest, score: Callable[[Any, Manifest], BaseScores]
) -> BaseScores:
    """Score a module that sees the images altered."""
    model.alter = alter
    try:
        return score(model, sample)
    finally:
        model.alter = None


def _least(plain: Comparison) -> float:
    """Return the number of mistakes from which on a fall counts."""
    return _LEAST * max(plain.n_items, 1)


def _compared(fall: Fall, plain: Comparison, altered: Comparison) -> Fall:
    by_a, by_b = altered.mistakes_a - plain.mistakes_a, altered.mistakes_b - plain.mistakes_b
    beyond = _by_group(plain, by_b - by_a)
    p = sign_flip_p(beyond, n_groups=len(beyond)) if beyond.any() else 1.0
    further = beyond.sum() >= _least(plain) and p <= _LEVEL / len(ALTERATIONS)
    below = altered.mistakes_b.sum() > altered.mistakes_a.sum()
    return replace(fall, champion=int(by_a.sum()), blocks=bool(further and below))


def _by_group(comparison: Comparison, values: Ints) -> Ints:
    scores = comparison.a
    place = {image_id: row for row, image_id in enumerate(scores.image_ids)}
    groups = None if scores.groups is None else [scores.groups[place[one]] for one in comparison.image_ids]
    codes, n_groups = group_codes(groups, n_images=len(values))
    return np.bincount(codes, weights=values, minlength=n_groups).astype(np.int64)


def robustness_reasons(falls: Sequence[Fall]) -> list[str]:
    """Return a sentence on each alteration that blocks."""
    return [
        f"{fall.alteration} adds {count(fall.challenger, 'mistake')} on {count(fall.n_images, 'test image')} (champion "
        f"{fall.champion:+,}): it would fail where the champion does not"
        for fall in falls
        if fall.blocks
    ]


def robustness_notes(falls: Sequence[Fall]) -> list[str]:
    """Return a sentence on the alteration that is worst for the challenger; none if one blocks."""
    if not falls or any(fall.blocks for fall in falls):
        return []
    worst = max(falls, key=lambda fall: fall.challenger - (fall.champion or 0))
    champion = "" if worst.champion is None else f"; the champion {worst.champion:+,}"
    text = (
        f"slightly altered ({len(falls)} ways, {count(worst.n_images, 'test image')}), it makes at most "
        f"{count(max(worst.challenger, 0), 'more mistake')} ({worst.alteration}{champion})"
    )
    return [text]
