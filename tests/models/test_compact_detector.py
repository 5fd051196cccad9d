"""Our own detector: its shapes, the backbones and weights that it takes, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from detector_parts import boxes_by_class, quick_start, some_targets
from onlineml.errors import ConfigError, WeightsError
from onlineml.models.compact_detector import CompactDetector
from onlineml.models.detectors import build_detector
from onlineml.models.feature_maps import STRIDES, FeatureMaps
from onlineml.models.slim_resnet import SlimResNet

if TYPE_CHECKING:
    from pathlib import Path

BACKBONES = [
    "slim_resnet18",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "timm:mobilenetv3_small_050",
    "timm:mobilevit_xxs",
    "timm:convnext_atto",
]


def compact(num_classes: int = 3, *, seed: int = 0, width: int = 8) -> CompactDetector:
    torch.manual_seed(seed)
    maps = FeatureMaps(SlimResNet(2, width=8, depths=(1, 1, 1, 1)))
    return CompactDetector(maps, channels=maps.channels, strides=STRIDES, num_classes=num_classes, width=width)


# ---- shapes ----


@pytest.mark.parametrize("size_hw", [(32, 32), (32, 160), (224, 64), (96, 96)])
@pytest.mark.parametrize("num_classes", [1, 5])
def test_an_answer_at_every_point(size_hw: tuple[int, int], num_classes: int) -> None:
    height, width = size_hw
    network = compact(num_classes).eval()
    raw = network(torch.rand(2, 3, height, width))
    n = sum((height // stride) * (width // stride) for stride in STRIDES)
    assert raw.logits.shape == (2, n, num_classes)
    assert raw.boxes_xyxy.shape == (2, n, 4)
    assert (raw.boxes_xyxy[..., 2:] > raw.boxes_xyxy[..., :2]).all()
    # points are the middles of cells, row by row, from the finest level on
    assert raw.points_xy[:2].tolist() == [[4.0, 4.0], [12.0, 4.0]]
    assert raw.points_xy[-1].tolist() == [width - 16.0, height - 16.0]
    assert raw.strides.tolist() == [s for s in STRIDES for _ in range((height // s) * (width // s))]
    middles = (raw.boxes_xyxy[..., :2] + raw.boxes_xyxy[..., 2:]) / 2
    assert ((middles - raw.points_xy).abs() < 2 * raw.strides[:, None]).all()


def test_a_fresh_network_expects_background_and_boxes_four_strides_wide() -> None:
    raw = compact().eval()(torch.rand(1, 3, 64, 64))
    assert raw.logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.5)
    sides = (raw.boxes_xyxy[..., 2:] - raw.boxes_xyxy[..., :2]) / raw.strides[:, None]
    assert sides.mean().item() == pytest.approx(4.0, rel=0.3)


def test_where_something_is_seen_its_point_answers() -> None:
    """Rows are y and columns are x, on every level: what changes in the image changes the answers near it."""
    network = compact().eval()
    blank = torch.zeros(1, 3, 160, 256)
    seen = blank.clone()
    seen[:, :, 72:88, 168:184] = 5.0
    raw, changed = network(blank), network(seen)
    difference = (changed.logits - raw.logits).abs().sum(2)[0]
    for stride in STRIDES:
        level = raw.strides == stride
        share = difference[level] / difference[level].sum()
        x, y = (raw.points_xy[level] * share[:, None]).sum(0).tolist()
        assert abs(x - 176) < 24
        assert abs(y - 80) < 24


def test_a_distance_has_a_limit() -> None:
    network = compact().eval()
    with torch.no_grad():
        network.to_sides.bias.fill_(100.0)
    raw = network(torch.rand(1, 3, 32, 32))
    assert torch.isfinite(raw.boxes_xyxy).all()


# ---- found ----


@pytest.mark.parametrize("limit", [100, 40])
def test_found_is_what_a_suppression_one_by_one_keeps(limit: int) -> None:
    network = compact(4).eval()
    network.max_objects = limit
    with torch.no_grad():  # as sure and unsure as a trained one
        network.to_logits.weight.normal_(std=0.5)
        network.to_sides.weight.normal_(std=0.1)
    images = torch.rand(2, 3, 96, 64)
    with torch.inference_mode():
        raw, found = network(images), network.detect(images)
    for i, objects in enumerate(found):
        boxes, labels, scores = boxes_by_class(
            raw.logits[i].sigmoid(), raw.boxes_xyxy[i], max_iou=0.6, max_objects=limit
        )
        assert torch.equal(objects["boxes"], boxes)
        assert torch.equal(objects["labels"], labels)
        assert torch.equal(objects["scores"], scores)
        assert len(objects["scores"]) == limit
        assert (objects["scores"].diff() <= 0).all()


def test_the_same_seed_gives_the_same_network_and_answers() -> None:
    images = torch.rand(2, 3, 64, 64)
    first, second, other = compact(seed=4).eval(), compact(seed=4).eval(), compact(seed=5).eval()
    with torch.inference_mode():
        answers = [network(images) for network in (first, first, second, other)]
    assert torch.equal(answers[0].logits, answers[1].logits)
    assert torch.equal(answers[0].boxes_xyxy, answers[2].boxes_xyxy)
    assert not torch.equal(answers[0].logits, answers[3].logits)


def test_one_loss_for_each_image_and_gradients_everywhere() -> None:
    network = compact()
    losses = network.losses(torch.rand(3, 3, 64, 96), some_targets(3), trust=0.5)
    assert losses.shape == (3,)
    losses.sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


def test_head_and_backbone_are_all_there_is() -> None:
    network = compact()
    head = {id(p) for p in network.head_parameters()}
    backbone = {id(p) for p in network.backbone.parameters()}
    assert not head & backbone
    assert head | backbone == {id(p) for p in network.parameters()}


# ---- backbones ----


@pytest.mark.parametrize("name", BACKBONES)
def test_any_classification_network_is_a_backbone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    quick_start(monkeypatch)
    built = build_detector("compact", num_classes=2, backbone=name)
    assert (built.architecture, built.backbone, built.reinitialized) == ("compact", name, ())
    network = built.network
    assert isinstance(network, CompactDetector)
    with torch.inference_mode():
        maps = network.backbone.eval()(torch.rand(1, 3, 64, 96))
    assert [m.shape[2:] for m in maps] == [(64 // s, 96 // s) for s in STRIDES]
    assert [m.shape[1] for m in maps] == list(network.backbone.channels)
    loss = network.train().losses(torch.rand(2, 3, 64, 64), some_targets(2), trust=0.5).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert not any(p.grad is None for p in network.backbone.parameters())  # nothing that is not used is kept


@pytest.mark.parametrize("name", ["swin_t", "squeezenet1_1"])
def test_networks_without_such_maps_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    quick_start(monkeypatch)
    with pytest.raises(ConfigError, match=r"expected a convolutional network .*, such as 'resnet18'"):
        build_detector("compact", num_classes=2, backbone=name)


class _Wilful(nn.Module):
    """Has the maps, and decides by their values: cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Conv2d(c, 4, 3, 2, 1) for c in (3, 4, 4, 4, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x) if x.sum() < 1e9 else x
        return self.head(x.mean((2, 3)))


class _Fixed(_Wilful):
    """Takes one size of image only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._assert(x.shape[2] == 224, f"expected 224 pixels, found {x.shape[2]}")
        return super().forward(x)


def test_a_network_for_one_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"_Fixed cannot process images of 128 x 160 pixels \(expected 224.*any size"):
        build_detector("compact", num_classes=2, backbone=_Fixed())


def test_a_network_that_cannot_be_traced_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"_Wilful cannot be traced .*pass a whole detector as architecture="):
        build_detector("compact", num_classes=2, backbone=_Wilful())


def test_a_module_of_the_users_is_a_backbone() -> None:
    own = SlimResNet(2, width=8, depths=(1, 1, 1, 1))
    built = build_detector("compact", num_classes=2, backbone=own)
    assert built.backbone == ""
    assert torch.equal(built.network.backbone.body.state_dict()["stem.0.weight"], own.stem[0].weight)
    assert own.training  # left as it was


# ---- weights ----


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_backbones_weights_from_a_file(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(7)
    pretrained = models.resnet18(num_classes=10)
    path = tmp_path / f"w.{ending}"
    if ending == "pth":
        torch.save(pretrained.state_dict(), path)
    else:
        save_file(pretrained.state_dict(), path)
    built = build_detector("compact", num_classes=2, backbone="resnet18", weights=str(path))
    own = built.network.backbone.body.state_dict()
    expected = {k: v for k, v in pretrained.state_dict().items() if not k.startswith("fc.")}
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[k], expected[k]) for k in expected)
    assert set(built.reinitialized) == {k for k in built.network.state_dict() if not k.startswith("backbone.")}


def test_a_whole_detectors_weights_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(8)
    old = build_detector("compact", num_classes=5).network
    torch.save(old.state_dict(), tmp_path / "w.pth")
    torch.save({"state_dict": {f"network.{k}": v for k, v in old.state_dict().items()}}, tmp_path / "lightning.ckpt")

    same = build_detector("compact", num_classes=5, weights=str(tmp_path / "w.pth"))
    assert same.reinitialized == ()
    assert not caplog.messages
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(same.network.eval()(images).logits, old.eval()(images).logits)
    for name in ("w.pth", "lightning.ckpt"):
        caplog.clear()
        built = build_detector("compact", num_classes=3, weights=str(tmp_path / name))
        assert set(built.reinitialized) == {"to_logits.weight", "to_logits.bias"}
        own, former = built.network.state_dict(), old.state_dict()
        assert all(torch.equal(own[k], former[k]) for k in own if k not in built.reinitialized)
        assert own["to_logits.weight"].shape[0] == 3
        (message,) = caplog.messages
        assert f"{name} was trained on another number of classes: 2 tensors are initialised randomly" in message


def _saved(folder: Path, network: nn.Module) -> str:
    torch.save(network.state_dict(), folder / "w.pth")
    return str(folder / "w.pth")


def test_weights_of_another_backbone_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_start(monkeypatch)
    path = _saved(tmp_path, models.resnet34())
    with pytest.raises(WeightsError, match=r"w\.pth does not fit ResNet: .* tensors unknown .*set backbone="):
        build_detector("compact", num_classes=2, backbone="resnet18", weights=path)


def test_weights_of_a_detector_on_another_backbone_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick_start(monkeypatch)
    path = _saved(tmp_path, build_detector("compact", num_classes=2, backbone="mobilenet_v3_small").network)
    with pytest.raises(WeightsError, match=r"does not fit CompactDetector: .* missing .*set backbone="):
        build_detector("compact", num_classes=2, backbone="resnet18", weights=path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = _saved(tmp_path, nn.Linear(2, 2))
    with pytest.raises(WeightsError, match="does not fit"):
        build_detector("compact", num_classes=2, weights=path)
    (tmp_path / "w.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        build_detector("compact", num_classes=2, weights=path)
    with pytest.raises(WeightsError, match="no weights at"):
        build_detector("compact", num_classes=2, weights=str(tmp_path / "absent.pth"))


def test_no_class_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_classes=0: expected at least 1"):
        build_detector("compact", num_classes=0)
