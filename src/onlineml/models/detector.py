"""What training and prediction ask of a network that finds objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["Detector"]

# Defaults measured on blood cells (BCCD) at 320 px on one core, by the optimizer and whether it starts from weights
_LR = {("adamw", False): 1.5e-3, ("adamw", True): 5e-4, ("sgd", False): 0.02, ("sgd", True): 0.01}


class Detector(nn.Module):
    """Base of networks that find objects. Derive your own from it; one of torchvision's contract needs no base.

    Attributes:
        class_head_name: name of the convolution whose output channels are classes, so that the network can be given
            further classes; empty where it has none.
        start_scale: share of the images' size with which training begins; they grow from there.
    """

    class_head_name: ClassVar[str] = ""
    start_scale: ClassVar[float] = 1.0

    def losses(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]], *, trust: float) -> Tensor:
        """(B,) losses, whose mean is the loss of the batch.

        Args:
            image: (B, 3, H, W) float, normalised; H and W multiples of 32.
            targets: of each image, see `onlineml.data.loading.detection_datasets.DetectionTarget`.
            trust: how far the network's own boxes may decide what is learned where, 0..1; it rises early in a training.
        """
        raise NotImplementedError

    def detect(self, image: Tensor) -> list[dict[str, Tensor]]:
        """The objects in each image, however unsure, the surest first; as torchvision's detectors tell them.

        Args:
            image: (B, 3, H, W) float, normalised.

        Returns:
            For each image ``boxes`` (n, 4) float32 x1, y1, x2, y2 in pixels of ``image``, ``labels`` (n,) int64 class
            index from 0, ``scores`` (n,) float32 in 0..1.
        """
        raise NotImplementedError

    def head_parameters(self) -> list[nn.Parameter]:
        """The parameters that learn at the full rate: all but those of the backbone."""
        return list(self.parameters())

    def fresh_class_head(self, num_classes: int) -> nn.Conv2d | None:
        """A layer like the class head, for so many classes, with the rows of a fresh network."""
        del num_classes
        return None

    def default_lr(self, optimizer: str, *, pretrained: bool) -> float:
        """The learning rate of the head where the user gives none.

        Args:
            optimizer: ``"adamw"`` or ``"sgd"``.
            pretrained: whether the network starts from weights.
        """
        return _LR.get((optimizer, pretrained), 1e-3)

    def prefers_bf16_on_cpu(self) -> bool:
        """Whether training in bfloat16 is quicker on a CPU that has it; not all parts exist in bfloat16 there."""
        return False
