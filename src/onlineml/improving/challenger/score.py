"""Scores of an earlier model on the current test images, with the current labels and class names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.errors import DataError
from onlineml.improving.challenger.current_names import current_names
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
    """Score a model whose classes may have been renamed or merged since, or may lack new ones.

    Images and objects of classes that it does not know are left out, so that `onlineml.compare` compares both models on
    what they share.

    Args:
        model: trained at any time.
        data: a frozen dataset.
        lineage: present names by former name, see `onlineml.data.annotations.Annotations`.
        split: see `onlineml.evaluate`, also for the following.
        slices: columns.
        num_workers: processes that load.
        n_bootstrap: resamples of the intervals.
        seed: of the resamples.
        max_bad: allowed share of bad images, and of bad boxes.

    Raises:
        DataError: the model knows no class of the data, or none that a labelled image of the split shows.
    """
    names = current_names(model.class_names, lineage, known=data.class_names)
    if not any(names):
        raise DataError(f"none of the model's classes exists any more: {', '.join(model.class_names[:20])}")
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
