"""Export of each task's models: what is traced, what predicts afterwards, how equal its answers are."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import nn

from onlineml.data.augment.detection_geometry import padded_side
from onlineml.errors import ConfigError
from onlineml.evaluation.detection.matching import pair_iou, xywh_of
from onlineml.evaluation.multilabel.inputs import DEFAULT_THRESHOLD
from onlineml.exporting import nms
from onlineml.exporting.detectors import traced_detector
from onlineml.exporting.exported import ExportedDetector, ExportedLabels
from onlineml.exporting.graph import Traceable, to_onnx
from onlineml.inference.cutoffs import DEFAULT_SCORE, cutoffs

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.types import Floats, Ints
    from onlineml.exporting.exported import ExportedModel
    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.classifier import ClassifierModule

__all__ = ["Agreement", "BoxPieces", "ExportPieces", "LabelPieces", "LabelsPieces"]

_SAME_PLACE = 0.5  # IoU from which two boxes are the same object's, at slightly other places


@dataclass(frozen=True)
class Agreement:
    """Equality of the answers of two models on the same photos.

    Attributes:
        n_images: number of photos.
        n_answers: number of answers: of photos, or of objects that either model finds above its thresholds.
        equal: share of them that are the same class, the same labels, or one class at one place; 1 without any.
        largest_score: largest difference of two probabilities or scores.
        largest_shift_px: largest difference of two corners in pixels of the photo; 0 for labels.
    """

    n_images: int
    n_answers: int
    equal: float
    largest_score: float
    largest_shift_px: float


class ExportPieces:
    """Base of what `onlineml.export` needs of a task; subclasses are in the table of tasks.

    Attributes:
        exported: class of the exported model.
        least: score from which a class is predicted, where none was chosen on validation; None if an image has exactly
            one class.
    """

    exported: ClassVar[Callable[..., ExportedModel]]
    least: ClassVar[float | None] = None

    def graph(self, model: VisionModule) -> Any:
        """Return the model as an ``onnx.ModelProto`` with the outputs of `exported`.

        Raises:
            ConfigError: it cannot be exported.
        """
        raise NotImplementedError

    def cutoffs(self, model: VisionModule) -> dict[str, float] | None:
        """Return the score of each class from which `onlineml.predict` names it; None where an image has one class."""
        if self.least is None:
            return None
        return dict(zip(model.class_names, cutoffs(model, None, otherwise=self.least).tolist(), strict=True))

    def agreement(self, original: Any, exported: Any) -> Agreement:
        """Compare the scores of both on the same images, see `onlineml.evaluate`."""
        raise NotImplementedError


class _Normalized(nn.Module):
    """uint8 RGB, (B, H, W, 3), to the normalised input of a network."""

    def __init__(self, model: VisionModule) -> None:
        super().__init__()
        self.register_buffer("scale", model.scale.detach().cpu() / 255.0)
        self.register_buffer("shift", model.shift.detach().cpu().clone())

    def forward(self, image: Tensor) -> Tensor:
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        return image.permute(0, 3, 1, 2).to(scale.dtype) * scale - shift


class _Labels(nn.Module):
    def __init__(self, model: ClassifierModule) -> None:
        super().__init__()
        self.normalized, self.network = _Normalized(model), _network_of(model)
        self.probabilities = model.probabilities

    def forward(self, image: Tensor) -> Tensor:
        return self.probabilities(self.network(self.normalized(image)).float())


class _Boxes(nn.Module):
    def __init__(self, model: VisionModule, part: nn.Module) -> None:
        super().__init__()
        self.normalized, self.part = _Normalized(model), part

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.part(self.normalized(image))
        return found


def _network_of(model: VisionModule) -> nn.Module:
    return copy.deepcopy(model.network).cpu().eval()


class LabelPieces(ExportPieces):
    """Export of a classifier with one label."""

    exported = ExportedLabels

    def graph(self, model: VisionModule) -> Any:
        """See `ExportPieces.graph`."""
        module = _Labels(cast("ClassifierModule", model)).eval()
        example = torch.zeros((2, *model.input_size_hw(), 3), dtype=torch.uint8)
        name = model.run_config()["backbone"]
        return to_onnx(Traceable(module, example, {0: "batch"}, self.exported.outputs), name=name)

    def agreement(self, original: Any, exported: Any) -> Agreement:
        """See `ExportPieces.agreement`."""
        first, second = original.probabilities, exported.probabilities
        equal = self.answers(original) == self.answers(exported)
        same = equal if equal.ndim == 1 else equal.all(axis=1)
        return Agreement(len(first), len(first), float(same.mean()), float(np.abs(first - second).max()), 0.0)

    @staticmethod
    def answers(scores: Any) -> Ints:
        """Return the answer for each image, (N,)."""
        found: Ints = scores.probabilities.argmax(axis=1)
        return found


class LabelsPieces(LabelPieces):
    """Export of a classifier with several labels."""

    least = DEFAULT_THRESHOLD

    @staticmethod
    def answers(scores: Any) -> Ints:
        """Return the answer for each image and class, (N, C)."""
        found: Ints = np.asarray(scores.predictions)
        return found


class BoxPieces(ExportPieces):
    """Export of a detector."""

    exported = ExportedDetector
    least = DEFAULT_SCORE

    def graph(self, model: VisionModule) -> Any:
        """See `ExportPieces.graph`."""
        name = model.run_config()["architecture"]
        if getattr(model, "tiles", None) is not None:
            raise ConfigError(
                "the detector looks at large photos tile by tile, which a graph cannot: train it without tile_size="
            )
        part = traced_detector(cast("Any", _network_of(model)), n_classes=len(model.class_names), name=name)
        height, width = map(padded_side, model.input_size_hw())
        example = torch.zeros((2, height, width, 3), dtype=torch.uint8)
        free = {0: "batch", 1: "height", 2: "width"}
        found = to_onnx(Traceable(_Boxes(model, part.module).eval(), example, free, nms.BOXES), name=name)
        return nms.with_nms(
            found,
            n_classes=len(model.class_names),
            candidates=part.candidates,
            max_objects=cast("Any", model).max_objects,
            max_iou=part.max_iou,
        )

    def agreement(self, original: DetectionScores, exported: DetectionScores) -> Agreement:
        """See `ExportPieces.agreement`."""
        shifts, gaps, n_answers = [0.0], [0.0], 0
        for first, second in zip(_sure_objects(original), _sure_objects(exported), strict=True):
            pairs = _paired(first, second)
            n_answers += len(first[0]) + len(second[0]) - len(pairs)
            shifts += [float(np.abs(first[0][i] - second[0][k]).max()) for i, k in pairs]
            gaps += [abs(float(first[2][i] - second[2][k])) for i, k in pairs]
        equal = (len(shifts) - 1) / n_answers if n_answers else 1.0
        return Agreement(original.n_images, n_answers, equal, max(gaps), max(shifts))


def _sure_objects(scores: DetectionScores) -> list[tuple[Floats, Ints, Floats]]:
    """Return boxes, labels and scores of the objects above their thresholds, by image."""
    found = scores.found
    assert found is not None  # noqa: S101 - of evaluate, not read from a file
    least = np.array([scores.thresholds[name] for name in scores.class_names])
    sure = found.take(found.scores >= least[found.label_ids])
    order = np.argsort(sure.image_index, kind="stable")
    ends = np.searchsorted(sure.image_index[order], np.arange(1, sure.n_images))
    return [(sure.boxes_xyxy[row], sure.label_ids[row], sure.scores[row]) for row in np.split(order, ends)]


def _paired(first: tuple[Floats, Ints, Floats], second: tuple[Floats, Ints, Floats]) -> list[tuple[int, int]]:
    """Pair the objects of one class that overlap most, the best pair first."""
    left, right = np.nonzero(first[1][:, None] == second[1][None])
    overlap = pair_iou(xywh_of(first[0][left]), xywh_of(second[0][right]), np.zeros(len(left), bool))
    pairs: list[tuple[int, int]] = []
    taken_left, taken_right = set[int](), set[int]()
    for at in np.argsort(-overlap, kind="stable"):
        i, k = int(left[at]), int(right[at])
        if overlap[at] >= _SAME_PLACE and i not in taken_left and k not in taken_right:
            pairs.append((i, k))
            taken_left.add(i)
            taken_right.add(k)
    return pairs
