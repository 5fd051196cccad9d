"""Differences between two datasets (new, changed and missing images), and whether their scores are comparable."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.errors import ConfigError
from onlineml.pages import markup

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["Changes", "changes"]

KINDS = ("new", "gone", "relabelled", "moved")


@dataclass(frozen=True, eq=False)
class Changes:
    """The differences of a dataset from an earlier one, by the present names of classes: renaming changes nothing.

    Attributes:
        table: a row for each change of an image: ``image_id``, ``change`` (new, gone, relabelled, or moved to another
            split), and the values ``before`` and ``after``, in words.
        new_classes: names of classes that the earlier dataset does not have.
        gone_classes: names of classes that the later one does not have.
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

    def moved_to(self, split: str) -> list[str]:
        """Return the ids of the images that were moved to a split; ``""`` is none of them."""
        moved = pc.and_(pc.equal(self.table["change"], "moved"), pc.equal(self.table["after"], split))
        ids: list[str] = self.table.filter(moved)["image_id"].to_pylist()
        return ids

    @property
    def comparable(self) -> bool:
        """True if scores on the test images of both may be compared.

        They may not if images were moved into the test split, which the earlier model may have learnt, or out of it.
        """
        moved = self.table.filter(pc.equal(self.table["change"], "moved"))
        return not any("test" in {row["before"], row["after"]} for row in moved.to_pylist())

    def __bool__(self) -> bool:
        return bool(len(self.table) or self.new_classes or self.gone_classes)

    def counts(self) -> dict[str, int]:
        """Return the number of images that have each kind of change."""
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
        return markup("<p>{}</p>", self)


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
    names, kind = dict(lineage or {}), after.kind
    old, new = kind.renamed(before.table, names), kind.renamed(after.table, names)
    at = pc.index_in(new["image_id"], value_set=old["image_id"])
    there = at.is_valid().to_numpy(zero_copy_only=False)
    old_both, new_both = old.take(at.drop_null()), new.filter(pa.array(there))
    gone = old.filter(pc.invert(pc.is_in(old["image_id"], value_set=new["image_id"])))
    relabelled, moved = kind.differ(old_both, new_both), _other_split(old_both, new_both)
    told = kind.in_words
    rows = [(row["image_id"], "new", "", told(row)) for row in _rows(new.filter(pa.array(~there)), kind.names)]
    rows += [(row["image_id"], "gone", told(row), "") for row in _rows(gone, kind.names)]
    for change, mask, shown in (("relabelled", relabelled, told), ("moved", moved, lambda row: row["split"] or "")):
        pairs = zip(*(_rows(table.filter(pa.array(mask)), kind.names) for table in (old_both, new_both)), strict=True)
        rows += [(was["image_id"], change, shown(was), shown(now)) for was, now in pairs]
    schema = pa.schema([(name, pa.string()) for name in ("image_id", "change", "before", "after")])
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    former = {names.get(name, name) for name in before.class_names}
    present = {names.get(name, name) for name in after.class_names}
    return Changes(table, tuple(sorted(present - former)), tuple(sorted(former - present)))


def _rows(table: pa.Table, names: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.select(["image_id", "split", names]).to_pylist()
    return rows


def _other_split(old: pa.Table, new: pa.Table) -> npt.NDArray[np.bool_]:
    different: npt.NDArray[np.bool_] = pc.not_equal(*(table["split"].fill_null("") for table in (old, new))).to_numpy()
    return different
