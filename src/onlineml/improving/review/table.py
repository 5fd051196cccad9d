"""A review queue as a table: a frame, and HTML with thumbnails for a notebook."""
# ruff: noqa: PLC0415 - what tabulates and draws is loaded when it is asked for

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from onlineml.improving.review.result import ReviewItem, ReviewQueue

__all__ = ["queue_frame", "queue_html"]

_SHOWN = 20
_COLUMNS = ("image_id", "uri", "label", "reason", "reasons", "score", "suggestion", "confidence", "is_random")


def queue_frame(queue: ReviewQueue) -> pd.DataFrame:
    """One row per image: its id, address, present label, reasons, suggestion with its probability, and whether random.

    The columns are ``image_id``, ``uri``, ``label``, ``reason``, ``reasons``, ``score``, ``suggestion``,
    ``confidence`` and ``is_random``.
    """
    import pandas as pd

    nan = float("nan")
    rows = [
        (
            item.image_id,
            uri,
            label,
            item.reason,
            ", ".join(dict.fromkeys(why.reason for why in item.whys)),
            item.whys[0].score if item.whys else nan,
            item.suggestion,
            next((why.confidence for why in item.whys if why.suggestion), nan),
            item.is_random,
        )
        for item, uri, label in zip(queue, _urls(queue), _labels(queue), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _urls(queue: ReviewQueue) -> list[str]:
    return [""] * len(queue) if queue.data is None else queue.data.urls()


def _labels(queue: ReviewQueue) -> list[str]:
    """The present label of each image; "" for none."""
    data = queue.data
    if data is None:
        return [""] * len(queue)
    given = zip(data.column(data.kind.names), data.kind.is_annotated(data.table), strict=True)
    return [
        (data.kind.title([own] if isinstance(own, str) else list(own)) if annotated else "") for own, annotated in given
    ]


def queue_html(queue: ReviewQueue) -> str:
    """Render for a notebook cell: the first images in small, each with its label and the reasons to check it."""
    from onlineml.evaluation.render.cut_outs import cut_outs, file_name
    from onlineml.evaluation.render.html import Table, notebook_cell
    from onlineml.improving.review.reasons import first_few
    from onlineml.pages import markup

    shown = queue.items[:_SHOWN]
    boxes = [next((why.box_xyxy for why in item.whys if why.box_xyxy), None) for item in shown]
    pictures = [""] * len(shown) if queue.data is None else cut_outs(queue.data.take(range(len(shown))), boxes)
    rows = [
        (picture, file_name(uri) or item.image_id, label,
         markup("<br>".join(["{}"] * len(said)), *said) if (said := first_few(_said(item))) else "drawn at random")
        for picture, item, uri, label in zip(pictures, shown, _urls(queue), _labels(queue), strict=False)
    ]  # fmt: skip
    lines = [str(queue).splitlines()[0]]
    lines += [f"the first {len(shown)} of {len(queue):,}"] if len(shown) < len(queue) else []
    return notebook_cell(lines=lines, columns=[[Table(("", "image", "label", "why"), rows)]])


def _said(item: ReviewItem) -> list[str]:
    return list(dict.fromkeys(str(why) for why in item.whys))
