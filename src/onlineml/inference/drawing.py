"""Drawing detections on images, legible at any size."""

from __future__ import annotations

import colorsys
import itertools
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.images.decode import decode
from onlineml.errors import BadImageError, ConfigError
from onlineml.inference.label_layout import place_labels
from onlineml.inference.sources import items_of
from onlineml.storage.io import read_bytes, read_many
from onlineml.storage.location import Location, Options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.inference.detections import ImageDetections

__all__ = ["draw", "draw_boxes", "draw_labels", "draw_stored"]

_LEGIBLE = 320  # an image whose longer side is less is enlarged, to make room for text
_LONGEST = 28  # characters of a label
# bright, of different hues; the first ones are colour-blind safe
_COLOURS = (
    (255, 208, 0),
    (0, 180, 255),
    (255, 79, 94),
    (56, 212, 48),
    (190, 120, 255),
    (255, 138, 0),
    (0, 224, 176),
    (255, 111, 216),
    (70, 120, 255),
    (200, 224, 0),
)
_DARK, _LIGHT = (17, 17, 17), (255, 255, 255)


def draw(
    image: Any,
    found: ImageDetections,
    *,
    max_side: int | None = None,
    storage_options: Options = None,
) -> NDArray[np.uint8]:
    """Draw the detections in an image. Lines and text scale with the image, and labels stay inside it.

    Args:
        image: the row's image, as passed to `onlineml.predict`: a path or URL, bytes, an array or a PIL image.
        found: the row.
        max_side: longest side of the result in pixels; None for the image's own. An image whose longer side is below
            320 pixels is enlarged.
        storage_options: of the filesystem.

    Returns:
        (h, w, 3) uint8 RGB, new.

    Raises:
        BadImageError: the image is unusable.
        ConfigError: it is not an image, or its size shows that the row is another image's.
        NotFoundError: it does not exist.
    """
    items = list(itertools.islice(items_of([image], storage_options=storage_options), 2))
    if len(items) != 1:
        raise ConfigError(f"{image} is a folder or pattern: draw() takes one image, that of the row")
    item = items[0]
    content = read_bytes(item.content) if isinstance(item.content, Location) else item.content
    if isinstance(content, BadImageError):
        raise content
    return _drawn(content, found, max_side)


def draw_stored(
    rows: Sequence[ImageDetections], *, max_side: int | None, storage_options: Options = None
) -> list[NDArray[np.uint8] | None]:
    """Draw rows whose images are files, each read by its ``uri``; None if that fails."""
    results: list[NDArray[np.uint8] | None] = []
    for content, found in zip(read_many([r.uri for r in rows], storage_options=storage_options), rows, strict=True):
        try:
            results.append(None if isinstance(content, OSError) else _drawn(content, found, max_side))
        except (BadImageError, ConfigError):
            results.append(None)
    return results


def _drawn(content: bytes | NDArray[np.uint8], found: ImageDetections, max_side: int | None) -> NDArray[np.uint8]:
    if isinstance(content, bytes):
        decoded = decode(content, min_side=max_side)
        pixels, size_hw = decoded.pixels, decoded.size_hw
    else:
        pixels, size_hw = content, content.shape[:2]
    if found.size_hw is not None and tuple(size_hw) != found.size_hw:
        raise ConfigError(
            f"the image has {size_hw[1]} x {size_hw[0]} pixels, but the row is of one with "
            f"{found.size_hw[1]} x {found.size_hw[0]} ({found.uri}): pass the row of this image"
        )
    pixels, scale = _sized(pixels, size_hw, max_side)
    texts = [f"{shortened(label)} {score:.2f}" for label, score in found.top]
    return draw_boxes(pixels, found.boxes_xyxy * scale, texts, found.label_ids)


def _sized(
    pixels: NDArray[np.uint8], size_hw: tuple[int, ...], max_side: int | None
) -> tuple[NDArray[np.uint8], float]:
    """Resize the image for drawing; also return its pixels per pixel of the original."""
    import cv2  # noqa: PLC0415

    longest = max(size_hw)
    if max_side is not None and max_side < 1:
        raise ConfigError(f"max_side={max_side}: expected at least 1 pixel")
    if max_side is not None and longest > max_side:
        scale = max_side / longest
    else:  # an integer factor, so that each pixel stays a square
        most = _LEGIBLE if max_side is None else max_side // longest
        scale = float(max(1, min(-(-_LEGIBLE // longest), most)))
    size_wh = max(1, round(size_hw[1] * scale)), max(1, round(size_hw[0] * scale))
    if size_wh == (pixels.shape[1], pixels.shape[0]):
        return pixels, scale
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=how), dtype=np.uint8), scale


def draw_boxes(
    pixels: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.float64],
    texts: Sequence[str],
    colours: Sequence[int] | NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Draw boxes, each with a tag.

    Args:
        pixels: (H, W, 3) uint8 RGB; not changed.
        boxes_xyxy: (n, 4) in these pixels, by importance: tags are placed in this order.
        texts: (n) of the tags; empty for none.
        colours: (n) indices of colours, such as class ids.

    Returns:
        (H, W, 3) uint8, new.
    """
    drawn = np.array(pixels)
    size_hw = drawn.shape[0], drawn.shape[1]
    letters = letter_px(size_hw, n_boxes=len(boxes_xyxy))
    line = max(1, round(letters / 7))
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    for box, colour in reversed(list(zip(boxes, colours, strict=True))):
        _frame(drawn, box, line + max(1, line // 2), _DARK)  # a dark rim, visible on a background of the same colour
        _frame(drawn, box, line, colour_of(int(colour)))
    tags = [_tag(text, letters, size_hw, colour_of(int(c))) for text, c in zip(texts, colours, strict=True)]
    places = place_labels(boxes, [tag.shape[:2] for tag in tags], size_hw, gap=line)
    for (top, left), tag in reversed(list(zip(places, tags, strict=True))):
        drawn[top : top + tag.shape[0], left : left + tag.shape[1]] = tag
    return drawn


def letter_px(size_hw: tuple[int, int], *, n_boxes: int) -> int:
    """Text height in pixels: grows with the image, and shrinks with the number of labels."""
    size = min(0.028 * max(size_hw), 0.14 * min(size_hw)) * min(1.0, (12 / max(1, n_boxes)) ** 0.25)
    return max(11, round(float(size)))  # smaller text is illegible


def colour_of(number: int) -> tuple[int, int, int]:
    """RGB of a class: ten fixed colours, then hues a golden angle apart."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    red, green, blue = colorsys.hsv_to_rgb((number * 0.381966) % 1, 0.65 + 0.3 * (number % 2), 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def box_colour(number: int) -> str:
    """The CSS colour of a class; grey for an unknown class."""
    return "#9aa0a6" if number < 0 else "#{:02x}{:02x}{:02x}".format(*colour_of(number))


def draw_labels(
    pixels: NDArray[np.uint8], scores: Mapping[str, float], class_names: Sequence[str]
) -> NDArray[np.uint8]:
    """Write labels with their scores into the corners of a picture.

    Args:
        pixels: (H, W, 3) uint8 RGB; left as it is.
        scores: of up to eight labels, which have places of their own.
        class_names: their places are the colours.
    """
    height, width = pixels.shape[:2]
    texts = [f"{shortened(name)} {score:.2f}" for name, score in scores.items()]
    colours = [class_names.index(name) if name in class_names else 0 for name in scores]
    return draw_boxes(pixels, np.tile([0.0, 0.0, width, height], (len(scores), 1)), texts, colours)


def shortened(label: str) -> str:
    """A label on one line, abbreviated in the middle if it is long."""
    text = " ".join(label.split())
    return text if len(text) <= _LONGEST else f"{text[:17]}…{text[-10:]}"


def _frame(pixels: NDArray[np.uint8], box: NDArray[np.float64], width: int, colour: tuple[int, int, int]) -> None:
    """Draw a frame around a box, outside the object but inside the image."""
    high, wide = pixels.shape[:2]
    x1, y1 = (max(0, int(v) - width) for v in np.floor(box[:2]))
    x2, y2 = (min(n, int(v) + width) for n, v in zip((wide, high), np.ceil(box[2:]), strict=True))
    pixels[y1 : y1 + width, x1:x2] = colour
    pixels[max(y2 - width, 0) : y2, x1:x2] = colour
    pixels[y1:y2, x1 : x1 + width] = colour
    pixels[y1:y2, max(x2 - width, 0) : x2] = colour


def _tag(text: str, letters: int, size_hw: tuple[int, int], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A filled label that fits into the image, (h, w, 3) uint8; empty without text."""
    from PIL import Image, ImageDraw  # noqa: PLC0415

    if not text:
        return np.zeros((0, 0, 3), np.uint8)
    font = _font(letters)
    ascent, descent = font.getmetrics()
    pad = max(2, round(letters / 4))
    while len(text) > 1 and font.getlength(text) + 2 * pad > size_hw[1]:
        text = f"{text[:-2]}…" if len(text) > 2 else text[:1]
    size = min(size_hw[1], round(font.getlength(text)) + 2 * pad), min(size_hw[0], ascent + descent)
    image = Image.new("RGB", size, colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]  # luma of ITU-R BT.601
    ImageDraw.Draw(image).text((pad, 0), text, fill=_DARK if bright > 120 else _LIGHT, font=font)
    return np.asarray(image)


@lru_cache(maxsize=32)
def _font(letters: int) -> Any:
    """DejaVu, for its many scripts; Pillow's own font if matplotlib lacks it."""
    import matplotlib as mpl  # noqa: PLC0415
    from PIL import ImageFont  # noqa: PLC0415

    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, letters) if path.is_file() else ImageFont.load_default(letters)
