"""Weights between two networks: exact at both ends, counters never mixed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from onlineml.errors import ConfigError, WeightsError
from onlineml.improving.challenger.weight_space import interpolate, shrink_and_perturb
from onlineml.models.class_heads import copied, grow_head
from onlineml.models.detectors import build_detector


def network(seed: int, *, n_classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, n_classes))
    made(torch.randn(2 + seed, 3, 4, 4))
    for _ in range(seed):
        made(torch.randn(2, 3, 4, 4))
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_both_ends_are_the_networks_to_the_bit(dtype):
    a, b = (
        {k: v.to(dtype) if v.is_floating_point() else v for k, v in network(s).state_dict().items()} for s in (0, 1)
    )

    for share, expected in ((0.0, a), (1.0, b)):
        mixed = interpolate(a, b, share)
        assert list(mixed) == list(a)
        assert all(torch.equal(mixed[key], expected[key]) for key in a)
        assert all(mixed[key].dtype == a[key].dtype for key in a)


@given(st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_weights_lie_between_and_counters_are_those_of_the_nearer(share):
    a, b = network(0).state_dict(), network(2).state_dict()
    assert a["1.num_batches_tracked"] != b["1.num_batches_tracked"]

    mixed = interpolate(a, b, share)

    for key in ("0.weight", "1.running_var", "3.bias"):
        torch.testing.assert_close(mixed[key], (1 - share) * a[key] + share * b[key])
    nearer = b if share >= 0.5 else a
    assert torch.equal(mixed["1.num_batches_tracked"], nearer["1.num_batches_tracked"])
    assert mixed["1.num_batches_tracked"].dtype == torch.int64
    network(0).load_state_dict(mixed)


def test_what_was_given_stays():
    a, b = network(0).state_dict(), network(1).state_dict()
    before = {key: value.clone() for key, value in a.items()}

    mixed = interpolate(a, b, 0.0)
    for value in mixed.values():
        value.zero_()

    assert all(torch.equal(a[key], before[key]) for key in a)


def test_a_champion_of_fewer_classes_grows_first():
    a, b = network(0).state_dict(), network(1, n_classes=5).state_dict()
    old, new = ("cat", "dog", "fox"), ("ant", "fox", "bee", "cat", "dog")

    with pytest.raises(WeightsError, match=r"differ in 2 tensors: 3.weight, 3.bias"):
        interpolate(a, b, 0.5)
    grown = network(0)
    grown[3] = grow_head(grown[3], old, new, fresh=network(1, n_classes=5)[3])
    mixed = interpolate(grown.state_dict(), b, 0.5)

    torch.testing.assert_close(mixed["3.weight"][[0, 2]], b["3.weight"][[0, 2]])
    torch.testing.assert_close(mixed["3.weight"][3], (a["3.weight"][0] + b["3.weight"][3]) / 2)


def test_other_networks_and_shares_are_refused():
    a = network(0).state_dict()

    with pytest.raises(WeightsError, match=r"differ in 1 tensor: 0.bias"):
        interpolate(a, {key: value for key, value in a.items() if key != "0.bias"}, 0.5)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="share="):
            interpolate(a, a, share)


def test_shrunk_and_perturbed_by_hand():
    trained, fresh = network(2), network(0)

    made = shrink_and_perturb(trained, fresh, shrink=0.4, perturb=0.1)

    for key, value in made.named_parameters():
        expected = 0.4 * trained.get_parameter(key) + 0.1 * fresh.get_parameter(key)
        torch.testing.assert_close(value, expected)
    for key, value in made.named_buffers():
        assert torch.equal(value, trained.get_buffer(key))
    assert made is not trained


def test_nothing_shrunk_and_nothing_added_is_the_network_itself():
    trained = network(1)
    before = {key: value.clone() for key, value in trained.state_dict().items()}

    made = shrink_and_perturb(trained, network(0), shrink=1.0, perturb=0.0)

    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    assert all(torch.equal(value, before[key]) for key, value in trained.state_dict().items())


def test_other_networks_and_factors_are_refused():
    with pytest.raises(WeightsError, match=r"differ in 2 parameters: 3\.weight, 3\.bias; build them alike"):
        shrink_and_perturb(network(0), network(0, n_classes=4), shrink=0.5, perturb=0.1)
    for options in (
        {"shrink": 1.5, "perturb": 0.1},
        {"shrink": 0.5, "perturb": -1.0},
        {"shrink": 0.5, "perturb": float("nan")},
    ):
        with pytest.raises(ConfigError, match="expected shrink in"):
            shrink_and_perturb(network(0), network(1), **options)


@pytest.mark.parametrize("frozen", [True, False])
def test_copies_of_traced_networks_stay_in_their_modes(frozen):
    torch.manual_seed(0)
    detector = build_detector("compact", num_classes=2, backbone="slim_resnet18").network.train(not frozen)
    norms = [m for m in detector.modules() if isinstance(m, nn.BatchNorm2d)]
    norms[0].eval()
    image = torch.randn(2, 3, 64, 64)

    made = copied(detector)

    assert [m.training for m in made.modules()] == [m.training for m in detector.modules()]
    assert torch.equal(made(image).logits, detector(image).logits)
