"""Images with drawn rectangles whose coordinates are known, and a detector that finds rectangles by their colour."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLASSES = ("blue", "green", "red")
COLOURS = {"red": (225, 40, 40), "green": (40, 215, 60), "blue": (40, 70, 230)}
SCORES = {"red": 0.9, "green": 0.6, "blue": 0.2}
GREY = 114  # of the ground, as of the padding


def scene(size_hw: tuple[int, int], objects: Sequence[tuple[str, Sequence[float]]]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: grey, with filled rectangles (label, x1, y1, x2, y2) in whole pixels."""
    pixels = np.full((*size_hw, 3), GREY, np.uint8)
    for label, (x1, y1, x2, y2) in objects:
        pixels[int(y1) : int(y2), int(x1) : int(x2)] = COLOURS[label]
    return pixels


def png(pixels: np.ndarray, *, orientation: int = 1) -> bytes:
    """A file whose pixels are seen as given once its EXIF orientation is applied."""
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1),  # shown after a quarter turn clockwise, so stored turned the other way
        7: pixels.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(pixels, -1),
    }[orientation]
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turned)).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


class ColourDetector(nn.Module):
    """Finds rectangles of the classes' colours, to a fraction of a pixel; refuses to answer in training mode."""

    task = "detection"

    def __init__(
        self,
        *,
        size_hw: tuple[int, int] = (320, 320),
        class_names: Sequence[str] = CLASSES,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.class_names, self.thresholds, self.reference = tuple(class_names), thresholds, ""
        self.size_hw = size_hw
        self.seen: list[tuple[int, ...]] = []  # shapes of batches

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def input_size_hw(self) -> tuple[int, int]:
        return self.size_hw

    def detect(self, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        assert image.dtype == torch.uint8
        self.seen.append(tuple(image.shape))
        return [self._find(pixels) for pixels in image.permute(0, 2, 3, 1).numpy()]

    def _find(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
        found = []
        for label, name in enumerate(self.class_names):
            cover = coverage(pixels, COLOURS[name])
            n, marks, stats, _ = cv2.connectedComponentsWithStats((cover > 0.5).astype(np.uint8), connectivity=4)
            for i in range(1, n):
                x, y, w, h = stats[i, :4]
                rows, columns = slice(max(0, y - 30), y + h + 30), slice(max(0, x - 30), x + w + 30)
                mine = np.where((marks == i) | (marks == 0), cover, 0)
                x1, x2 = _edges(mine[y + h // 2, columns], x + w // 2 - columns.start)
                y1, y2 = _edges(mine[rows, x + w // 2], y + h // 2 - rows.start)
                box = (columns.start + x1, rows.start + y1, columns.start + x2, rows.start + y2)
                found.append((SCORES[name] - 0.001 * i, label, box))
        found.sort(key=lambda f: -f[0])
        return {
            "boxes": torch.tensor([f[2] for f in found], dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor([f[1] for f in found], dtype=torch.int64),
            "scores": torch.tensor([f[0] for f in found], dtype=torch.float32),
        }


def coverage(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W) share of each pixel that a colour covers, 0..1, where the rest is grey; 0 where another colour is."""
    towards = np.array(colour, float) - GREY
    offset = pixels.astype(float) - GREY
    share = offset @ towards / (towards @ towards)
    aside = np.linalg.norm(offset - share[..., None] * towards, axis=-1)
    return np.where(aside < 25, np.clip(share, 0, 1), 0)


def _edges(profile: np.ndarray, middle: int) -> tuple[float, float]:
    """Where an object begins and ends on a line through its middle."""
    before, after = profile[:middle][::-1], profile[middle:]
    stop = [int(np.argmax(side < 0.02)) if (side < 0.02).any() else len(side) for side in (before, after)]
    return middle - float(before[: stop[0]].sum()), middle + float(after[: stop[1]].sum())
