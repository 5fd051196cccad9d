"""The head's warm-up on features that are computed once: a linear probe, from which fine-tuning starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

__all__ = ["collect_features", "fit_linear_head", "probe_head"]

_STEPS = 60  # L-BFGS iterations; more no longer move the validation loss
_PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4)  # of the squared weights, on standardised features; chosen on validation images


def collect_features(
    model: Any, head: nn.Module, batches: Iterable[Any], *, enough: Callable[[int], bool] | None = None
) -> tuple[Tensor, Tensor]:
    """What a linear head is given for each image, in one pass without gradients.

    Args:
        model: takes uint8 batches; left in the modes it was in.
        head: a `torch.nn.Linear` within it.
        batches: of images and labels.
        enough: asked after each batch with the number of images so far; True ends the pass.

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
    return torch.cat(features).clone(), torch.cat(labels)


def fit_linear_head(
    features: Tensor, labels: Tensor, *, num_classes: int, penalty: float, class_weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS, on features standardised to mean 0 and deviation 1.

    Args:
        features: (N, F) float.
        labels: (N,) int64 in 0..num_classes-1.
        num_classes: C.
        penalty: of the sum of squared weights, relative to the mean loss.
        class_weights: (C,) weight of each class in the loss.

    Returns:
        (C, F) weight and (C,) bias for features as they were given.
    """
    mean = features.mean(0)
    deviation = features.std(0, unbiased=False).clamp_min(1e-6)
    x = (features - mean) / deviation
    weight = torch.zeros(num_classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(x @ weight.T + bias, labels, weight=class_weights)
        loss = loss + penalty * weight.square().sum() / num_classes
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    weight, bias = weight.detach() / deviation, bias.detach()
    return weight, bias - weight @ mean


def probe_head(
    model: Any,
    head: nn.Linear,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor] | None,
) -> float:
    """Give the head the weights of a linear probe; the penalty is the one with the lowest validation loss.

    Args:
        model: names the classes and their weights.
        head: receives the weights.
        train: features and labels, see `collect_features`.
        val: the same of the validation images; None takes a middling penalty.

    Returns:
        The penalty.
    """
    best = (float("inf"), _PENALTIES[1], None)
    weights = model.class_weights.cpu()
    for penalty in _PENALTIES if val is not None else _PENALTIES[1:2]:
        weight, bias = fit_linear_head(*train, num_classes=head.out_features, penalty=penalty, class_weights=weights)
        loss = 0.0 if val is None else float(functional.cross_entropy(val[0] @ weight.T + bias, val[1]))
        if loss < best[0]:
            best = (loss, penalty, (weight, bias))
    if best[2] is not None:
        with torch.no_grad():
            head.weight.copy_(best[2][0])
            if head.bias is not None:
                head.bias.copy_(best[2][1])
    return best[1]
