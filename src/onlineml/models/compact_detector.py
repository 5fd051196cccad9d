"""One-stage, anchor-free detector that learns from a few hundred images on a CPU and also performs well on a GPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn import functional

from onlineml.models.detection_boxes import best_objects
from onlineml.models.detection_loss import RawBoxes, detection_loss
from onlineml.models.detector import Detector
from onlineml.models.processes import mean_over_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["MAX_IOU", "CompactDetector"]

# initial score of every class (Lin et al. 2017, RetinaNet), so that the background does not dominate the loss
_PRIOR = 0.01
_PRIOR_LOGIT = -math.log((1 - _PRIOR) / _PRIOR)
MAX_IOU = 0.6  # maximum IoU of two boxes of one class that are both kept
# With AdamW, by whether the backbone starts from weights. From scratch mAP50 is .05 higher than with 1.5e-3 after the
# same few epochs. From weights (EfficientNet-Lite0, blood cells, one core) it is .786 in 240 s, where 5e-4 and batch
# norms that move gave .690 in 480 s; with 2e-3, and half of it for the backbone's last layers, these saturate
_LR = {False: 5e-3, True: 1.5e-3}
_START_SIDE = 2.0  # initial distance of a side from its point, in strides


def _conv(channels_in: int, channels_out: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, 1, size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class CompactDetector(Detector):
    """Backbone, feature pyramid (Lin et al. 2017) and a head whose convolutions all levels share, as in FCOS.

    Each level has its own batch norms (as in NAS-FPN and RTMDet), because statistics differ between levels. A point
    predicts the distances of the four sides in strides, as exponentials.

    Args:
        backbone: (B, 3, H, W) -> a list of feature maps, from fine to coarse.
        channels: number of channels of each feature map.
        strides: input pixels between two points of each feature map.
        num_classes: C, at least 1.
        width: number of channels of pyramid and head.
        depth: number of convolutions of each of the head's two towers.

    Shape:
        (B, 3, H, W) normalised float; H and W multiples of the largest stride.
    """

    class_head_name: ClassVar[str] = "to_logits"
    start_scale: ClassVar[float] = 0.6  # small images first: 1.6x the epochs in the same time (Tan & Le 2021)

    def __init__(
        self,
        backbone: nn.Module,
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
        width: int = 64,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.strides = tuple(strides)
        self.laterals = nn.ModuleList(_conv(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(_conv(width, width) for _ in channels)
        self.class_tower = _Tower(width, depth, n_levels=len(self.strides))
        self.box_tower = _Tower(width, depth, n_levels=len(self.strides))
        self.to_logits = nn.Conv2d(width, num_classes, 3, 1, 1)
        self.to_sides = nn.Conv2d(width, 4, 3, 1, 1)
        self._initialise()

    @property
    def num_classes(self) -> int:
        """C, the number of output channels of the class head."""
        return self.to_logits.out_channels

    def _initialise(self) -> None:
        for part in (self.laterals, self.smooth, self.class_tower, self.box_tower):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        _initialise_last(self.to_logits, _PRIOR_LOGIT)
        _initialise_last(self.to_sides, math.log(_START_SIDE))

    def forward(self, image: Tensor) -> RawBoxes:
        maps = self._pyramid(self.backbone(image))
        logits, sides, points, strides = [], [], [], []
        for level, (x, stride) in enumerate(zip(maps, self.strides, strict=True)):
            logits.append(self.to_logits(self.class_tower(x, level)).permute(0, 2, 3, 1).flatten(1, 2))
            sides.append(self.to_sides(self.box_tower(x, level)).permute(0, 2, 3, 1).flatten(1, 2).clamp(max=6.0))
            height, width = x.shape[2:]
            points.append(_points(height, width, stride, x))
            strides.append(x.new_full((height * width,), stride))
        points_xy, steps = torch.cat(points), torch.cat(strides)
        distances = torch.cat(sides, 1).float().exp() * steps.float()[:, None]
        corners = torch.cat((points_xy - distances[..., :2], points_xy + distances[..., 2:]), -1)
        return RawBoxes(torch.cat(logits, 1), corners, points_xy, steps)

    def _pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        maps = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        for fine in range(len(maps) - 2, -1, -1):
            up = functional.interpolate(maps[fine + 1], size=maps[fine].shape[2:], mode="nearest")
            maps[fine] = maps[fine] + up
        return [smooth(x) for smooth, x in zip(self.smooth, maps, strict=True)]

    def losses(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]], *, trust: float) -> Tensor:
        """Return (B,) losses: B times those of `onlineml.models.detection_loss.detection_loss`, which add up.

        Args:
            image: (B, 3, H, W) normalised float.
            targets: targets of each image, see `onlineml.data.loading.detection_datasets.DetectionTarget`.
            trust: weight of the network's own boxes in the assignment of points to objects, 0..1.
        """
        classes, boxes = detection_loss(self(image), targets, trust=trust)
        return (classes + boxes) * mean_over_processes(classes.new_tensor(len(targets)))

    def detect(self, image: Tensor) -> list[dict[str, Tensor]]:
        """Return the objects of each image, in pixels of ``image``, (B, 3, H, W) normalised float."""
        raw = self(image)
        scores = raw.logits.float().sigmoid()
        return [
            best_objects(s, b, max_iou=MAX_IOU, max_objects=self.max_objects)
            for s, b in zip(scores, raw.boxes_xyxy, strict=True)
        ]

    def head_parameters(self) -> list[nn.Parameter]:
        """Return all parameters except the backbone's."""
        own = {id(p) for p in self.backbone.parameters()}
        return [p for p in self.parameters() if id(p) not in own]

    def fresh_class_head(self, num_classes: int) -> nn.Conv2d:
        """Return a new class head with low initial scores, so that the background does not dominate the loss."""
        head = nn.Conv2d(self.to_logits.in_channels, num_classes, 3, 1, 1)
        _initialise_last(head, _PRIOR_LOGIT)
        return head

    def default_lr(self, optimizer: str, *, pretrained: bool) -> float:
        """See `Detector.default_lr`."""
        return _LR[pretrained] if optimizer == "adamw" else super().default_lr(optimizer, pretrained=pretrained)

    def prefers_bf16_on_cpu(self) -> bool:
        """Return True without depthwise convolutions: measured 1.7x faster; with them, 1.3 to 2 times slower."""
        return all(m.groups == 1 for m in self.modules() if isinstance(m, nn.Conv2d))


def _initialise_last(layer: nn.Conv2d, bias: float) -> None:
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None  # noqa: S101 - made with one
    nn.init.constant_(layer.bias, bias)


class _Tower(nn.Module):
    """Convolutions shared by all levels, with separate batch norms per level."""

    def __init__(self, width: int, depth: int, *, n_levels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth)) for _ in range(n_levels))

    def forward(self, x: Tensor, level: int) -> Tensor:
        norms = self.norms[level]
        assert isinstance(norms, nn.ModuleList)  # noqa: S101 - for the type checker
        for conv, norm in zip(self.convs, norms, strict=True):
            x = functional.relu(norm(conv(x)), inplace=True)
        return x


def _points(height: int, width: int, stride: int, like: Tensor) -> Tensor:
    """Return (height * width, 2) x and y of the centre of each cell, row by row, float32."""
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=torch.float32),
        torch.arange(width, device=like.device, dtype=torch.float32),
        indexing="ij",
    )
    return (torch.stack((x, y), -1).reshape(-1, 2) + 0.5) * stride
