"""The review queue of the photos that decide between champion and challenger."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.checks import instance, whole
from onlineml.arguments.counted import count
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation.intervals import group_codes
from onlineml.improving.deciding.questions import Difference, Question, QuestionLog, not_sampled, set_aside
from onlineml.improving.recipe import Recipe
from onlineml.improving.review.queue import with_images
from onlineml.improving.review.result import ReviewItem, ReviewQueue, Why
from onlineml.lazy import told_if_slow
from onlineml.project.project import Project
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.registry.versions import ModelVersion

__all__ = ["DECIDES", "deciding_queue", "two_versions"]

DECIDES = "decides"
_RECIPE = Recipe()


def deciding_queue(
    project: Project, *, n: int = 50, challenger: str = "challenger", recipe: Recipe = _RECIPE
) -> ReviewQueue:
    """Return the photos whose labels decide whether a challenger is better than the champion.

    Where two models say the same, they are right or wrong together, and the photo's label does not matter. So of a
    random sample of the unlabelled photos of the split ``test``, only those on which the two differ are asked for: at a
    disagreement of 8 %, 40 answers are worth 500 labelled test photos. Answer all of them, in any widget, without
    looking up what the models say; then `decide`.

    The photos of the queue, with their groups, leave the split ``test`` for none: selected as they are, they would make
    every score on it too low. Of a later pair of models, only those on which it differs and that have no label yet are
    asked for. Leave them where they are, or the sample is not random any more.

    Args:
        project: for image classification, with a champion.
        n: maximum number of photos to ask for, up to the rest of a group.
        challenger: alias or number of a version.
        recipe: of which only `backbone`, `max_bad` and `num_workers` are used, to look at the photos.

    Returns:
        The queue; empty if the two models say the same about every photo.

    Raises:
        NotFoundError: there is no such version, or no champion.
        ConfigError: the project is of another task, an argument is invalid, or both versions are the same.
        DataError: the split ``test`` has no unlabelled photo whose group has no labelled one.
        TooManyBadImagesError: more images are bad than the recipe allows.
    """
    instance("project", project, Project, "a project; Project.open(url) opens one")
    instance("recipe", recipe, Recipe, "a Recipe, such as Recipe(num_workers=2)")
    n = whole("n", n, least=1, of="images")
    champion, other = two_versions(project, challenger)
    log = QuestionLog(project.location)
    before = log.questions()
    set_aside(project, before)  # of a call that was killed
    data = project.freeze(max_bad=recipe.max_bad)
    pool = _pool(data, before)
    with told_if_slow(f"Comparing what the two models say about {count(len(pool), 'photo')}"):
        said = task_of(project).load("answers")(project, (champion, other), data, pool, recipe=recipe)
    rows = _sample(data, said, n=n)
    differ = [row for row in rows if len(set(said[row])) > 1]
    ids = data.column("image_id")
    question = Question(
        champion.version,
        other.version,
        [Difference(str(ids[row]), *said[row]) for row in differ],
        [str(ids[row]) for row in rows if len(set(said[row])) == 1],
    )
    log.add(question)
    set_aside(project, [question])
    labels, skipped = data.column("label"), project.labels.state().folded.skipped
    return _queue(data, [row for row in differ if labels[row] is None and str(ids[row]) not in skipped], question)


def two_versions(project: Project, challenger: str) -> tuple[ModelVersion, ModelVersion]:
    """Return champion and challenger of a project for a task whose models give equal answers.

    Raises:
        NotFoundError: there is no such version, or no champion.
        ConfigError: the project is of another task, or both are the same.
    """
    if not task_of(project).answers:
        raise ConfigError(
            f"the project is for {project.task}: of two such models it cannot be told, without a label, that they are "
            "right or wrong together, as of two that name one class for a photo; label test photos instead"
        )
    champion, other = project.models.get("champion"), project.models.get(challenger)
    if champion.version == other.version:
        raise ConfigError(f"challenger={challenger!r} is {other.version}, the champion: expected another version")
    return champion, other


def _pool(data: Manifest, questions: Sequence[Question]) -> NDArray[np.int64]:
    """Rows of the unlabelled test photos, and of those that were asked for before: drawn like the test photos."""
    splits = np.asarray(data.column("split"), dtype=object)
    before = {one.image_id for question in questions for one in question.differ}
    codes, n_groups = group_codes(data.column("group").tolist(), n_images=len(data))
    asked = np.array([str(image_id) in before for image_id in data.column("image_id")], bool)
    with_asked = np.bincount(codes[asked], minlength=n_groups)[codes] > 0  # a group leaves the split as a whole
    aside = with_asked & ~np.isin(splits, SPLITS)
    rows = np.flatnonzero(((splits == "test") | aside) & ~not_sampled(data))
    if not len(rows):
        raise DataError(
            "the split 'test' has no unlabelled photo to decide by (photos with a labelled one in their group do not "
            "count): upload more photos, of which a share goes to 'test'"
        )
    return rows


def _sample(data: Manifest, said: dict[int, tuple[str, ...]], *, n: int) -> list[int]:
    """Rows of whole groups in a random order, until n photos without a label are among those that differ."""
    rows = np.array(sorted(said), np.int64)
    labels, names = data.column("label"), data.column("image_id")
    codes, n_groups = group_codes(data.column("group")[rows].tolist(), n_images=len(rows))
    by_group = np.argsort(codes, kind="stable")
    groups = np.split(rows[by_group], np.searchsorted(codes[by_group], np.arange(1, n_groups)))
    found: list[int] = []
    n_asked = 0
    for own in sorted(groups, key=lambda own: sha256(str(min(names[own])).encode()).digest()):
        if n_asked >= n:
            break
        found += own.tolist()
        n_asked += sum(labels[row] is None and len(set(said[row])) > 1 for row in own.tolist())
    return found


def _queue(data: Manifest, rows: list[int], question: Question) -> ReviewQueue:
    own = data.take(np.array(rows, np.int64))
    items = tuple(
        ReviewItem(str(image_id), i, (Why(DECIDES, i, 1.0),), is_random=False)
        for i, image_id in enumerate(own.column("image_id"))
    )
    n_seen = len(question.differ) + len(question.agree)
    remark = (
        f"{question.champion} and {question.challenger} differ on {len(question.differ):,} of "
        f"{count(n_seen, 'photo')}; when all are answered, onlineml.decide(project) looks again"
    )
    return with_images(ReviewQueue(items, n_seen, len(rows), 0, 0), own, remark)
