"""Pictures of coloured rectangles whose places are known, and what finds them again after any augmentation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from onlineml.data.augment.detection_geometry import Picture
from onlineml.data.manifest.manifest import Manifest
from picture_files import png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["CLASSES", "COLOURS", "detection_pool", "draw", "exif_jpeg", "found_boxes", "mask_of", "picture_of", "scene"]

CLASSES = ("red", "green", "blue")
COLOURS = np.array([(230, 20, 20), (20, 230, 20), (20, 20, 230)], np.uint8)
BACKGROUND = 70


def draw(size_hw: tuple[int, int], boxes_xyxy: Sequence[Sequence[int]], labels: Sequence[int]) -> np.ndarray:
    """(H, W, 3) uint8: filled rectangles, in whole pixels, on dark grey."""
    pixels = np.full((*size_hw, 3), BACKGROUND, np.uint8)
    for (x1, y1, x2, y2), label in zip(boxes_xyxy, labels, strict=True):
        pixels[y1:y2, x1:x2] = COLOURS[label]
    return pixels


def scene(seed: int, size_hw: tuple[int, int] = (96, 128)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, (n, 4) boxes and (n,) labels of up to six rectangles far apart, in a grid of 3 x 2."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    boxes, labels = [], []
    for cell in rng.permutation(6)[: rng.integers(1, 7)]:
        (row, column), h, w = divmod(int(cell), 3), height // 2, width // 3
        bh, bw = rng.integers(h // 3, 2 * h // 3), rng.integers(w // 3, 2 * w // 3)
        y, x = (
            row * h + rng.integers(h // 6, h - h // 6 - bh + 1),
            column * w + rng.integers(w // 6, w - w // 6 - bw + 1),
        )
        boxes.append([x, y, x + bw, y + bh])
        labels.append(int(rng.integers(3)))
    return draw(size_hw, boxes, labels), np.array(boxes, float), np.array(labels)


def picture_of(pixels: np.ndarray, boxes: np.ndarray, labels: np.ndarray, ignore: np.ndarray | None = None) -> Picture:
    """A picture as it is kept where nothing had to be shrunk."""
    ignored = np.zeros((0, 4)) if ignore is None else np.asarray(ignore, float)
    return Picture(
        pixels, np.asarray(boxes, float).reshape(-1, 4), np.asarray(labels, int), ignored, 1.0, pixels.shape[:2]
    )


def mask_of(pixels: np.ndarray, label: int) -> np.ndarray:
    """(H, W) bool: where a picture shows the colour of a class; at soft edges, more than half of that object's."""
    values = pixels.astype(int)
    others = np.delete(values, label, axis=2).max(2)
    contrast = values[..., label] - others
    n, patch = cv2.connectedComponents((contrast > 20).astype(np.uint8), connectivity=4)
    peak = np.zeros(n, int)
    np.maximum.at(peak, patch, contrast)  # parts of a mosaic are each as pale or vivid as they come
    return (contrast > 20) & (contrast > peak[patch] // 2)


def found_boxes(pixels: np.ndarray, label: int) -> np.ndarray:
    """(n, 4): around each connected patch of a class's colour."""
    n, _, stats, _ = cv2.connectedComponentsWithStats(mask_of(pixels, label).astype(np.uint8), connectivity=4)
    x, y, w, h = (stats[1:n, i] for i in range(4))
    return np.stack([x, y, x + w, y + h], 1).astype(float)


def exif_jpeg(upright: np.ndarray, orientation: int) -> bytes:
    """A JPEG that stores a picture turned, with the EXIF orientation that says how (Pillow's own transpositions)."""
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Image.Transpose: the inverse of reading
    image = Image.fromarray(upright)
    image = image if undo is None else image.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0, exif=exif)
    return buffer.getvalue()


def detection_pool(
    folder: Path,
    images: Sequence[np.ndarray | bytes],
    boxes_xyxy: Sequence[object],
    labels: Sequence[Sequence[str | None] | None],
    *,
    split: str = "train",
    **columns: object,
) -> Manifest:
    """Write pictures (or bytes) to ``folder``; the i-th is ``image-i``. Further columns are taken as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        (folder / f"{i}.png").write_bytes(image if isinstance(image, bytes) else png(image))
    lists = [None if b is None else np.asarray(b, float).reshape(-1, 4).tolist() for b in boxes_xyxy]
    table = {
        "image_id": pa.array([f"image-{i}" for i in range(len(images))], pa.string()),
        "uri": pa.array([f"{i}.png" for i in range(len(images))], pa.string()),
        "split": pa.array([split] * len(images), pa.string()),
        "boxes_xyxy": pa.array(lists, pa.list_(pa.list_(pa.float64(), 4))),
        "labels": pa.array([None if names is None else list(names) for names in labels], pa.list_(pa.string())),
    }
    return Manifest(pa.table({**table, **columns}), CLASSES, root=str(folder), task="detection")
