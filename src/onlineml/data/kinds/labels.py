"""A set of labels per image, for multi-label classifiers.

Null means not annotated, an empty list that no label applies. Sets are stored as sorted lists of unique names. People
set the whole set, or add and remove single labels; concurrent changes of different labels do not conflict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count, tally
from onlineml.data.annotations.entries import CLAIM_EVENTS, mask_of, one_chunk
from onlineml.data.annotations.images import renamed
from onlineml.data.annotations.label_sets import (
    ADDED,
    LISTS,
    REMOVED,
    as_sets,
    label_lists,
    meanings,
    resolve_labels,
    resolved_labels,
)
from onlineml.data.kinds.base import AnnotationKind, checked_scores
from onlineml.data.manifest.boxes import lists_of
from onlineml.data.manifest.edits import NO_SPLIT, UNLABELLED, require_known, rows_of
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.heads import Claim, Resolution
    from onlineml.data.annotations.resolve import HumanAnnotations
    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["LABELS", "NO_LABELS", "LabelsKind", "multi_hot"]

NO_LABELS = "(no labels)"


class LabelsKind(AnnotationKind):
    """An image has a set of labels; a value is an iterable of class names, or None."""

    task: ClassVar[str] = "multilabel"
    columns: ClassVar[Mapping[str, pa.DataType]] = {"labels": LISTS}
    key: ClassVar[str] = "labels"
    names: ClassVar[str] = "labels"
    argument: ClassVar[str] = "labels"
    one_by_one: ClassVar[str] = "labels"
    aside: ClassVar[tuple[str, ...]] = (NO_LABELS, UNLABELLED)
    claim_events: ClassVar[tuple[str, ...]] = (*CLAIM_EVENTS, ADDED, REMOVED)
    guess_schema: ClassVar[pa.Schema] = pa.schema(
        [("image_id", pa.string()), ("labels", LISTS), ("scores", pa.list_(pa.float64()))]
    )
    guessed: ClassVar[str] = "labels"

    # ---- a manifest's table ----

    def normalised(self, table: pa.Table, problems: list[str]) -> dict[str, pa.Array]:
        """See `AnnotationKind.normalised`; repeated labels count once."""
        if "labels" not in table.column_names:
            return {"labels": pa.nulls(len(table), LISTS)}
        try:
            lists = one_chunk(table["labels"]).cast(LISTS)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            problems.append(f"the column 'labels' must be {LISTS}, found {table['labels'].type}: {error}")
            return {}
        if pc.list_flatten(lists).null_count:
            rows = pc.list_parent_indices(lists).filter(pc.list_flatten(lists).is_null())
            found = examples(table["image_id"].take(pc.unique(rows)).to_pylist())
            problems.append(f"images have null among their labels; an image without labels has none: image_id {found}")
            return {"labels": lists}
        return {"labels": as_sets(lists)}

    def problems(self, table: pa.Table) -> list[str]:
        wrong = table["image_id"].filter(table["label"].is_valid())
        what = "images have a label, but the task is multilabel: put their labels as lists into the column 'labels'"
        return [f"{tally(len(wrong), what)}: image_id {examples(wrong.to_pylist())}"] if len(wrong) else []

    def counts(self, table: pa.Table, class_names: tuple[str, ...]) -> dict[str, dict[str, int]]:
        """See `onlineml.Manifest.counts`: labels by class and split, images under the keys of `aside`."""
        splits = [*SPLITS, *([NO_SPLIT] if table["split"].null_count else [])]
        of_image = pc.index_in(table["split"].fill_null(NO_SPLIT), value_set=pa.array(splits)).to_numpy()
        applies = multi_hot(table, class_names)
        annotated = self.is_annotated(table)
        masks = {name: applies[:, place] for place, name in enumerate(class_names)}
        masks |= {NO_LABELS: annotated & ~applies.any(1), UNLABELLED: ~annotated}
        found = {name: np.bincount(of_image[mask], minlength=len(splits)).tolist() for name, mask in masks.items()}
        return {
            name: dict(zip(splits, n, strict=True)) for name, n in found.items() if any(n) or name not in self.aside
        }

    def changed(
        self, table: pa.Table, class_names: tuple[str, ...], values: Mapping[str, Any]
    ) -> dict[str, pa.Array | pa.ChunkedArray]:
        parsed = {image_id: self.parsed(value, name=repr(image_id)) for image_id, value in values.items()}
        require_known({label for facts in parsed.values() for label in self.labels_in(facts)}, class_names)
        column = table["labels"].to_pylist()
        for row, facts in zip(rows_of(table, parsed), parsed.values(), strict=True):
            column[row] = facts["labels"]
        return {"labels": pa.array(column, LISTS)}

    def renamed(self, table: pa.Table, lineage: Mapping[str, str]) -> pa.Table:
        """See `AnnotationKind.renamed`; merged classes appear once, with their highest score."""
        table = renamed(table, lineage)
        if not lineage or "labels" not in table.column_names:
            return table
        if "scores" in table.column_names:
            pairs = [_best(*pair) for pair in zip(*(table[n].to_pylist() for n in ("labels", "scores")), strict=True)]
            columns = dict(zip(("labels", "scores"), zip(*pairs, strict=True), strict=True)) if pairs else {}
        else:
            columns = {"labels": as_sets(one_chunk(table["labels"]))}
        for name, values in columns.items():
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
        return table

    def differ(self, old: pa.Table, new: pa.Table) -> npt.NDArray[np.bool_]:
        texts = [pc.binary_join(one_chunk(table["labels"]).cast(LISTS), "\0").fill_null("\0\0") for table in (old, new)]
        return mask_of(pc.not_equal(*texts))

    def in_words(self, record: Mapping[str, Any]) -> str:
        if record.get("labels") is None:
            return "not annotated"
        labels = [*record["labels"]]
        if scores := record.get("scores"):
            labels = [f"{label} ({score:.2f})" for label, score in zip(labels, scores, strict=True)]
        listed = ", ".join(labels) or "no labels"
        return {ADDED: f"with {listed}", REMOVED: f"without {listed}"}.get(record.get("event", ""), listed)

    # ---- annotations by people ----

    def parsed(self, value: Any, *, name: str) -> dict[str, Any]:
        if value is None:
            return {"labels": None}
        try:
            labels = [value] if isinstance(value, str) else list(value)
        except TypeError as err:
            raise DataError(f"the labels of {name} must be several class names, or None; found {value!r}") from err
        for label in labels:
            if not isinstance(label, str) or not label.strip():
                raise DataError(f"each label of {name} must be a text that is not blank; found {label!r}")
        return {"labels": sorted(set(labels))}

    def labels_in(self, facts: Mapping[str, Any]) -> list[str]:
        return list(facts["labels"] or ())

    def confirms(self, facts: Mapping[str, Any], row: Mapping[str, Any], lineage: Mapping[str, str]) -> bool:
        labels = facts["labels"]
        return labels is not None and sorted({lineage.get(label, label) for label in labels}) == row["labels"]

    def added(self, state: Annotations, values: Mapping[str, Any]) -> list[Facts]:
        return self._change(state, ADDED, values)

    def removed(self, state: Annotations, values: Mapping[str, Any]) -> list[Facts]:
        return self._change(state, REMOVED, values)

    def _change(self, state: Annotations, event: str, values: Mapping[str, Any]) -> list[Facts]:
        told = {image_id: self.parsed(value, name=image_id) for image_id, value in values.items()}
        if silent := [image_id for image_id, facts in told.items() if not facts["labels"]]:
            raise DataError(f"expected labels to be {event}; found none for {examples(silent)}")
        state.require_images(told)
        state.require_classes(label for facts in told.values() for label in self.labels_in(facts))
        return [(event, {"image_id": image_id, **facts}) for image_id, facts in told.items()]

    def _guess_or_row(
        self, guess: Mapping[str, Any], row: Mapping[str, Any], chosen: Sequence[int] | None
    ) -> dict[str, Any]:
        if chosen is None:
            labels = (guess or row)["labels"]
            return {"labels": labels if labels is None else sorted(set(labels))}
        n = len(guess.get("labels") or ())
        if not all(0 <= place < n for place in chosen):
            raise DataError(
                f"the suggestion for {row['image_id']} has {count(n, 'label')}, numbered from 0; found {list(chosen)}"
            )
        return {"labels": sorted({*(row["labels"] or ()), *(guess["labels"][place] for place in chosen)})}

    def split(self, row: Mapping[str, Any], name: str, new: Any) -> dict[str, Any]:
        """See `AnnotationKind.split`; ``new`` is one class or several, which take the place of the class."""
        if name not in (row["labels"] or ()):
            raise DataError(
                f"{row['image_id']} does not have the label {name!r}: expected images of the class to split"
            )
        others = {label for label in row["labels"] if label != name}
        return {"labels": sorted(others | set(self.parsed(new, name=row["image_id"])["labels"]))}

    def of_label(self, label: str | None) -> list[str] | None:
        return None if label is None else [label]

    def with_labels(self, table: pa.Table, class_names: tuple[str, ...]) -> tuple[pa.Table, tuple[str, ...]]:
        label = one_chunk(table["label"])
        there = mask_of(label.is_valid())
        lists = lists_of(label.drop_null(), there.astype(np.int64), ~there)
        place = table.column_names.index("label")
        return table.set_column(place, "label", pa.nulls(len(table), pa.string())).append_column("labels", lists), (
            class_names
        )

    # ---- state of a log ----

    def uploaded(self, entries: Entries, rows: Rows) -> dict[str, Any]:
        return {"labels": label_lists(entries, rows)}

    def require_claims(self, entries: Entries, rows: Rows) -> None:
        present = entries.mentions("labels", rows)
        if not present.all():
            entries.damaged(rows[np.flatnonzero(~present)[0]], "lacks 'labels'")

    def meanings(self, entries: Entries, rows: Rows, present: Callable[[str], str | None]) -> list[Any]:
        return [*meanings(entries, rows, present)]

    def resolve(self, claims: Sequence[Claim], expected_revisions: Mapping[str, str | None]) -> Resolution:
        return resolve_labels(claims, expected_revisions)

    def resolved(
        self, entries: Entries, human: HumanAnnotations, table: pa.Table, present: Callable[[str], str | None]
    ) -> dict[str, Any]:
        before = one_chunk(table["labels"]).cast(LISTS)
        return {"labels": resolved_labels(entries, human, before, present)}

    # ---- suggestions of models ----

    def guess(self, image_id: str, guess: Any) -> dict[str, Any] | None:
        """See `AnnotationKind.guess`: a pair (labels, scores), or an object with these attributes and ``error``."""
        if hasattr(guess, "labels") and hasattr(guess, "scores"):
            if getattr(guess, "error", None) is not None:
                return None
            guess = (guess.labels, guess.scores)
        try:
            given, scores = guess
            labels, numbers = [str(label) for label in given], checked_scores(scores, image_id)
        except (TypeError, ValueError) as err:
            raise DataError(
                f"the suggestion for {image_id} must be a prediction or (labels, scores); found {guess!r}"
            ) from err
        if len(labels) != len(numbers):
            counts = f"{count(len(labels), 'label')} and {len(numbers)} scores"
            raise DataError(f"the suggestion for {image_id} needs a score for each label; found {counts}")
        labels, numbers = _best(labels, numbers)
        return {"image_id": image_id, "labels": labels, "scores": numbers}

    # ---- checks ----

    def contradiction(self, manifest: Manifest) -> Callable[[list[int]], str]:
        labels = manifest.table["labels"].to_pylist()

        def differ(rows: list[int]) -> str:
            different = sorted({tuple(labels[row]) for row in rows if labels[row] is not None})
            told = " or ".join(", ".join(map(repr, one)) or "none" for one in different)
            return f"labels {told}" if len(different) > 1 else ""

        return differ

    # ---- samples ----

    def sample_maker(self) -> Callable[..., dict[str, bytes]]:
        from onlineml.data.samples.multilabel import make_label_sets  # noqa: PLC0415 (it draws photos)

        return make_label_sets


LABELS = LabelsKind()


def multi_hot(table: pa.Table, class_names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(N, C) whether each class applies to each image; False for unannotated images."""
    names, rows = LABELS.names_by_row(table)
    codes = pc.index_in(names, value_set=pa.array(class_names, pa.string())).fill_null(-1).to_numpy()
    applies = np.zeros((len(table), len(class_names)), dtype=bool)
    applies[rows[codes >= 0], codes[codes >= 0]] = True
    return applies


def _best(labels: Sequence[str], scores: Sequence[float]) -> tuple[list[str], list[float]]:
    """Each label once, with the best of its scores, in the order of first appearance."""
    best: dict[str, float] = {}
    for label, score in zip(labels, scores, strict=True):
        best[label] = max(score, best.get(label, score))
    return list(best), list(best.values())
