"""Small pictures on disk whose pixels say which one they are, and manifests of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL import Image

from onlineml.data.manifest.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["grey_files", "noise", "noise_jpeg", "plain", "png", "pool"]


def noise(seed: int, size_hw: tuple[int, int] = (20, 20)) -> np.ndarray:
    """(H, W, 3) uint8 in which no two crops are alike."""
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)


def plain(value: int, size_hw: tuple[int, int] = (20, 20)) -> np.ndarray:
    """(H, W, 3) uint8 of one grey, which survives any crop, flip and scaling."""
    return np.full((*size_hw, 3), value, np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Encode without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def grey_files(folder: Path, n: int) -> list[str]:
    """Files of 360 x 240 pixels beside a folder, each of another grey."""
    found = []
    for number in range(n):
        file = folder.parent / f"{folder.name}-{number}.png"
        file.write_bytes(png(plain(40 * number + 60, (240, 360))))
        found.append(str(file))
    return found


def pool(folder: Path, pictures: Sequence[np.ndarray | bytes], *, split: str = "train", n_classes: int = 2) -> Manifest:
    """Write the pictures (or bytes that are none) to ``folder``; the i-th is image ``image-i``, of class i mod n."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        (folder / f"{i}.png").write_bytes(picture if isinstance(picture, bytes) else png(picture))
    names = [f"class{c}" for c in range(n_classes)]
    table = pa.table(
        {
            "image_id": pa.array([f"image-{i}" for i in range(len(pictures))], pa.string()),
            "uri": pa.array([f"{i}.png" for i in range(len(pictures))], pa.string()),
            "label": pa.array([names[i % n_classes] for i in range(len(pictures))], pa.string()),
            "split": pa.array([split] * len(pictures), pa.string()),
        }
    )
    return Manifest(table, tuple(names), root=str(folder))


def noise_jpeg(seed: int, size: tuple[int, int] = (40, 30), *, orientation: int = 1) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()
