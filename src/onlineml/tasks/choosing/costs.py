"""The time and memory of training: a short measurement of a network on this machine, and what follows from it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

if TYPE_CHECKING:
    from onlineml.tasks.base import VisionModule

__all__ = ["STEP_FORWARDS", "affordable_batch", "epochs_within", "forward_seconds", "free_bytes", "on_gpu"]

# A step of the whole network takes as many forward passes, and one of the head alone takes one. Measured on two cores:
# 3.6 for EfficientNet-Lite0 and MobileNetV3, 3.3 for ResNet-18, 2.9 for our slim ResNet
STEP_FORWARDS = 3.6
_BYTES_PER_PIXEL = 4000  # of an image in training: ResNet-50 takes 3,600, EfficientNet-Lite0 1,100
_SHARE = 0.5  # of the free memory
_CGROUP = Path("/sys/fs/cgroup")
_HALF_S = 0.25  # of a measurement
_IMAGES = 8  # of a measurement: with two, threads wait for each other, and longer on a busy machine


def on_gpu() -> bool:
    """Return whether a training will run on a GPU, by default."""
    return torch.cuda.is_available()


def forward_seconds(model: VisionModule, side: int) -> float:
    """Measure the seconds in which the network sees an image on the CPU, now, without a trace.

    Args:
        model: on the CPU.
        side: height and width of the image in pixels.

    Returns:
        Seconds an image; nan if the network cannot take it.
    """
    from onlineml.models.modes import in_eval_mode  # noqa: PLC0415

    image = torch.zeros((_IMAGES, 3, side, side), dtype=torch.uint8)
    fastest, until = float("inf"), time.monotonic() + 2 * _HALF_S
    try:
        with in_eval_mode(model), torch.no_grad():
            model.try_out(image)
            while time.monotonic() < until or fastest == float("inf"):
                begin = time.perf_counter()
                model.try_out(image)
                fastest = min(fastest, (time.perf_counter() - begin) / len(image))
    except Exception:  # noqa: BLE001 - the network is anybody's code; fit says what it cannot take
        return float("nan")
    return fastest


def epochs_within(budget_s: float, *, n_train: int, n_val: int, forward_s: float) -> float:
    """Epochs of training that fit into a budget, after a pass over all images for the head.

    Args:
        budget_s: seconds.
        n_train: training images.
        n_val: validation images, each seen about three times.
        forward_s: seconds in which the network sees one.
    """
    left_s = budget_s - forward_s * (n_train + 3 * n_val)
    return max(0.0, left_s / max(1e-9, n_train * STEP_FORWARDS * forward_s))


def free_bytes() -> int:
    """Bytes of memory that a training may use: of the GPU, or of the machine and its container."""
    if on_gpu():
        return int(torch.cuda.mem_get_info()[0])
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return free if limit == "max" else max(0, min(free, int(limit) - int(used)))
    except (OSError, ValueError):
        return free


def affordable_batch(wanted: int, *, side: int, free: int, least: int) -> int:
    """Halve a batch size until its images fit into half of the free memory.

    Args:
        wanted: images per batch.
        side: of the images in pixels.
        free: bytes.
        least: smallest batch size to return.
    """
    while wanted > least and wanted * side * side * _BYTES_PER_PIXEL > _SHARE * free:
        wanted //= 2
    return max(wanted, least)
