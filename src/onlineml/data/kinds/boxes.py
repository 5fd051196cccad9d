"""Boxes with a label each, for detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.annotations import boxes as claimed
from onlineml.data.checks import boxes as checked
from onlineml.data.kinds.base import AnnotationKind, checked_scores, counted_names
from onlineml.data.manifest import boxes as tabled
from onlineml.data.manifest.box_arrays import clean_boxes
from onlineml.data.manifest.edits import UNLABELLED, require_known
from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.resolve import HumanAnnotations
    from onlineml.data.checks.table import Finding, Judged
    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["BOXES", "BoxesKind"]

_NO_EDGE = (np.inf, np.inf)


class BoxesKind(AnnotationKind):
    """An image has boxes, each with a label; a value is a pair (boxes_xyxy, labels), see `onlineml.Manifest`."""

    task: ClassVar[str] = "detection"
    columns: ClassVar[Mapping[str, pa.DataType]] = tabled.BOX_COLUMNS
    key: ClassVar[str] = "boxes_xyxy"
    names: ClassVar[str] = "labels"
    argument: ClassVar[str] = "boxes"
    one_by_one: ClassVar[str] = "boxes"
    aside: ClassVar[tuple[str, ...]] = (tabled.NO_OBJECTS, UNLABELLED)
    label_alone: ClassVar[bool] = False
    guess_schema: ClassVar[pa.Schema] = pa.schema(
        [("image_id", pa.string()), *tabled.BOX_COLUMNS.items(), ("scores", pa.list_(pa.float64()))]
    )
    guessed: ClassVar[str] = "labels"

    # ---- a manifest's table ----

    def normalised(self, table: pa.Table, problems: list[str]) -> dict[str, pa.Array]:
        return tabled.normalised_boxes(table, problems)

    def problems(self, table: pa.Table) -> list[str]:
        return tabled.validate_boxes(table)

    def unknown_labels(self, _table: pa.Table, _class_names: Sequence[str]) -> list[str]:
        """Return none: a box of an unknown class is a finding of the check."""
        return []

    def value_columns(self, table: pa.Table) -> list[str]:
        return tabled.per_box_columns(table)

    def counts(self, table: pa.Table, class_names: tuple[str, ...]) -> dict[str, dict[str, int]]:
        return tabled.count_boxes(table, class_names)

    def content(self, table: pa.Table) -> str:
        return count(self.n_judged(table), "box")

    def boxes(self, table: pa.Table, class_names: tuple[str, ...]) -> Boxes:
        return tabled.flat_boxes(table, class_names)

    def changed(
        self, table: pa.Table, class_names: tuple[str, ...], values: Mapping[str, Any]
    ) -> dict[str, pa.Array | pa.ChunkedArray]:
        require_known({label for value in values.values() if value is not None for label in value[1]}, class_names)
        return {**tabled.boxes_changed(table, values)}

    def differ(self, old: pa.Table, new: pa.Table) -> npt.NDArray[np.bool_]:
        """See `AnnotationKind.differ`; the order of boxes does not matter."""
        pairs = [table[name].to_pylist() for table in (old, new) for name in ("boxes_xyxy", "labels")]
        return np.array(
            [
                (was, of) != (now, on) and _meant(was, of) != _meant(now, on)
                for was, of, now, on in zip(*pairs, strict=True)
            ],
            dtype=bool,
        )

    def in_words(self, record: Mapping[str, Any]) -> str:
        if record.get("boxes_xyxy") is None and record.get("labels") is None:
            return "not annotated"
        return counted_names(record["labels"]) or "no objects"

    # ---- annotations by people ----

    def parsed(self, value: Any, *, name: str) -> dict[str, Any]:
        return claimed.checked_boxes(value, name=name)

    def labels_in(self, facts: Mapping[str, Any]) -> list[str]:
        return list(facts["labels"] or ())

    def completed(self, facts: dict[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
        """See `AnnotationKind.completed`: unmoved boxes keep their values of extra columns."""
        size_hw = (row["height"], row["width"]) if row["width"] and row["height"] else None
        claimed.require_usable(facts, name=row["image_id"], size_hw=size_hw)
        lists = {name: value for name, value in row.items() if isinstance(value, list)}
        further = claimed.kept_values(facts, lists)
        return {**facts, "further": further} if further else facts

    def confirms(self, facts: Mapping[str, Any], row: Mapping[str, Any], lineage: Mapping[str, str]) -> bool:
        labels = facts["labels"] and [lineage.get(label, label) for label in facts["labels"]]
        return (facts["boxes_xyxy"], labels) == (row["boxes_xyxy"], row["labels"])

    def _guess_or_row(
        self, guess: Mapping[str, Any], row: Mapping[str, Any], chosen: Sequence[int] | None
    ) -> dict[str, Any]:
        names = ("boxes_xyxy", "labels")
        if chosen is None:
            return {name: (guess or row)[name] for name in names}
        n = len(guess.get("labels") or ())
        if not all(0 <= place < n for place in chosen):
            raise DataError(
                f"the suggestion for {row['image_id']} has {count(n, 'box')}, numbered from 0; found {list(chosen)}"
            )
        return {name: [*(row[name] or ()), *(guess[name][place] for place in chosen)] for name in names}

    def split(self, row: Mapping[str, Any], name: str, new: Any) -> dict[str, Any]:
        """See `AnnotationKind.split`; ``new`` is one class for all boxes of the class, or a list with one for each."""
        labels = list(row["labels"] or ())
        places = [place for place, label in enumerate(labels) if label == name]
        given = [new] * len(places) if isinstance(new, str) else list(new)
        if not places or len(given) != len(places):
            raise DataError(
                f"{row['image_id']} has {count(len(places), 'box')} of {name!r}; found "
                f"{count(len(given), 'new label')} for them"
            )
        for place, label in zip(places, given, strict=True):
            labels[place] = label
        return {"boxes_xyxy": row["boxes_xyxy"], "labels": labels}

    def of_sources(self, sources: Sequence[str], value: Any) -> list[dict[str, Any] | None]:
        """See `AnnotationKind.of_sources`.

        Args:
            sources: names of images.
            value: boxes_xyxy and labels, of the only source; or one such pair, or None, for each.
        """
        if value is None:
            return [None] * len(sources)
        pairs: list[Any] = [value] if len(sources) == 1 and len(value) == 2 else list(value)
        if len(pairs) != len(sources):
            raise DataError(
                f"boxes= expects a pair (boxes_xyxy, labels), or None, for each of {len(sources)} images; found "
                f"{len(pairs)}"
            )
        return [
            None if pair is None else self.parsed(pair, name=name) for name, pair in zip(sources, pairs, strict=True)
        ]

    def of_label(self, label: str | None) -> None:
        if label is not None:
            raise ConfigError(f"label={label!r}: the project's task is {self.task!r}; pass boxes instead of a label")

    def with_labels(self, table: pa.Table, _class_names: tuple[str, ...]) -> tuple[pa.Table, tuple[str, ...]]:
        """See `AnnotationKind.with_labels`: folder names are ignored."""
        place = table.column_names.index("label")
        return table.set_column(place, "label", pa.nulls(len(table), pa.string())), ()

    # ---- state of a log ----

    def uploaded(self, entries: Entries, rows: Rows) -> dict[str, Any]:
        return claimed.boxes_columns(entries, rows, needed=False)

    def require_claims(self, entries: Entries, rows: Rows) -> None:
        claimed.require_boxes(entries, rows)

    def meanings(self, entries: Entries, rows: Rows, present: Callable[[str], str | None]) -> list[Any]:
        columns = claimed.boxes_columns(entries, rows)
        names = ([present(label) or label for label in one or ()] for one in columns["labels"].to_pylist())
        pairs = zip(columns["boxes_xyxy"].to_pylist(), names, strict=True)
        return [claimed.boxes_meant(one, own) for one, own in pairs]

    def resolved(
        self, entries: Entries, human: HumanAnnotations, table: pa.Table, _present: Callable[[str], str | None]
    ) -> dict[str, Any]:
        values = claimed.boxes_columns(entries, human.prevailing)
        further = claimed.further_values(entries, human.prevailing)
        names = [name for name in self.value_columns(table) if name not in values]
        return values | {name: [one.get(name) for one in further] for name in names}

    # ---- suggestions of models ----

    def guess(self, image_id: str, guess: Any) -> dict[str, Any] | None:
        """See `AnnotationKind.guess`: a triple (boxes_xyxy, labels, scores), or an object with these attributes."""
        if hasattr(guess, "boxes_xyxy"):
            if guess.error is not None:
                return None
            guess = (guess.boxes_xyxy, guess.labels, guess.scores)
        try:
            given, labels, scores = guess
            boxes = np.asarray(given, dtype=np.float64).reshape(-1, 4)
            names, numbers = [str(label) for label in labels], checked_scores(scores, image_id)
        except (TypeError, ValueError) as err:
            raise DataError(
                f"the suggestion for {image_id} must be detections or (boxes_xyxy, labels, scores); found {guess!r}"
            ) from err
        if not len(boxes) == len(names) == len(numbers):
            counts = f"{count(len(boxes), 'box')}, {count(len(names), 'label')} and {len(numbers)} scores"
            raise DataError(f"the suggestion for {image_id} needs a label and a score for each box; found {counts}")
        _, codes = clean_boxes(boxes, _NO_EDGE)  # type: ignore[arg-type]  # no edge to be beyond
        usable = [place for place, code in enumerate(codes) if code not in {"box_not_finite", "box_empty"}]
        return {
            "image_id": image_id,
            "boxes_xyxy": boxes[usable].tolist(),
            "labels": [names[place] for place in usable],
            "scores": [numbers[place] for place in usable],
        }

    # ---- display ----

    def title(self, names: Sequence[str]) -> str:
        return counted_names(names) or tabled.NO_OBJECTS

    def drawn_boxes(self, table: pa.Table, class_names: tuple[str, ...]) -> Boxes:
        return self.boxes(table, class_names)

    def guess_in_words(self, guess: Mapping[str, Any]) -> str:
        n = len(guess["labels"])
        return count(n, "box")

    # ---- checks, samples ----

    def note_mismatches(self, found: list[list[Finding]], manifest: Manifest) -> None:
        checked.add_size_mismatches(found, manifest)

    def contradiction(self, manifest: Manifest) -> Callable[[list[int]], str]:
        return checked.boxes_differ(manifest)

    def judge(self, manifest: Manifest) -> Judged:
        return checked.judge_boxes(manifest)

    def n_judged(self, table: pa.Table) -> int:
        return int(pc.sum(pc.list_value_length(table["boxes_xyxy"])).as_py() or 0)

    def sample_maker(self) -> Callable[..., dict[str, bytes]]:
        from onlineml.data.samples.detection import make_boxes  # noqa: PLC0415 (it draws photos)

        return make_boxes


def _meant(boxes: Any, labels: Any) -> Any:
    return claimed.boxes_meant(boxes, [label or "" for label in labels or ()])


BOXES = BoxesKind()
