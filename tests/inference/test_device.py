"""Models are put where the user says, and a device that is not there is refused with those that are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import onlineml as oml
from colour_scenes import ColourDetector, scene
from onlineml.errors import ConfigError
from onlineml.inference.device import move_to


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), None])
def test_a_model_answers_on_the_device(device) -> None:
    (row,) = oml.predict(ColourDetector(), scene((48, 64), [("red", (5, 5, 20, 20))]), device=device)
    assert row.labels == ("red",)


def test_auto_is_a_gpu_where_there_is_one() -> None:
    model = nn.Linear(2, 2)
    move_to(model, "auto")
    assert model.weight.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "xpu", "vulkan"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=rf"device='{device}': expected 'auto' or a device of this machine: .*cpu"):
        oml.predict(ColourDetector(), [], device=device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_is_moved_and_stays() -> None:
    model = oml.ImageClassifier(class_names=("a", "b"))
    model.size_hw = (64, 64)
    pixels = scene((48, 64), [])
    expected = oml.predict(model.eval(), pixels)[0].score

    assert oml.predict(model, pixels, device="cuda")[0].score == pytest.approx(expected, abs=1e-3)
    assert model.device.type == "cuda"
    assert oml.predict(model, pixels, device="cpu")[0].score == pytest.approx(expected, abs=1e-6)
