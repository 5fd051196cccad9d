"""Gallery of misclassified images."""
# ruff: noqa: PLC0415 - Pillow is needed for thumbnails alone

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from onlineml.evaluation.render.style import ALARM_TEXT, CALM_TEXT, new_grid, say_empty
from onlineml.evaluation.render.text import percent, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlineml.evaluation.classification.result import ClassificationScores
    from onlineml.evaluation.classification.tables import Mistake
    from onlineml.evaluation.types import Array

__all__ = ["mistakes_figure", "pixels_of", "small_image"]

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
_MAX_PIXELS = 20_000_000  # larger than a phone's photo; beyond it is a decompression bomb


def small_image(data: bytes, *, side: int, max_bytes: int) -> tuple[str, bytes] | None:
    """Return an image small enough to embed in a page.

    Args:
        data: a PNG, JPEG, WebP or GIF.
        side: longest side in pixels of images that are reduced.
        max_bytes: maximum number of bytes of images that are not changed.

    Returns:
        MIME type and bytes; None if `data` is not such an image or is larger than 20 megapixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            mime = FORMATS[image.format or ""]
            if len(data) <= max_bytes:
                image.verify()
                return mime, data
            small = image.convert("RGB")
            small.thumbnail((side, side))
            buffer = io.BytesIO()
            small.save(buffer, format="JPEG", quality=80)
            return "image/jpeg", buffer.getvalue()
    except (OSError, ValueError, SyntaxError, KeyError):  # exceptions that Pillow raises for invalid data
        return None


def pixels_of(data: bytes) -> Array | None:
    """Return (H, W, 3) uint8 of an encoded thumbnail, at most 320 pixels per side; None if it is invalid."""
    from PIL import Image

    small = small_image(data, side=320, max_bytes=0)
    if small is None:
        return None
    with Image.open(io.BytesIO(small[1])) as image:
        return np.asarray(image.convert("RGB"))


def mistakes_figure(scores: ClassificationScores, *, limit: int = 12) -> Figure:
    """Draw the most confident mistakes, with thumbnails if the scores have them."""
    shown = sorted(scores.mistakes, key=lambda m: m.image_id not in scores.thumbnails)[:limit]
    empty = "no mistakes" if scores.n_images else "no images"
    drawn, cells = new_grid(len(shown), columns=6, cell=(1.6, 2.15), least=3.2, below=0.35, empty=empty)
    for axes, mistake in zip(cells, shown, strict=True):
        _draw(axes, mistake, scores)
    return drawn


def _draw(axes: Axes, mistake: Mistake, scores: ClassificationScores) -> None:
    data = scores.thumbnails.get(mistake.image_id)
    pixels = None if data is None else pixels_of(data)
    if pixels is None:
        axes.set_box_aspect(1)
        say_empty(axes, shorten(mistake.uri or mistake.image_id, 18))
    else:
        axes.imshow(pixels)
        axes.set_axis_off()
    said, was = shorten(mistake.predicted, 15), shorten(mistake.truth, 15)
    axes.text(0, 1.13, f"{said} {percent(mistake.score)}", transform=axes.transAxes, fontsize=8, color=ALARM_TEXT,
              fontweight="bold", parse_math=False)  # fmt: skip
    axes.text(0, 1.02, f"is {was}", transform=axes.transAxes, fontsize=8, color=CALM_TEXT, parse_math=False)
