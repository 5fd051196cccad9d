"""The queue of a project without a model: photos that stand for others, then those that a head of the answers doubts.

Photos are embedded once, by a published network; a linear head is fitted to the answers in seconds. It is used for
this queue alone: neither the head nor its suggestions are trained on or published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch import nn

from onlineml.improving.review.candidates import CandidatePool, Candidates
from onlineml.improving.review.diversity import representatives
from onlineml.improving.review.result import Why
from onlineml.tasks import task_of
from onlineml.tasks.classifier import ClassifierModule
from onlineml.training.embedding import embedder, unannotated
from onlineml.training.features import features_of, project_store
from onlineml.training.probe import moments, probe_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.project.project import Project
    from onlineml.tasks.base import VisionModule

__all__ = ["Judged", "find_candidates", "judge"]

_MOST = 20_000  # photos that are embedded and looked at: always the same ones of a larger project


class Judged(NamedTuple):
    """Answers of a head, fitted to those of people, about N photos.

    Attributes:
        names: (N) the likeliest class of each.
        confidences: (N,) its probability.
        doubts: (N,) how close the two likeliest classes are, 0..1; of sets, the number of labels expected to be wrong.
        n_answers: the number of photos that the head was fitted to.
    """

    names: list[str]
    confidences: NDArray[np.float64]
    doubts: NDArray[np.float64]
    n_answers: int


def find_candidates(
    project: Project,
    data: Manifest,
    rows: NDArray[np.int64],
    *,
    n: int,
    done: Sequence[str],
    seed: int,
    num_workers: int,
    max_bad: float,
) -> CandidatePool:
    """Find photos to annotate in a project without a model.

    Photos of val and test are asked for at random alone, so that they measure the first model without a bias. If all
    photos are in these splits, or none is, all are asked for both ways.

    Args:
        project: keeps the features.
        data: the images.
        rows: of those to look at; of more than 20,000, a part that is always the same, with all annotated ones.
        n: length of the queue.
        done: ids of images that are not asked for again, such as skipped ones.
        seed: of samples of many images.
        num_workers: processes that decode.
        max_bad: share of the images that may be unusable.
    """
    model = embedder()
    rows, store = _at_most(data, rows), project_store(project.location, model)
    bare = unannotated(data)
    features = features_of(model, bare, rows, store=store, num_workers=num_workers, max_bad=max_bad)
    own = data.take(features.rows)
    split, annotated = np.asarray(own.column("split"), dtype=object), own.kind.is_annotated(own.table)
    measures = np.isin(split, ("val", "test"))
    measures &= not measures.all()
    judged = judge(own, features.values, annotated & (split != "test"))
    found = representatives(
        features.values,
        np.where(measures | np.isin(own.column("image_id"), list(done)), 0.0, 1.0 if judged is None else judged.doubts),
        n=n,
        known=annotated,
        groups=own.column("group").tolist(),
        seed=seed,
    )
    whys = tuple(_why(row, gain, judged) for row, gain in zip(found.rows, found.gains, strict=True))
    drawn = np.flatnonzero(~annotated & (measures | ~measures.any()))
    remark = model.origin.remark
    lists = (Candidates(whys[0].reason, whys),) if whys else ()
    return CandidatePool(features.rows, lists, None, drawn, remark)


def _at_most(data: Manifest, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows, or of too many the annotated ones and others, by hashes, so that images that come change little."""
    if len(rows) <= _MOST:
        return rows
    annotated = data.kind.is_annotated(data.table.take(rows))
    hashes = np.array([crc32(str(image_id).encode()) for image_id in data.column("image_id")[rows]], np.uint32)
    return np.sort(rows[np.lexsort((hashes, ~annotated))[:_MOST]])


def _why(row: int, gain: float, judged: Judged | None) -> Why:
    if judged is None:
        return Why("typical", row, gain, label=None)
    name, sure = judged.names[row], float(judged.confidences[row])
    return Why("uncertain", row, gain, suggestion=name, confidence=sure, n_answers=judged.n_answers)


def judge(data: Manifest, features: NDArray[np.float32], taught: NDArray[np.bool_]) -> Judged | None:
    """Judge photos by a linear head that is fitted to the features of those that are annotated.

    The features are standardised by all photos, annotated or not: of 200 answers about hand signs, that is worth three
    points.

    Args:
        data: N images.
        features: (N, F).
        taught: (N,) the images to fit the head to.

    Returns:
        None as long as the answers cannot teach a head: there is no class that some photos have and others lack, or
        the task has no head over whole photos.
    """
    task = task_of(data)
    module: type[VisionModule] = task.load("module")
    if not issubclass(module, ClassifierModule) or len(data.class_names) < module.least_classes or not taught.any():
        return None
    head = nn.Linear(features.shape[1], len(data.class_names))
    model = module(class_names=data.class_names, backbone=head)
    images = task.load("datamodule")(data, size_hw=(8, 8), cache=False)
    labels = torch.from_numpy(images.labels[taught])
    table = model.table_of(labels)
    told = ((table == 1).any(0) & (table == 0).any(0)).numpy()
    if not told.any():
        return None
    seen = torch.from_numpy(features)
    probe_head(model, head, (seen[torch.from_numpy(taught)], labels), None, scale=moments(seen))
    with torch.inference_mode():
        found = model.probabilities(head(seen)).double().numpy()
    found[:, ~told] = 0.0
    second, first = np.sort(found, axis=1)[:, -2:].T if found.shape[1] > 1 else (0.0, found[:, 0])
    doubts = np.minimum(found, 1 - found).sum(axis=1) if data.kind.one_by_one else 1 - (first - second)
    names = [data.class_names[k] for k in found.argmax(axis=1)]
    return Judged(names, found.max(axis=1), doubts, int(taught.sum()))
