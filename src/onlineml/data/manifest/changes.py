"""What is new, changed or gone between two datasets, and whether scores on them can be compared."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.boxes import boxes_meant
from onlineml.data.annotations.images import renamed
from onlineml.data.manifest.schema import DETECTION
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pandas as pd

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["Changes", "changes"]

KINDS = ("new", "gone", "relabelled", "moved")


@dataclass(frozen=True, eq=False)
class Changes:
    """How a dataset differs from an earlier one. Classes are compared by their present names: renaming changes nothing.

    Attributes:
        table: a row for each change of an image: ``image_id``, ``change`` (new, gone, relabelled, or moved to another
            split), and what was ``before`` and is ``after``, in words.
        new_classes: names of classes that the earlier dataset has not.
        gone_classes: names of classes that the later one has not.
    """

    table: pa.Table
    new_classes: tuple[str, ...]
    gone_classes: tuple[str, ...]

    def images(self, change: str) -> list[str]:
        """The ids of the images with one kind of change.

        Raises:
            ConfigError: there is no such kind.
        """
        if change not in KINDS:
            raise ConfigError(f"a change is one of {', '.join(KINDS)}; found {change!r}")
        ids: list[str] = self.table.filter(pc.equal(self.table["change"], change))["image_id"].to_pylist()
        return ids

    @property
    def comparable(self) -> bool:
        """Whether scores on the test images of both may be compared.

        Not if images were moved into the test split, which the earlier model may have learnt, or out of it.
        """
        moved = self.table.filter(pc.equal(self.table["change"], "moved"))
        return not any("test" in {row["before"], row["after"]} for row in moved.to_pylist())

    def __bool__(self) -> bool:
        return bool(len(self.table) or self.new_classes or self.gone_classes)

    def counts(self) -> dict[str, int]:
        """How many images have each kind of change."""
        found = Counter(self.table["change"].to_pylist())
        return {kind: found[kind] for kind in KINDS}

    def to_frame(self) -> pd.DataFrame:
        """The table as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def __str__(self) -> str:
        parts = [f"{n:,} {kind}" for kind, n in self.counts().items() if n]
        parts += [f"new classes {', '.join(self.new_classes)}"] if self.new_classes else []
        parts += [f"without the classes {', '.join(self.gone_classes)}"] if self.gone_classes else []
        note = "" if self.comparable else "; scores before and after cannot be compared"
        return f"Changes: {', '.join(parts) or 'none'}{note}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


def changes(before: Manifest, after: Manifest, *, lineage: Mapping[str, str] | None = None) -> Changes:
    """Compare two datasets image by image.

    Args:
        before: the earlier one.
        after: the later one.
        lineage: what classes are called now, by former name; see `onlineml.data.annotations.Annotations`.

    Raises:
        ConfigError: they are of different tasks.
    """
    if before.task != after.task:
        raise ConfigError(f"datasets of one task can be compared; these are {before.task!r} and {after.task!r}")
    names = dict(lineage or {})
    old, new = renamed(before.table, names), renamed(after.table, names)
    at = pc.index_in(new["image_id"], value_set=old["image_id"])
    there = at.is_valid().to_numpy(zero_copy_only=False)
    old_both, new_both = old.take(at.drop_null()), new.filter(pa.array(there))
    gone = old.filter(pc.invert(pc.is_in(old["image_id"], value_set=new["image_id"])))
    relabelled = (
        _different_boxes(old_both, new_both) if after.task == DETECTION else _differ(old_both, new_both, "label")
    )
    moved = _differ(old_both, new_both, "split")
    rows = [(image_id, "new", "", _said(row)) for image_id, row in _rows(new.filter(pa.array(~there)))]
    rows += [(image_id, "gone", _said(row), "") for image_id, row in _rows(gone)]
    for kind, mask, shown in (("relabelled", relabelled, _said), ("moved", moved, lambda row: row["split"] or "")):
        pairs = zip(_rows(old_both.filter(pa.array(mask))), _rows(new_both.filter(pa.array(mask))), strict=True)
        rows += [(image_id, kind, shown(was), shown(now)) for (image_id, was), (_, now) in pairs]
    schema = pa.schema([(name, pa.string()) for name in ("image_id", "change", "before", "after")])
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    former = {names.get(name, name) for name in before.class_names}
    present = {names.get(name, name) for name in after.class_names}
    return Changes(table, tuple(sorted(present - former)), tuple(sorted(former - present)))


def _rows(table: pa.Table) -> list[tuple[str, dict[str, Any]]]:
    shown = [name for name in ("image_id", "split", "label", "labels") if name in table.column_names]
    return [(row["image_id"], row) for row in table.select(shown).to_pylist()]


def _said(row: Mapping[str, Any]) -> str:
    if row.get("labels") is None:
        return row["label"] or ("not annotated" if "labels" in row else "no label")
    return ", ".join(f"{n} {label}" for label, n in Counter(row["labels"]).items()) or "no objects"


def _differ(old: pa.Table, new: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    left, right = (table[name].fill_null("").to_numpy(zero_copy_only=False) for table in (old, new))
    return np.asarray(left != right, dtype=bool)


def _different_boxes(old: pa.Table, new: pa.Table) -> npt.NDArray[np.bool_]:
    """Which images have other boxes, or boxes of other classes, whatever their order."""
    columns = [table[name].to_pylist() for table in (old, new) for name in ("boxes_xyxy", "labels")]
    return np.array(
        [
            (was, of) != (now, on) and _meant(was, of) != _meant(now, on)
            for was, of, now, on in zip(*columns, strict=True)
        ],
        dtype=bool,
    )


def _meant(boxes: Any, labels: Any) -> Any:
    return boxes_meant(boxes, [label or "" for label in labels or ()])
