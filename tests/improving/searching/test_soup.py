"""The greedy mean of weights, against means by hand."""

from __future__ import annotations

import torch
from torch import nn

from onlineml.improving.searching.soup import greedy_soup


def model_of(weight: float) -> nn.Module:
    made = nn.BatchNorm1d(1)  # it has weights, statistics and a count
    with torch.no_grad():
        made.weight.fill_(weight)
        made.running_mean.fill_(10 * weight)
        made.num_batches_tracked.fill_(int(weight))
    return made


def near(target: float):
    return lambda model: -abs(float(model.weight.detach()) - target)


def test_a_model_joins_the_mean_only_if_that_scores_as_high():
    models = [model_of(1.0), model_of(5.0), model_of(2.0)]

    chosen, score = greedy_soup(models, near(1.4))

    # 1 alone is .4 away; with 5 the mean is 3, which is 1.6 away; with 2 it is 1.5, .1 away
    assert chosen == [0, 2]
    assert float(models[0].weight.detach()) == 1.5
    assert float(models[0].running_mean) == 15.0
    assert int(models[0].num_batches_tracked) == 1
    assert abs(score + 0.1) < 1e-6


def test_the_best_stays_alone_where_no_mean_is_better():
    models = [model_of(1.0), model_of(5.0)]

    assert greedy_soup(models, near(1.0)) == ([0], 0.0)
    assert float(models[0].weight.detach()) == 1.0
    assert float(models[1].weight.detach()) == 5.0
