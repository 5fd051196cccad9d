"""One label per image, for classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of
from onlineml.data.kinds.base import AnnotationKind, checked_scores
from onlineml.data.manifest.edits import NO_SPLIT, UNLABELLED, require_known, rows_of
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.resolve import HumanAnnotations
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["LABEL", "LabelKind"]


class LabelKind(AnnotationKind):
    """An image has a label, the text of a class name; a value is that text."""

    task: ClassVar[str] = "classification"
    key: ClassVar[str] = "label"
    names: ClassVar[str] = "label"
    argument: ClassVar[str] = "label"
    guess_schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("image_id", pa.string()),
            ("label", pa.string()),
            ("score", pa.float64()),
            ("top_labels", pa.list_(pa.string())),
            ("top_scores", pa.list_(pa.float64())),
        ]
    )
    guessed: ClassVar[str] = "top_labels"

    # ---- a manifest's table ----

    def counts(self, table: pa.Table, class_names: tuple[str, ...]) -> dict[str, dict[str, int]]:
        found: dict[tuple[str, str], int] = {}
        for row in table.group_by(["label", "split"]).aggregate([([], "count_all")]).to_pylist():
            key = UNLABELLED if row["label"] is None else row["label"], row["split"] or NO_SPLIT
            found[key] = row["count_all"]
        classes = [*class_names, *([UNLABELLED] if any(name == UNLABELLED for name, _ in found) else [])]
        splits = [*SPLITS, *([NO_SPLIT] if any(split == NO_SPLIT for _, split in found) else [])]
        return {name: {split: found.get((name, split), 0) for split in splits} for name in classes}

    def changed(
        self, table: pa.Table, class_names: tuple[str, ...], values: Mapping[str, Any]
    ) -> dict[str, pa.Array | pa.ChunkedArray]:
        require_known(set(values.values()), class_names)
        column = table["label"].to_pylist()
        for row, label in zip(rows_of(table, values), values.values(), strict=True):
            column[row] = label
        return {"label": pa.array(column, pa.string())}

    def differ(self, old: pa.Table, new: pa.Table) -> npt.NDArray[np.bool_]:
        return mask_of(pc.not_equal(*(table["label"].fill_null("") for table in (old, new))))

    def in_words(self, record: Mapping[str, Any]) -> str:
        if record.get("label") is None:
            return "no label"
        score = record.get("score")
        return f"{record['label']} ({score:.2f})" if isinstance(score, float) else str(record["label"])

    # ---- annotations by people ----

    def parsed(self, value: Any, *, name: str) -> dict[str, Any]:
        if value is not None and not isinstance(value, str):
            raise DataError(f"the label of {name} must be a class name, or None for no label; found {value!r}")
        return {"label": value}

    def labels_in(self, facts: Mapping[str, Any]) -> list[str]:
        return [] if facts["label"] is None else [facts["label"]]

    def confirms(self, facts: Mapping[str, Any], row: Mapping[str, Any], lineage: Mapping[str, str]) -> bool:
        label = facts["label"]
        return label is not None and lineage.get(label, label) == row["label"]

    def _guess_or_row(
        self, guess: Mapping[str, Any], row: Mapping[str, Any], _chosen: Sequence[int] | None
    ) -> dict[str, Any]:
        return {"label": guess.get("label", row["label"])}

    def split(self, row: Mapping[str, Any], name: str, new: Any) -> dict[str, Any]:
        """See `AnnotationKind.split`; ``new`` is one class."""
        if row["label"] != name:
            raise DataError(
                f"{row['image_id']} is {row['label']!r}, not {name!r}: expected images of the class to split"
            )
        return {"label": new}

    def of_label(self, label: str | None) -> str | None:
        return label

    # ---- state of a log ----

    def uploaded(self, entries: Entries, rows: Rows) -> dict[str, Any]:
        return {"label": entries.nullable("label", rows)}

    def require_claims(self, entries: Entries, rows: Rows) -> None:
        entries.nullable("label", rows)

    def meanings(self, entries: Entries, rows: Rows, present: Callable[[str], str | None]) -> list[Any]:
        labels = entries.nullable("label", rows).to_pylist()
        return [None if label is None else present(label) or label for label in labels]

    def resolved(
        self, entries: Entries, human: HumanAnnotations, _table: pa.Table, _present: Callable[[str], str | None]
    ) -> dict[str, Any]:
        return {"label": entries.nullable("label", human.prevailing)}

    # ---- suggestions of models ----

    def guess(self, image_id: str, guess: Any) -> dict[str, Any] | None:
        """See `AnnotationKind.guess`: a pair (label, score), or an `onlineml.inference.predictions.Prediction`."""
        if isinstance(guess, tuple) and len(guess) == 2:
            top: list[tuple[str, float]] = [guess]
        elif hasattr(guess, "top") and not hasattr(guess, "boxes_xyxy"):
            if guess.error is not None or guess.label is None:
                return None
            top = list(guess.top) or [(guess.label, guess.score)]
        else:
            raise DataError(f"the suggestion for {image_id} must be a prediction or (label, score); found {guess!r}")
        labels, scores = [str(label) for label, _ in top], checked_scores([score for _, score in top], image_id)
        best = {"label": labels[0], "score": scores[0]}
        return {"image_id": image_id, **best, "top_labels": labels, "top_scores": scores}

    # ---- display ----

    def guess_in_words(self, guess: Mapping[str, Any]) -> str:
        return f"{guess['label']} {guess['score']:.2f}"

    def surety(self, guesses: pa.Table) -> list[float]:
        return [float(score) for score in guesses["score"].to_pylist()]

    # ---- checks, samples ----

    def contradiction(self, manifest: Manifest) -> Callable[[list[int]], str]:
        labels = manifest.table["label"].to_pylist()

        def differ(rows: list[int]) -> str:
            different = sorted({labels[row] for row in rows if labels[row] is not None})
            return f"labels {', '.join(map(repr, different))}" if len(different) > 1 else ""

        return differ

    def sample_maker(self) -> Callable[..., dict[str, bytes]]:
        from onlineml.data.samples.classification import make_folders  # noqa: PLC0415 (it draws photos)

        return make_folders


LABEL = LabelKind()
