"""Maps of evidence: equal to class activation maps computed by hand, and where the object is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from torch import nn

import onlineml as oml
from onlineml.errors import ConfigError, DataError
from onlineml.inference.activation_maps import activation_figure, activation_maps, with_activation_maps
from picture_files import png
from tiny import CLASSES, make_photos
from tiny_boxes import tiny_detector
from tiny_projects import ColourNet

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (32, 48)
MEAN, STD = (0.35, 0.35, 0.35), (0.2, 0.3, 0.25)
COLOURS = np.eye(3, dtype=np.uint8) * 220


class Averaged(nn.Module):
    """A convolution whose result is averaged before a linear layer, with a step that works in place between them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.places = nn.Sequential(nn.Conv2d(3, 5, 8, stride=8), nn.ReLU(inplace=True))
        self.head = nn.Linear(5, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.places(x).mean((2, 3)))


def _model(network: nn.Module, *, task: type = oml.ImageClassifier) -> oml.ImageClassifier:
    model = task(class_names=CLASSES, backbone=network, seed=3)
    model.set_normalization(mean=MEAN, std=STD)
    model.size_hw = SIZE
    return model.eval()


def _photo(colour: int, top: int, left: int) -> np.ndarray:
    pixels = np.full((*SIZE, 3), 89, np.uint8)  # the mean: nothing
    pixels[top : top + 8, left : left + 8] = COLOURS[colour]
    return pixels


def _stack(*photos: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("task", [oml.ImageClassifier, oml.MultilabelClassifier])
def test_they_are_zhous_maps_where_places_are_averaged(task: type):
    torch.manual_seed(1)
    model = _model(Averaged(3), task=task)
    photos = _stack(*(np.random.default_rng(i).integers(0, 255, (*SIZE, 3), np.uint8) for i in range(4)))
    found = activation_maps(model, photos, label=CLASSES[1])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    with torch.no_grad():
        features = model.network.places((photos / 255 - mean) / std)  # (4, 5, 4, 6)
        evidence = torch.einsum("k,nkhw->nhw", model.network.head.weight[1], features).clamp(min=0)
    large = nn.functional.interpolate(evidence[:, None], SIZE, mode="bilinear", align_corners=False)[:, 0].numpy()
    expected = large / np.maximum(large.max((1, 2), keepdims=True), 1e-30)
    np.testing.assert_allclose(found.maps, expected, atol=1e-5)
    assert found.label_ids.tolist() == [1] * 4
    assert found.scores == pytest.approx(model.probabilities(model(photos)).detach()[:, 1].numpy(), abs=1e-6)


def test_the_brightest_place_is_in_the_object():
    model = _model(ColourNet(3))
    with torch.no_grad():  # class c: how much more there is of its colour than of the next
        model.network.head.weight.copy_(
            torch.tensor([[1, 1, -1, 0, -1, 0], [-1, 0, 1, 1, 0, -1], [0, -1, 0, -1, 1, 1.0]])
        )
        model.network.head.bias.zero_()
    where = {0: (0, 40), 1: (20, 3), 2: (10, 20)}
    photos = _stack(*(_photo(colour, *place) for colour, place in where.items()))
    before = [parameter.grad for parameter in model.parameters()]
    found = activation_maps(model, photos)
    assert found.label_ids.tolist() == [0, 1, 2]
    assert found.maps.shape == (3, *SIZE)
    for heat, (top, left) in zip(found.maps, where.values(), strict=True):
        assert heat.max() == pytest.approx(1)
        outside = heat.copy()
        outside[top : top + 8, left : left + 8] = 0
        assert outside.max() < 0.05
    assert [parameter.grad for parameter in model.parameters()] == before
    assert not model.training


def test_a_figure_of_what_predict_takes(tmp_path: Path):
    model = _model(ColourNet(3))
    (tmp_path / "0.png").write_bytes(png(_photo(0, 4, 4)))
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "2.png").write_bytes(png(_photo(2, 4, 4)))
    figure = activation_figure(model, tmp_path)
    texts = [axes.texts[-1].get_text() for axes in figure.axes if axes.texts]
    assert len(figure.axes) == 3
    assert sum(text.endswith("%") for text in texts) == 2
    assert len(activation_figure(model, [tmp_path / "0.png"] * 5, limit=2).axes) == 2


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.mean((2, 3)))


class ChannelsLast(Averaged):
    """The same, with height and width before the channels, as in Swin; and an attention of all parts to all parts."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.last, self.attention = nn.Identity(), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.last(self.places(x).permute(0, 2, 3, 1))
        parts = found.flatten(1, 2)
        self.attention((parts @ parts.mT)[:, None])
        return self.head(found.mean((1, 2)))


def test_height_and_width_may_come_before_the_channels_and_attention_is_no_map():
    usual = _model(Averaged(3))
    other = _model(ChannelsLast(3))
    other.network.load_state_dict(usual.network.state_dict())
    photos = _stack(_photo(0, 0, 0), _photo(1, 16, 8), _photo(2, 8, 32))

    expected, found = activation_maps(usual, photos), activation_maps(other, photos)

    assert np.ptp(expected.maps[0]) > 0.5
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-6)
    np.testing.assert_array_equal(found.label_ids, expected.label_ids)


def test_what_has_no_places_is_refused():
    with pytest.raises(ConfigError, match="Flat has no layer whose output is"):
        activation_maps(_model(Flat()), _stack(_photo(0, 0, 0)))
    with pytest.raises(ConfigError, match=r"label='pruple': expected one of"):
        activation_maps(_model(ColourNet(3)), _stack(_photo(0, 0, 0)), label="pruple")
    for call in (activation_maps, activation_figure):
        with pytest.raises(ConfigError, match="found ObjectDetector, whose boxes show places"):
            call(tiny_detector(), _stack(_photo(0, 0, 0)))


def test_scores_show_what_spoke_for_each_mistake(tmp_path: Path):
    data = oml.Manifest.from_folders(str(make_photos(tmp_path, counts={"test": 3})))
    torch.manual_seed(0)
    model = oml.ImageClassifier(class_names=data.class_names, backbone=Averaged(3), seed=0)
    model.size_hw = SIZE
    model.eval()
    plain = oml.evaluate(model, data, n_bootstrap=0)
    assert plain.thumbnails

    mapped = with_activation_maps(plain, model, data)

    assert mapped.mistakes == plain.mistakes
    assert list(mapped.thumbnails) == list(plain.thumbnails)
    for image_id, jpeg in mapped.thumbnails.items():
        assert jpeg != plain.thumbnails[image_id]
        assert Image.open(io.BytesIO(jpeg)).size == SIZE[::-1]
    batch = next(iter(oml.ClassificationDataModule(data, size_hw=SIZE).loader_of(np.arange(len(data)))))
    maps = activation_maps(model, batch["image"]).maps
    for image_id, pixels, heat in zip(batch["image_id"], batch["image"].permute(0, 2, 3, 1).numpy(), maps, strict=True):
        if image_id in mapped.thumbnails:
            seen = np.asarray(Image.open(io.BytesIO(mapped.thumbnails[image_id])), np.float32)
            share = 0.55 * heat[:, :, None]  # of the colour; the rest is the photo, a little darker
            expected = 0.9 * pixels * (1 - share) + 255 * colormaps["inferno"](heat)[:, :, :3] * share
            assert np.abs(seen - expected).mean() < 8  # JPEG
            assert np.abs(seen - pixels).mean() > 10
    with pytest.raises(DataError, match="pass the one that was evaluated"):
        with_activation_maps(plain, model, data.take([0]))
    with pytest.raises(ConfigError, match="are of a classifier"):
        with_activation_maps(plain, tiny_detector(), data)
