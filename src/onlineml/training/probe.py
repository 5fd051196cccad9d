"""The head's warm-up on cached features: a linear probe, from which fine-tuning starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from onlineml.models.modes import in_eval_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

__all__ = ["MIDDLING_PENALTY", "Probe", "collect_features", "fit_linear_head", "moments", "probe_head"]

_STEPS = 30  # L-BFGS iterations for each penalty; more do not improve the validation loss
# Of the squared weights, on standardised features; chosen on validation images. Wrong labels need the largest.
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
MIDDLING_PENALTY = 1e-2
_FLOOR = 0.01  # of the median deviation and of the mean; 1e-6 made weights of half a million on photos of one camera


def collect_features(
    model: Any, head: nn.Module, batches: Iterable[Any], *, enough: Callable[[int], bool] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the inputs of a linear head for each image, in one pass without gradients.

    Args:
        model: takes uint8 batches; its modes are not changed.
        head: a `torch.nn.Linear` within it.
        batches: of images and labels.
        enough: called after each batch with the number of images so far; True ends the pass.

    Returns:
        (N, F) float32 features and the N labels in the form of the batches, on the CPU.
    """
    features: list[Tensor] = []
    labels: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].detach().float().cpu()))
    try:
        with in_eval_mode(model):
            for batch in batches:
                model(batch["image"].to(model.device))
                labels.append(batch["label"])
                if enough is not None and enough(sum(map(len, labels))):
                    break
    finally:
        hook.remove()
    if not features:
        return torch.zeros(0, getattr(head, "in_features", 0)), torch.zeros(0, dtype=torch.int64)
    return torch.cat(features).clone(), torch.cat(labels)


def fit_linear_head(
    features: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    penalty: float,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Logistic regression by L-BFGS: mean loss + ``penalty / C`` times the squared weights.

    Args:
        features: (N, F) float, best standardised.
        labels: (N,) int64 in 0..num_classes-1, or other targets of ``loss``.
        num_classes: C.
        penalty: > 0.
        loss: the mean loss of (N, C) logits and ``labels``.
        start: (C, F) weight and (C,) bias to start from; None starts from zero.

    Returns:
        (C, F) weight and (C,) bias.
    """
    shape = (num_classes, features.shape[1])
    weight, bias = (torch.zeros(shape), torch.zeros(num_classes)) if start is None else (t.clone() for t in start)
    weight.requires_grad_()
    bias.requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(features @ weight.T + bias, labels) + penalty * weight.square().sum() / num_classes
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


class Probe(NamedTuple):
    """A linear probe: its penalty, and the metrics on the validation images (empty without).

    A penalty of nan stands for the head as it was, where that is better.
    """

    penalty: float
    metrics: dict[str, float]


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and deviations by which features are standardised, with a floor under the deviations.

    A feature that hardly varies would else have a weight of thousands, and decide as soon as the light changes: no
    deviation is below a hundredth of the median one or of the feature's own mean.

    Args:
        features: (N, F) float.

    Returns:
        (F,) means and (F,) deviations > 0.
    """
    mean, deviation = features.mean(0), features.std(0, unbiased=False)
    floor = torch.maximum(deviation.median(), mean.abs()).mul(_FLOOR).clamp_min(1e-6)
    return mean, torch.maximum(deviation, floor)


def _as_it_is(model: Any, head: nn.Linear, val: tuple[Tensor, Tensor] | None) -> Probe:
    """The head before it is fitted; without validation images nothing is known about it."""
    if val is None:
        return Probe(math.nan, {})
    with torch.no_grad():
        metrics = model.metrics(head(val[0].to(head.weight)).float().cpu(), val[1])
    return Probe(math.nan, metrics if math.isfinite(metrics["val_loss"]) else {})


def probe_head(
    model: Any,
    head: nn.Linear,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor] | None,
    *,
    scale: tuple[Tensor, Tensor] | None = None,
) -> Probe:
    """Give the head the weights of a linear probe, unless those it has have a lower validation loss.

    The penalty is the one with the lowest validation loss.

    Args:
        model: an `onlineml.tasks.classifier.ClassifierModule`, which knows the loss and the figures.
        head: receives the weights.
        train: features and labels, see `collect_features`.
        val: the same of the validation images; None for a medium penalty.
        scale: (F,) means and deviations by which features are standardised, such as those of many more images; None:
            the `moments` of ``train``.
    """
    mean, deviation = scale or moments(train[0])
    features = (train[0] - mean) / deviation
    best, found = _as_it_is(model, head, val), None
    for penalty in PENALTIES if val is not None else (MIDDLING_PENALTY,):  # each starts where the stronger one ended
        found = fit_linear_head(
            features, train[1], num_classes=head.out_features, penalty=penalty, loss=model.head_loss, start=found
        )
        weight = found[0] / deviation
        bias = found[1] - weight @ mean
        metrics = {} if val is None else model.metrics(val[0] @ weight.T + bias, val[1])
        loss = metrics.get("val_loss", 0.0)
        if math.isfinite(loss) and not loss >= best.metrics.get("val_loss", math.inf):
            best = Probe(penalty, metrics)
            with torch.no_grad():
                head.weight.copy_(weight)
                if head.bias is not None:
                    head.bias.copy_(bias)
    return best
