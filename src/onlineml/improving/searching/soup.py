"""The mean of the weights of several trained models of one network: a soup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from onlineml.tasks.base import VisionModule

__all__ = ["greedy_soup"]


def greedy_soup(models: Sequence[VisionModule], score_of: Callable[[VisionModule], float]) -> tuple[list[int], float]:
    """Average the weights of models as long as that scores higher; the first model gets them.

    The greedy soup of Wortsman et al., Model soups, ICML 2022: starting from the best model, each further one is added
    if the mean of all then scores at least as high. Models have a common start, or their mean is worth nothing.

    Args:
        models: of one network and input size, the best first; the first one's weights are changed.
        score_of: returns a score on validation images; higher is better.

    Returns:
        Indices of the models that were averaged, and the mean's score.
    """
    soup = models[0]
    weights = [{name: value.clone() for name, value in one.state_dict().items()} for one in models]
    chosen, best = [0], score_of(soup)
    for i in range(1, len(models)):
        soup.load_state_dict(_mean([weights[j] for j in (*chosen, i)]))
        if (score := score_of(soup)) >= best:
            chosen, best = [*chosen, i], score
    soup.load_state_dict(_mean([weights[j] for j in chosen]))
    return chosen, best


def _mean(weights: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """The mean of each number of the weights; what counts (such as batches seen) is the first one's."""
    first = weights[0]
    return {
        name: torch.stack([w[name].double() for w in weights]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }
