"""A look at imported boxes: those that cannot be pixels are refused, those that mostly leave their images are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.manifest.boxes import declared_sizes_hw
from onlineml.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["box_remarks", "require_pixels"]

_BEYOND = 0.1  # of an image's side; boxes that people draw leave it by less


def require_pixels(boxes_xyxy: npt.NDArray[np.float64], where: str) -> None:
    """Refuse boxes that all end within the first pixel of their image, at fractions of it: they are shares.

    Args:
        boxes_xyxy: (M, 4), of a format whose boxes are pixels.
        where: the source, for messages.

    Raises:
        DataError: they are shares.
    """
    boxes = boxes_xyxy[np.isfinite(boxes_xyxy).all(1)]
    if boxes.size and (np.abs(boxes) <= 1).all() and (boxes[:, 2:] % 1 != 0).any():
        raise DataError(
            f"all {count(len(boxes), 'box')} of {where} lie between 0 and 1, so they are shares of the images' sides; "
            "expected pixels: multiply by width and height, or write a table of boxes or YOLO, which may be shares"
        )


def box_remarks(table: pa.Table) -> list[str]:
    """Return sentences on boxes without corners, and if most leave their images, as corners read as sides do.

    Args:
        table: the columns of an import.
    """
    if "boxes_xyxy" not in table.column_names:
        return []
    boxes = pc.list_flatten(pc.list_flatten(table["boxes_xyxy"])).to_numpy().reshape(-1, 4)
    lengths = pc.list_value_length(table["boxes_xyxy"]).fill_null(0).to_numpy()
    sides_wh = np.repeat(declared_sizes_hw(table)[:, ::-1], lengths, axis=0)
    known = (sides_wh > 0).all(1)
    n_without = int((~np.isfinite(boxes)).any(1).sum())
    found = [f"{count(n_without, 'box has', 'boxes have')} no corners: check finds such"] if n_without else []
    sides = np.tile(sides_wh, 2)
    leaving = ((boxes < -_BEYOND * sides) | (boxes > (1 + _BEYOND) * sides)).any(1) & known
    if 2 * leaving.sum() <= known.sum():
        return found
    n = f"{leaving.sum():,} of {known.sum():,} boxes leave their images by more than a tenth"
    remedy = "look at them before training; the numbers may be corners where the format has width and height"
    return [*found, f"{n}: {remedy}"]
