"""One pass of a multi-label classifier over a project's images: suspect labels, and images worth labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.kinds.labels import multi_hot
from onlineml.evaluation.multilabel.inputs import DEFAULT_THRESHOLD
from onlineml.improving.challenger.current_names import current_names, remap_thresholds
from onlineml.improving.challenger.multilabel import merged_columns
from onlineml.improving.review.candidates import CandidatePool, Candidates, candidates_by_score
from onlineml.improving.review.duplicates import Chosen
from onlineml.improving.review.folds import Folds
from onlineml.improving.review.label_errors import find_label_errors, label_error_candidates
from onlineml.improving.review.labels import RARE, own_look, probabilities_of, shared_features
from onlineml.improving.review.uncertainty import jensen_shannon

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.review.result import Why
    from onlineml.project.project import Project
    from onlineml.tasks.multilabel import MultilabelClassifier
    from onlineml.training.features import Features

__all__ = ["find_candidates"]


def find_candidates(
    project: Project,
    models: Sequence[MultilabelClassifier],
    data: Manifest,
    rows: NDArray[np.int64],
    *,
    lineage: Mapping[str, str],
    seed: int,
    num_workers: int,
    max_bad: float,
) -> CandidatePool:
    """Judge annotated and other images by one model, or two; see `onlineml.improving.review.labels.find_candidates`.

    An image is as uncertain as the number of its labels that are expected to be decided wrongly.
    """
    seen = shared_features(project, models, data, rows, num_workers=num_workers, max_bad=max_bad)
    tables = [
        probabilities_of(m, f, data, lineage=lineage, merged=merged_columns) for m, f in zip(models, seen, strict=True)
    ]
    features, table = seen[0], tables[0]
    there = data.table.take(features.rows)
    truth, annotated = multi_hot(there, data.class_names), data.kind.is_annotated(there)
    guessed = [data.class_names[k] for k in table.argmax(axis=1)]
    rare = (_shown(models[0], table, data, lineage=lineage) * _rarity(truth)).max(axis=1, initial=0.0)
    doubt = np.minimum(table, 1 - table).sum(axis=1)
    lists = [
        _suspects(features, truth, annotated, data, seed=seed),
        candidates_by_score(
            "uncertain",
            np.where(annotated, np.nan, doubt),
            suggestions=guessed,
            confidences=table.max(axis=1, initial=0.0),
        ),
        candidates_by_score("rare class", np.where(annotated, np.nan, rare), share=0.5, above=RARE),
    ]
    if len(models) > 1:
        pairs = [np.stack([one, 1 - one], axis=-1).reshape(-1, 2) for one in tables]
        apart = jensen_shannon(*pairs).reshape(table.shape).max(axis=1, initial=0.0)
        lists.append(candidates_by_score("disagreement", apart))
    return CandidatePool(
        features.rows, tuple(lists), Chosen(embeddings=own_look(features.values, table.argmax(axis=1)))
    )


def _shown(
    model: MultilabelClassifier, table: NDArray[np.float32], data: Manifest, *, lineage: Mapping[str, str]
) -> NDArray[np.bool_]:
    """(N, C) whether the model gives each label."""
    chosen = remap_thresholds(model, current_names(model.class_names, lineage, known=data.class_names)) or {}
    return table >= np.array([chosen.get(name, DEFAULT_THRESHOLD) for name in data.class_names])


def _rarity(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C,) one minus the number of images of each class by that of the commonest."""
    counts = truth.sum(axis=0)
    rare: NDArray[np.float64] = 1 - counts / max(counts.max(initial=0), 1)
    return rare


def _suspects(
    features: Features, truth: NDArray[np.bool_], annotated: NDArray[np.bool_], data: Manifest, *, seed: int
) -> Candidates:
    """Labels that are missing or wrong by heads that did not train on them, each class against its absence."""
    known = np.flatnonzero(annotated)
    groups = data.column("group")[features.rows[known]].tolist()
    folds = Folds(features.values[known], groups, seed=seed)
    whys: list[Why] = []
    for name, own in zip(data.class_names, truth[known].T.astype(np.int64), strict=True):
        table, told = folds.judge(own, n_classes=2)
        given = np.full(len(truth), -1, np.int64)
        given[known[told]] = own[told]
        everything = np.full((len(truth), 2), 0.5)
        everything[known] = table
        errors = find_label_errors(given, everything)
        whys += label_error_candidates(errors, (f"without {name}", f"with {name}")).whys
    whys.sort(key=lambda why: (why.reason != "label error", -why.score))
    return Candidates("label error", tuple(whys))
