"""Figure of a dataset: classes by split, sizes of images and boxes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from box_files import box_manifest
from onlineml.data.manifest.manifest import Manifest
from onlineml.evaluation.render.dataset import data_figure


def labelled(rows: list[tuple[str, str, int, int]]) -> Manifest:
    """A manifest of (label, split, width, height)."""
    table = pa.table(
        {
            "image_id": [f"{i:064x}" for i in range(len(rows))],
            "uri": [f"{i}.jpg" for i in range(len(rows))],
            "label": [row[0] for row in rows],
            "split": [row[1] for row in rows],
            "width": pa.array([row[2] for row in rows], pa.int32()),
            "height": pa.array([row[3] for row in rows], pa.int32()),
        }
    )
    return Manifest(table, sorted({row[0] for row in rows}))


def test_bars_are_the_counts_and_points_the_sizes() -> None:
    manifest = labelled(
        [("cat", "train", 40, 30), ("cat", "train", 40, 30), ("cat", "test", 50, 20), ("dog", "val", 9, 8)]
    )
    bars, sizes = data_figure(manifest).axes

    assert [label.get_text() for label in bars.get_yticklabels()] == ["cat", "dog"]
    assert [(p.get_x(), p.get_width()) for p in bars.patches] == [(0, 2), (0, 0), (2, 0), (0, 1), (2, 1), (1, 0)]
    assert {tuple(point) for point in sizes.collections[0].get_offsets().tolist()} == {(40, 30), (50, 20), (9, 8)}


def test_boxes_have_a_histogram_of_their_sides() -> None:
    manifest = box_manifest({"a.jpg": ([[0, 0, 16, 4], [10, 10, 60, 42]], ["cat", "cat"]), "b.jpg": ([], [])})
    bars, _, boxes = data_figure(manifest).axes

    assert sum(bar.get_width() for bar in bars.patches) >= 2
    held = [bar for bar in boxes.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in held) == 2
    assert all(any(b.get_x() <= side <= b.get_x() + b.get_width() + 1 for b in held) for side in (8, 40))


@pytest.mark.parametrize("manifest", [Manifest(labelled([("a", "train", 1, 1)]).table.slice(0, 0), ["a"])])
def test_nothing_is_said(manifest: Manifest) -> None:
    assert any(axes.texts for axes in data_figure(manifest).axes)


def test_many_classes_leave_the_largest() -> None:
    rows = [(f"class {i:02}", "train", 5, 5) for i in range(40)] + [("class 39", "train", 5, 5)]
    bars = data_figure(labelled(rows), max_classes=10).axes[0]

    assert len(bars.get_yticklabels()) == 10
    assert bars.get_yticklabels()[0].get_text() == "class 39"
    assert bars.get_title(loc="left") == "The 10 largest of 40 classes"
