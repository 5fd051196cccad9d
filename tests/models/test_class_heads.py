"""Heads that grow: every old row in its place to the bit, new ones by hand-computed cases."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from onlineml.errors import DataError, WeightsError
from onlineml.models.class_heads import align_weights, grow_head, imprint

OLD, NEW = ("cat", "dog", "fox"), ("ant", "fox", "bee", "cat", "dog")
PLACES = [3, 4, 1]  # of the old names among the new


def whole(module: nn.Module) -> nn.Module:
    """Small whole numbers for weights: sums of products are exact, in whatever order they are made."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randint(-8, 9, parameter.shape))
    return module


@given(st.permutations([*OLD, "ant", "bee"]), st.integers(2, 40), st.booleans(), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_old_scores_are_the_same_to_the_bit_whatever_the_order(names, n_features, bias, seed):
    torch.manual_seed(seed)
    head = whole(nn.Linear(n_features, 3, bias=bias))
    features = torch.randint(-8, 9, (7, n_features)).float()

    resized = grow_head(head, OLD, names)

    rows = [names.index(name) for name in OLD]
    assert torch.equal(resized(features)[:, rows], head(features))
    assert resized.out_features == 5
    assert torch.equal(resized.weight[rows], head.weight)


def test_rows_of_any_numbers_are_kept_to_the_bit_and_scores_but_for_rounding():
    torch.manual_seed(0)
    head, features = nn.Linear(512, 3), torch.randn(40, 512)
    before = head.weight.clone()

    resized = grow_head(head, OLD, NEW)

    assert torch.equal(resized.weight[PLACES], before)
    assert torch.equal(resized.bias[PLACES], head.bias)
    torch.testing.assert_close(resized(features)[:, PLACES], head(features), rtol=1e-5, atol=1e-6)
    assert torch.equal(head.weight, before)
    assert head.out_features == 3


def test_new_rows_are_silent_at_the_mean_bias_or_those_of_a_fresh_head():
    head, fresh = nn.Linear(4, 3), nn.Linear(4, 5)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, 2.0, 6.0]))

    plain, filled = grow_head(head, OLD, NEW), grow_head(head, OLD, NEW, fresh=fresh)

    assert plain.weight[[0, 2]].eq(0).all()
    assert plain.bias[[0, 2]].tolist() == [3.0, 3.0]
    assert torch.equal(filled.weight[[0, 2]], fresh.weight[[0, 2]])
    assert torch.equal(filled.bias[[0, 2]], fresh.bias[[0, 2]])
    assert torch.equal(filled.weight[PLACES], head.weight)


def test_the_same_names_in_another_order_only_move_rows():
    head = nn.Linear(4, 3)

    moved = grow_head(head, OLD, ("fox", "cat", "dog"))

    assert torch.equal(moved.weight, head.weight[[2, 0, 1]])


def test_dtype_and_frozen_rows_stay():
    head = nn.Linear(4, 3).double().requires_grad_(False)

    resized = grow_head(head, OLD, NEW)

    assert resized.weight.dtype == torch.float64
    assert not resized.weight.requires_grad
    assert grow_head(nn.Linear(4, 3), OLD, NEW).weight.requires_grad


def test_a_grown_head_learns():
    resized = grow_head(nn.Linear(4, 3), OLD, NEW)
    resized(torch.randn(2, 4)).sum().backward()

    assert resized.weight.grad.shape == (5, 4)


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        (("cat", "dog"), NEW, DataError, "has 3 rows and old_names 2 names"),
        (OLD, ("cat", "dog", "bee", "ant"), DataError, "1 class of the head is not in new_names: 'fox'"),
        (OLD, (*NEW, "cat"), DataError, "new_names is .* expected a sequence of distinct"),
        (("cat", "cat", "fox"), NEW, DataError, "old_names is"),
        ("abc", NEW, DataError, "old_names is 'abc'"),
    ],
)
def test_names_that_do_not_fit_are_refused(old, new, error, says):
    with pytest.raises(error, match=says):
        grow_head(nn.Linear(4, 3), old, new)


def test_a_fresh_head_that_does_not_fit_is_refused():
    with pytest.raises(WeightsError, match=r"fresh has shape \(4, 4\); expected \(5, 4\)"):
        grow_head(nn.Linear(4, 3), OLD, NEW, fresh=nn.Linear(4, 4))
    with pytest.raises(WeightsError, match="one of head and fresh has a bias"):
        grow_head(nn.Linear(4, 3), OLD, NEW, fresh=nn.Linear(4, 5, bias=False))


def clusters(n=60, n_features=24, seed=0):
    """Features of six classes, all positive as after a ReLU, with a part that all share."""
    generator = torch.Generator().manual_seed(seed)
    middles = torch.rand(6, n_features, generator=generator) * 2
    labels = torch.arange(6).repeat_interleave(n)
    noise = torch.randn(6 * n, n_features, generator=generator) * 0.35
    return (3 + middles[labels] + noise).relu(), labels


def trained(features, labels, n_classes):
    """A head fitted to the first classes alone."""
    head = nn.Linear(features.shape[1], n_classes)
    known = labels < n_classes
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(features[known]), labels[known])
        loss = loss + 1e-3 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return head


@pytest.mark.parametrize("seed", range(5))
def test_an_imprinted_class_is_known_at_once_and_others_are_not_forgotten(seed):
    features, labels = clusters(seed=seed)
    test, truth = clusters(seed=seed)
    test = test + 0.2 * torch.randn(test.shape, generator=torch.Generator().manual_seed(99))
    torch.manual_seed(seed)
    head = trained(features, labels, 4)
    names = [f"class {k}" for k in range(6)]

    resized = imprint(grow_head(head, names[:4], names), features, labels, [4, 5])

    said = resized(test).argmax(1)
    old = truth < 4
    before = (head(test)[old].argmax(1) == truth[old]).float().mean()
    assert (said[~old] == truth[~old]).float().mean() > 0.8
    assert (said[old] == truth[old]).float().mean() > before - 0.1
    assert torch.equal(resized.weight[:4], head.weight)
    assert torch.equal(resized.bias[:4], head.bias)


def test_an_imprinted_row_by_hand():
    """Two unit means (1, 0) and (0, 1), centre (.5, .5): the row points along (-1, 1), as long as the old row, 5."""
    head = nn.Linear(2, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        head.bias.copy_(torch.tensor([1.0, 0.0]))
    features, labels = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])

    made = imprint(head, features, labels, [1])

    length = 5 / 2**0.5
    torch.testing.assert_close(made.weight[1], torch.tensor([-length, length]))
    # the old row says 7 and 9, 8 on average; half-way between (0, 1) and (.5, .5), times the length 2 of a feature
    half_way = 2 * (-0.25 * length + 0.75 * length)
    assert made.bias[1].item() == pytest.approx(8 - half_way, abs=1e-5)
    assert torch.equal(made.weight[0], head.weight[0])


@pytest.mark.parametrize(
    ("features", "labels", "class_ids", "says"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 1]), [1], r"expected \(N, 2\) and \(N,\)"),
        (torch.ones(2, 2), torch.tensor([0, 1]), [2], r"\[2\] have features"),
        (torch.ones(2, 2), torch.tensor([0, 1]), [], "none have features"),
        (torch.ones(2, 2), torch.tensor([1, 1]), [1], "pass their features too"),
        (torch.ones(2, 2), torch.tensor([0, 7]), [1], "reach from 0 to 7; the head has 3 rows"),
        (torch.ones(3, 2), torch.tensor([0, 1, 2]), [0, 1, 2], "keep old rows in the head"),
    ],
)
def test_features_that_cannot_be_imprinted_are_refused(features, labels, class_ids, says):
    with pytest.raises(DataError, match=says):
        imprint(nn.Linear(2, 3), features, labels, class_ids)


def test_aligned_rows_by_hand():
    head = nn.Linear(2, 4)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 12.0], [0.0, 6.0]]))
    bias = head.bias.clone()

    aligned = align_weights(head, [2, 3])

    # the old ones are 3 long on average, the new ones 9
    torch.testing.assert_close(aligned.weight[2:], torch.tensor([[0.0, 4.0], [0.0, 2.0]]))
    assert torch.equal(aligned.weight[:2], head.weight[:2])
    assert torch.equal(aligned.bias, bias)
    assert head.weight[2, 1] == 12


@given(st.integers(2, 9), st.integers(1, 8), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_aligned_rows_are_as_long_on_average(n_rows, n_new, seed):
    torch.manual_seed(seed)
    new = list(range(n_rows))[: min(n_new, n_rows - 1)]
    head = nn.Conv2d(3, n_rows, 3) if seed % 2 else nn.Linear(5, n_rows)
    with torch.no_grad():
        head.weight[new] *= 7

    aligned = align_weights(head, new)

    norms = aligned.weight.flatten(1).norm(dim=1)
    old = [k for k in range(n_rows) if k not in new]
    assert norms[new].mean().item() == pytest.approx(norms[old].mean().item(), rel=1e-5)
    torch.testing.assert_close(align_weights(aligned, new).weight, aligned.weight)


def test_rows_of_zeros_stay_and_rows_that_are_not_there_are_refused():
    head = grow_head(nn.Linear(4, 3), OLD, NEW)

    assert torch.equal(align_weights(head, [0, 2]).weight, head.weight)
    for bad in ([], [5], [-1], range(5)):
        with pytest.raises(DataError, match="of a head with 5 rows"):
            align_weights(head, list(bad))
