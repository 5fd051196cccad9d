"""Growing of class heads by class name: existing rows keep their weights and classes, new rows are initialised.

Each function takes a module or a state dict and returns a new one; the input is not modified.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from onlineml.arguments.counted import count
from onlineml.errors import DataError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["align_weights", "copied", "grow_head", "imprint", "merge_rows", "resize_head"]

Head = TypeVar("Head", nn.Linear, nn.Conv2d)
Network = TypeVar("Network", bound=nn.Module)


def copied(network: Network) -> Network:
    """Copy a network, preserving modes: a copy of traced parts, such as a detector's backbone, is in training mode."""
    made = copy.deepcopy(network)
    # outer modules first: `train` also sets the inner ones
    for given, own in zip(network.modules(), made.modules(), strict=True):
        if own.training != given.training:
            own.train(given.training)
    return made


def _places(old_names: Sequence[str], new_names: Sequence[str], *, n_rows: int) -> list[int]:
    """Return the index of each old class among the new names.

    Raises:
        DataError: names are repeated, the numbers of rows and old names differ, or an old class is missing.
    """
    for what, names in (("old_names", old_names), ("new_names", new_names)):
        if isinstance(names, str) or len(set(names)) < len(names):
            msg = f"{what} is {names!r}; expected a sequence of distinct class names, in the order of the rows"
            raise DataError(msg)
    if len(old_names) != n_rows:
        msg = (
            f"the head has {count(n_rows, 'row')} and old_names {count(len(old_names), 'name')}; pass the "
            "names that it was trained on"
        )
        raise DataError(msg)
    place = {name: i for i, name in enumerate(new_names)}
    gone = [name for name in old_names if name not in place]
    if gone:
        msg = (
            f"{count(len(gone), 'class of the head is', 'classes of the head are')} not in new_names: "
            f"{', '.join(map(repr, gone[:10]))}; a head can only grow: keep all old classes among the names"
        )
        raise DataError(msg)
    return [place[name] for name in old_names]


def _placed_rows(old: Tensor, rows: Sequence[int], fresh: Tensor) -> Tensor:
    """Return `fresh` with the rows of `old` at their positions."""
    resized = fresh.detach().clone().to(dtype=old.dtype, device=old.device)
    resized[list(rows)] = old.detach()
    return resized


def grow_head(head: Head, old_names: Sequence[str], new_names: Sequence[str], *, fresh: Head | None = None) -> Head:
    """Return a head for more classes, in any order: the row of each old class is kept exactly and follows its name.

    The logits of the old classes do not change, except for the last bits, where the larger product rounds in another
    order.

    Args:
        head: a linear layer (C, F), or a convolution (C, F, h, w) such as a detector's, whose rows are classes.
        old_names: C names, in the order of its rows.
        new_names: C + K names, including all old ones.
        fresh: a head for the new names, from which new rows are copied; None: rows of zeros with the mean bias of the
            old ones, as a start for `imprint` or training.

    Returns:
        A new module of the same kind, on the same device, of the same dtype; it requires gradients if `head` does.

    Raises:
        DataError: names are repeated or do not match the rows, or an old class is missing.
        WeightsError: `fresh` has another shape.
    """
    rows = _places(old_names, new_names, n_rows=head.weight.shape[0])
    resized = copy.deepcopy(head)
    if fresh is None:
        weight = head.weight.new_zeros((len(new_names), *head.weight.shape[1:]))
        bias = None if head.bias is None else head.bias.detach().mean().expand(len(new_names))
    else:
        weight, bias = fresh.weight, fresh.bias
        _refuse_shape(weight, (len(new_names), *head.weight.shape[1:]), "fresh")
        if (bias is None) != (head.bias is None):
            msg = "one of head and fresh has a bias and the other has none; build both alike"
            raise WeightsError(msg)
    resized.weight = nn.Parameter(_placed_rows(head.weight, rows, weight), requires_grad=head.weight.requires_grad)
    if head.bias is not None and bias is not None:
        resized.bias = nn.Parameter(_placed_rows(head.bias, rows, bias), requires_grad=head.bias.requires_grad)
    if isinstance(resized, nn.Linear):
        resized.out_features = len(new_names)
    else:
        resized.out_channels = len(new_names)
    return resized


def _refuse_shape(tensor: Tensor, shape: tuple[int, ...], name: str) -> None:
    if tuple(tensor.shape) != shape:
        msg = f"{name} has shape {tuple(tensor.shape)}; expected {shape}"
        raise WeightsError(msg)


def merge_rows(head: Head, names: Sequence[str | None]) -> Head:
    """Return a head with one row per current class: the mean of the rows of the classes merged into it.

    Args:
        head: (C, F), or a convolution (C, F, h, w).
        names: C, the current name of each row's class; None for a removed class.
    """
    rows = [[i for i, own in enumerate(names) if own == name] for name in _distinct(names)]
    made = copy.deepcopy(head)
    for name in ("weight", "bias"):
        tensor = getattr(head, name)
        if tensor is not None:
            mean = torch.stack([tensor.detach()[own].mean(0) for own in rows])
            setattr(made, name, nn.Parameter(mean, requires_grad=tensor.requires_grad))
    setattr(made, "out_features" if isinstance(made, nn.Linear) else "out_channels", len(rows))
    return made


def resize_head(
    head: Head, names: Sequence[str | None], class_names: Sequence[str], *, fresh: Head | None = None
) -> Head:
    """Return a head for other classes: rows follow their names, rows of merged classes are averaged; see `grow_head`.

    Args:
        head: (C, F), or a convolution (C, F, h, w).
        names: C, the current name of each row's class; None for a removed class.
        class_names: the target classes, in order, including all of `names`.
        fresh: see `grow_head`.

    Raises:
        DataError, WeightsError: as `grow_head`.
    """
    return grow_head(merge_rows(head, names), _distinct(names), class_names, fresh=fresh)


def _distinct(names: Sequence[str | None]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name is not None))


def imprint(head: nn.Linear, features: Tensor, label_ids: Tensor, class_ids: Sequence[int]) -> nn.Linear:
    """Return a head whose rows of new classes are computed from mean features (Qi, Brown and Lowe, CVPR 2018).

    A row is the direction from the mean of all classes to the mean of its own, both of unit features, with the average
    norm of the old rows. Features that every image has (all are positive after a ReLU) thus favour no class. Half-way
    between the two means, its logit is at most the mean of the old rows' logits, so that before training a new class is
    neither always nor never predicted.

    Args:
        head: (C, F); its other rows are kept exactly.
        features: (N, F) the head's inputs for images of at least two classes, including new and old ones.
        label_ids: (N,) their classes, rows of the head.
        class_ids: rows to imprint.

    Returns:
        A new head.

    Raises:
        DataError: shapes do not match, a class has no features, all features are of one class, or there is no old row.
    """
    labels = label_ids.to(features.device)
    _refuse_features(head, features, labels, class_ids)
    new = torch.as_tensor(list(class_ids), device=head.weight.device)
    old = torch.ones(head.out_features, dtype=torch.bool, device=head.weight.device)
    old[new] = False
    given = features.detach().to(head.weight)
    units = nn.functional.normalize(given, dim=1)
    present = torch.unique(labels)
    means = torch.stack([units[labels == k].mean(0) for k in present])
    centre = means.mean(0)
    own = torch.stack([means[(present == k).nonzero()[0, 0]] for k in class_ids])
    scale = given.norm(dim=1).mean()  # rows are applied to unnormalised features
    with torch.no_grad():
        weight = nn.functional.normalize(own - centre, dim=1) * head.weight[old].norm(dim=1).mean()
        at_most = head(given)[:, old].amax(dim=1).mean()
        bias = at_most - (weight * (own + centre) / 2).sum(dim=1) * scale
        made = copy.deepcopy(head)
        made.weight[new] = weight
        if made.bias is not None:
            made.bias[new] = bias
    return made


def _refuse_features(head: nn.Linear, features: Tensor, labels: Tensor, class_ids: Sequence[int]) -> None:
    if features.ndim != 2 or features.shape[1] != head.in_features or labels.shape != features.shape[:1]:
        msg = (
            f"features has shape {tuple(features.shape)} and label_ids {tuple(labels.shape)}; expected "
            f"(N, {head.in_features}) and (N,)"
        )
        raise DataError(msg)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < head.out_features:
        msg = f"label_ids reach from {int(labels.min())} to {int(labels.max())}; the head has {head.out_features} rows"
        raise DataError(msg)
    missing = [k for k in class_ids if not bool((labels == k).any())]
    if missing or not class_ids:
        msg = f"class_ids {list(class_ids)}: {missing or 'none'} have features; pass images of each class to imprint"
        raise DataError(msg)
    if len(torch.unique(labels)) < 2 or len(set(class_ids)) >= head.out_features:
        msg = "imprinting needs old classes for contrast: pass their features too, and keep old rows in the head"
        raise DataError(msg)


def align_weights(head: Head, new_ids: Sequence[int]) -> Head:
    """Scale the new rows of a head to the norm of its old ones: weight aligning (Zhao et al., CVPR 2020).

    Rows trained last, on many images of few classes, grow longer than the others, which makes a network prefer them.

    Args:
        head: (C, F), or a convolution (C, F, h, w).
        new_ids: rows of the classes that were added.

    Returns:
        A new head: the new rows times mean norm of the old ones by mean norm of the new ones. Biases and old rows do
        not change.

    Raises:
        DataError: there are no new or no old rows, or rows do not exist.
    """
    n_rows = head.weight.shape[0]
    chosen = sorted(set(new_ids))
    if not chosen or len(chosen) >= n_rows or chosen[0] < 0 or chosen[-1] >= n_rows:
        msg = f"new_ids {list(new_ids)} of a head with {count(n_rows, 'row')}: expected some of its rows, not all"
        raise DataError(msg)
    made = copy.deepcopy(head)
    new = torch.zeros(n_rows, dtype=torch.bool, device=head.weight.device)
    new[chosen] = True
    with torch.no_grad():
        norms = head.weight.flatten(1).norm(dim=1)
        if bool(norms[new].mean() > 0):  # rows of zeros cannot be scaled
            made.weight[new] *= norms[~new].mean() / norms[new].mean()
    return made
