"""Residual network with a quarter of ResNet-18's operations; learns well from a few hundred images on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["SlimResNet"]


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            # average pooling, then 1x1 convolution: uses every pixel (He et al. 2019, "Bag of Tricks", ResNet-D)
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)).add_(self.shortcut(x)), inplace=True)


class SlimResNet(nn.Module):
    """ResNet of basic blocks (He et al. 2016) with a narrow stem and strides 4, 8, 16 and 32.

    Args:
        num_classes: length of the output.
        width: number of channels of the first stage; each further stage doubles it.
        depths: number of blocks of each stage.
        dropout: fraction of features dropped before the head, 0..1.

    Shape:
        (B, 3, H, W) float -> (B, num_classes) float logits; H and W at least 32.
    """

    def __init__(
        self, num_classes: int, *, width: int = 32, depths: Sequence[int] = (2, 2, 2, 2), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        channels = [width * 2**i for i in range(len(depths))]
        stages = []
        before = width
        for i, (out, depth) in enumerate(zip(channels, depths, strict=True)):
            blocks = [_Block(before if b == 0 else out, out, 2 if b == 0 and i > 0 else 1) for b in range(depth)]
            stages.append(nn.Sequential(*blocks))
            before = out
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, _Block):  # each block starts as the identity (Goyal et al. 2017)
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stages(self.stem(x)).mean((2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits
