"""Answers of one person in a view: what its author had seen, and taking the last one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.storage.patience import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.annotations.state import Annotations
    from onlineml.project.project import Project

__all__ = ["Answer", "OwnAnswers", "seen_by"]


class Answer(NamedTuple):
    """Something that a person has said and can take back.

    Attributes:
        number: of the front end's message; begins with the name of the view that sent it.
        entries: ids of the log's entries, by image id; by class name for a new class.
        is_class: whether a class was created.
    """

    number: str
    entries: Mapping[str, str]
    is_class: bool = False

    def class_facts(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return what the front end is told of a class that was taken back: its name, and whether no image has it."""
        name = next(iter(self.entries))
        return {"class": name, "gone": name not in class_names}


class OwnAnswers:
    """The answers that one author gives to a project in all views of one widget, in their order.

    Args:
        project: the widget's own.
        author: of the entries.
    """

    def __init__(self, project: Project, author: str) -> None:
        self._project, self._author = project, author
        self._given: list[Answer] = []
        self._last: dict[str, str] = {}  # the entry that was written here last, by image id
        self._replaced: dict[str, set[str | None]] = {}  # the revisions that it has replaced
        self._read: Annotations | None = None

    def __len__(self) -> int:
        return sum(not one.is_class for one in self._given)

    @click
    def state(self) -> Annotations:
        """Read the project's present state."""
        self._read = self._project.labels.state()
        return self._read

    def revision(self, image_id: str, base: str | None) -> str | None:
        """Return the revision of an image that the author had seen, so that nobody contradicts himself.

        Args:
            image_id: the image.
            base: the revision that the view showed. The author's own answers since, given before the view heard of
                them, here or in another view, count as seen.
        """
        if base in self._replaced.get(image_id, ()):
            return self._last[image_id]
        return base if self._read is None else seen_by(self._author, self._read, image_id, base)

    def wrote(self, number: object, entries: Mapping[str, str], bases: Mapping[str, str | None]) -> None:
        """Note an answer that was written.

        Args:
            number: of the message.
            entries: of the log, by image id.
            bases: the revisions that the view showed.
        """
        self._given.append(Answer(str(number), entries))
        for image_id, entry in entries.items():
            replaced = self._replaced.setdefault(image_id, set())
            replaced |= {bases.get(image_id), self._last.get(image_id, bases.get(image_id))}
            self._last[image_id] = entry

    def add_class(self, name: str, number: object) -> bool:
        """Create a class; return whether it is new."""
        entry = self._project.classes.add(name, author=self._author)
        if entry is not None:
            self._given.append(Answer(str(number), {name: entry}, is_class=True))
        return entry is not None

    def take_back(self, number: str | None) -> Answer | None:
        """Undo an answer in the log.

        Args:
            number: of its message; None: the last one.

        Returns:
            The answer; None if there is no such one.
        """
        answer = next((one for one in reversed(self._given) if number in {None, one.number}), None)
        if answer is None:
            return None
        for entry in reversed(list(answer.entries.values())):
            self._project.labels.undo(entry, author=self._author)
        self._given.remove(answer)
        if not answer.is_class:
            for image_id in answer.entries:
                self._last.pop(image_id, None)
                self._replaced.pop(image_id, None)
        return answer

    def has_answered(self, image_id: str) -> bool:
        """Return whether an answer about an image was given here and not taken back."""
        return any(image_id in one.entries for one in self._given if not one.is_class)


def seen_by(author: str, state: Annotations, image_id: str, base: str | None) -> str | None:
    """Return the revision that an author has seen: the present one if nobody else said anything since `base`.

    Args:
        author: who has seen `base`, and knows what he said himself since.
        state: the present one.
        image_id: the image.
        base: the revision that was shown.
    """
    present = state.revision(image_id)
    if base is None or present is None or present == base:
        return base
    seen = set(base.split())
    rows = state.history(image_id)
    places = [place for place, entry in enumerate(rows["entry"]) if entry in seen]
    if not places:
        return base
    since = rows.iloc[max(places) + 1 :]
    claims = since["event"].isin([*state.kind.claim_events, "deleted", "restored"])
    others = claims & (since["author"] != author) & (since["undone"] == "")
    return base if others.any() else present
