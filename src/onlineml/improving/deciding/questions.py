"""Log of questions: for two models, a sample of photos, those on which they differ and those on which they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow.compute as pc

from onlineml.arguments.counted import part_of
from onlineml.errors import DataError
from onlineml.evaluation.comparison.counts import paired_counts
from onlineml.evaluation.intervals import group_codes
from onlineml.improving.gate.leaks import trained_hashes
from onlineml.improving.gate.more import MorePhotos
from onlineml.storage.log.log import AppendLog
from onlineml.storage.log.typed import entries_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.project.project import Project
    from onlineml.storage.location import Location

__all__ = ["Difference", "Question", "QuestionLog", "answers_to", "not_sampled", "set_aside"]


class Difference(msgspec.Struct, frozen=True):
    """A photo on which two models differ.

    Attributes:
        image_id: in the project.
        champion: class that the champion says.
        challenger: class that the challenger says.
    """

    image_id: str
    champion: str
    challenger: str


class Question(msgspec.Struct, frozen=True):
    """A random sample of photos, for two models.

    Attributes:
        champion: name of the version.
        challenger: name of the version.
        differ: photos on which the two differ.
        agree: ids of the photos on which they say the same.
    """

    champion: str
    challenger: str
    differ: list[Difference]
    agree: list[str]


class QuestionLog:
    """The questions of a project, in ``log/questions``."""

    def __init__(self, project: Location) -> None:
        self._log = AppendLog(project / "log/questions")

    def add(self, question: Question) -> None:
        """Record a question, before anybody is asked."""
        record: dict[str, Any] = msgspec.to_builtins(question)
        self._log.append(record)

    def questions(self) -> list[Question]:
        """Return all questions, the latest last."""
        entries = entries_of(self._log.read(), Question, log=self._log.location, called="questions")
        return [msgspec.convert(entry.record, Question) for entry in entries]


def set_aside(project: Project, questions: Sequence[Question]) -> None:
    """Take the photos of questions, with their groups, out of the split ``test``; those that are out of it stay."""
    table = project.labels.state().table
    in_test = set(table.filter(pc.equal(table["split"], "test"))["image_id"].to_pylist())
    for one in questions:
        if ids := [photo.image_id for photo in one.differ if photo.image_id in in_test]:
            reason = f"asked for, to decide between {one.champion} and {one.challenger}"
            project.images.move_to_split(dict.fromkeys(ids), reason=reason)


def answers_to(question: Question, data: Manifest, state: Annotations, *, known: Collection[str]) -> MorePhotos:
    """Return what the labels of the photos on which two models differ say about their difference.

    Photos that are gone, that are also training images, or whose class one of the models does not know, are left out
    of the sample; those that a person skipped count as wrong with both.

    Args:
        question: with what both models said, in the names of then.
        data: frozen after the answers.
        state: of the same project.
        known: present names of the classes of both models.

    Raises:
        DataError: some are not labelled yet.
    """
    ids, labels = data.column("image_id"), data.column("label")
    place = {str(image_id): row for row, image_id in enumerate(ids)}
    apart = not_sampled(data)
    told = {one.image_id: one for one in question.differ}
    rows = [row for name in (*told, *question.agree) if (row := place.get(name)) is not None and not apart[row]]
    rows = [row for row in rows if labels[row] is None or labels[row] in known]
    asked = [row for row in rows if str(ids[row]) in told]
    open_ = [row for row in asked if labels[row] is None and str(ids[row]) not in state.folded.skipped]
    if open_:
        raise DataError(
            f"{part_of(len(open_), len(asked), 'photo is')} not answered yet, and a part of the answers decides "
            "nothing: label the rest of deciding_queue(project), or skip what cannot be told"
        )
    right = np.zeros((len(rows), 2), bool)  # where both say the same, it does not matter what is right
    for i, row in enumerate(rows):
        one = told.get(str(ids[row]))
        if one is not None and labels[row] is not None:
            right[i] = [state.lineage.get(name, name) == labels[row] for name in (one.champion, one.challenger)]
    codes, _ = group_codes(data.column("group")[rows].tolist(), n_images=len(rows))
    names = tuple(str(ids[row]) for row in rows)
    return MorePhotos(paired_counts(right[:, 0], right[:, 1], codes), names, n_labelled=len(asked))


def not_sampled(data: Manifest) -> NDArray[np.bool_]:
    """(N,) whether an image cannot be in a sample: it, its group or a copy is trained, validated or tested on."""
    splits, groups = (np.asarray(data.column(name), dtype=object) for name in ("split", "group"))
    learned = trained_hashes(data)
    known = np.isin(splits, ("train", "val")) | ((splits == "test") & data.kind.is_annotated(data.table))
    codes, n_groups = group_codes(groups.tolist(), n_images=len(data))
    used = np.bincount(codes[known], minlength=n_groups) > 0
    copies = np.array([content in learned for content in data.column("sha256")], bool)
    found: NDArray[np.bool_] = used[codes] | copies
    return found
