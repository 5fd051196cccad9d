"""Detectors with torchvision's interface: a list of images in, losses or a list of objects out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onlineml.errors import ConfigError
from onlineml.models.detection_boxes import surest_objects
from onlineml.models.detector import Detector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["ListDetector"]


class ListDetector(Detector):
    """Adapter of torchvision's detectors, or custom ones with the same interface, to the interface used in training.

    In training mode ``network(images, targets)`` returns a dictionary of losses; otherwise ``network(images)`` returns
    a list of dictionaries with ``boxes`` (n, 4) xyxy, ``labels`` (n,) and ``scores`` (n,). Images are (3, H, W) floats
    in 0..1; label 0 is the background, so class i has label i + 1. Ignored regions count as background, because the
    interface has no way to pass them.

    Args:
        network: the detector.

    Raises:
        ConfigError: it needs more than boxes to train, or is not finished.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        _refuse_masks(network)
        for part in (network, getattr(network, "roi_heads", None)):  # average precision needs objects of low score too
            if isinstance(getattr(part, "score_thresh", None), float):
                part.score_thresh = 0.0  # type: ignore[union-attr]

    def losses(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]], *, trust: float) -> Tensor:
        """Return the (B,) loss: the batch's loss for each image, because the network does not return it per image.

        Args:
            image: (B, 3, H, W) float in 0..1.
            targets: targets of each image, see `onlineml.data.loading.detection_datasets.DetectionTarget`.
            trust: not used.
        """
        del trust
        device = image.device
        given = [{"boxes": t["boxes"].to(device), "labels": t["labels"].to(device) + 1} for t in targets]
        self._keep_size(image)
        found: Any = self.network(list(image), given)
        if not isinstance(found, dict) or not found:
            raise ConfigError(
                f"{type(self.network).__name__} returned a {type(found).__name__} in training: expected a dictionary "
                "of losses, as torchvision's detectors return"
            )
        total: Tensor = torch.stack([loss.float() for loss in found.values()]).sum()
        return total.expand(len(targets))

    def detect(self, image: Tensor) -> list[dict[str, Tensor]]:
        """Return the objects of each image; labels count from 0."""
        self._keep_size(image)
        for part in (self.network, getattr(self.network, "roi_heads", None)):
            if isinstance(getattr(part, "detections_per_img", None), int):  # torchvision's own limit
                part.detections_per_img = self.max_objects  # type: ignore[union-attr]
        results = []
        answers: Any = self.network(list(image))
        if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
            raise ConfigError(
                f"{type(self.network).__name__} returned a {type(answers).__name__}: expected a list of dictionaries "
                "with boxes, labels and scores, as torchvision's detectors return"
            )
        for found in answers:
            real = found["labels"] > 0
            boxes, labels, scores = (found[name][real] for name in ("boxes", "labels", "scores"))
            results.append(surest_objects(boxes, labels - 1, scores, max_objects=self.max_objects))
        return results

    def _keep_size(self, image: Tensor) -> None:
        """Prevent torchvision from resizing the images to 800 pixels: they already have their final size."""
        transform = getattr(self.network, "transform", None)
        if transform is not None and getattr(transform, "fixed_size", None) is None and hasattr(transform, "min_size"):
            height, width = image.shape[2:]
            transform.min_size, transform.max_size = (min(height, width),), max(height, width)

    def head_parameters(self) -> list[nn.Parameter]:
        """Return all parameters except those of a submodule named ``backbone``."""
        backbone = getattr(self.network, "backbone", None)
        own = set() if backbone is None else {id(p) for p in backbone.parameters()}
        return [p for p in self.parameters() if id(p) not in own]


def _refuse_masks(network: nn.Module) -> None:
    """Refuse Mask R-CNN and Keypoint R-CNN."""
    heads = getattr(network, "roi_heads", None)
    for what in ("mask", "keypoint"):
        if getattr(heads, f"{what}_head", None) is not None:
            raise ConfigError(
                f"{type(network).__name__} needs {what}s to train, and images have boxes: use a detector of boxes, "
                "such as architecture='fasterrcnn_mobilenet_v3_large_fpn'"
            )
