"""Pages and notebook cells of scores: their parts, which the templates lay out."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from onlineml.evaluation.classification.gallery import small_image
from onlineml.pages import markup, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from onlineml.evaluation.types import Interval

__all__ = ["Cell", "Header", "Meter", "Section", "Table", "bad_if", "notebook_cell", "page", "picture", "scale"]
__all__ += ["small_picture", "sources"]


class Table(NamedTuple):
    """Rows of text, numbers or markup below a header; the first `left` columns are text."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    left: int = 1


class Cell(NamedTuple):
    """A cell of a gallery: pictures with captions, and a tooltip."""

    title: str
    pictures: Sequence[tuple[Markup, object]]


class Meter(NamedTuple):
    """A large number in the header of a page."""

    value: str
    name: str
    bar: object = ""
    note: str = ""
    tone: str = ""


class Header(NamedTuple):
    """The top of a page: large numbers, what they mean, and cards of (name, value, note); a bar has texts below it."""

    facts: str
    meters: Sequence[Meter]
    sentence: str
    note: str
    cards: Sequence[tuple[str, str, str]]
    bar: object = ""
    ends: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: heading.
        note: text or markup below it.
        lines: paragraphs.
        figures: SVG elements, side by side as `layout` has it: ``"wide"``, ``"pair"`` or ``"three"``.
        table: below, or beside figures.
        cells: a gallery of images.
        large: for images with boxes.
        shown: number of rows or cells that are shown at first; `more` names the others.
        foot: text or markup at the end.
    """

    title: str
    note: object = ""
    lines: Sequence[str] = ()
    figures: Sequence[Markup] = ()
    layout: str = "wide"
    table: Table | None = None
    cells: Sequence[Cell] = ()
    large: bool = False
    shown: int = 12
    more: str = "more"
    foot: object = ""


def page(title: str, header: Header | None, sections: Sequence[Section], *, before: object = "") -> str:
    """Render a whole page from a title, which is any text; `before` is markup at its top."""
    values = {"title": title, "header": header, "sections": sections, "before": before}
    return render("evaluation/page.html", values)


def notebook_cell(
    big: str = "",
    small: str = "",
    *,
    color: str = "",
    reasons: Sequence[str] = (),
    lines: Sequence[str] = (),
    columns: Sequence[Sequence[Table]] = (),
    heading: str = "",
    cells: Sequence[Cell] = (),
) -> str:
    """Render for a notebook cell: a large number, sentences, columns of tables, a gallery below its heading."""
    shown = [line for line in lines if line]
    values: dict[str, object] = {"big": big, "small": small, "color": color, "reasons": reasons, "lines": shown}
    values |= {"columns": columns, "heading": heading, "cells": cells}
    return render("evaluation/notebook.html", values)


def bad_if(failing: object, text: str) -> object:
    """Return a text, in red where something fails."""
    return markup('<span class="bad">{}</span>', text) if failing else text


def scale(value: float, bounds: Interval, *, reference: float = math.nan) -> object:
    """Return a bar from 0 to 1 with the interval, the value and, as a thin line, a reference; "" without a value."""
    if math.isnan(value):
        return ""
    low, high = bounds
    band = markup('<i style="left:{:.1f}%;width:{:.1f}%"></i>', 100 * low, max(100 * (high - low), 0.5))
    line = markup('<u style="left:{:.1f}%"></u>', 100 * reference)
    parts = ("" if math.isnan(low) else band, "" if math.isnan(reference) else line, 100 * value)
    return markup('<div class="scale">{}{}<b style="left:{:.1f}%"></b></div>', *parts)


def sources(
    image_ids: Sequence[str],
    thumbnails: Mapping[str, bytes],
    *,
    side: int = 160,
    max_bytes: int = 12_000,
    total: float = math.inf,
) -> list[str]:
    """Return data URIs of thumbnails, reduced if they are large.

    Args:
        image_ids: of the images.
        thumbnails: encoded images by id.
        side: longest side in pixels of those that are reduced.
        max_bytes: size of those that are not.
        total: characters after which no further one is given.

    Returns:
        One for each image; "" if there is none, or if it is no PNG, JPEG, WebP or GIF.
    """
    found: list[str] = []
    for image_id in image_ids:
        data = thumbnails.get(image_id) if sum(map(len, found)) < total else None
        small = None if data is None else small_image(data, side=side, max_bytes=max_bytes)
        found.append("" if small is None else f"data:{small[0]};base64,{base64.b64encode(small[1]).decode()}")
    return found


def picture(source: str, where: str) -> Markup:
    """Return an image of a page's gallery, or where it is if there is no `source`."""
    if source:
        return markup('<img src="{}" alt="" loading="lazy">', source)
    return markup('<div class="none">{}</div>', where)


def small_picture(source: str) -> Markup:
    """Return an image of a notebook's gallery."""
    style = "width:110px;max-width:none;height:110px;object-fit:cover;border-radius:6px"  # pages shrink images
    return markup('<img src="{}" alt="" style="{}"><br>', source, style)
