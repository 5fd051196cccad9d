"""Grid of images with a caption below each: a batch, or predictions for some photos."""

from __future__ import annotations

import textwrap
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError
from onlineml.evaluation.render.style import INK, new_grid, say_empty
from onlineml.evaluation.render.text import shorten
from onlineml.storage.io import read_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from onlineml.storage.location import Options


__all__ = ["image_grid"]

_INCHES = 1.25  # per image: eight fit side by side in a notebook
_TITLE_LENGTH = 20  # characters that fit below an image
_TITLE_LINES = 3


def image_grid(
    images: Sequence[Any] | NDArray[np.uint8],
    titles: Sequence[object] | None = None,
    *,
    columns: int = 8,
    limit: int = 32,
    inches: float = _INCHES,
    storage_options: Options = None,
) -> Figure:
    """Draw images side by side, with a title below each.

    Args:
        images: (N, 3, H, W) or (N, H, W, 3) uint8 RGB, an array or a tensor, as in a batch; or a sequence of (H, W, 3)
            uint8 arrays, of paths or URLs, of encoded images as bytes, or of None for one that cannot be shown.
        titles: (N) text below each image; None for no text.
        columns: images per row.
        limit: maximum number of images.
        inches: width and height of one image.
        storage_options: options for opening the URLs.

    Raises:
        ConfigError: the numbers of titles and images differ, or an image has another shape.
    """
    texts = [""] * len(images) if titles is None else [str(title) for title in titles]
    if len(texts) != len(images):
        msg = (
            f"image_grid was given {count(len(images), 'image')} and {len(texts)} titles; expected the "
            "same number of both"
        )
        raise ConfigError(msg)
    shown = min(len(images), limit)
    texts = [_wrapped(text, round(_TITLE_LENGTH * inches / _INCHES)) for text in texts[:shown]]
    height = inches + 0.08 + 0.12 * max((text.count("\n") + 1 for text in texts), default=1)
    figure, cells = new_grid(shown, columns=columns, cell=(inches, height), least=3.0, empty="no images")
    contents = _read([images[place] for place in range(shown)], storage_options)
    for one, content, text in zip(cells, contents, texts, strict=False):
        pixels = _pixels(content)
        if pixels is None:
            say_empty(one, "not an image")
        else:
            one.imshow(pixels)
            one.set_axis_off()
        _write_below(one, text)
    return figure


def _wrapped(text: str, length: int) -> str:
    """Return at most three lines, each at most so many characters long."""
    lines = textwrap.wrap(text, length, break_long_words=False)
    if len(lines) > _TITLE_LINES:
        lines[_TITLE_LINES - 1 :] = [" ".join(lines[_TITLE_LINES - 1 :])]
    return "\n".join(shorten(line, length) for line in lines)


def _write_below(axes: Axes, text: str) -> None:
    note = axes.annotate(text, (0.5, 0), (0, -3), "axes fraction", "offset points", ha="center", va="top", fontsize=8)
    note.set_color(INK)
    note.set_parse_math(False)


def _read(images: list[Any], storage_options: Options) -> list[Any]:
    """Return the images, with the content of its file for each path."""
    urls = [str(image) for image in images if isinstance(image, (str, PathLike))]
    contents = iter(read_many(urls, storage_options=storage_options) if urls else [])
    return [next(contents) if isinstance(image, (str, PathLike)) else image for image in images]


def _pixels(image: Any) -> NDArray[np.uint8] | None:
    """Return (H, W, 3) uint8, or None if the image cannot be shown."""
    if image is None or isinstance(image, OSError):  # missing, or not readable
        return None
    if isinstance(image, bytes):
        from onlineml.data.images.decode import decode  # noqa: PLC0415 - opens images, and importing must stay quick
        from onlineml.errors import BadImageError  # noqa: PLC0415

        try:
            return decode(image, min_side=240).pixels
        except BadImageError:
            return None
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[-1] != 3:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        msg = f"expected an image of (H, W, 3) or (3, H, W) uint8; found {pixels.shape} {pixels.dtype}"
        raise ConfigError(msg)
    return pixels
