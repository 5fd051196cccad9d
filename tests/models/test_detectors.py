"""Detectors by name and of the user's own, through the one form that training asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torchvision import models

from detector_parts import ListNet, quick_start, some_targets
from onlineml.errors import ConfigError, WeightsError
from onlineml.models.compact_detector import CompactDetector
from onlineml.models.detectors import build_detector
from onlineml.models.list_detector import ListDetector

if TYPE_CHECKING:
    from pathlib import Path

TORCHVISION = [
    "ssdlite320_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
]


# ---- torchvision's ----


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_detectors_learn_with_and_without_boxes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    quick_start(monkeypatch)
    built = build_detector(name, num_classes=2)
    assert (built.architecture, built.backbone, built.mean, built.std) == (name, "", (0, 0, 0), (1, 1, 1))
    network = built.network
    assert isinstance(network, ListDetector)
    network.train()
    images = torch.rand(2, 3, 64, 96)
    for targets in (some_targets(2), [some_targets(2)[1]] * 2):
        network.zero_grad()
        losses = network.losses(images, targets, trust=1.0)
        assert losses.shape == (2,)
        assert torch.isfinite(losses).all()
        losses.mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert sum(p.grad is not None for p in network.parameters()) > 0.9 * len(list(network.parameters()))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_detectors_find_in_pixels_of_the_image(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """However unsure; the network itself is asked, as torchvision would ask it, at the size that the image has."""
    quick_start(monkeypatch)
    network = build_detector(name, num_classes=2).network.eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        found = network.detect(images)
        told = network.network(list(images))
    for objects, all_found in zip(found, told, strict=True):
        real = all_found["labels"] > 0  # RetinaNet answers for the background as for a class
        own = {name: values[real] for name, values in all_found.items()}
        assert len(objects["scores"]) > 0
        assert (objects["boxes"] >= 0).all()
        assert (objects["boxes"] <= torch.tensor([96.0, 64.0, 96.0, 64.0])).all()
        assert set(objects["labels"].tolist()) <= {0, 1}
        assert (objects["scores"].diff() <= 0).all()
        assert sorted(objects["scores"].tolist()) == sorted(own["scores"].tolist())[-network.max_objects :]
        assert objects["labels"][0] == own["labels"][own["scores"].argmax()] - 1


def test_images_keep_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision would enlarge them to 800 pixels."""
    quick_start(monkeypatch)
    network = build_detector("fcos_resnet50_fpn", num_classes=1).network.eval()
    seen = []
    network.network.backbone.register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape[2:])))
    for size in ((64, 96), (128, 32)):
        with torch.inference_mode():
            network.detect(torch.rand(1, 3, *size))
    assert seen == [(64, 96), (128, 32)]


def test_the_head_is_all_but_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_start(monkeypatch)
    network = build_detector("ssdlite320_mobilenet_v3_large", num_classes=1).network
    head = {id(p) for p in network.head_parameters()}
    assert head == {id(p) for name, p in network.network.named_parameters() if not name.startswith("backbone.")}
    assert 0 < len(head) < len(list(network.parameters()))


@pytest.mark.parametrize("name", ["fcos_resnet19_fpn", "ssdlite", "", "resnet18"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match=f"architecture='{name}': expected 'auto', 'compact'") as caught:
        build_detector(name, num_classes=2)
    known = models.list_models(module=models.detection)
    assert len(known) >= 8
    assert all(each in str(caught.value) for each in known)


@pytest.mark.parametrize("name", ["auto", "compact"])
def test_auto_is_our_own(name: str) -> None:
    built = build_detector(name, num_classes=2)
    assert isinstance(built.network, CompactDetector)
    assert (built.architecture, built.backbone) == ("compact", "slim_resnet18")


# ---- weights ----


def test_weights_of_other_classes_leave_the_class_head_fresh(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick_start(monkeypatch)
    name = "ssdlite320_mobilenet_v3_large"
    coco = models.get_model(name, weights=None, weights_backbone=None, num_classes=91)
    with torch.no_grad():
        for parameter in coco.parameters():
            parameter.add_(1.0)
    torch.save(coco.state_dict(), tmp_path / "coco.pth")
    built = build_detector(name, num_classes=2, weights=str(tmp_path / "coco.pth"))
    own, former = built.network.network.state_dict(), coco.state_dict()
    fresh = {key for key in own if own[key].shape != former[key].shape}
    assert set(built.reinitialized) == fresh
    assert fresh
    assert all(key.startswith("head.classification_head.") for key in fresh)
    assert all(torch.equal(own[key], former[key]) for key in own.keys() - fresh)
    (message,) = caplog.messages
    assert f"was trained on another number of classes: {len(fresh)} tensors are initialised randomly" in message


def test_published_weights_are_those_of_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is not fetched here: it is in the cache under its name, less the checksum."""
    quick_start(monkeypatch)
    name = "ssdlite320_mobilenet_v3_large"
    coco = models.get_model(name, weights=None, weights_backbone=None, num_classes=91).state_dict()
    monkeypatch.setattr("onlineml.models.start.sources.obtained", lambda *_: tmp_path / "coco.pth")
    torch.save(coco, tmp_path / "coco.pth")
    built = build_detector(name, num_classes=90, weights="DEFAULT")  # with the background as many as COCO has
    assert built.reinitialized == ()
    assert all(torch.equal(v, coco[k]) for k, v in built.network.network.state_dict().items())
    with pytest.raises(WeightsError, match=r"weights='COCO_V7': .*_v3_large has 'DEFAULT' and COCO_V1"):
        build_detector(name, num_classes=2, weights="COCO_V7")
    with pytest.raises(WeightsError, match="accepts weights of whole detectors"):
        build_detector(name, num_classes=2, weights="IMAGENET1K_V1")


def test_a_backbones_weights_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick_start(monkeypatch)
    pretrained = models.mobilenet_v3_large()
    with torch.no_grad():
        for parameter in pretrained.parameters():
            parameter.add_(1.0)
    torch.save(pretrained.state_dict(), tmp_path / "w.pth")
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    built = build_detector(name, num_classes=2, weights=str(tmp_path / "w.pth"))
    own, former = built.network.network.state_dict(), pretrained.state_dict()
    body = [key for key in own if key.startswith("backbone.body.")]
    assert all(torch.equal(own[key], former[key.replace("backbone.body.", "features.")]) for key in body)
    assert set(built.reinitialized) == {key for key in own if not key.startswith("backbone.body.")}


def test_weights_of_another_detector_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick_start(monkeypatch)
    torch.save(models.get_model("fcos_resnet50_fpn", weights=None, weights_backbone=None).state_dict(), tmp_path / "w")
    with pytest.raises(WeightsError, match=r"w does not fit RetinaNet: .*missing .*unknown .*set architecture="):
        build_detector("retinanet_resnet50_fpn", num_classes=2, weights=str(tmp_path / "w"))


# ---- the user's own ----


def test_a_module_of_the_users_is_given_what_torchvisions_are() -> None:
    torch.manual_seed(0)
    own = ListNet(3)
    built = build_detector(own, num_classes=2)
    assert (built.architecture, built.reinitialized) == ("", ())
    network, images = built.network, torch.rand(3, 3, 32, 64)
    losses = network.train().losses(images, some_targets(3), trust=1.0)
    given, targets = own.given[-1]
    assert torch.equal(torch.stack(given), images)
    assert [t["labels"].tolist() for t in targets] == [[1, 2], [], [1, 2]]  # 0 is the background
    assert [len(t["boxes"]) for t in targets] == [2, 0, 2]
    own.given.clear()
    expected = sum(own(list(images), targets).values())
    assert losses.tolist() == pytest.approx([expected.item()] * 3)

    found = network.eval().detect(images)
    assert len(found) == 3
    assert found[0]["labels"].tolist() == [1, 0]  # the surest first; without the background
    assert found[0]["boxes"].tolist() == [[3.0, 4.0, 7.0, 11.0], [2.0, 3.0, 6.0, 10.0]]
    assert found[0]["scores"].tolist() == pytest.approx([0.9, 0.5])


def test_a_module_without_losses_is_refused() -> None:
    class Silent(nn.Module):
        def forward(self, images: object, targets: object = None) -> torch.Tensor:
            return torch.zeros(3)

    network = build_detector(Silent(), num_classes=1).network.train()
    with pytest.raises(ConfigError, match="Silent returned a Tensor in training: expected a dictionary of losses"):
        network.losses(torch.rand(1, 3, 32, 32), some_targets(1), trust=1.0)


def test_a_factory_by_its_import_path(tmp_path: Path) -> None:
    built = build_detector("detector_parts:list_net", num_classes=2)
    assert built.architecture == "detector_parts:list_net"
    assert isinstance(built.network.network, ListNet)
    assert built.network.network.head.out_features == 3 + 4  # two classes and the background
    torch.save(ListNet(6).state_dict(), tmp_path / "w.pth")
    assert build_detector("detector_parts:list_net", num_classes=2, weights=str(tmp_path / "w.pth")).reinitialized == (
        "head.weight",
        "head.bias",
    )
    with pytest.raises(ConfigError, match="architecture='detector_parts:no_such'"):
        build_detector("detector_parts:no_such", num_classes=2)
    with pytest.raises(ConfigError, match="architecture='no_such_package:net'"):
        build_detector("no_such_package:net", num_classes=2)
