"""Scores of a model from before on the test of today: today's labels, under today's names of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.errors import DataError
from onlineml.improving.challenger.rename import current_names
from onlineml.improving.challenger.successor_pieces import successor_pieces
from onlineml.inference.evaluation import EvaluateOptions
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.base import BaseScores
    from onlineml.tasks.base import VisionModule

__all__ = ["scores_now"]


def scores_now(
    model: VisionModule,
    data: Manifest,
    *,
    lineage: Mapping[str, str],
    split: str = "test",
    slices: Sequence[str] | None = None,
    num_workers: int = 0,
    n_bootstrap: int = 1000,
    seed: int = 0,
    max_bad: float = 0.01,
) -> BaseScores:
    """Score a model whose classes may have other names now, or be part of others, or not be all that there are.

    Images and objects of classes that it never knew are left out: there is nothing that it could say of them. So
    `onlineml.compare` finds both models on what they share.

    Args:
        model: trained at any time.
        data: a frozen dataset of today.
        lineage: what classes are called now, see `onlineml.data.annotations.Annotations`.
        split: see `onlineml.evaluate`, also for the following.
        slices: columns.
        num_workers: processes that load.
        n_bootstrap: resamples of the intervals.
        seed: of the resamples.
        max_bad: share of images, and of boxes, that may be bad.

    Raises:
        DataError: the model knows no class of the data, or none that a labelled image of the split shows.
    """
    names = current_names(model.class_names, lineage, known=data.class_names)
    if not any(names):
        raise DataError(f"the model knows {', '.join(model.class_names[:20])}, and none of these is a class any more")
    options = EvaluateOptions(
        split=split,
        slices=slices,
        batch_size=task_of(data).evaluate_batch_size,
        num_workers=num_workers,
        n_bootstrap=n_bootstrap,
        seed=seed,
        max_bad=max_bad,
    )
    return successor_pieces(data).renamed_scores(model, names, data, options)
