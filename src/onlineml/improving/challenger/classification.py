"""Successors of a classifier: images drawn evenly by class, heads on features, probabilities under present names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.loading.datamodules import ClassificationDataModule
from onlineml.errors import DataError
from onlineml.improving.challenger.new_head import fit_new_head, fit_new_rows
from onlineml.improving.challenger.rename import distinct, remap_probabilities
from onlineml.improving.challenger.successor_pieces import SuccessorPieces
from onlineml.inference.evaluate_classifier import classifier_scores, probabilities_in
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation import ClassificationScores
    from onlineml.improving.recipe import Recipe
    from onlineml.improving.review.features import FeatureStore
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.runs.run import Run
    from onlineml.tasks.classification import ImageClassifier

__all__ = ["ClassifierPieces"]

_UNEVEN = 2.0  # times as many images of the commonest class as of the rarest: from there on each is drawn as often


class ClassifierPieces(SuccessorPieces):
    """The parts of training a successor that are specific to classifiers."""

    fits_heads = True
    aligns_new_rows = True

    def images(
        self, data: Manifest, recipe: Recipe, *, size_hw: tuple[int, int], known: NDArray[np.bool_] | None = None
    ) -> ClassificationDataModule:
        """All labelled images; where classes differ much in size, each class is drawn as often."""
        del known  # an image of a class that came later has that label, or none
        labels = data.label_ids()
        counts = np.bincount(labels[(data.column("split") == "train") & (labels >= 0)], minlength=len(data.class_names))
        uneven = counts.max(initial=0) > _UNEVEN * counts[counts > 0].min(initial=1)
        return ClassificationDataModule(
            data,
            size_hw=size_hw,
            batch_size=recipe.batch_size or task_of(data).train_batch_size,
            seed=recipe.seed,
            num_workers=recipe.num_workers,
            balance=bool(uneven),
            max_bad=recipe.max_bad,
        )

    def renamed_scores(
        self, model: ImageClassifier, names: Sequence[str | None], data: Manifest, options: EvaluateOptions
    ) -> ClassificationScores:
        """Probabilities of merged classes add up; images of classes that the model never knew are left out."""
        kept = distinct(names)
        rows, probabilities = probabilities_in(model, data, options)
        known = np.isin(np.array(data.class_names, dtype=object)[data.label_ids()[rows]], list(kept))
        if not known.any():
            raise DataError(f"no labelled image of the split {options.split!r} shows a class that the model knows")
        table = remap_probabilities(probabilities[known], names)
        return classifier_scores(data, rows[known], table, kept, options, reference=model.reference)

    def fit_head(
        self, model: Any, images: Any, *, store: FeatureStore | None, run: Run | None = None
    ) -> dict[str, float]:
        """See `onlineml.improving.challenger.new_head.fit_new_head`."""
        return fit_new_head(model, images, store=store, run=run)

    def fit_rows(
        self, model: Any, images: Any, *, store: FeatureStore | None, old_names: Collection[str], run: Run | None = None
    ) -> dict[str, float]:
        """See `onlineml.improving.challenger.new_head.fit_new_rows`."""
        return fit_new_rows(model, images, store=store, old_names=old_names, run=run)
