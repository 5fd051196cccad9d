"""The dry run before a training: what cannot be trained says so at once, and nothing is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.training.rehearsal import doubts, rehearse
from tiny import CLASSES, TinyNet, same_weights, stirred, tiny_data, tiny_model, weights_of
from tiny_boxes import drawn_manifest, tiny_boxes, tiny_detector

if TYPE_CHECKING:
    from pathlib import Path


class Sized(TinyNet):
    """A network for one size alone, such as a vision transformer."""

    image_size = 48

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] != 48:
            raise ValueError("wrong height")
        return super().forward(x)


class Pair(TinyNet):
    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x), None


class NormOfVectors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.first(x).mean((2, 3))))


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LazyConv2d(3, 3)


def classifier(network: nn.Module, **options: Any) -> oml.ImageClassifier:
    return oml.ImageClassifier(class_names=CLASSES, backbone=network, **options)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (
            Sized(),
            {},
            r"Sized fails on images of 32 x 32 pixels \(ValueError: wrong height\); it takes 48 x 48",
        ),
        (Pair(), {}, r"Pair returned a tuple: expected a tensor of \(B, 3\) logits"),
        (TinyNet(5), {}, r"shape \(1, 5\) for 1 image: expected \(1, 3\), one for each of the 3 classes"),
        (NormOfVectors(), {"batch_size": 1}, "batches have one image, too few for a batch norm"),
    ],
)
def test_a_network_that_cannot_be_trained_says_so_before_there_is_a_run(
    manifest, tmp_path: Path, network: nn.Module, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        oml.fit(classifier(network), tiny_data(manifest, **options), run=tmp_path / "run", epochs=1, progress="none")

    assert not (tmp_path / "run").exists()


def test_what_can_be_trained_is_not_refused(manifest) -> None:
    rehearse(classifier(Sized()), tiny_data(manifest, size_hw=(48, 48)))
    rehearse(classifier(NormOfVectors()), tiny_data(manifest, batch_size=2))
    rehearse(classifier(NormOfVectors(), freeze_bn=True), tiny_data(manifest, batch_size=1))


def test_lazy_layers_are_refused_when_the_model_is_built() -> None:
    with pytest.raises(ConfigError, match="backbone: the layer 'first' of Lazy is lazy"):
        classifier(Lazy())
    with pytest.raises(ConfigError, match="architecture: the layer 'first' of Lazy is lazy"):
        oml.ObjectDetector(class_names=CLASSES, architecture=Lazy())


def test_nothing_is_changed(manifest) -> None:
    model = stirred()
    model.network.dropout.eval()
    before, modes = weights_of(model), [module.training for module in model.modules()]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    rehearse(model, tiny_data(manifest))

    assert torch.equal(torch.rand(3), expected)
    assert same_weights(weights_of(model), before)
    assert [module.training for module in model.modules()] == modes


def test_doubts_are_told_and_kept(manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = manifest.take([list(manifest.column("split")).index("train")])
    data = tiny_data(one, batch_size=1)
    found = "\n".join(doubts(tiny_model(norm=True), data))

    assert "no image of train shows 'green', 'red': no model can learn that" in found
    assert "the split 'train' has a single annotated image" in found
    assert "the split 'val' has no annotated image: nothing is measured during the training" in found
    assert "batches have one image, from which batch norm takes its statistics" in found
    assert doubts(tiny_model(norm=True), tiny_data(manifest)) == []
    told = "1 of 9 images is left out: 1 empty; project.datasets.findings(data) lists them"  # by a freeze
    frozen = replace(manifest, notes=("read as folders", told))
    assert doubts(tiny_model(norm=True), tiny_data(frozen)) == [told]
    run = oml.fit(tiny_model(), data, run=tmp_path / "run", epochs=1, accelerator="cpu")
    assert "a single annotated image" in capsys.readouterr().out
    assert "a single annotated image" in (tmp_path / "run/log.txt").read_text()
    assert run.status()["state"] == "finished"


class OwnDetector(nn.Module):
    """An answer of a user's own detector."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.layer, self.answer = nn.Conv2d(3, 3, 1), answer

    def forward(self, images: list[torch.Tensor], targets: Any = None) -> Any:
        del images, targets
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (torch.zeros(2), "OwnDetector returned a Tensor: expected a list of dictionaries with boxes"),
        ([{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0), "scores": torch.zeros(0)}], "a dictionary of losses"),
    ],
)
def test_detectors_with_another_answer(tmp_path: Path, answer: Any, message: str) -> None:
    data = tiny_boxes(drawn_manifest(tmp_path / "images", counts={"train": 3}, size=64))
    with pytest.raises(ConfigError, match=message):
        rehearse(oml.ObjectDetector(class_names=CLASSES, architecture=OwnDetector(answer)), data)
    rehearse(tiny_detector(), data)


def test_detectors_of_masks_are_refused_at_once() -> None:
    network = OwnDetector(None)
    network.roi_heads = nn.Module()
    network.roi_heads.mask_head = nn.Conv2d(3, 3, 1)
    with pytest.raises(ConfigError, match="OwnDetector needs masks to train, and images have boxes"):
        oml.ObjectDetector(class_names=CLASSES, architecture=network)
    assert not [name for name in oml.list_models("detection") if "maskrcnn" in name or "keypoint" in name]
