"""The result of a check: one row per finding about an image or one of its boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import pyarrow as pa

from onlineml.arguments.counted import count, part_of
from onlineml.data.images.policies import POLICIES
from onlineml.pages import render
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from onlineml.data.images.policies import Outcome
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["CheckTable", "Finding", "Judged", "findings_table"]

_SHOWN = 10  # rows of a kind
_SHOWN_AS_TEXT = 3
_SCHEMA = pa.schema([(name, pa.string()) for name in ("uri", "image_id", "finding", "outcome", "detail")])


class Finding(NamedTuple):
    """A finding about an image, or about one of its boxes (if the code begins with ``box_``)."""

    code: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class Judged:
    """The parts of the annotations, such as boxes, of N usable images.

    Attributes:
        manifest: the images with the usable parts, as used.
        findings: N lists.
        n: number of parts.
        n_bad: number of parts that are excluded, or kept only as a region to ignore.
    """

    manifest: Manifest
    findings: list[list[Finding]]
    n: int
    n_bad: int


@dataclass(frozen=True, eq=False)
class CheckTable:
    """The result of a check.

    Attributes:
        table: one row per finding: `uri`, `image_id`, `finding` (a code of `onlineml.data.images.POLICIES`), `outcome`
            (``"usable"``, ``"quarantined"``, ``"refused"``), `detail`. A finding that begins with ``box_``, and its
            outcome, are about one box; `detail` has its index in the image (from 0), label and corners. Images and
            boxes without problems have no row.
        manifest: the usable images, with sha256, width and height (of the upright image), and their usable boxes.
        n_images: number of checked images.
        n_bad: number of images that are not in `manifest`.
        n_boxes: number of boxes of the usable images.
        n_bad_boxes: number of boxes that are not in `manifest`, or only as a region to ignore.
    """

    table: pa.Table
    manifest: Manifest
    n_images: int
    n_bad: int
    n_boxes: int = 0
    n_bad_boxes: int = 0

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def counts(self) -> dict[str, int]:
        """Return the number of images, or boxes, with each finding, the most frequent first."""
        found: dict[str, int] = {}
        for code in self.table["finding"].to_pylist():
            found[code] = found.get(code, 0) + 1
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def to_frame(self) -> pd.DataFrame:
        """The table as a data frame."""
        return cast("pd.DataFrame", self.table.to_pandas())

    def left_out(self) -> list[str]:
        """Return a sentence each about the images and the boxes that are not usable, with the reasons, if there are."""
        unusable: dict[bool, dict[str, dict[tuple[str, str], None]]] = {False: {}, True: {}}
        names = ("finding", "outcome", "image_id", "detail")
        for code, outcome, *case in zip(*(self.table[name].to_pylist() for name in names), strict=True):
            of_box = code.startswith("box_")
            if outcome != "usable":
                unusable[of_box].setdefault(code, {})[(case[0], case[1] if of_box else "")] = None
        parts = ((self.n_bad, self.n_images, "image is"), (self.n_bad_boxes, self.n_boxes, "box is"))
        reasons = [
            ", ".join(f"{len(cases):,} {code}" for code, cases in sorted(one.items())) for one in unusable.values()
        ]
        told = zip(parts, reasons, strict=True)
        return [f"{part_of(n_bad, n, what)} left out: {why}" for (n_bad, n, what), why in told if n_bad]

    def _headline(self) -> str:
        found = ", ".join(f"{n:,} {code}" for code, n in self.counts().items())
        boxes = f"; {count(self.n_boxes, 'box')}, {self.n_bad_boxes:,} not usable" if self.n_boxes else ""
        return f"{count(self.n_images, 'image')} checked, {self.n_bad:,} not usable{boxes}" + (
            f" ({found})" if found else ""
        )

    def _by_kind(self) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """Return finding, outcome, and address and detail of each case; the frequent first, harmless ones last."""
        kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
        names = ("finding", "outcome", "uri", "detail")
        for code, outcome, *case in zip(*(self.table[name].to_pylist() for name in names), strict=True):
            kinds.setdefault((code, outcome), []).append((case[0], case[1]))
        found = [(code, outcome, cases) for (code, outcome), cases in kinds.items()]
        return sorted(found, key=lambda kind: (kind[1] == "usable", -len(kind[2]), kind[0]))

    def __str__(self) -> str:
        lines = [self._headline()]
        for code, outcome, cases in self._by_kind():
            lines.append(f"{len(cases):,} {code} ({outcome})")
            lines += [f"    {uri}  {detail}".rstrip() for uri, detail in cases[:_SHOWN_AS_TEXT]]
            if len(cases) > _SHOWN_AS_TEXT:
                lines.append(f"    ... and {len(cases) - _SHOWN_AS_TEXT:,} more in .table")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<CheckTable: {self._headline()}>"

    def _repr_html_(self) -> str:
        kinds = [
            (code, outcome, POLICIES[code].text if code in POLICIES else "", cases)
            for code, outcome, cases in self._by_kind()
        ]
        return render("data/findings.html", {"head": self._headline(), "kinds": kinds, "shown": _SHOWN})


def findings_table(manifest: Manifest, found: Sequence[Sequence[Finding]]) -> pa.Table:
    """The findings of each image of a manifest as a table, in the order of the images."""
    rows = [i for i, findings in enumerate(found) for _ in findings]
    flat = [finding for findings in found for finding in findings]
    taken = manifest.table.select(["uri", "image_id"]).take(pa.array(rows, pa.int64()))
    columns = {
        "uri": pa.array(map(storable, taken["uri"].to_pylist()), pa.string()),
        "image_id": taken["image_id"],
        "finding": pa.array([finding.code for finding in flat], pa.string()),
        "outcome": pa.array([finding.outcome for finding in flat], pa.string()),
        "detail": pa.array([finding.detail for finding in flat], pa.string()),
    }
    return pa.table(columns, schema=_SCHEMA)
