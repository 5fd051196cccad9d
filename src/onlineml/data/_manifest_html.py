"""How a manifest looks in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onlineml.data.manifest import Manifest

__all__ = ["manifest_html"]

_MOST_ROWS = 25  # a screenful; the rest is summed up


def manifest_html(manifest: Manifest) -> str:
    """A small table of counts by class and split; without colours, so that it suits light and dark notebooks."""
    counts = manifest.counts()
    splits = list(next(iter(counts.values()))) if counts else []
    rows = [(name, [by_split[split] for split in splits]) for name, by_split in counts.items()]
    shown = rows if len(rows) <= _MOST_ROWS else rows[: _MOST_ROWS - 1]
    rest = rows[len(shown) :]
    if rest:
        shown = [*shown, (f"{len(rest)} more", [sum(values) for values in zip(*(v for _, v in rest), strict=True)])]
    total = [sum(values) for values in zip(*(v for _, v in rows), strict=True)] if rows else []
    head = "".join(f"<th>{escape(split)}</th>" for split in [*splits, "all"])
    body = "".join(_row(name, values) for name, values in shown)
    return (
        f"<div><b>{len(manifest):,} images, {len(manifest.class_names)} classes</b> "
        f"<code>{manifest.hash[:12]}</code><br><small>{escape(manifest.root)}</small>"
        f"<table><thead><tr><th>class</th>{head}</tr></thead><tbody>{body}</tbody>"
        f"<tfoot>{_row('all', total, cell='th')}</tfoot></table></div>"
    )


def _row(name: str, values: list[int], *, cell: str = "td") -> str:
    cells = "".join(f"<{cell} style='text-align:right'>{n:,}</{cell}>" for n in [*values, sum(values)])
    return f"<tr><th style='text-align:left'>{escape(name)}</th>{cells}</tr>"
