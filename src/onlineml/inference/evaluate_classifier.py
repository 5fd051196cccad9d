"""A classifier's scores on a split of a manifest."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from onlineml.data.augment.classification import limit_to_scale
from onlineml.evaluation import classification_scores
from onlineml.inference.evaluation import own_label_ids, slice_values, small_jpegs
from onlineml.inference.predict_classifier import label_network
from onlineml.tasks import task_of
from onlineml.tasks.eval_mode import eval_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.loading.loaders import Loader
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation import ClassificationScores
    from onlineml.inference.evaluation import Arrays, EvaluateOptions
    from onlineml.tasks.classification import ImageClassifier
    from onlineml.tasks.classifier import ClassifierModule

__all__ = ["classifier_scores", "evaluate_classifier", "logits_in", "probabilities_in", "worst_jpegs"]

_THUMBNAILS = 24
_THUMBNAIL_PX = 128


def evaluate_classifier(
    model: ImageClassifier,
    data: Manifest,
    options: EvaluateOptions,
) -> ClassificationScores:
    """Score a classifier; see `onlineml.evaluate`."""
    rows, probabilities = probabilities_in(model, data, options)
    return classifier_scores(data, rows, probabilities, model.class_names, options, reference=model.reference)


def classifier_scores(
    data: Manifest,
    rows: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    class_names: Sequence[str],
    options: EvaluateOptions,
    *,
    reference: str,
) -> ClassificationScores:
    """Score existing predictions.

    Args:
        data: with the ground truth.
        rows: (n,) int64 of it, of labelled images.
        probabilities: (n, C).
        class_names: C, of the columns.
        options: see `onlineml.evaluate`.
        reference: of the model.
    """
    scores = classification_scores(
        probabilities,
        own_label_ids(class_names, data, data.label_ids()[rows]),
        class_names,
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
    return scores.with_thumbnails(worst_jpegs(data, [mistake.image_id for mistake in scores.mistakes]))


def worst_jpegs(data: Manifest, image_ids: Sequence[str]) -> dict[str, bytes]:
    """Thumbnails of the first of some images, by image_id, for reports."""
    shrink = partial(limit_to_scale, short_side=_THUMBNAIL_PX)
    return small_jpegs(data, image_ids[:_THUMBNAILS], min_side=_THUMBNAIL_PX, shrink=shrink)


def probabilities_in(
    model: ClassifierModule, data: Manifest, options: EvaluateOptions
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the manifest, (n,), and (n, C) probabilities of a split's annotated images; bad images are left out."""
    if options.engine == "eager":
        rows, logits = logits_in(model, data, options)
        return rows, model.probabilities(logits).numpy()
    found = options.compute(_probabilities, model, data, options)
    return found["rows"], found["probabilities"]


def _probabilities(model: ClassifierModule, data: Manifest, options: EvaluateOptions) -> Arrays:
    """Rows and probabilities of the images of a manifest, by an engine, for `EvaluateOptions.compute`."""
    loader = _loader(model, data, options)
    network = label_network(
        model,
        engine=options.engine,
        batch_size=options.batch_size,
        n_images=lambda: len(loader) * options.batch_size,
        may_pause=True,
    )
    rows, found = [np.zeros(0, np.int64)], [np.zeros((0, len(model.class_names)), np.float32)]
    for batch in loader:
        found.append(network(batch["image"]))
        rows.append(batch["index"].numpy())
    return {"rows": np.concatenate(rows), "probabilities": np.concatenate(found)}


def logits_in(
    model: ClassifierModule, data: Manifest, options: EvaluateOptions
) -> tuple[NDArray[np.int64], torch.Tensor]:
    """Rows of the manifest, (n,), and (n, C) float32 logits on the CPU, see `probabilities_in`."""
    found = options.compute(_outputs, model, data, options)
    return found["rows"], torch.from_numpy(found["logits"])


def _outputs(model: ClassifierModule, data: Manifest, options: EvaluateOptions) -> Arrays:
    """Rows and logits of the images of a manifest, for `EvaluateOptions.compute`."""
    rows, found = [np.zeros(0, np.int64)], [np.zeros((0, len(model.class_names)), np.float32)]
    with eval_mode(model):
        for batch in _loader(model, data, options):
            found.append(model(batch["image"].to(model.device)).float().cpu().numpy())
            rows.append(batch["index"].numpy())
    return {"rows": np.concatenate(rows), "logits": np.concatenate(found)}


def _loader(model: ClassifierModule, data: Manifest, options: EvaluateOptions) -> Loader:
    datamodule: Callable[..., ImageDataModule] = task_of(model).load("datamodule")
    dm = datamodule(
        data,
        size_hw=model.input_size_hw(),
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        max_bad=options.max_bad,
    )
    return dm.loader(options.split)
