"""Models under the names that classes have now: a class that was renamed, merged or taken back since they were made."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torchvision.ops import batched_nms

from onlineml.errors import ConfigError
from onlineml.improving.challenger.growth import grow_detector, grow_head
from onlineml.improving.challenger.weight_space import copied
from onlineml.tasks.classification import ImageClassifier

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.detection import ObjectDetector

__all__ = ["RenamedDetector", "current_names", "distinct", "remap_probabilities", "resize_head"]

_SAME_IOU = 0.6  # of two boxes of one class; the compact detector's own limit


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


class RenamedDetector:
    """A detector whose classes have the names of today; objects of a class that is gone are left out.

    Args:
        model: the detector.
        names: what its classes are called now, see `current_names`.
    """

    def __init__(self, model: ObjectDetector, names: Sequence[str | None]) -> None:
        self.model = model
        self.class_names = distinct(names)
        place = {name: i for i, name in enumerate(self.class_names)}
        self._label_of = torch.tensor([-1 if name is None else place[name] for name in names])
        self._merges = len(self.class_names) < sum(name is not None for name in names)
        self.thresholds = None if model.thresholds is None else _thresholds(model, names)
        self.reference = model.reference

    @property
    def training(self) -> bool:
        """Of the model."""
        return self.model.training

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return self.model.device

    def input_size_hw(self) -> tuple[int, int]:
        """Of the model."""
        return self.model.input_size_hw()

    def train(self, mode: bool = True) -> Any:
        """As of the model."""
        return self.model.train(mode)

    def detect(self, image: Tensor) -> list[Mapping[str, Tensor]]:
        """The model's objects under the present names; of two boxes of merged classes in one place, the surer."""
        found: list[Mapping[str, Tensor]] = []
        for objects in self.model.detect(image):
            labels = self._label_of.to(objects["labels"].device)[objects["labels"]]
            kept = torch.nonzero(labels >= 0).flatten()
            if self._merges:
                boxes, scores = objects["boxes"][kept].float(), objects["scores"][kept].float()
                kept = kept[batched_nms(boxes, scores, labels[kept], _SAME_IOU)]
            found.append({"boxes": objects["boxes"][kept], "labels": labels[kept], "scores": objects["scores"][kept]})
        return found


def _thresholds(model: ObjectDetector, names: Sequence[str | None]) -> dict[str, float]:
    """By present name; of merged classes the lowest that was chosen."""
    found: dict[str, float] = {}
    for was, now in zip(model.class_names, names, strict=True):
        score = (model.thresholds or {}).get(was, math.nan)
        if now is not None and not (now in found and math.isnan(score)):
            found[now] = score if now not in found or math.isnan(found[now]) else min(found[now], score)
    return found
