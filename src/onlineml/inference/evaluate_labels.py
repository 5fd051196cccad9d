"""A multi-label classifier's scores on a split of a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.data.kinds.labels import multi_hot
from onlineml.evaluation.multilabel.inputs import DEFAULT_THRESHOLD
from onlineml.evaluation.multilabel.score import multilabel_scores
from onlineml.inference.cutoffs import cutoffs
from onlineml.inference.evaluate_classifier import probabilities_in, worst_jpegs
from onlineml.inference.evaluation import require_known, slice_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.multilabel.result import MultilabelScores
    from onlineml.inference.evaluation import EvaluateOptions
    from onlineml.tasks.multilabel import MultilabelClassifier

__all__ = ["evaluate_labels", "label_scores"]


def evaluate_labels(model: MultilabelClassifier, data: Manifest, options: EvaluateOptions) -> MultilabelScores:
    """Score a multi-label classifier; see `onlineml.evaluate`."""
    rows, probabilities = probabilities_in(model, data, options)
    names = model.class_names
    require_known(names, data.kind.names_used(data.table.take(rows)))
    least = dict(zip(names, cutoffs(model, None, otherwise=DEFAULT_THRESHOLD).tolist(), strict=True))
    return label_scores(data, rows, probabilities, names, options, thresholds=least, reference=model.reference)


def label_scores(
    data: Manifest,
    rows: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    class_names: Sequence[str],
    options: EvaluateOptions,
    *,
    thresholds: Mapping[str, float],
    reference: str,
) -> MultilabelScores:
    """Score existing predictions; labels of other classes are left out of the ground truth.

    Args:
        data: with the ground truth.
        rows: (n,) int64 of it, of annotated images.
        probabilities: (n, C).
        class_names: C, of the columns.
        options: see `onlineml.evaluate`.
        thresholds: probability of each class from which its label is predicted.
        reference: of the model.
    """
    scores = multilabel_scores(
        probabilities,
        multi_hot(data.table.take(rows), class_names),
        class_names,
        thresholds=thresholds,
        groups=data.column("group")[rows],
        image_ids=data.column("image_id")[rows].tolist(),
        uris=data.column("uri")[rows].tolist(),
        slices=slice_values(data, options.slices, rows),
        n_bootstrap=options.n_bootstrap,
        seed=options.seed,
        split=options.split,
        manifest_hash=data.hash,
        model_ref=reference,
    )
    return scores.with_thumbnails(worst_jpegs(data, [image.image_id for image in scores.worst]))
