"""Features of several stages of a network, against means and maxima computed by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from onlineml.models.stages import WithStages, stage_names


def _layer(before: int, after: int, *, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.BatchNorm2d(after), nn.ReLU())


class _Network(nn.Module):
    """Stages of 3, 4, 6, 6, 7 and 9 channels, and a hidden layer before the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _layer(3, 3, stride=1),
            _layer(3, 4),
            _layer(4, 6),
            _layer(6, 6, stride=1),
            _layer(6, 7),
            _layer(7, 9, stride=1),
        )
        self.classifier = nn.Sequential(nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(image).mean((2, 3)))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return _Network().eval()


def test_the_head_sees_the_last_features_and_the_three_stages_before_the_last(network: nn.Module) -> None:
    image = torch.rand(2, 3, 32, 48)
    seen: list[torch.Tensor] = []
    made = WithStages(copy.deepcopy(network), "classifier.2").eval()
    made.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        assert made(image).shape == (2, 2)
        stages = [network.features[:n](image) for n in (2, 4, 5)]  # of six channels the last
        last = network.classifier[:2](network.features(image).mean((2, 3)))
    by_hand = [last, *(values for stage in stages for values in (stage.mean((2, 3)), stage.amax((2, 3))))]
    torch.testing.assert_close(seen[0], torch.cat(by_hand, 1))
    assert made.stages == ("features.1", "features.3", "features.4")


def test_finding_stages_changes_neither_modes_nor_running_means(network: nn.Module) -> None:
    network.train()
    network.features[0].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = WithStages(network, "classifier.2")
    assert network.features[1].training
    assert not network.features[0].training
    for name, value in made.network.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_other_networks_give_their_last_features(network: nn.Module) -> None:
    network.stem = network.features
    del network.features
    network.forward = lambda image: network.classifier(network.stem(image).mean((2, 3)))
    made = WithStages(network, "classifier.2")
    assert made.stages == ()
    assert made.head.in_features == 5
    assert made(torch.rand(2, 3, 32, 32)).shape == (2, 2)


def test_the_parts_of_a_transformer_are_no_stages() -> None:
    network = nn.Module()
    network.blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network.forward = lambda image: network.blocks(image.mean((2, 3))[:, None].repeat(1, 5, 2)[..., :4]).mean(1)
    assert stage_names(network, (32, 48)) == ()
