"""A review queue as a table: a frame, and HTML with thumbnails for a notebook."""
# ruff: noqa: PLC0415 - what tabulates and draws is loaded when it is asked for

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from markupsafe import Markup

    from onlineml.data.images.thumbnails import Thumbnail
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.review.result import ReviewItem, ReviewQueue

__all__ = ["queue_frame", "queue_html"]

_SHOWN = 20
_SIDE_PX = 96  # of a picture in the table: 2 to 4 kB
_READ_PX = 512  # the longer side from which a suspect box is cut out
_COLOR = "#d9604c"
_AROUND = 1.0  # of a suspect box's longer side, to each side of it
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
    from onlineml.evaluation.render.html import Table, notebook_cell
    from onlineml.pages import markup

    shown = queue.items[:_SHOWN]
    pictures = _pictures(queue.data.take(range(len(shown))), shown) if queue.data is not None else [""] * len(shown)
    rows = [
        (picture, _name(uri) or item.image_id, label,
         markup("<br>".join(["{}"] * len(said)), *said) if (said := _said(item)) else "drawn at random")
        for picture, item, uri, label in zip(pictures, shown, _urls(queue), _labels(queue), strict=False)
    ]  # fmt: skip
    lines = [str(queue).splitlines()[0]]
    lines += [f"the first {len(shown)} of {len(queue):,}"] if len(shown) < len(queue) else []
    return notebook_cell(lines=lines, columns=[[Table(("", "image", "label", "why"), rows)]])


def _said(item: ReviewItem) -> list[str]:
    return list(dict.fromkeys(str(why) for why in item.whys))


def _name(url: str) -> str:
    """The file's name: an address may carry a signature."""
    return urlsplit(url).path.rpartition("/")[2] if "://" in url else url.rpartition("/")[2]


def _pictures(data: Manifest, items: Sequence[ReviewItem]) -> list[Markup | str]:
    """A picture of each image, of the surroundings of its first suspect box if there is one; "" for an unusable one."""
    from onlineml.data.images.thumbnails import thumbnails
    from onlineml.evaluation.render.html import sources
    from onlineml.pages import markup
    from onlineml.storage.location import Location

    places = [Location(url, data.storage_options) for url in data.urls()]
    boxes = [next((why.box_xyxy for why in item.whys if why.box_xyxy), None) for item in items]
    read = thumbnails(places, versions=data.versions(), side=_READ_PX if any(boxes) else _SIDE_PX)
    small = {
        item.image_id: one.picture if box is None else _cut_out(one, box)
        for item, one, box in zip(items, read, boxes, strict=True)
        if one.picture
    }
    style = "max-width:72px;max-height:72px;border-radius:4px;display:block"
    found = sources([item.image_id for item in items], small, side=_SIDE_PX, max_bytes=4_000)
    return [markup('<img src="{}" alt="" style="{}">', source, style) if source else "" for source in found]


def _cut_out(thumbnail: Thumbnail, box_xyxy: tuple[float, float, float, float]) -> bytes:
    """The surroundings of a box in a thumbnail, with the box drawn on it."""
    from onlineml.data.images.thumbnails import drawn, encoded

    pixels = drawn(thumbnail, [(box_xyxy, _COLOR)])
    scale = pixels.shape[1] / max(1, thumbnail.size_hw[1])
    x1, y1, x2, y2 = (value * scale for value in box_xyxy)
    more = _AROUND * max(x2 - x1, y2 - y1, 1.0)
    left, top = max(0, int(x1 - more)), max(0, int(y1 - more))
    return encoded(pixels[top : max(top + 1, int(y2 + more)), left : max(left + 1, int(x2 + more))])
