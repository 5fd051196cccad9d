"""The interface of every kind of annotation, so that no other code has to distinguish tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.compute as pc

from onlineml.data.annotations.entries import CLAIM_EVENTS
from onlineml.data.annotations.heads import resolve_claims
from onlineml.data.kinds.tables import AnnotatedTables
from onlineml.data.manifest.examples import examples
from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.heads import Claim, Resolution
    from onlineml.data.annotations.resolve import HumanAnnotations
    from onlineml.data.annotations.state import Annotations

__all__ = ["AnnotationKind", "checked_scores", "counted_names"]


class AnnotationKind(AnnotatedTables):
    """The kind of annotation of a task's images. A kind has no state; its methods take tables and values.

    Throughout, a *value* is given by a person or a program for one image, *facts* are the content of a record of the
    log about it (plain JSON), and a *row* is the image's row of the manifest's table, as a dictionary by column.

    Attributes:
        task: the name of the task.
        columns: those of its manifests, besides those of every manifest (`onlineml.data.manifest.schema.COLUMNS`).
        key: the column that is null for unannotated images.
        names: the column of class names: a text, or a list of texts, for each image.
        argument: the parameter for an annotation, as in ``upload(label=...)``.
        one_by_one: what `counts` counts instead of images, such as ``"boxes"``.
        aside: the keys of `counts` that count images; the first: images without any.
        label_alone: whether a class name is a complete annotation, so that images can be uploaded with it.
        claim_events: the events of the log with a person's annotation.
        guess_schema: the columns of a table of suggestions.
        guessed: the column of a table of suggestions with all class names in lists.
    """

    argument: ClassVar[str]
    claim_events: ClassVar[tuple[str, ...]] = CLAIM_EVENTS
    guess_schema: ClassVar[pa.Schema]
    guessed: ClassVar[str]

    def __repr__(self) -> str:
        return f"<annotations of the task {self.task!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        from onlineml.data.kinds import kind_of  # noqa: PLC0415 (it imports this)

        return kind_of, (self.task,)

    # ---- annotations by people ----

    @abstractmethod
    def parsed(self, value: Any, *, name: str) -> dict[str, Any]:
        """The facts of a value; None means not annotated.

        Args:
            value: the user's.
            name: the image, for messages.

        Raises:
            DataError: it is not an annotation of this kind.
        """

    @abstractmethod
    def labels_in(self, facts: Mapping[str, Any]) -> list[str]:
        """The class names in facts."""

    def completed(self, facts: dict[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        """Complete the facts of a record, given the image's row.

        Raises:
            DataError: they are invalid for this image.
        """
        return facts

    @abstractmethod
    def confirms(self, facts: Mapping[str, Any], row: Mapping[str, Any], lineage: Mapping[str, str]) -> bool:
        """Return True if facts equal the present annotation of the image, possibly under former names of classes."""

    def claims(self, state: Annotations, values: Mapping[str, Any]) -> list[Facts]:
        """Return the records of a person's annotations, by image id; None means not annotated.

        Setting an image's present annotation accepts it.

        Args:
            state: the state that the person sees.
            values: a label; or a pair (boxes_xyxy, labels); see the kind.

        Raises:
            DataError: an image does not exist, or a value is malformed.
            UnknownClassError: a label is not one of the classes.
        """
        parsed = {image_id: self.parsed(value, name=image_id) for image_id, value in values.items()}
        state.require_images(parsed)
        state.require_classes(label for facts in parsed.values() for label in self.labels_in(facts))
        found: list[Facts] = []
        for (image_id, facts), row in zip(parsed.items(), self._rows(state, list(parsed)), strict=True):
            event = "accepted" if self.confirms(facts, row, state.lineage) else "corrected"
            found.append((event, {"image_id": image_id, **self.completed(facts, row)}))
        return found

    def added(self, state: Annotations, values: Mapping[str, Any]) -> list[Facts]:
        """Return the records of a person who adds class names to images, by image id.

        Raises:
            ConfigError: the task is not multi-label.
        """
        raise ConfigError(f"images of the task {self.task!r} have no set of labels: set the whole annotation")

    def removed(self, state: Annotations, values: Mapping[str, Any]) -> list[Facts]:
        """As `added`, for class names that do not apply."""
        raise ConfigError(f"images of the task {self.task!r} have no set of labels: set the whole annotation")

    def accepted(
        self, guess: Mapping[str, Any], row: Mapping[str, Any], chosen: Sequence[int] | None
    ) -> dict[str, Any]:
        """The facts of accepting a suggestion, or else the image's present annotation.

        Args:
            guess: a row of a table of suggestions; empty if there is none.
            row: the image.
            chosen: indices of suggested parts to add to the image's own; None replaces them by all.

        Raises:
            DataError: there is nothing to accept.
        """
        facts = self._guess_or_row(guess, row, chosen)
        if None in facts.values():
            name = row["image_id"]
            raise DataError(f"there is nothing to accept for {name}: it has no label and no open suggestion")
        return self.completed(facts, row)

    @abstractmethod
    def _guess_or_row(
        self, guess: Mapping[str, Any], row: Mapping[str, Any], chosen: Sequence[int] | None
    ) -> dict[str, Any]:
        """See `accepted`; None if not annotated."""

    @abstractmethod
    def split(self, row: Mapping[str, Any], name: str, new: Any) -> dict[str, Any]:
        """The facts of an image that is moved from a class to others.

        Args:
            row: the image.
            name: the class.
            new: the new class; or several, see the kind.

        Raises:
            DataError: the image is not of that class.
        """

    def of_sources(self, sources: Sequence[str], value: Any) -> list[dict[str, Any] | None]:
        """The facts of each of several new images; None for images without annotation.

        Args:
            sources: their names, for messages.
            value: of each image.

        Raises:
            DataError: it is not an annotation of this kind.
        """
        return [None if value is None else self.parsed(value, name=name) for name in sources]

    def argument_of(self, given: Mapping[str, Any], *, of: str) -> Any:
        """The value of this kind's `argument` among several; None if it is not given.

        Args:
            given: values by name.
            of: the function, for messages.

        Raises:
            ConfigError: another one is given.
        """
        for wrong, value in given.items():
            if value is not None and wrong != self.argument:
                raise ConfigError(f"the project's task is {self.task!r}: pass {of}({self.argument}=), not {wrong}=")
        return given.get(self.argument)

    @abstractmethod
    def of_label(self, label: str | None) -> Any:
        """The annotation value for a single label; None for None.

        Raises:
            ConfigError: a label is not a complete annotation.
        """

    # ---- state of a log ----

    @abstractmethod
    def uploaded(self, entries: Entries, rows: Rows) -> dict[str, Any]:
        """The value columns of uploads, null without annotation.

        Raises:
            StorageError: an entry is damaged; the message names it.
        """

    @abstractmethod
    def require_claims(self, entries: Entries, rows: Rows) -> None:
        """Check that entries contain an annotation, or null.

        Raises:
            StorageError: one does not; the message names it.
        """

    @abstractmethod
    def meanings(self, entries: Entries, rows: Rows, present: Callable[[str], str | None]) -> list[Any]:
        """Return the content of entries as comparable values.

        Args:
            entries: those of the log.
            rows: the entries to read.
            present: returns the present name of a class by any of its names.
        """

    def resolve(self, claims: Sequence[Claim], expected_revisions: Mapping[str, str | None]) -> Resolution:
        """Resolve the claims about one image; see `onlineml.data.annotations.heads.resolve_claims`."""
        return resolve_claims(claims, expected_revisions)

    @abstractmethod
    def resolved(
        self, entries: Entries, human: HumanAnnotations, table: pa.Table, present: Callable[[str], str | None]
    ) -> dict[str, Any]:
        """The value columns of the images that people annotated, ``human.rows`` of the table."""

    # ---- suggestions of models ----

    def names_guessed(self, table: pa.Table) -> list[str]:
        """All class names in a table of suggestions."""
        return [str(name) for name in pc.unique(pc.list_flatten(table[self.guessed])).to_pylist()]

    @abstractmethod
    def guess(self, image_id: str, guess: Any) -> dict[str, Any] | None:
        """A row of a table of suggestions; None if there is no prediction for the image.

        Raises:
            DataError: it is not a prediction of this task.
        """

    def _rows(self, state: Annotations, image_ids: Sequence[str]) -> list[dict[str, Any]]:
        columns = dict.fromkeys(["image_id", "width", "height", *self.value_columns(state.table)])
        return state.rows(image_ids, columns=list(columns))


def checked_scores(scores: Iterable[Any], image_id: str) -> list[float]:
    """Scores as numbers.

    Raises:
        DataError: one is not between 0 and 1.
    """
    numbers = [float(score) for score in scores]
    if not all(0 <= number <= 1 for number in numbers):
        raise DataError(f"the scores for {image_id} must be numbers between 0 and 1; found {examples(numbers)}")
    return numbers


def counted_names(labels: Iterable[str | None]) -> str:
    """Return the number of occurrences of each label, such as ``"2 cat, 1 dog"``."""
    return ", ".join(f"{n} {label}" for label, n in Counter(labels).items())
