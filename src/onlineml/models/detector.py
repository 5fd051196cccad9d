"""Interface of object detection networks for training and prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["MAX_OBJECTS", "Detector"]

MAX_OBJECTS = 300  # per image, as in Ultralytics and RT-DETR; COCO's numbers count the 100 surest of each class
# Defaults measured on blood cells (BCCD) at 320 px on one core, by the optimizer and whether it starts from weights
_LR = {("adamw", False): 1.5e-3, ("adamw", True): 5e-4, ("sgd", False): 0.02, ("sgd", True): 0.01}


class Detector(nn.Module):
    """Base class of custom detection networks; a network with torchvision's interface does not need it.

    Attributes:
        class_head_name: name of the convolution whose output channels are classes, so that classes can be added; empty
            if there is none.
        max_objects: maximum number of objects that `detect` returns for an image.
        start_scale: fraction of the final image size at which training begins; the size grows from there.
    """

    class_head_name: ClassVar[str] = ""
    start_scale: ClassVar[float] = 1.0
    max_objects: int = MAX_OBJECTS

    def losses(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]], *, trust: float) -> Tensor:
        """Return (B,) losses, whose mean is the loss of the batch.

        Args:
            image: (B, 3, H, W) float, normalised; H and W multiples of 32.
            targets: targets of each image, see `onlineml.data.loading.detection_datasets.DetectionTarget`.
            trust: weight of the network's own boxes in the assignment of points to objects, 0..1; it rises early in
                training.
        """
        raise NotImplementedError

    def detect(self, image: Tensor) -> list[dict[str, Tensor]]:
        """Return all objects in each image by descending score, in the format of torchvision's detectors.

        Args:
            image: (B, 3, H, W) float, normalised.

        Returns:
            For each image ``boxes`` (n, 4) float32 x1, y1, x2, y2 in pixels of ``image``, ``labels`` (n,) int64 class
            index from 0, ``scores`` (n,) float32 in 0..1.
        """
        raise NotImplementedError

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters trained at the full learning rate: all except the backbone's."""
        return list(self.parameters())

    def fresh_class_head(self, num_classes: int) -> nn.Conv2d | None:
        """Return a randomly initialised layer like the class head, for ``num_classes`` classes."""
        del num_classes
        return None

    def default_lr(self, optimizer: str, *, pretrained: bool) -> float:
        """Return the default learning rate of the head.

        Args:
            optimizer: ``"adamw"`` or ``"sgd"``.
            pretrained: whether the network starts from weights.
        """
        return _LR.get((optimizer, pretrained), 1e-3)

    def prefers_bf16_on_cpu(self) -> bool:
        """Return whether bfloat16 training is faster on a CPU that supports it; some layers lack bfloat16 there."""
        return False
