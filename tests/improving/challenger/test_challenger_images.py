"""Which images a challenger is trained on; how many unchanged ones, see `tests/improving/test_improve.py`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import onlineml as oml
from onlineml.improving.challenger.images import _rareness

LABELS = ["red", "red", "blue", "red", None]
NAMES = [["red", "red"], ["blue", "red"], [], None, ["red"]]


def columns(n):
    return {"image_id": [f"i{k}" for k in range(n)], "uri": [f"{k}.jpg" for k in range(n)], "split": ["train"] * n}


def test_a_label_is_as_rare_as_its_class_among_the_images_that_are_drawn_from():
    data = oml.Manifest(pa.table({**columns(5), "label": LABELS}), ("blue", "red"), task="classification")

    assert _rareness(data, np.array([0, 1, 2])).tolist() == [0.5, 0.5, 1.0]
    assert _rareness(data, np.array([2])).tolist() == [1.0]
    assert _rareness(data, np.zeros(0, np.int64)).tolist() == []


def test_an_image_of_several_objects_is_as_rare_as_the_rarest_and_one_of_none_as_the_commonest():
    boxes = [None if names is None else [[0.0, 0.0, 9.0, 9.0]] * len(names) for names in NAMES]
    table = {**columns(5), "boxes_xyxy": boxes, "labels": NAMES}
    data = oml.Manifest(pa.table(table), ("blue", "red"), task="detection")

    np.testing.assert_allclose(_rareness(data, np.array([0, 1, 2])), [1 / 3, 1.0, 1 / 3])
