"""Small pictures of images, or of the surroundings of a box in them, for tables in notebooks."""
# ruff: noqa: PLC0415 - what draws is loaded when it is asked for

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.render.style import ALARM
from onlineml.pages import markup
from onlineml.storage.urls import path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from onlineml.data.images.thumbnails import Thumbnail
    from onlineml.data.manifest.manifest import Manifest

    Box = tuple[float, float, float, float]

__all__ = ["cut_outs", "file_name"]

_SIDE_PX = 96  # of a picture in the table: 2 to 4 kB
_READ_PX = 512  # the longer side from which a box is cut out
_AROUND = 1.0  # of a box's longer side, to each side of it


def cut_outs(data: Manifest, boxes_xyxy: Sequence[Box | None]) -> list[Markup | str]:
    """Return a picture of each image, of the surroundings of its box if there is one; "" for an unusable one."""
    from onlineml.data.images.thumbnails import thumbnails
    from onlineml.evaluation.render.html import sources
    from onlineml.storage.location import Location

    places = [Location(url, data.storage_options) for url in data.urls()]
    read = thumbnails(places, versions=data.versions(), side=_READ_PX if any(boxes_xyxy) else _SIDE_PX)
    small = {
        str(i): one.picture if box is None else _cut_out(one, box)
        for i, (one, box) in enumerate(zip(read, boxes_xyxy, strict=True))
        if one.picture
    }
    style = "max-width:72px;max-height:72px;border-radius:4px;display:block"
    found = sources([str(i) for i in range(len(boxes_xyxy))], small, side=_SIDE_PX, max_bytes=4_000)
    return [markup('<img src="{}" alt="" style="{}">', source, style) if source else "" for source in found]


def _cut_out(thumbnail: Thumbnail, box_xyxy: Box) -> bytes:
    """The surroundings of a box in a thumbnail, with the box drawn on it."""
    from onlineml.data.images.thumbnails import drawn, encoded

    pixels = drawn(thumbnail, [(box_xyxy, ALARM)])
    scale = pixels.shape[1] / max(1, thumbnail.size_hw[1])
    x1, y1, x2, y2 = (value * scale for value in box_xyxy)
    more = _AROUND * max(x2 - x1, y2 - y1, 1.0)
    left, top = max(0, int(x1 - more)), max(0, int(y1 - more))
    return encoded(pixels[top : max(top + 1, int(y2 + more)), left : max(left + 1, int(x2 + more))])


def file_name(url: str) -> str:
    """Return the name of a file without its folder: an address may carry a signature."""
    return path_of(url).rpartition("/")[2]
