"""One pass of a classifier over a project's images: suspect labels, and images worth a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from onlineml.improving.challenger.rename import current_names, distinct, remap_probabilities
from onlineml.improving.review.candidates import CandidatePool, candidates_by_score
from onlineml.improving.review.duplicates import Chosen
from onlineml.improving.review.features import Features, features_of, linear_head, project_store
from onlineml.improving.review.folds import out_of_fold, standardised
from onlineml.improving.review.label_errors import find_label_errors, label_error_candidates
from onlineml.improving.review.uncertainty import entropy, jensen_shannon, rarity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.review.candidates import Candidates
    from onlineml.project.project import Project
    from onlineml.tasks.classification import ImageClassifier

__all__ = ["find_candidates"]

_RARE = 0.5  # a class with less than half of the images of the commonest


def find_candidates(
    project: Project,
    models: Sequence[ImageClassifier],
    data: Manifest,
    rows: NDArray[np.int64],
    *,
    lineage: Mapping[str, str],
    seed: int,
    num_workers: int,
    max_bad: float,
) -> CandidatePool:
    """Judge labelled and unlabelled images by one model, or two.

    Args:
        project: keeps the features.
        models: one, or two that may disagree.
        data: the images.
        rows: of those to look at.
        lineage: what classes are called now.
        seed: of the folds.
        num_workers: processes that decode.
        max_bad: share of the images that may be unusable.
    """
    seen = [
        features_of(model, data, rows, store=project_store(project, model), num_workers=num_workers, max_bad=max_bad)
        for model in models
    ]
    both = seen if len(seen) == 1 else [_shared(seen[0], seen[1]), _shared(seen[1], seen[0])]
    features = both[0]
    tables = [_probabilities(m, f, data, lineage=lineage) for m, f in zip(models, both, strict=True)]
    labels = data.label_ids()[features.rows]
    likeliest = tables[0].argmax(axis=1)
    guessed = [data.class_names[k] for k in likeliest]
    rare = rarity(np.where(labels < 0, likeliest, labels), n_classes=len(data.class_names))
    open_ = labels < 0
    lists = [
        _suspects(features, labels, data, seed=seed),
        candidates_by_score("uncertain", np.where(open_, entropy(tables[0]), np.nan), suggestions=guessed),
        candidates_by_score("rare class", np.where(open_, rare, np.nan), share=0.5, above=_RARE, suggestions=guessed),
    ]
    if len(models) > 1:
        apart = jensen_shannon(tables[0], tables[1])
        lists.append(candidates_by_score("disagreement", apart, suggestions=guessed))
    return CandidatePool(
        features.rows, tuple(lists), Chosen(embeddings=_own_look(features.values, tables[0].argmax(axis=1)))
    )


def _shared(features: Features, other: Features) -> Features:
    """Those of images that the other model could use, too."""
    kept = np.isin(features.rows, other.rows)
    return Features(features.rows[kept], features.values[kept])


def _probabilities(
    model: ImageClassifier, features: Features, data: Manifest, *, lineage: Mapping[str, str]
) -> NDArray[np.float32]:
    """(N, C) by the classes of the data; 0 for those that the model does not know."""
    head = linear_head(model)
    with torch.inference_mode():
        logits = head.cpu()(torch.from_numpy(features.values)).float()
    names = current_names(model.class_names, lineage, known=data.class_names)
    table = remap_probabilities(torch.softmax(logits, dim=1).numpy(), names)
    place = {name: i for i, name in enumerate(data.class_names)}
    found = np.zeros((len(table), len(place)), np.float32)
    found[:, [place[name] for name in distinct(names)]] = table
    return found


def _suspects(features: Features, labels: NDArray[np.int64], data: Manifest, *, seed: int) -> Candidates:
    """Labels against which heads speak that did not train on them."""
    known = np.flatnonzero(labels >= 0)
    groups = data.column("group")[features.rows[known]].tolist()
    n_classes = len(data.class_names)
    table, told = out_of_fold(features.values[known], labels[known], groups, n_classes=n_classes, seed=seed)
    given = np.full(len(labels), -1, np.int64)
    given[known[told]] = labels[known[told]]
    everything = np.full((len(labels), n_classes), 1.0 / max(n_classes, 1))
    everything[known] = table
    return label_error_candidates(find_label_errors(given, everything), data.class_names)


def _own_look(values: NDArray[np.float32], likeliest: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the features minus the mean of their class: a trained network makes all images of a class alike."""
    rest = standardised(values)
    for k in np.unique(likeliest):
        rest[likeliest == k] -= rest[likeliest == k].mean(axis=0)
    return rest
