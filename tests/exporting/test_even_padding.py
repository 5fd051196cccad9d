"""timm's convolutions with TensorFlow's padding, as they are traced."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onlineml.exporting.detectors import with_even_padding


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_answers_are_the_same_where_the_stride_divides_the_sides(kernel: int, dilation: int, stride: int):
    layers = pytest.importorskip("timm.layers")
    torch.manual_seed(0)
    network = nn.Sequential(layers.Conv2dSame(4, 6, kernel, stride=stride, dilation=dilation, groups=2), nn.ReLU())
    images = torch.rand(2, 4, 32, 96)
    traced = with_even_padding(network)
    torch.testing.assert_close(traced(images), network(images), rtol=0, atol=0)
    assert "Conv2dSame" in repr(network)  # which is as it was
