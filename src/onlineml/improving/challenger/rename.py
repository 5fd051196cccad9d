"""Models under the names that classes have now: a class that was renamed, merged or taken back since they were made."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from onlineml.errors import ConfigError
from onlineml.improving.challenger.growth import grow_detector, grow_head
from onlineml.improving.challenger.weight_space import copied
from onlineml.tasks.classification import ImageClassifier

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.tasks.base import VisionModule

__all__ = ["current_names", "distinct", "remap_probabilities", "resize_head"]


def current_names(
    class_names: Sequence[str], lineage: Mapping[str, str], *, known: Collection[str]
) -> list[str | None]:
    """What each class is called now; None for one that is not there any more.

    Args:
        class_names: as a model was trained on them.
        lineage: what classes are called now, see `onlineml.data.annotations.Annotations`.
        known: the classes that there are.
    """
    present = set(known)
    now = (lineage.get(name, name) for name in class_names)
    return [name if name in present else None for name in now]


def distinct(names: Sequence[str | None]) -> tuple[str, ...]:
    """The classes that there are, each once, in their order."""
    return tuple(dict.fromkeys(name for name in names if name is not None))


def remap_probabilities(probabilities: NDArray[Any], names: Sequence[str | None]) -> NDArray[Any]:
    """Probabilities of the classes that there are now, in the order of `distinct`: those of merged classes add up.

    Args:
        probabilities: (N, C).
        names: C, see `current_names`.

    Returns:
        (N, K), rows summing to 1.
    """
    kept = distinct(names)
    if list(kept) == list(names):
        return probabilities
    place = {name: i for i, name in enumerate(kept)}
    table = np.zeros((len(probabilities), len(kept)), probabilities.dtype)
    for column, name in enumerate(names):
        if name is not None:
            table[:, place[name]] += probabilities[:, column]
    sums = table.sum(axis=1, keepdims=True)
    uniform = np.full_like(table, 1 / max(len(kept), 1))
    return np.asarray(np.divide(table, sums, out=uniform, where=sums > 0))


def resize_head(model: VisionModule, names: Sequence[str | None], class_names: Sequence[str]) -> nn.Module:
    """A copy of a model's network for other classes: rows of its head go by name, those of merged classes are averaged.

    Args:
        model: left as it is.
        names: what its classes are called now, see `current_names`.
        class_names: the wanted ones, in their order; all those of `names` among them.

    Raises:
        ConfigError: the network's last layer is not of the kind that can grow.
    """
    if list(names) == list(class_names):
        return copied(model.network)
    kept = distinct(names)
    if isinstance(model, ImageClassifier):
        head = model.head
        if not isinstance(head, nn.Linear | nn.Conv2d):
            raise _cannot_grow(model)
        network = copied(model.network)
        network.set_submodule(model.head_name, grow_head(_merged(head, names), kept, class_names))
        return network
    if not isinstance(getattr(model.network, "to_logits", None), nn.Conv2d):
        raise _cannot_grow(model)
    network = copied(model.network)
    network.to_logits = _merged(network.to_logits, names)
    network.num_classes = len(kept)  # type: ignore[assignment]  # a plain attribute of detectors
    return grow_detector(network, kept, class_names)


def _cannot_grow(model: VisionModule) -> ConfigError:
    return ConfigError(
        f"the classes are others than those of the champion, and {type(model.network).__name__} has no last layer "
        "whose rows are classes: train it anew with how='full'"
    )


def _merged(head: Any, names: Sequence[str | None]) -> Any:
    """A head with one row for each class that there is now, the mean of those that became it."""
    rows = [[i for i, own in enumerate(names) if own == name] for name in distinct(names)]
    made = copy.deepcopy(head)
    for name in ("weight", "bias"):
        tensor = getattr(head, name)
        if tensor is not None:
            mean = torch.stack([tensor.detach()[own].mean(0) for own in rows])
            setattr(made, name, nn.Parameter(mean, requires_grad=tensor.requires_grad))
    setattr(made, "out_features" if isinstance(made, nn.Linear) else "out_channels", len(rows))
    return made
