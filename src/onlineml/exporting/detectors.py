"""Detectors as torch can trace them: pixels in, boxes and scores of all places out."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn import functional

from onlineml.errors import ConfigError
from onlineml.models.compact_detector import MAX_IOU, CompactDetector
from onlineml.models.detection_boxes import n_candidates
from onlineml.models.list_detector import ListDetector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from onlineml.models.detector import Detector

__all__ = ["TracedDetector", "traced_detector", "with_even_padding"]


class _EvenPadding(nn.Module):
    """A convolution of timm's with TensorFlow's padding, for sides that its stride divides, as all of ours are.

    There the padding is the same at any size. That of timm's own is arithmetic with free sides, from which torch's
    exporter derives limits for minutes.
    """

    def __init__(self, own: nn.Conv2d) -> None:
        super().__init__()
        self.own = own
        sides = zip(own.kernel_size, own.dilation, own.stride, strict=True)
        tall, wide = (max(0, (kernel - 1) * dilation + 1 - stride) for kernel, dilation, stride in sides)
        self.padding = (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2)

    def forward(self, image: Tensor) -> Tensor:
        own, padded = self.own, functional.pad(image, self.padding)
        return functional.conv2d(padded, own.weight, own.bias, own.stride, 0, own.dilation, own.groups)


def with_even_padding(network: nn.Module) -> nn.Module:
    """Return a copy of a network that torch can trace quickly, for images whose sides are multiples of 32."""
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "Conv2dSame":  # timm's, which may not be installed
                setattr(module, name, _EvenPadding(cast("nn.Conv2d", child)))
    return copied


@dataclass(frozen=True, eq=False)
class TracedDetector:
    """The part of a detector that torch traces, and how `onlineml.exporting.nms.with_nms` chooses among its boxes.

    Attributes:
        module: takes (B, 3, H, W) as the detector does; returns `onlineml.exporting.nms.BOXES`.
        candidates: number of boxes of highest score that are compared with each other.
        max_iou: IoU above which the box of lower score is dropped.
    """

    module: nn.Module
    candidates: int
    max_iou: float


def traced_detector(network: Detector, *, n_classes: int, name: str) -> TracedDetector:
    """Return the part to trace of a detector in evaluation mode, on the CPU.

    Args:
        network: the detector.
        n_classes: C, without a background.
        name: for the message.

    Raises:
        ConfigError: it is of a kind that cannot be exported.
    """
    if isinstance(network, CompactDetector):
        return TracedDetector(_Points(network), n_candidates(network.max_objects), MAX_IOU)
    inner: Any = network.network if isinstance(network, ListDetector) else None
    from torchvision.models import detection  # noqa: PLC0415
    from torchvision.models.detection.ssd import SSD  # noqa: PLC0415

    if isinstance(inner, (detection.RetinaNet, detection.FCOS)) and hasattr(inner.anchor_generator, "cell_anchors"):
        candidates = inner.topk_candidates * len(inner.anchor_generator.cell_anchors)
        return TracedDetector(_Anchors(inner), candidates, inner.nms_thresh)
    if isinstance(inner, SSD):
        candidates = inner.topk_candidates * n_classes
        return TracedDetector(_Anchors(inner, softmax=True), candidates, inner.nms_thresh)
    raise ConfigError(
        f"the detector {name!r} cannot be exported: expected the compact one ('auto'), or torchvision's RetinaNet, "
        "FCOS or SSD; those with two stages, such as Faster R-CNN, and those of transformers cannot be exported yet. "
        "Train one of these, such as architecture='auto'"
    )


class _Points(nn.Module):
    """The compact detector."""

    def __init__(self, network: CompactDetector) -> None:
        super().__init__()
        self.network = with_even_padding(network)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.network(image)
        return raw.boxes_xyxy, raw.logits.float().sigmoid()


class _Anchors(nn.Module):
    """RetinaNet, FCOS or SSD of torchvision, up to the choice among their boxes.

    They choose among the boxes of each level, or class, before they compare them with each other; here, all are
    compared. Which boxes are dropped is decided by boxes of higher score alone, so the surest objects are the same.
    """

    def __init__(self, network: Any, *, softmax: bool = False) -> None:
        super().__init__()
        self.backbone, self.head, self.coder, self.softmax = network.backbone, network.head, network.box_coder, softmax
        transform = network.transform
        for name, values in (("mean", transform.image_mean), ("std", transform.image_std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])
        fixed = transform.fixed_size  # width and height
        self.size_hw = None if fixed is None else (fixed[1], fixed[0])
        if self.size_hw is None:
            cells = network.anchor_generator.cell_anchors
            self.n_levels = len(cells)
            for level, boxes in enumerate(cells):
                self.register_buffer(f"cells_{level}", boxes.float())
        else:
            self.register_buffer("anchors", self._fixed_anchors(network.anchor_generator, self.size_hw))

    @torch.no_grad()
    def _fixed_anchors(self, generator: Any, size_hw: tuple[int, int]) -> Tensor:
        from torchvision.models.detection.image_list import ImageList  # noqa: PLC0415

        image = torch.zeros(1, 3, *size_hw)
        (found,) = generator(ImageList(image, [size_hw]), self._raw(image)[0])
        return found  # type: ignore[no-any-return]

    def _raw(self, pixels: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return the feature maps, and what the head says of them."""
        maps: Any = self.backbone(pixels)
        features = [maps] if isinstance(maps, torch.Tensor) else list(maps.values())
        return features, self.head(features)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pixels = (image - self.get_buffer("mean")) / self.get_buffer("std")
        if self.size_hw is not None:
            pixels = functional.interpolate(pixels, size=self.size_hw, mode="bilinear", align_corners=False)
        features, found = self._raw(pixels)
        boxes = self._decoded(found["bbox_regression"], self._anchors_of(pixels, features))
        sides = _sides(pixels)
        boxes = torch.minimum(boxes.clamp(min=0.0), sides)
        if self.size_hw is not None:
            boxes = boxes * (_sides(image) / sides)
        return boxes, self._scores(found)

    def _anchors_of(self, pixels: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return the (N, 4) anchors, level by level, row by row, as `torchvision`'s ``AnchorGenerator`` places them."""
        if self.size_hw is not None:
            return self.get_buffer("anchors")
        found = []
        for level, one in enumerate(features):
            rows, columns = one.shape[2:]
            y = torch.arange(rows) * (pixels.shape[2] // rows)
            x = torch.arange(columns) * (pixels.shape[3] // columns)
            y, x = torch.meshgrid(y, x, indexing="ij")
            at = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4).float()
            found.append((at + self.get_buffer(f"cells_{level}")).reshape(-1, 4))
        return torch.cat(found)

    def _decoded(self, sides: Tensor, anchors: Tensor) -> Tensor:
        if not hasattr(self.coder, "decode_single"):  # of FCOS
            return self.coder.decode(sides, anchors)  # type: ignore[no-any-return]
        batch = sides.shape[0]
        of_all = anchors.expand(batch, -1, -1).reshape(-1, 4)
        boxes: Tensor = self.coder.decode_single(sides.reshape(-1, 4), of_all)
        return boxes.reshape(batch, -1, 4)

    def _scores(self, found: dict[str, Tensor]) -> Tensor:
        """Return (B, N, C) scores, without the background's."""
        logits = found["cls_logits"].float()
        if self.softmax:
            return logits.softmax(-1)[..., 1:]
        scores = logits.sigmoid()
        if "bbox_ctrness" in found:
            scores = (scores * found["bbox_ctrness"].sigmoid()).sqrt()
        return scores[..., 1:]


def _sides(image: Tensor) -> Tensor:
    """Return width, height, width and height, (4,) float32."""
    height, width = image.shape[2:]
    return torch.tensor([width, height, width, height], dtype=torch.float32)
