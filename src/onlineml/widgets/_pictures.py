"""Thumbnails for front ends and saved notebooks."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from onlineml.data.images.thumbnails import drawn, encoded, thumbnails
from onlineml.pages import render
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onlineml.data.images.thumbnails import Thumbnail
    from onlineml.evaluation.render.gallery import GalleryItems, ShownBox
    from onlineml.widgets._view import View

__all__ = ["items_html", "pictures", "send_pictures", "uri_of", "warm"]

_TOGETHER = 8  # thumbnails per message, so that the first are shown early
_NO_URL = "it has no file"
_TONES = {"good": "#3f9e77", "bad": "#d9604c", "warm": "#c47a1e"}  # as in figures


def pictures(gallery: GalleryItems, rows: Sequence[int], *, side: int) -> Iterator[Thumbnail]:
    """Thumbnails of some rows, in order."""
    return thumbnails(
        [Location(gallery.urls[row], gallery.storage_options) for row in rows],
        versions=[gallery.versions[row] for row in rows],
        side=side,
    )


def send_pictures(view: View, gallery: GalleryItems, rows: Sequence[int], *, of: object, side: int) -> None:
    """Send thumbnails as they are made; each message has the index of its first, sizes and errors."""
    first, waiting = 0, []
    for place, one in enumerate(pictures(gallery, rows, side=side)):
        waiting.append(one)
        if len(waiting) == _TOGETHER or place + 1 == len(rows):
            told = {"sizes": [one.size_hw for one in waiting], "errors": [one.error for one in waiting]}
            last = place + 1 == len(rows)
            view.send(
                {"kind": "pictures", "of": of, "first": first, "last": last, **told}, [one.picture for one in waiting]
            )
            first, waiting = place + 1, []
    if not rows:
        view.send({"kind": "pictures", "of": of, "first": 0, "last": True, "sizes": [], "errors": []})


def warm(gallery: GalleryItems, rows: Sequence[int], *, side: int) -> None:
    """Make and cache thumbnails that will be requested soon."""
    for _ in pictures(gallery, rows, side=side):
        pass


def uri_of(picture: bytes) -> str:
    """A thumbnail as the source of an ``img`` element."""
    kind = "png" if picture[:4] == b"\x89PNG" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def items_html(head: object, gallery: GalleryItems, rows: Sequence[int], *, side: int = 104) -> str:
    """Images with their titles and notes, side by side below `head`, with boxes drawn on them."""
    items = [
        {
            "source": uri_of(_framed(thumbnail, item.boxes)) if thumbnail.picture else "",
            "error": thumbnail.error or _NO_URL,
            "color": _TONES[item.tone] if item.tone else "",
            "title": item.facts()["title"],
            "note": item.note,
        }
        for item, thumbnail in zip(gallery.items(rows), pictures(gallery, rows, side=side), strict=True)
    ]
    return render("widgets/items.html", {"head": head, "items": items, "side": side})


def _framed(thumbnail: Thumbnail, boxes: Sequence[ShownBox]) -> bytes:
    if not boxes:
        return thumbnail.picture
    return encoded(drawn(thumbnail, [(box.box_xyxy, box.color) for box in boxes]))
