"""`onlineml.data.manifest.changes`: every kind of change, told once, under whatever names classes had."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from onlineml.data.manifest.changes import changes
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError

BOXES = pa.list_(pa.list_(pa.float64()))


def _manifest(labels: dict[str, str | None], *names: str, splits: dict[str, str] | None = None) -> Manifest:
    columns = {
        "image_id": list(labels),
        "uri": list(labels),
        "split": [(splits or {}).get(one, "train") for one in labels],
    }
    return Manifest(pa.table({**columns, "label": pa.array(list(labels.values()), pa.string())}), names)


def _boxes(said: dict[str, Any], *names: str) -> Manifest:
    table = {
        "image_id": list(said),
        "uri": list(said),
        "boxes_xyxy": pa.array([one and one[0] for one in said.values()], BOXES),
        "labels": pa.array([one and one[1] for one in said.values()], pa.list_(pa.string())),
    }
    return Manifest(pa.table(table), names, task="detection")


def test_nothing_changed() -> None:
    empty = _manifest({})
    assert not changes(empty, empty)
    data = _manifest({"x": "cat", "y": None}, "cat")
    found = changes(data, data)
    assert not found
    assert found.comparable
    assert found.counts() == {"new": 0, "gone": 0, "relabelled": 0, "moved": 0}
    assert len(found.to_frame()) == 0
    with pytest.raises(ConfigError, match="new, gone, relabelled, moved"):
        found.images("painted")
    with pytest.raises(ConfigError, match="of one task"):
        changes(data, _boxes({}))


def test_each_change_is_told() -> None:
    before = _manifest({"same": "cat", "gone": "dog", "other": "cat", "said": None, "moved": "cat"}, "cat", "dog")
    after = _manifest(
        {"new": None, "moved": "dog", "said": "cat", "other": "dog", "same": "cat"}, "cat", "dog", "owl",
        splits={"moved": "val"},
    )  # fmt: skip
    found = changes(before, after)
    assert sorted(found.table.to_pylist(), key=str) == sorted(
        [
            {"image_id": "new", "change": "new", "before": "", "after": "no label"},
            {"image_id": "gone", "change": "gone", "before": "dog", "after": ""},
            {"image_id": "moved", "change": "relabelled", "before": "cat", "after": "dog"},
            {"image_id": "said", "change": "relabelled", "before": "no label", "after": "cat"},
            {"image_id": "other", "change": "relabelled", "before": "cat", "after": "dog"},
            {"image_id": "moved", "change": "moved", "before": "train", "after": "val"},
        ],
        key=str,
    )
    assert (found.new_classes, found.gone_classes) == (("owl",), ())
    assert found.comparable  # no image came into the test split, and none left it
    assert str(found) == "Changes: 1 new, 1 gone, 3 relabelled, 1 moved, new classes owl"
    assert changes(after, before).gone_classes == ("owl",)


@pytest.mark.parametrize(
    ("was", "now", "comparable"), [("train", "test", False), ("test", "val", False), ("val", "train", True)]
)
def test_scores_cannot_be_compared_across_a_move_into_or_out_of_the_test_split(
    was: str, now: str, comparable: bool
) -> None:
    before, after = (_manifest({"x": "cat"}, "cat", splits={"x": split}) for split in (was, now))
    assert changes(before, after).comparable == comparable


def test_a_class_by_another_name_is_the_same() -> None:
    before = _manifest({"x": "cat", "y": "kitten", "z": "dog"}, "cat", "kitten", "dog")
    after = _manifest({"x": "feline", "y": "feline", "z": "feline"}, "feline", "dog")
    found = changes(before, after, lineage={"cat": "feline", "kitten": "feline"})
    assert found.images("relabelled") == ["z"]
    assert (found.new_classes, found.gone_classes) == ((), ())


def test_boxes_in_another_order_are_the_same() -> None:
    two = ([[0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]], ["cat", "dog"])
    before = _boxes(
        {"order": two, "label": two, "box": two, "none": None, "empty": None, "unknown": (two[0], ["cat", None])},
        "cat",
        "dog",
    )
    after = _boxes(
        {
            "order": (two[0][::-1], two[1][::-1]),
            "label": (two[0], ["dog", "dog"]),
            "box": ([*two[0][:1], [2.0, 2.0, 3.0, 4.0]], two[1]),
            "none": None,
            "empty": ([], []),
            "unknown": (two[0][::-1], [None, "cat"]),
        },
        "cat",
        "dog",
    )
    found = changes(before, after)
    assert found.images("relabelled") == ["label", "box", "empty"]
    shown = found.to_frame().set_index("image_id")
    assert shown.loc["label", ["before", "after"]].tolist() == ["1 cat, 1 dog", "2 dog"]
    assert shown.loc["empty", ["before", "after"]].tolist() == ["not annotated", "no objects"]
    renamed = _boxes({"x": (two[0], ["tiger", "dog"])}, "tiger", "dog")
    assert not changes(_boxes({"x": two}, "cat", "dog"), renamed, lineage={"cat": "tiger"})
