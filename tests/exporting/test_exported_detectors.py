"""Detectors of every kind as graphs, against the detectors themselves: tiny ones with random heads."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.exporting import pieces
from onlineml.exporting.nms import OUTPUTS
from onlineml.inference.runtimes import opened_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("onnx")
if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
    pytest.skip("torch's exporter came of age with 2.9", allow_module_level=True)
pytest.importorskip("onnxruntime")

CLASSES = ("a", "b", "c")
N = len(CLASSES) + 1  # with the background, as torchvision counts


class Maps(nn.Module):
    """A backbone with maps of an eighth and a sixteenth of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(32, 32, 2, 2), nn.ReLU())
        self.out_channels = 32

    def forward(self, image: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        fine = self.first(image)
        return OrderedDict([("0", fine), ("1", self.second(fine))])


def retina_net() -> nn.Module:
    anchors = AnchorGenerator(sizes=((16,), (32,)), aspect_ratios=((0.5, 1.0, 2.0),) * 2)
    return RetinaNet(Maps(), N, anchor_generator=anchors)


def fcos() -> nn.Module:
    return FCOS(Maps(), N, anchor_generator=AnchorGenerator(sizes=((8,), (16,)), aspect_ratios=((1.0,),) * 2))


def ssd() -> nn.Module:
    maps = Maps()
    maps.out_channels = [32, 32]  # type: ignore[assignment] - of each map
    return SSD(maps, DefaultBoxGenerator([[2], [2]]), (80, 64), N)


def drawn_at_random(make: Callable[[], nn.Module]) -> oml.ObjectDetector:
    """A detector whose scores lie far apart, so that their order is no accident."""
    torch.manual_seed(0)
    model = oml.ObjectDetector(class_names=CLASSES, architecture=make())
    with torch.no_grad():
        for values in model.network.parameters():
            if values.ndim == 4:
                values.normal_(0, 1 / values[0].numel() ** 0.5)
    model.size_hw = (96, 128)
    return model.eval()


def same_surest(model: oml.ObjectDetector, found: dict[str, np.ndarray], image: torch.Tensor, *, most: int) -> None:
    for i, wanted in enumerate(model.detect(image)):
        n = min(most, len(wanted["scores"]))
        assert n > 5
        assert found["count"][i] >= n
        assert np.ptp(wanted["scores"][:n].numpy()) > 5e-4  # else chance orders them
        assert np.array_equal(found["labels"][i, :n], wanted["labels"][:n].numpy())
        assert np.allclose(found["scores"][i, :n], wanted["scores"][:n].numpy(), atol=1e-5)
        assert np.allclose(found["boxes"][i, :n], wanted["boxes"][:n].numpy(), atol=0.02)


@pytest.mark.parametrize(
    "make", [pytest.param(retina_net, marks=pytest.mark.slow), pytest.param(fcos, marks=pytest.mark.slow), ssd]
)
def test_a_graph_finds_what_the_detector_finds(make: Callable[[], nn.Module]) -> None:
    model = drawn_at_random(make)
    content = pieces.BoxPieces().graph(model).SerializeToString()
    for runtime in ("onnxruntime", "openvino"):
        if runtime == "openvino":
            pytest.importorskip("openvino")
        session = opened_session(content, source="here", runtime=runtime)  # type: ignore[arg-type]
        assert session.outputs == OUTPUTS
        for n, height, width in ((1, 96, 128), (3, 64, 64), (2, 160, 96)):
            pixels = np.random.default_rng(height).integers(0, 256, (n, height, width, 3), np.uint8)
            found = dict(zip(OUTPUTS, session.run(pixels), strict=True))
            same_surest(model, found, torch.from_numpy(pixels).permute(0, 3, 1, 2), most=20)


class Own(nn.Module):
    """A detector of a user's, with torchvision's interface."""

    def forward(self, images: list[torch.Tensor], targets: Any = None) -> list[dict[str, torch.Tensor]]:
        raise AssertionError("it was run")


def two_stages() -> nn.Module:
    anchors = AnchorGenerator(sizes=((16,), (32,)), aspect_ratios=((1.0,),) * 2)
    return FasterRCNN(Maps(), N, rpn_anchor_generator=anchors)


@pytest.mark.parametrize(("make", "name"), [(two_stages, "FasterRCNN"), (Own, "Own")])
def test_what_cannot_be_exported_is_named_before_it_is_traced(
    make: Callable[[], nn.Module], name: str, manifest: oml.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = oml.ObjectDetector(class_names=CLASSES, architecture=make())
    model.size_hw = (64, 64)
    monkeypatch.setattr(pieces, "to_onnx", lambda *_, **__: pytest.fail("it was traced"))
    with pytest.raises(ConfigError, match=rf"the detector '(ListDetector|{name})' cannot be exported: .*'auto'"):
        oml.export(model, tmp_path / "out", data=manifest)
    assert not (tmp_path / "out").exists()
