"""The head's warm-up on features that are computed once: a linear probe, from which fine-tuning starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

__all__ = ["MIDDLING_PENALTY", "Probe", "collect_features", "fit_linear_head", "probe_head"]

_STEPS = 30  # L-BFGS iterations for each penalty; more no longer move the validation loss
# Of the squared weights, on standardised features; chosen on validation images. Wrong labels ask for the largest.
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
MIDDLING_PENALTY = 1e-2


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
        (N, F) float32 features and (N,) int64 labels, on the CPU.
    """
    features: list[Tensor] = []
    labels: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].detach().float().cpu()))
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                model(batch["image"].to(model.device))
                labels.append(batch["label"])
                if enough is not None and enough(sum(map(len, labels))):
                    break
    finally:
        hook.remove()
        for module, training in modes:
            module.training = training
    if not features:
        return torch.zeros(0, getattr(head, "in_features", 0)), torch.zeros(0, dtype=torch.int64)
    return torch.cat(features).clone(), torch.cat(labels)


def fit_linear_head(
    features: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    penalty: float,
    class_weights: Tensor | None = None,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS: mean cross-entropy + ``penalty / C`` times the squared weights.

    Args:
        features: (N, F) float, best standardised.
        labels: (N,) int64 in 0..num_classes-1.
        num_classes: C.
        penalty: > 0.
        class_weights: (C,) weight of each class in the loss.
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
        loss = functional.cross_entropy(features @ weight.T + bias, labels, weight=class_weights)
        loss = loss + penalty * weight.square().sum() / num_classes
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


class Probe(NamedTuple):
    """A linear probe: its penalty, and its loss and accuracy on the validation images (nan without)."""

    penalty: float
    val_loss: float
    val_accuracy: float


def probe_head(
    model: Any,
    head: nn.Linear,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor] | None,
) -> Probe:
    """Give the head the weights of a linear probe; the penalty is the one with the lowest validation loss.

    Args:
        model: names the classes and their weights.
        head: receives the weights.
        train: features and labels, see `collect_features`.
        val: the same of the validation images; None takes a middling penalty.
    """
    mean = train[0].mean(0)
    deviation = train[0].std(0, unbiased=False).clamp_min(1e-6)
    features = (train[0] - mean) / deviation
    class_weights = model.class_weights.cpu()
    best, found = Probe(MIDDLING_PENALTY, math.nan, math.nan), None
    for penalty in PENALTIES if val is not None else (MIDDLING_PENALTY,):  # each starts where the stronger one ended
        found = fit_linear_head(
            features, train[1], num_classes=head.out_features, penalty=penalty, class_weights=class_weights, start=found
        )
        weight = found[0] / deviation
        bias = found[1] - weight @ mean
        loss = accuracy = math.nan
        if val is not None:
            logits = val[0] @ weight.T + bias
            loss = float(functional.cross_entropy(logits, val[1]))
            accuracy = float((logits.argmax(1) == val[1]).float().mean())
        if math.isnan(best.val_loss) or loss < best.val_loss:
            best = Probe(penalty, loss, accuracy)
            with torch.no_grad():
                head.weight.copy_(weight)
                if head.bias is not None:
                    head.bias.copy_(bias)
    return best
