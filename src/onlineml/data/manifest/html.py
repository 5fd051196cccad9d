"""The HTML view of a manifest in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.manifest.edits import NO_SPLIT
from onlineml.data.manifest.summary import remarks
from onlineml.pages import render
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["manifest_html"]

_MOST_ROWS = 25  # a screenful; the rest is summed up


def manifest_html(manifest: Manifest) -> str:
    """A small table of counts by class and split; without colours, so that it suits light and dark notebooks."""
    counts = manifest.counts()
    kind = manifest.kind
    aside = {name: counts.pop(name) for name in kind.aside if name in counts}
    splits = list(next(iter((counts | aside).values()))) if counts or aside else []
    rows = [(name, [by_split[split] for split in splits]) for name, by_split in counts.items()]
    shown = rows if len(rows) <= _MOST_ROWS else rows[: _MOST_ROWS - 1]
    rest = rows[len(shown) :]
    if rest:
        shown = [*shown, (f"{len(rest)} more", [sum(values) for values in zip(*(v for _, v in rest), strict=True)])]
    total = [sum(values) for values in zip(*(v for _, v in rows), strict=True)] if rows else []
    totals = [(f"all {kind.one_by_one}".rstrip(), total)]
    if kind.one_by_one:  # the rows above count these, those below images
        totals.append(("images", _images(manifest, splits)))
    sizes = [
        f"{count(len(manifest), 'image')}",
        kind.content(manifest.table),
        f"{count(len(manifest.class_names), 'class')}",
    ]
    values = {
        "sizes": ", ".join(filter(None, sizes)),
        "hash": manifest.hash[:12],
        "root": redacted(manifest.root),
        "splits": splits,
        "remarks": remarks(manifest),
        "rows": shown,
        "totals": totals,
        "aside": [(name, list(row.values())) for name, row in aside.items()] if kind.one_by_one else [],
    }
    return render("data/manifest.html", values)


def _images(manifest: Manifest, splits: list[str]) -> list[int]:
    column = np.asarray(pc.fill_null(manifest.table["split"], NO_SPLIT).to_numpy(), dtype=object)
    return [int((column == split).sum()) for split in splits]
