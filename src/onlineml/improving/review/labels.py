"""One pass of a classifier over a project's images: suspect labels, and images worth a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onlineml.improving.challenger.current_names import current_names, distinct, remap_probabilities
from onlineml.improving.review.candidates import CandidatePool, candidates_by_score
from onlineml.improving.review.duplicates import Chosen
from onlineml.improving.review.folds import out_of_fold, standardised
from onlineml.improving.review.label_errors import find_label_errors, label_error_candidates
from onlineml.improving.review.uncertainty import entropy, jensen_shannon, rarity
from onlineml.training.features import Features, features_of, linear_head, project_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.review.candidates import Candidates
    from onlineml.project.project import Project
    from onlineml.tasks.classification import ImageClassifier
    from onlineml.tasks.classifier import ClassifierModule

__all__ = ["RARE", "find_candidates", "own_look", "probabilities_of", "shared_features"]

RARE = 0.5  # a class with less than half of the images of the commonest


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
    seen = shared_features(project, models, data, rows, num_workers=num_workers, max_bad=max_bad)
    features = seen[0]
    tables = [
        probabilities_of(m, f, data, lineage=lineage, merged=remap_probabilities)
        for m, f in zip(models, seen, strict=True)
    ]
    labels = data.label_ids()[features.rows]
    likeliest = tables[0].argmax(axis=1)
    guessed = {
        "suggestions": [data.class_names[k] for k in likeliest],
        "confidences": tables[0].max(axis=1, initial=0.0),
    }
    rare = rarity(np.where(labels < 0, likeliest, labels), n_classes=len(data.class_names))
    open_ = labels < 0
    lists = [
        _suspects(features, labels, data, seed=seed),
        candidates_by_score("uncertain", np.where(open_, entropy(tables[0]), np.nan), **guessed),
        candidates_by_score("rare class", np.where(open_, rare, np.nan), share=0.5, above=RARE, **guessed),
    ]
    if len(models) > 1:
        apart = jensen_shannon(tables[0], tables[1])
        lists.append(candidates_by_score("disagreement", apart, **guessed))
    return CandidatePool(features.rows, tuple(lists), Chosen(embeddings=own_look(features.values, likeliest)))


def shared_features(
    project: Project,
    models: Sequence[ClassifierModule],
    data: Manifest,
    rows: NDArray[np.int64],
    *,
    num_workers: int,
    max_bad: float,
) -> list[Features]:
    """The features of one model, or of two for those images that both could use; see `find_candidates`."""
    seen = [
        features_of(
            model, data, rows, store=project_store(project.location, model), num_workers=num_workers, max_bad=max_bad
        )
        for model in models
    ]
    kept = [np.isin(one.rows, other.rows) for one, other in zip(seen, seen[::-1], strict=True)]
    return [Features(one.rows[mask], one.values[mask]) for one, mask in zip(seen, kept, strict=True)]


def probabilities_of(
    model: ClassifierModule,
    features: Features,
    data: Manifest,
    *,
    lineage: Mapping[str, str],
    merged: Callable[[NDArray[Any], Sequence[str | None]], NDArray[Any]],
) -> NDArray[np.float32]:
    """(N, C) by the classes of the data; 0 for those that the model does not know.

    Args:
        model: its last layer is what it says of features.
        features: of N images.
        data: names the classes.
        lineage: what classes are called now.
        merged: makes of the model's columns, and what each is called now, those of the classes that there are.
    """
    head = linear_head(model)
    with torch.inference_mode():
        logits = head.cpu()(torch.from_numpy(features.values)).float()
    names = current_names(model.class_names, lineage, known=data.class_names)
    table = merged(model.probabilities(logits).numpy(), names)
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


def own_look(values: NDArray[np.float32], likeliest: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the features minus the mean of their class: a trained network makes all images of a class alike."""
    rest = standardised(values)
    for k in np.unique(likeliest):
        rest[likeliest == k] -= rest[likeliest == k].mean(axis=0)
    return rest
