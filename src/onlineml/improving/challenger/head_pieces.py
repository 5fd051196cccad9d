"""Successors of classifiers of any sort: images drawn evenly by class, and last layers fitted to features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from onlineml.improving.challenger.new_head import fit_new_head, fit_new_rows
from onlineml.improving.challenger.successor_pieces import SuccessorPieces
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.recipe import Recipe
    from onlineml.runs.run import Run
    from onlineml.tasks.kept_settings import KeptSettings
    from onlineml.training.features import FeatureStore

__all__ = ["HeadPieces"]

_UNEVEN = 2.0  # times as many images of the commonest class as of the rarest: from there on each is drawn as often


class HeadPieces(SuccessorPieces):
    """The parts of training a successor of any `onlineml.tasks.classifier.ClassifierModule`."""

    fits_heads = True

    def images(
        self,
        data: Manifest,
        recipe: Recipe,
        *,
        size_hw: tuple[int, int],
        known: NDArray[np.bool_] | None = None,
        kept: KeptSettings,
    ) -> Any:
        """All annotated images; where classes differ much in size, each class is drawn as often."""
        del known
        names, _ = data.kind.names_by_row(data.table.filter(pc.equal(data.table["split"], "train")))
        counts = np.unique(names.to_numpy(zero_copy_only=False), return_counts=True)[1]
        uneven = counts.max(initial=0) > _UNEVEN * counts.min(initial=np.iinfo(np.int64).max)
        datamodule: Callable[..., Any] = task_of(data).load("datamodule")
        return datamodule(
            data,
            size_hw=size_hw,
            batch_size=recipe.batch_size or kept.images.batch_size or task_of(data).train_batch_size,
            seed=recipe.seed,
            num_workers=recipe.num_workers,
            augment=kept.images.augment_again,
            flips=kept.images.flips,
            balance=kept.images.balance or bool(uneven and not kept.class_weights),
            max_bad=recipe.bad_share,
        )

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
