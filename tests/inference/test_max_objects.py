"""The maximum number of objects belongs to the model, and an image that reaches it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.models.detector import Detector
from onlineml.models.slim_resnet import SlimResNet
from tiny_boxes import CLASSES, drawn, tiny_detector

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = drawn((64, 64), [("red", (8, 8, 40, 40))])


class Crowd(Detector):
    """Finds 400 objects everywhere, of scores from .9 downwards."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 1)

    def detect(self, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        places = torch.arange(400)[: self.max_objects]
        corner = torch.stack((places % 20, places // 20), 1).float() * 3
        one = {
            "boxes": torch.cat((corner, corner + 2), 1),
            "labels": torch.zeros(len(places), dtype=torch.int64),
            "scores": 0.9 - places / 1000,
        }
        return [one] * len(image)


def crowd(**options: int) -> oml.ObjectDetector:
    model = oml.ObjectDetector(class_names=CLASSES, architecture=Crowd(), **options)
    model.size_hw = (64, 64)
    return model


def test_an_image_with_as_many_objects_says_so() -> None:
    (full,) = oml.predict(crowd(max_objects=50), PICTURE, threshold=0.5)
    (rest,) = oml.predict(crowd(max_objects=50), PICTURE, threshold=0.88)
    (best,) = oml.predict(crowd(max_objects=50), PICTURE, threshold=0.5, top_k=3)

    assert (len(full), full.is_full, rest.is_full, best.is_full) == (50, True, False, True)
    assert full.summary == "50 blue (the model's limit, max_objects=50, is reached)"
    assert "reached" not in rest.summary


def test_there_is_no_limit_of_a_hundred() -> None:
    assert len(oml.predict(crowd(), PICTURE, threshold=0)[0]) == 300
    model = crowd()
    model.max_objects = 400
    rows = oml.predict(model, PICTURE, threshold=0)

    assert len(rows[0]) == 400
    assert rows.to_frame()["is_full"].all()


def test_it_is_stored_with_the_model(tmp_path: Path) -> None:
    model = tiny_detector(max_objects=np.int64(7))
    model.size_hw = (64, 64)
    found = oml.predict(model, PICTURE, threshold=0)[0]
    model.save(tmp_path / "model")
    loaded = oml.load_model(tmp_path / "model", backbone=SlimResNet(2, width=8, depths=(1, 1, 1, 1)))

    assert (len(found), found.is_full, loaded.max_objects) == (7, True, 7)
    with pytest.raises(ConfigError, match="max_objects=0: expected at least 1"):
        tiny_detector(max_objects=0)


def test_rows_carry_the_ids_of_a_manifest(boxes) -> None:
    some = boxes.select(split="val")
    model = tiny_detector()
    model.size_hw = (64, 64)
    rows = oml.predict(model, some, threshold=0)

    assert [row.image_id for row in rows] == list(some.column("image_id"))
    assert set(rows.to_frame()["image_id"]) == set(some.column("image_id"))
