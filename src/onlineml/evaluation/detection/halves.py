"""Scores, classes and slices of two detectors on random halves of the groups, under the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.comparison.counts import half_weights
from onlineml.evaluation.comparison.parts import TAIL
from onlineml.evaluation.comparison.result import ScoreChange
from onlineml.evaluation.comparison.samples import PairedSamples
from onlineml.evaluation.detection.bootstrap import MAX_WORK, MIN_RESAMPLES
from onlineml.evaluation.detection.ranking import class_ap
from onlineml.evaluation.detection.tables import KINDS
from onlineml.evaluation.metrics import mean_defined, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.evaluation.comparison.pairing import Pairing
    from onlineml.evaluation.detection.errors import Diagnosis
    from onlineml.evaluation.detection.matching import Scene
    from onlineml.evaluation.detection.ranking import Ranking
    from onlineml.evaluation.detection.worst import Mistakes
    from onlineml.evaluation.types import Array, Floats

__all__ = ["THRESHOLDS", "Detected", "Halves"]

THRESHOLDS = {"map_50_95": slice(0, 10), "map_50": slice(0, 1), "map_75": slice(5, 6)}  # indices of IoU 0.50 to 0.95


@dataclass(frozen=True, eq=False)
class Detected:
    """Detections of one model in the shared images.

    Attributes:
        scene: objects and detections of the shared classes.
        shown: diagnosis of the detections at the thresholds.
        ranked: all detections, ranked.
        mistakes: mistakes at the thresholds, by image.
    """

    scene: Scene
    shown: Diagnosis
    ranked: Ranking
    mistakes: Mistakes

    @property
    def counted(self) -> Array:
        """(M,) bool: counts as a box at the thresholds."""
        counted: Array = self.shown.kind != KINDS.index("ignored")
        return counted

    @property
    def hit(self) -> Array:
        """(M,) bool: found an object of its class."""
        hit: Array = self.shown.kind == KINDS.index("hit")
        return hit


def _counted(one: Detected, weights: Floats) -> dict[str, Floats]:
    """Return (b,) recall and precision at the thresholds under (b, N) weights of the images."""
    real = ~one.scene.crowd
    objects, boxes, hits = (
        np.bincount(images, minlength=one.scene.n_images).astype(np.float64)
        for images in (one.scene.truth_image[real], one.scene.found_image[one.counted], one.scene.found_image[one.hit])
    )
    return {"micro_recall": ratio(weights @ hits, weights @ objects),
            "micro_precision": ratio(weights @ hits, weights @ boxes)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Halves:
    """Scores of both models on random halves of the groups.

    Attributes:
        whole: scores of the first and of the second model on all images, by name.
        drawn: (B,) differences on the halves, by name.
        classes: (2, C) AP50-95 of both models, and the (B, C) differences on the halves.
        slices: the same for the mean over the classes, by slice: (2, K) and (B, K).
    """

    whole: tuple[dict[str, float], dict[str, float]]
    drawn: dict[str, Floats]
    classes: tuple[Floats, Floats]
    slices: tuple[Floats, Floats]

    @classmethod
    def of(
        cls,
        first: Detected,
        second: Detected,
        paired: Pairing,
        masks: list[Array],
        *,
        n_resamples: int,
        seed: int,
    ) -> Halves:
        models = [(one, [one.ranked.of_images(mask) for mask in masks]) for one in (first, second)]
        work = sum(ranked.work for one, parts in models for ranked in (one.ranked, *parts))
        n_resamples = min(n_resamples, max(MIN_RESAMPLES, MAX_WORK // max(work, 1)))
        everything = np.ones((1, len(paired.codes)))
        a, b = (_scored(*model, everything) for model in models)
        parts = [
            tuple(_scored(*model, weights) for model in models) for weights in _drawn(paired, models, n_resamples, seed)
        ]

        def differences(key: str) -> Floats:
            chunks = [now[key] - was[key] for was, now in parts]
            return np.concatenate([np.zeros((0, *a[key].shape[1:])), *chunks])

        names = [name for name in a if name not in {"classes", "slices"}]
        return cls(
            whole=tuple({name: float(one[name][0]) for name in names} for one in (a, b)),  # type: ignore[arg-type]
            drawn={name: differences(name) for name in names},
            classes=(np.concatenate([a["classes"], b["classes"]]), differences("classes")),
            slices=(np.concatenate([a["slices"], b["slices"]]), differences("slices")),
        )

    def evidence(self, name: str, paired: Pairing) -> PairedSamples:
        """Return the samples that bound the difference of a score."""
        return PairedSamples(self.whole[1][name] - self.whole[0][name], self.drawn[name], paired.n_groups)

    def scores(self, paired: Pairing) -> tuple[ScoreChange, ...]:
        """Return all scores of both models."""
        changes = []
        for name in self.drawn:
            evidence = self.evidence(name, paired)
            a, b = (one[name] for one in self.whole)
            changes.append(ScoreChange(name, a, b, evidence.value, *evidence.bounds(TAIL)))
        return tuple(changes)


def _drawn(
    paired: Pairing, models: list[tuple[Detected, list[Ranking]]], n_resamples: int, seed: int
) -> Iterator[Floats]:
    largest = max(int(np.diff(one.ranked.starts).max(initial=0)) for one, _ in models)
    for weights in half_weights(
        n_groups=paired.n_groups,
        n_resamples=n_resamples,
        seed=seed,
        row_values=max(largest, len(paired.codes), paired.n_shared),
    ):
        yield weights[:, paired.codes]


def _scored(one: Detected, slices: list[Ranking], weights: Floats) -> dict[str, Floats]:
    """Return, under (b, N) weights, (b,) scores by name, (b, C) ``classes`` and (b, K) ``slices``."""
    precision = class_ap(one.ranked, weights)
    scores = {name: mean_defined(precision[..., at].mean(axis=2).T) for name, at in THRESHOLDS.items()}
    parts = [mean_defined(class_ap(ranked, weights).mean(axis=2).T) for ranked in slices]
    of_slices = np.stack(parts, axis=1) if parts else np.zeros((len(weights), 0))
    return {**scores, **_counted(one, weights), "classes": precision.mean(axis=2), "slices": of_slices}
