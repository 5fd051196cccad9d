"""Manifests with boxes for the tests of formats, and the files that formats are read from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from hypothesis import assume
from hypothesis import strategies as st

from onlineml.data.manifest.manifest import Manifest
from picture_files import noise, png

if TYPE_CHECKING:
    from stores import Store

__all__ = ["NAMES", "box_manifest", "boxes_by_name", "json_file", "manifests", "rows_by_name", "write_images"]

NAMES = ("cat", "dog", "a very odd <name> & more")


def write_images(store: Store, *names: str, size_hw: tuple[int, int] = (48, 64)) -> None:
    """PNGs, whatever they are called, of which no two are alike."""
    for number, name in enumerate(names):
        store.raw_write(name, png(noise(number, size_hw)))


def json_file(**parts: Any) -> bytes:
    """A COCO file of images with an id and a name, annotations and categories; each may be given in full."""
    images = [
        {"id": row[0], "file_name": row[1], "width": 64, "height": 48} if isinstance(row, tuple) else row
        for row in parts.pop("images", [])
    ]
    classes = [
        {"id": row[0], "name": row[1]} if isinstance(row, tuple) else row
        for row in parts.pop("categories", [(1, "cat")])
    ]
    return json.dumps({"images": images, "categories": classes, **parts}).encode()


def box_manifest(boxes: dict[str, Any], *, names: tuple[str, ...] = NAMES, **columns: Any) -> Manifest:
    """Images of 64 x 48 pixels that are nowhere, by name: boxes and labels, or None.

    They are on a store that cannot be listed, so that any may be missing.
    """
    table = pa.table(
        {
            "image_id": [f"id-{name}" for name in boxes],
            "uri": list(boxes),
            "width": [64] * len(boxes),
            "height": [48] * len(boxes),
            "boxes_xyxy": pa.array([said and said[0] for said in boxes.values()], pa.list_(pa.list_(pa.float64()))),
            "labels": pa.array([said and said[1] for said in boxes.values()], pa.list_(pa.string())),
            **columns,
        }
    )
    return Manifest(table, names, root="http://nowhere.invalid/photos", task="detection")


def rows_by_name(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """The rows of a manifest by the last part of their path."""
    return {row["uri"].rpartition("/")[2]: row for row in manifest.table.to_pylist()}


def boxes_by_name(manifest: Manifest) -> dict[str, Any]:
    """Each image's boxes with their labels, or None, by the last part of its path."""
    return {
        name: None if row["boxes_xyxy"] is None else list(zip(row["boxes_xyxy"], row["labels"], strict=True))
        for name, row in rows_by_name(manifest).items()
    }


@st.composite
def manifests(draw: st.DrawFn, *, finite: bool = True) -> Manifest:
    """Any boxes: any doubles, any number an image, none, not annotated; with splits, groups and further columns."""
    number = st.floats(-1e4, 1e4, allow_subnormal=False) | st.integers(-10, 700).map(float)
    if not finite:
        number |= st.just(float("nan"))
    lengths = draw(st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=4))
    n = len(lengths)
    total = sum(length or 0 for length in lengths)
    corners = np.array(draw(st.lists(number, min_size=4 * total, max_size=4 * total))).reshape(-1, 4)
    whole = corners[np.isfinite(corners).all(1)]
    shares = whole.size and (np.abs(whole) <= 1).all() and (whole[:, 2:] % 1 != 0).any()
    assume(not shares)  # which formats of pixels refuse
    labels = draw(st.lists(st.sampled_from(NAMES), min_size=total, max_size=total))
    tracks = draw(st.lists(st.integers(-(2**53), 2**53), min_size=total, max_size=total))
    ends = np.cumsum([length or 0 for length in lengths])

    def lists(values: Any) -> list[Any]:
        values = list(values)
        return [
            None if length is None else values[end - length : end] for length, end in zip(lengths, ends, strict=True)
        ]

    names = [f"{i}.png" for i in range(n)]
    told = [lists(corners.tolist()), lists(labels)]
    boxes = {name: None if box is None else (box, label) for name, box, label in zip(names, *told, strict=True)}
    columns: dict[str, Any] = {
        "split": pa.array(
            draw(st.lists(st.sampled_from(["train", "val", "test", None]), min_size=n, max_size=n)), pa.string()
        ),
        "group": pa.array(draw(st.lists(st.sampled_from(["g", "h", None]), min_size=n, max_size=n)), pa.string()),
    }
    if total:
        columns["track"] = pa.array([own or None for own in lists(tracks)], pa.list_(pa.int64()))
    if draw(st.booleans()):
        columns["site"] = pa.array([f"site {i}" for i in range(n)])
    if total and draw(st.booleans()):
        flags = draw(st.lists(st.booleans(), min_size=total, max_size=total))
        columns["crowd"] = pa.array([own or None for own in lists(flags)], pa.list_(pa.bool_()))
        sizes = draw(st.lists(st.floats(0, 1e6), min_size=total, max_size=total))
        columns["area"] = pa.array([own or None for own in lists(sizes)], pa.list_(pa.float64()))
    return box_manifest(boxes, **columns)
