"""Networks of other classes: rows by name, merged ones averaged, new ones as in a fresh network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.models.detector import Detector
from tiny_boxes import SlimResNet
from tiny_projects import colour_model

OLD, NEW = ("cat", "dog", "fox"), ("ant", "fox", "bee", "cat", "dog")
PLACES = [3, 4, 1]  # of the old names among the new


def test_a_network_grows_by_name_and_averages_merged_rows():
    model = colour_model(("a", "b", "c"))
    with torch.no_grad():
        model.head.weight.copy_(torch.arange(18.0).reshape(3, 6))
        model.head.bias.copy_(torch.tensor([1.0, 3.0, 5.0]))

    network = model.resized_network(["x", "b", "x"], ("new", "b", "x"))

    rows = model.head.weight
    assert torch.equal(network.head.weight[1], rows[1])
    assert torch.equal(network.head.weight[2], (rows[0] + rows[2]) / 2)
    assert torch.equal(network.head.bias, torch.tensor([3.0, 3.0, 3.0]))  # a new row begins at the mean of the others
    assert model.head.out_features == 3
    same = model.resized_network(["a", "b", "c"], ("a", "b", "c"))
    assert torch.equal(same.head.weight, rows)
    assert same.head.weight is not rows


class Headless(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def test_a_network_that_cannot_grow_says_what_else_to_do():
    model = oml.ImageClassifier(class_names=("a", "b", "c"), backbone=Headless())

    assert model.class_head() is None
    assert model.linear_head() is None
    with pytest.raises(ConfigError, match="how='full'"):
        model.resized_network(["a", "b", "c"], ("a", "b", "c", "d"))


def test_the_class_head_is_replaced():
    model = colour_model(("a", "b", "c"))
    assert model.class_head() is model.linear_head() is model.head

    model.replace_class_head(other := nn.Linear(6, 3))

    assert model.class_head() is model.network.head is other


@pytest.fixture(scope="module")
def detector():
    network = SlimResNet(2, width=8, depths=(1, 1, 1, 1))
    return oml.ObjectDetector(class_names=OLD, backbone=network).eval()


def test_a_detector_sees_its_old_classes_as_before(detector):
    image = torch.randn(1, 3, 64, 64)
    network = detector.network
    was = network.to_logits.weight.clone()

    resized = detector.resized_network(OLD, NEW)

    before, after = network(image), resized(image)
    torch.testing.assert_close(after.logits[..., PLACES], before.logits, rtol=1e-5, atol=1e-4)
    assert torch.equal(after.boxes_xyxy, before.boxes_xyxy)
    assert torch.equal(resized.to_logits.weight[PLACES], was)
    assert resized.num_classes == resized.to_logits.out_channels == 5
    assert network.num_classes == 3
    assert torch.equal(network.to_logits.weight, was)


def test_a_detectors_old_scores_are_the_same_to_the_bit_on_exact_numbers(detector):
    """Its last layer alone, on whole numbers, which no order of summing rounds."""
    exact = copy.deepcopy(detector)
    with torch.no_grad():
        for parameter in exact.class_head().parameters():
            parameter.copy_(torch.randint(-8, 9, parameter.shape))
    resized = exact.resized_network(OLD, NEW).to_logits
    maps = torch.randint(-8, 9, (2, 64, 6, 5)).float()

    assert torch.equal(resized(maps)[:, PLACES], exact.class_head()(maps))


def test_new_classes_of_a_detector_start_unseen(detector):
    resized = detector.resized_network(OLD, NEW)
    scores = resized(torch.randn(1, 3, 64, 64)).logits.sigmoid()

    assert resized.to_logits.bias[[0, 2]].sigmoid().tolist() == pytest.approx([0.01, 0.01])
    assert scores[..., [0, 2]].max() < 0.1
    target = {"boxes": torch.tensor([[5.0, 5.0, 40.0, 40.0]]), "labels": torch.tensor([4]), "ignore": torch.zeros(0, 4)}
    loss = resized.losses(torch.randn(1, 3, 64, 64), [target], trust=0.0)
    assert loss.isfinite().all()


def test_a_detector_of_the_users_without_a_class_head_cannot_grow():
    class Own(Detector):
        pass

    model = oml.ObjectDetector(class_names=OLD, architecture=Own())

    assert model.class_head() is None
    with pytest.raises(ConfigError, match="Own has no last layer whose rows are classes"):
        model.resized_network(OLD, NEW)
