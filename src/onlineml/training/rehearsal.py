"""A dry run: one batch of blank images through the network, so that what cannot be trained says so at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onlineml.data.manifest.summary import left_out, untrained
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.tasks.base import VisionModule

__all__ = ["doubts", "rehearse"]

_ONE_VALUE = "more than 1 value per channel"  # torch's words where a batch norm sees a single value
_MULTIPLE = 32  # detectors' batches are padded to it


def rehearse(model: VisionModule, datamodule: ImageDataModule) -> None:
    """Run the network in both modes, without a trace: weights, statistics, modes and random state are kept.

    Raises:
        ConfigError: it cannot take batches of the datamodule, or returns something else than its task needs.
    """
    height, width = (-(-side // _MULTIPLE) * _MULTIPLE for side in datamodule.size_hw)
    if not model.pads_to_multiples:
        height, width = datamodule.size_hw
    n = min(2, _batch_size(datamodule))
    try:
        with _kept(model):
            for mode, size in ((False, 1), (True, n)):
                model.train(mode)
                _freeze_norms(model)
                model.try_out(torch.zeros((size, 3, height, width), dtype=torch.uint8, device=model.device))
    except ConfigError:
        raise
    except Exception as error:  # the network is anybody's code
        raise ConfigError(_sentence(model, n, (height, width), error)) from error


def doubts(model: VisionModule, datamodule: ImageDataModule, *, n_processes: int = 1) -> list[str]:
    """Sentences about a training that can run, but hardly succeed, or not as one process would.

    Args:
        model: to be trained.
        datamodule: with the images.
        n_processes: that share each batch.
    """
    found = left_out(datamodule.manifest)
    found += [f"{text}: no model can learn that" for text in untrained(datamodule.manifest)]
    n = len(datamodule.rows_of("train"))
    if n == 1:
        found.append("the split 'train' has a single annotated image: add more")
    if not len(datamodule.rows_of("val")):
        found.append(
            "the split 'val' has no annotated image: nothing is measured during the training, and thresholds of scores "
            "keep their defaults; move some to it, or use Manifest.with_splits()"
        )
    norms = any(isinstance(m, _BATCH_NORMS) for m in model.modules()) and not model.freeze_bn
    if norms and n_processes > 1:
        found.append(
            f"batch norm takes its statistics from each process's own {_batch_size(datamodule) // n_processes} of the "
            f"{_batch_size(datamodule)} images of a step: the weights depend on the number of processes"
        )
    if norms and _batch_size(datamodule) < 2 * n_processes:
        found.append(
            "batches have one image, from which batch norm takes its statistics: use a batch_size of at least "
            f"{2 * n_processes}, or freeze_bn=True"
        )
    return found


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def _batch_size(datamodule: ImageDataModule) -> int:
    return min(datamodule.batch_size, len(datamodule.rows_of("train")))


def _freeze_norms(model: VisionModule) -> None:
    for module in model.modules():
        if model.freeze_bn and isinstance(module, _BATCH_NORMS):
            module.eval()


@contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for module, training in modes:
            module.training = training


def _sentence(model: VisionModule, n: int, size_hw: tuple[int, int], error: Exception) -> str:
    if _ONE_VALUE in str(error) and n == 1:
        return (
            "batches have one image, too few for a batch norm of the network: use a batch_size of at least 2 and as "
            "many training images, or freeze_bn=True"
        )
    height, width = size_hw
    told = f"{type(error).__name__}: {error}".rstrip(": .")
    own = _own_size(model.network)
    remedy = f"it takes {own} x {own}: use size={own}" if own else "use another size, or another network"
    return f"the network {type(model.network).__name__} fails on images of {height} x {width} pixels ({told}); {remedy}"


def _own_size(network: Any) -> int | None:
    """The side length in pixels that a network of torchvision or timm is made for, if it has one."""
    size = getattr(network, "image_size", None)
    if size is None:
        config = getattr(network, "pretrained_cfg", None) or {}
        size = config.get("input_size", (None,))[-1] if isinstance(config, dict) else None
    return size if isinstance(size, int) else None
