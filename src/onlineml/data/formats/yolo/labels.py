"""Labels of a YOLO dataset: the rows of all label files, as boxes with classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from onlineml.arguments.counted import part_of, tally
from onlineml.data.formats.boxes import DECLARED, BoxRows
from onlineml.data.formats.encodings import utf8
from onlineml.data.formats.yolo.rows import YoloRow, look_like_keypoints, parse_rows
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.location import Location
from onlineml.storage.urls import inside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

__all__ = ["Labels", "box_rows", "read_labels", "row_notes", "unlabelled"]

_TOGETHER = 4096  # label files in memory at a time
_PIXELS = (2, 1e6)  # between these a value is no share of an image, even where a box leaves it, but may be pixels


@dataclass
class Labels:
    """Rows of the label files.

    Attributes:
        rows: of each image that has any.
        sizes_hw: of those of these images that can be read.
        n_repeated: rows that repeat another one of their file, which are left out.
    """

    rows: dict[str, list[YoloRow]] = field(default_factory=dict)
    sizes_hw: dict[str, tuple[int, int]] = field(default_factory=dict)
    n_repeated: int = 0


def read_labels(at: Location, label_of: Mapping[str, str], problems: list[str], *, n_keypoints: int | None) -> Labels:
    """Read the label file of each image.

    Args:
        at: the folder of the dataset.
        label_of: the label file of each image.
        problems: a list to which rows of no form are added.
        n_keypoints: how many numbers of keypoints follow each box; None if that is unknown.
    """
    texts = {image: text for image, text in _texts(at, label_of).items() if text.strip()}
    found = Labels()
    if n_keypoints is None:
        n_likely = look_like_keypoints(row for text in texts.values() if _has_others(text) for row in text.splitlines())
        if n_likely is not None:
            problems.append(
                f"the rows of {n_likely + 5} columns look like boxes with {n_likely} numbers of keypoints, but may be "
                "polygons; set kpt_shape=(how many, 2 or 3), here or in data.yaml, or kpt_shape=(0, 2) for polygons"
            )
            return found
    sizes = upright_sizes_hw([Location(inside(at.url, image), at.options) for image in texts]).tolist()
    found.sizes_hw = {image: (height, width) for image, (height, width) in zip(texts, sizes, strict=True) if height}
    for image in [*texts]:
        text = texts.pop(image)  # which takes as much memory as its rows do
        try:
            rows = parse_rows(text, size_hw=found.sizes_hw.get(image), n_keypoints=n_keypoints)
        except DataError as error:
            problems.append(f"{label_of[image]}: {error}; expected {_expected(n_keypoints)}")
            continue
        own = rows
        if len({row.box_xyxy[0] for row in rows}) < len(rows):
            own = list({(row.number, *row.box_xyxy, row.score): row for row in rows}.values())
        found.rows[image] = own
        found.n_repeated += len(rows) - len(own)
    problems += _pixels(found)
    return found


def _has_others(text: str) -> bool:
    """Return whether a file may have rows of other than five columns."""
    n_blanks = 4 * (text.count("\n") + (text[-1:] != "\n"))  # in rows as programs write them
    return "," in text or "\t" in text or text.count(" ") != n_blanks


def _pixels(labels: Labels) -> list[str]:
    """Return the problem of rows that are no shares of the image's size."""
    images = [image for image in labels.rows if image in labels.sizes_hw]
    found = [row.box_xyxy for image in images for row in labels.rows[image]]
    boxes = np.array(found, dtype=np.float64).reshape(-1, 2, 2)
    sizes_hw = np.array([labels.sizes_hw[image] for image in images], dtype=np.float64).reshape(-1, 2)
    sizes_wh = np.repeat(sizes_hw[:, ::-1], [len(labels.rows[image]) for image in images], axis=0)
    with np.errstate(all="ignore"):  # any number can be written in a file
        sums, extents = (boxes[:, 0] + boxes[:, 1]) / 2, boxes[:, 1] - boxes[:, 0]
        largest = np.abs(np.hstack([sums, extents]) / np.tile(sizes_wh, 2)).max(axis=1, initial=0)
    n_far = int(((largest > _PIXELS[0]) & (largest < _PIXELS[1])).sum())
    if 2 * n_far <= len(found):
        return []
    expected = "expected shares of the image's width and height"
    return [f"{part_of(n_far, len(found), 'row has')} values beyond 2: pixels, or boxes of another format; {expected}"]


def _expected(n_keypoints: int | None) -> str:
    if n_keypoints:
        return f"'class cx cy width height' and {n_keypoints} numbers of keypoints, as kpt_shape says"
    return "'class cx cy width height', or a class and at least three points; keypoints need kpt_shape"


def _texts(at: Location, label_of: Mapping[str, str]) -> dict[str, str]:
    texts = {}
    pairs = list(label_of.items())
    for start in range(0, len(pairs), _TOGETHER):
        chunk = pairs[start : start + _TOGETHER]
        contents = io.read_many([inside(at.url, path) for _, path in chunk], storage_options=at.options)
        for (image, _), content in zip(chunk, contents, strict=True):
            if isinstance(content, OSError):
                raise content
            texts[image] = (content if content.isascii() else _in_utf8(content)).decode("utf-8", "replace")
    return texts


def _in_utf8(content: bytes) -> bytes:
    """Return the text in UTF-8; unchanged if it is none, so that its rows are named."""
    try:
        return utf8(content, "")
    except DataError:
        return content


def box_rows(
    split_of: Mapping[str, str | None], label_of: Mapping[str, str], labels: Labels, names: Mapping[int, str]
) -> BoxRows:
    """Return the rows of a manifest.

    Args:
        split_of: the split of each image.
        label_of: the label file of each image that has one.
        labels: of these files.
        names: of the classes, by number.
    """
    images = sorted(split_of)
    parsed = [labels.rows.get(image, []) for image in images]
    found = [row for rows in parsed for row in rows]
    label_of_number = {number: _label(number, names) for number in {row.number for row in found}}
    empty = unlabelled(split_of, label_of)
    sizes = [labels.sizes_hw.get(image, (None, None)) for image in images]
    return BoxRows(
        uris=images,
        lengths=np.array([len(rows) for rows in parsed], dtype=np.int64),
        missing=np.array([split_of[image] in empty for image in images], dtype=bool),
        boxes_xyxy=np.array([row.box_xyxy for row in found], dtype=np.float64).reshape(-1, 4),
        labels=[label_of_number[row.number] for row in found],
        splits=[split_of[image] for image in images],
        per_box={"score": pa.array([row.score for row in found], pa.float64())},
        per_image={name: pa.array([size[side] for size in sizes], pa.int64()) for side, name in enumerate(DECLARED)},
    )


def _label(number: int | Decimal, names: Mapping[int, str]) -> str:
    """Return the class of a row; a text that is not a class name if the number has no class."""
    other = f"class {number}"
    return names.get(number, other) if isinstance(number, int) else other


def row_notes(labels: Labels, names: Mapping[int, str], *, n_keypoints: int | None) -> list[str]:
    """Return sentences for people about rows that are more or less than a box of a class."""
    rows = [row for own in labels.rows.values() for row in own]
    known = {*names.values()}
    numbers = dict.fromkeys(row.number for row in rows)
    beyond = [f"{number}" for number in numbers if _label(number, names) not in known]
    counts = {
        "polygons or oriented boxes were read as the boxes around them": sum(row.is_outline for row in rows),
        "boxes have keypoints, which were left out": len(rows) if n_keypoints else 0,
        "rows repeat another one of the file (left out)": labels.n_repeated,
        "rows have a confidence, which is the column 'score'": sum(row.score is not None for row in rows),
        f"class numbers have no name: {examples(beyond, text=str)}": len(beyond),
    }
    return [tally(n, text) for text, n in counts.items() if n]


def unlabelled(split_of: Mapping[str, str | None], label_of: Mapping[str, str]) -> list[str | None]:
    """Return the splits of which no image has a label file."""
    labelled = {split_of[image] for image in label_of}
    return [split for split in dict.fromkeys(split_of.values()) if split not in labelled]
