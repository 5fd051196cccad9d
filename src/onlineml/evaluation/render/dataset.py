"""Figure of a dataset: its classes by split, and the sizes of its images and boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from onlineml.evaluation.render.style import ACCENT, INK, PALETTE, legend, new_grid, say_empty, titled
from onlineml.evaluation.render.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["data_figure"]

_COCO = (32, 96)  # pixels: limits of small, medium and large objects


def data_figure(manifest: Manifest, *, max_classes: int = 25) -> Figure:
    """Draw the number of images, objects or labels of each class by split, the image sizes, and the box sizes.

    Args:
        manifest: of any task; sizes are known once its images were read, as in a frozen dataset.
        max_classes: of more classes, the most frequent ones are drawn.
    """
    counts = manifest.counts()
    names = sorted(counts, key=lambda name: -sum(counts[name].values()))[:max_classes]
    has_boxes = "boxes_xyxy" in manifest.table.column_names
    height = max(2.8, 1.1 + 0.22 * len(names))
    figure, axes = new_grid(2 + has_boxes, columns=3, cell=(3.5, height), least=3.5, below=0.3, empty="")
    _draw_counts(axes[0], {name: counts[name] for name in names}, of=len(counts))
    legend(figure, axes[0], columns=4)
    _draw_image_sizes(axes[1], manifest)
    if has_boxes:
        _draw_box_sizes(axes[2], manifest)
    return figure


def _draw_counts(axes: Axes, counts: dict[str, dict[str, int]], *, of: int) -> None:
    if not counts:
        say_empty(axes, "no classes")
        return
    left, rows = np.zeros(len(counts)), np.arange(len(counts))
    for split, color in zip(next(iter(counts.values())), PALETTE, strict=False):
        numbers = np.array([row[split] for row in counts.values()])
        if numbers.any():
            axes.barh(rows, numbers, left=left, color=color, height=0.7, label=split)
        left += numbers
    axes.set_yticks(rows, [shorten(name, 20) for name in counts], parse_math=False)
    axes.set_ylim(len(counts) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    titled(axes, "Classes by split" if len(counts) == of else f"The {len(counts)} largest of {of} classes")


def _draw_image_sizes(axes: Axes, manifest: Manifest) -> None:
    known = manifest.table.select(["width", "height"]).drop_null()
    if not len(known):
        say_empty(axes, "sizes are known once the images were read")
        return
    sizes, n = np.unique(np.column_stack([known["width"], known["height"]]), axis=0, return_counts=True)
    axes.scatter(sizes[:, 0], sizes[:, 1], s=12 + 120 * n / n.max(), color=ACCENT, alpha=0.45, linewidths=0)
    longest = 1.1 * sizes.max()
    axes.plot([0, longest], [0, longest], "--", color=INK, linewidth=1)
    axes.set_xlim(0, longest)
    axes.set_ylim(0, longest)
    titled(axes, "Image sizes", x="width in pixels", y="height in pixels")


def _draw_box_sizes(axes: Axes, manifest: Manifest) -> None:
    corners = manifest.table["boxes_xyxy"].combine_chunks()
    while hasattr(corners.type, "value_type"):
        corners = pc.list_flatten(corners)
    boxes = corners.to_numpy(zero_copy_only=False).reshape(-1, 4)
    sides = np.sqrt(np.clip(boxes[:, 2] - boxes[:, 0], 0, None) * np.clip(boxes[:, 3] - boxes[:, 1], 0, None))
    sides = sides[sides > 0]
    if not len(sides):
        say_empty(axes, "no boxes")
        return
    edges = np.geomspace(max(1.0, sides.min()), max(2.0, sides.max()) * 1.01, 25)
    axes.hist(np.clip(sides, edges[0], None), edges.tolist(), color=ACCENT, alpha=0.8)
    axes.set_xscale("log")
    ticks = [2**k for k in range(13) if edges[0] <= 2**k <= edges[-1]]
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    for limit in _COCO:
        axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
    titled(axes, "Box sizes", x="root of the area in pixels; dashed: 32, 96", y="boxes")
