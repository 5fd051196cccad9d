"""Problems with the boxes of checked images, and the manifest after each policy is applied.

The policies are those of `onlineml.data.manifest.box_arrays.clean_boxes` and of the `DetectionDataModule`, so that
checked and unchecked data train to the same result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.checks.table import Finding, Judged
from onlineml.data.images.policies import POLICIES
from onlineml.data.manifest.box_arrays import box_iou, clean_boxes, of_another_size, repeated_boxes
from onlineml.data.manifest.boxes import box_list, declared_sizes_hw, lists_of, per_box_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["add_size_mismatches", "boxes_differ", "judge_boxes", "same_boxes"]

_SAME_IOU = 0.5  # two people never draw a box alike: an object of one is the other's as in every evaluation


def add_size_mismatches(found: list[list[Finding]], manifest: Manifest) -> None:
    """Report images whose boxes were drawn at another image size."""
    sizes = np.stack([manifest.table[name].fill_null(0).to_numpy() for name in ("height", "width")], axis=1)
    declared, boxes = declared_sizes_hw(manifest.table), manifest.boxes()
    differ = (declared > 0).all(1) & (sizes[:, 0] > 0) & (declared != sizes).any(1)
    larger = of_another_size(boxes.boxes_xyxy, boxes.image_index, sizes)
    for row in np.flatnonzero(differ | larger).tolist():
        (height, width), (own_h, own_w) = sizes[row].tolist(), declared[row].tolist()
        if not differ[row]:
            text = f"no box fits into {width} x {height} pixels, such as {_corners(boxes.boxes_xyxy[boxes.of(row)][0])}"
            found[row].append(_finding("boxes_size_mismatch", text))
            continue
        text = f"boxes were drawn on {own_w} x {own_h} pixels; the upright image has {width} x {height}"
        if (own_h, own_w) == (width, height) and any(one.code == "exif_rotated" for one in found[row]):
            text += ", with an EXIF rotation: draw the boxes on the upright image"
        found[row].append(_finding("boxes_size_mismatch", text))


def judge_boxes(manifest: Manifest) -> Judged:
    """Find the bad boxes of usable images, and apply the policy to each.

    Args:
        manifest: of the task detection, with the size of every image.
    """
    boxes = manifest.boxes()
    image = boxes.image_index
    sizes = np.stack([manifest.table[name].to_numpy() for name in ("height", "width")], axis=1).reshape(-1, 2)
    cut, codes = clean_boxes(boxes.boxes_xyxy, sizes[image])
    clipped = codes == "box_clipped"
    kept = (codes == "") | clipped
    unknown = kept & (boxes.label_ids < 0) & ~boxes.crowd
    earlier = _earlier(boxes, cut, np.flatnonzero(kept & ~unknown & ~boxes.crowd))
    findings: list[list[Finding]] = [[] for _ in range(len(manifest))]
    labels = pc.list_flatten(manifest.table["labels"].combine_chunks())
    for row in np.flatnonzero((codes != "") | unknown | (earlier >= 0)).tolist():
        height, width = sizes[image[row]].tolist()
        name = f"box {row - boxes.offsets[image[row]]} {labels[row].as_py()!r} {_corners(boxes.boxes_xyxy[row])}"
        if clipped[row]:
            text = f"{name} in {width} x {height} pixels, used as {_corners(cut[row])}"
            findings[image[row]].append(_finding("box_clipped", text))
        elif codes[row]:
            findings[image[row]].append(_finding(str(codes[row]), f"{name} in {width} x {height} pixels"))
        if unknown[row]:
            text = f"{name}: the label is not one of the {len(manifest.class_names)} class names"
            findings[image[row]].append(_finding("box_unknown_class", text))
        if earlier[row] >= 0:
            text = f"{name}: the same as box {earlier[row] - boxes.offsets[image[row]]}"
            findings[image[row]].append(_finding("box_duplicate", text))
    usable = np.where(clipped[:, None], cut, boxes.boxes_xyxy)
    cleaned = _with_boxes(manifest, usable, kept=kept & (earlier < 0), ignored=unknown)
    return Judged(cleaned, findings, len(boxes), int((~kept | unknown).sum()))


def _earlier(boxes: Boxes, cut_xyxy: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return (M,) the box that each of some boxes repeats; -1 for none, and for the others."""
    earlier = np.full(len(boxes), -1, dtype=np.int64)
    repeated = repeated_boxes(cut_xyxy[rows], boxes.label_ids[rows], boxes.image_index[rows])
    earlier[rows[repeated >= 0]] = rows[repeated[repeated >= 0]]
    return earlier


def _finding(code: str, text: str) -> Finding:
    return Finding(code, POLICIES[code].outcome, text)


def _corners(box_xyxy: npt.NDArray[np.float64]) -> str:
    return f"({', '.join(f'{value:.10g}' for value in box_xyxy)})"


def _with_boxes(
    manifest: Manifest,
    boxes_xyxy: npt.NDArray[np.float64],
    *,
    kept: npt.NDArray[np.bool_],
    ignored: npt.NDArray[np.bool_],
) -> Manifest:
    """Return the images with boxes clipped, removed, or turned into crowds; the same manifest if nothing changes."""
    boxes = manifest.boxes()
    cleaned = manifest
    if ignored.any():
        told = np.bincount(boxes.image_index[ignored], minlength=len(manifest)) > 0
        if "crowd" in manifest.table.column_names:
            told |= manifest.table["crowd"].is_valid().to_numpy()
        values = pa.array((boxes.crowd | ignored)[told[boxes.image_index]])
        lengths = np.where(told, np.diff(boxes.offsets), 0)
        cleaned = cleaned.with_column("crowd", lists_of(values, lengths, ~told))
    if not kept.all() or not np.array_equal(boxes_xyxy, boxes.boxes_xyxy):
        columns = {name: _filtered(name, cleaned.table[name], boxes, kept) for name in per_box_columns(cleaned.table)}
        lengths = np.bincount(boxes.image_index[kept], minlength=len(manifest))
        columns["boxes_xyxy"] = box_list(boxes_xyxy[kept], lengths, ~boxes.annotated)
        table = cleaned.table
        for name, column in columns.items():
            table = table.set_column(table.column_names.index(name), name, column)
        cleaned = replace(cleaned, table=table)
    return cleaned


def _filtered(name: str, column: pa.ChunkedArray, boxes: Boxes, kept: npt.NDArray[np.bool_]) -> pa.Array:
    """Filter a column of lists by box; null lists stay null."""
    valid = column.is_valid().to_numpy()
    of_valid = valid[boxes.image_index]
    values = pc.list_flatten(column.combine_chunks()).filter(pa.array(kept[of_valid]))
    lengths = np.bincount(boxes.image_index[kept & of_valid], minlength=len(column))
    return lists_of(values, lengths, ~valid if name == "labels" else lengths == 0)


def same_boxes(boxes: Boxes, one: int, other: int) -> bool:
    """Return whether two images have the same objects, in any order, with boxes that overlap by half (IoU)."""
    a, b = boxes.of(one), boxes.of(other)
    n = a.stop - a.start
    if n != b.stop - b.start:
        return False
    first, second = boxes.boxes_xyxy[a], boxes.boxes_xyxy[b]
    equal = ((first[:, None] == second) | (np.isnan(first)[:, None] & np.isnan(second))).all(2)  # also if no numbers
    overlap = np.where(equal, 1.0, box_iou(first, second))
    overlap[boxes.label_ids[a, None] != boxes.label_ids[None, b]] = 0.0
    overlap[boxes.crowd[a, None] != boxes.crowd[None, b]] = 0.0
    for row in range(n):
        partner = int(overlap[row].argmax())
        if overlap[row, partner] < _SAME_IOU:
            return False
        overlap[:, partner] = 0.0
    return True


def boxes_differ(manifest: Manifest) -> Callable[[list[int]], str]:
    """Return a function that describes how the boxes of several images differ; ``""`` if they are the same."""
    boxes = manifest.boxes()
    counts = (boxes.offsets[1:] - boxes.offsets[:-1]).tolist()

    def differ(rows: list[int]) -> str:
        annotated = [row for row in rows if boxes.annotated[row]]
        if all(same_boxes(boxes, annotated[0], row) for row in annotated[1:]):
            return ""
        return f"different boxes ({', '.join(str(counts[row]) for row in annotated)} of them)"

    return differ
