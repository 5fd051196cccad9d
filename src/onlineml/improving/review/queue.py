"""The review queue of a project: one pass of a model over its images, and one queue of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.checks import instance, names, share, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.arguments.counted import count
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import ConfigError
from onlineml.improving.review import few_labels
from onlineml.improving.review.candidates import Candidates
from onlineml.improving.review.ranking import rank
from onlineml.improving.review.result import Why
from onlineml.lazy import told_if_slow
from onlineml.project.project import Project
from onlineml.tasks import task_of
from onlineml.tasks.base import VisionModule
from onlineml.tasks.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.improving.review.candidates import CandidatePool
    from onlineml.improving.review.result import ReviewQueue
    from onlineml.registry.versions import ModelVersion

__all__ = ["review_queue", "with_images"]


def review_queue(
    project: Project,
    *,
    n: int = 50,
    model: VisionModule | ModelVersion | str = "auto",
    against: VisionModule | ModelVersion | str | None = None,
    data: Manifest | None = None,
    splits: Sequence[str] = ("train", "val", "test"),
    random_share: float = 0.2,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float | None = None,
) -> ReviewQueue:
    """Return the images that a person should check next, from one pass of a model over them.

    The queue contains images with conflicting annotations (first), images whose label or boxes are probably wrong,
    unannotated images where the model is uncertain or predicts a rare class, images on which two models disagree, and
    a random share, without near-duplicates and what was reviewed. Labels are checked by heads that were not trained on
    the image or its group, see `onlineml.improving.review.folds.out_of_fold`; boxes by the model that learned them.

    Before there is a champion, it contains photos that stand for many others, and, once two classes are answered, for
    many about which a head of the answers is in doubt, each with a suggestion ("model of 40 answers says cat, 93 %")
    that is nobody's answer. The random share is taken from val and test, which will measure the first model.

    Args:
        project: with the images.
        n: length of the queue; it is shorter if there are fewer candidates and random images.
        model: a model, a version of the project, or an alias or number of one; ``"auto"``: the champion, if any.
        against: a second model, such as ``"challenger"``, to find images on which the two disagree.
        data: a frozen dataset of the project; None freezes the present state.
        splits: the splits to consider. Correcting test labels that a model selected biases the test slightly towards
            that model; correcting random ones does not.
        random_share: see `onlineml.improving.review.ranking`.
        seed: of the random share and of the folds.
        num_workers: processes that decode; 0 is a thread.
        max_bad: share of the images that may be unusable, 0..1; by default the project's.

    Returns:
        The queue. `Why.object_row` is an index among the image's annotated boxes.

    Raises:
        NotFoundError: the model does not exist.
        ConfigError: an argument is invalid, a model is of another task, or its network has no linear last layer.
        TooManyBadImagesError: more than `max_bad` of the images are unusable.
    """
    n, num_workers = _checked(project, data, n=n, num_workers=num_workers, max_bad=max_bad)
    splits, seed = names("splits", splits, known=SPLITS), seed_("seed", seed)
    random_share = share("random_share", random_share)
    models = _models(project, model, against)
    frozen = project.freeze(max_bad=max_bad) if data is None else data
    rows = np.flatnonzero(np.isin(np.asarray(frozen.column("split"), dtype=object), list(splits)))
    state, bad = project.labels.state(), project.datasets.max_bad() if max_bad is None else max_bad
    done = _answered(state, [str(image_id) for image_id in frozen.column("image_id")[rows]])
    how: dict[str, Any] = {"seed": seed, "num_workers": num_workers, "max_bad": bad}
    pool = _pool(project, models, frozen, rows, n=n, done=done, lineage=state.lineage, how=how)
    ids = [str(image_id) for image_id in frozen.column("image_id")[pool.rows]]
    lists = [_conflicts(state, ids), *pool.candidates]
    kept: dict[str, Any] = {"chosen": pool.chosen, "drawn_from": pool.drawn, "done": done}
    queue = rank(lists, ids, limit=n, random_share=random_share, seed=seed, **kept)
    return with_images(queue, frozen.take(pool.rows[[item.row for item in queue]]), pool.remark)


def _models(project: Project, model: Any, against: Any) -> list[Any]:
    """The models, loaded; none for ``"auto"`` before there is a champion."""
    if isinstance(model, str) and model == "auto":
        model = "champion" if against is not None else project.champion()
    return [found_model(project, one) for one in (model, against) if one is not None]


def _pool(
    project: Project,
    models: Sequence[Any],
    data: Manifest,
    rows: NDArray[np.int64],
    *,
    n: int,
    done: Sequence[str],
    lineage: Mapping[str, str],
    how: Mapping[str, Any],
) -> CandidatePool:
    """Candidates by the models or, without one, by a head of the answers."""
    if not models:
        with told_if_slow("Looking at the photos that are new, each once; the next queue is quicker"):
            return few_labels.find_candidates(project, data, rows, n=n, done=done, **how)
    with told_if_slow(f"Comparing the model with the labels of {count(len(rows), 'image')}; the next queue is quicker"):
        found: CandidatePool = task_of(project).load("candidates")(project, models, data, rows, lineage=lineage, **how)
    return found


def with_images(queue: ReviewQueue, data: Manifest, remark: str) -> ReviewQueue:
    """Return the queue with its images, and with the present label in each reason."""
    names = data.column(data.kind.names)
    items = [
        replace(item, whys=tuple(replace(why, label=_label(data, own, why)) for why in item.whys))
        for item, own in zip(queue, names, strict=True)
    ]
    return replace(queue, items=tuple(items), data=data, remark=remark)


def _label(data: Manifest, own: Any, why: Why) -> str:
    """The present label of what is suspect: of a box, or of the image."""
    if why.object_row >= 0:
        return str(own[why.object_row])
    return "" if own is None or why.box_xyxy is not None else data.kind.title([own] if isinstance(own, str) else own)


def _checked(
    project: Project, data: Manifest | None, *, n: int, num_workers: int, max_bad: float | None
) -> tuple[int, int]:
    share("max_bad", max_bad, optional=True)
    instance("project", project, Project, "a project; Project.open(url) opens one")
    if data is not None:
        instance("data", data, Manifest, "a frozen dataset, such as project.freeze() made, or None")
    return whole("n", n, of="images"), whole("num_workers", num_workers)


def found_model(project: Project, model: VisionModule | ModelVersion | str) -> Any:
    """Return a model, loaded if it is given by version, alias or number.

    Raises:
        NotFoundError: the model does not exist.
        ConfigError: it is of another task than the project.
    """
    if isinstance(model, str):
        model = project.models.get(model)
    if not isinstance(model, VisionModule):
        model = load_model(model)
    if model.task != project.task:
        raise ConfigError(f"the model's task is {model.task!r}; expected the project's, {project.task!r}")
    return model


def _conflicts(state: Annotations, ids: Sequence[str]) -> Candidates:
    place = {image_id: i for i, image_id in enumerate(ids)}
    whys = [Why("conflict", place[image_id], 1.0) for image_id in state.conflicts if image_id in place]
    return Candidates("conflict", tuple(whys), urgent=True)


def _answered(state: Annotations, ids: Sequence[str]) -> list[str]:
    """Images that a person reviewed after their import or upload, without a conflict."""
    at = pc.index_in(pa.array(ids, pa.string()), value_set=state.table["image_id"])
    events = state.provenance["event"].take(at)
    confirmed = pc.fill_null(pc.is_in(events, value_set=pa.array(["accepted", "corrected"])), False)
    places: NDArray[np.int64] = state.folded.images.places
    skipped = state.folded.skipped
    rows = at.fill_null(-1).to_pylist()
    return [
        image_id
        for image_id, row, sure in zip(ids, rows, confirmed.to_pylist(), strict=True)
        if image_id not in state.conflicts and (sure or (row >= 0 and skipped.get(image_id, -1) > places[row]))
    ]
