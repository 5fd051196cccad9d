"""A new last layer for a classifier, fitted in seconds to cached features."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from onlineml.errors import ConfigError, DataError
from onlineml.models.class_heads import imprint
from onlineml.training.features import features_of, linear_head
from onlineml.training.probe import MIDDLING_PENALTY, moments, probe_head

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from torch import Tensor

    from onlineml.data.loading.classification_datamodules import ClassificationDataModule
    from onlineml.runs.run import Run
    from onlineml.tasks.classifier import ClassifierModule
    from onlineml.training.features import FeatureStore

__all__ = ["fit_new_head", "fit_new_rows"]

_STEPS = 50  # L-BFGS iterations


def fit_new_head(
    model: ClassifierModule,
    images: ClassificationDataModule,
    *,
    store: FeatureStore | None,
    run: Run | None = None,
) -> dict[str, float]:
    """Refit the last layer to all training images, with the penalty that is best on the validation images.

    Args:
        model: its last layer is changed.
        images: with labels.
        store: of features.
        run: its `onlineml.runs.Run.request_stop` is checked between two parts of the features.

    Returns:
        The penalty, nan if the layer is better as it was, and the model's figures on the validation images.

    Raises:
        ConfigError: the network does not end in a linear layer.
        StoppedError, TooManyBadImagesError: see `onlineml.training.features.features_of`.
    """
    head = linear_head(model)
    train = _told(model, images, "train", store, run)
    val = _told(model, images, "val", store, run) if len(images.rows_of("val")) else None
    probe = probe_head(model, head, train, val)
    return {"penalty": probe.penalty, **(probe.metrics or dict.fromkeys(model.metric_names, math.nan))}


def fit_new_rows(
    model: ClassifierModule,
    images: ClassificationDataModule,
    *,
    store: FeatureStore | None,
    old_names: Collection[str],
    run: Run | None = None,
) -> dict[str, float]:
    """Fit the last layer's rows of new classes; everything else, and the old classes' logits, stay bit-identical.

    Args:
        model: its last layer is changed.
        images: with labels.
        store: of features.
        old_names: classes whose rows are kept.
        run: see `fit_new_head`.

    Returns:
        The number of new classes.

    Raises:
        ConfigError: there are no new classes, or the network does not end in a linear layer.
        DataError: a new class has no training image.
        StoppedError, TooManyBadImagesError: see `onlineml.training.features.features_of`.
    """
    head = linear_head(model)
    new = [i for i, name in enumerate(model.class_names) if name not in set(old_names)]
    if not new or len(new) == head.out_features:
        raise ConfigError(
            f"how='rows' fits the rows of new classes, and {len(new)} of {head.out_features} are new: use how='head'"
        )
    features, labels = _told(model, images, "train", store, run)
    places, classes = model.shown_classes(labels)
    lacking = [model.class_names[i] for i in new if not bool((classes == i).any())]
    if lacking:
        raise DataError(f"no training image has the label {', '.join(lacking[:10])}: label some, or remove the class")
    made = imprint(head, features[places], classes, new)
    weight, bias = _fitted_rows(made, features, new, loss=lambda logits: model.head_loss(logits, labels))
    with torch.no_grad():
        made.weight[new] = weight
        if made.bias is not None:
            made.bias[new] = bias
    model.replace_class_head(made)
    return {"new_classes": float(len(new))}


def _told(
    model: ClassifierModule, images: ClassificationDataModule, split: str, store: FeatureStore | None, run: Run | None
) -> tuple[Tensor, Tensor]:
    """(N, F) features of the usable images of a split, and their labels in the form of batches."""
    found = features_of(
        model,
        images.manifest,
        images.rows_of(split),
        store=store,
        num_workers=images.num_workers,
        max_bad=images.max_bad,
        stop=bool if run is None else lambda: run.stop_requested,
    )
    if not len(found.rows):
        raise DataError(f"no image of the split {split!r} can be used")
    return torch.from_numpy(np.ascontiguousarray(found.values)), torch.from_numpy(images.labels[found.rows])


def _fitted_rows(
    head: nn.Linear, features: Tensor, new: list[int], *, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Logistic regression of some rows, starting from their present values, on standardised features."""
    mean, deviation = moments(features)
    table = (features - mean) / deviation
    with torch.no_grad():
        logits = head(features)
        start = head.weight[new] * deviation
        bias = (logits[:, new] - table @ start.T).mean(0)
    weight, shift = start.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight, shift], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        own = logits.index_copy(1, torch.tensor(new), table @ weight.T + shift)
        value = loss(own) + MIDDLING_PENALTY * weight.square().sum() / head.out_features
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    found = weight.detach() / deviation
    return found, shift.detach() - found @ mean
