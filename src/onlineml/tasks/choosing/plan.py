"""`Plan`: the size and batch size of a training, chosen from the photos, the network, the device and the time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from onlineml.arguments.checks import one_of
from onlineml.arguments.counted import count
from onlineml.models.start.sources import best_start, candidates
from onlineml.tasks.choosing.costs import affordable_batch, epochs_within, forward_seconds, free_bytes, on_gpu
from onlineml.tasks.choosing.photos import PhotoFacts, photo_facts

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.tasks.base import VisionModule
    from onlineml.tasks.task import Task

__all__ = ["Plan", "Quality", "check_quality", "plan_for"]

Quality = Literal["fast", "balanced", "best"]
_STEP = 32  # pixels between two sizes
_GOAL = {"fast": 128, "balanced": 160, "best": 224}  # of a pretrained classifier on a CPU
_GPU_GOAL = {"fast": 160, "balanced": 224, "best": 288}
_MOST = {"fast": 416, "balanced": 640, "best": 960}  # of a detector
_ENLARGED = 1.6  # a photo is enlarged at most so much: sign digits of 100 px gain up to 160
_OBJECT_PX = {"fast": 12, "balanced": 16, "best": 24}  # side that a small object should have
_TOO_SMALL_PX = 12  # side of a small object below which it is seen in tiles
_WORTH_TILES = 2.0  # times the size of the network: a photo that is hardly larger has little more to show
_TILE_OF_LARGE = 3  # a tile is so many times as long as a large object
_FEWEST_EPOCHS = 3.7  # below, a smaller size learns more: sign digits in 240 s at 128 px, rubbish at 96 px
# With fewer at the smallest size, a classifier's last layer alone learns more from a larger one. In 30 s, 1,438 hand
# signs come to .890 at 96 px by part of an epoch, and to .945 at 160 px by the last layer; 600 photos of rubbish to .76
# and .81
_HEAD_EPOCHS = 4.0
_HEAD_SHARE = 0.95  # of the time, for one look at all photos, which takes less in larger batches than was measured
_LEAST = 96  # size of a classifier that time alone does not go below; of a detector, its default
_MEASURED_AT = 128


@dataclass(frozen=True)
class Plan:
    """Sizes that were chosen, and the reasons.

    Attributes:
        size: side length of the network's input in pixels.
        batch_size: images per batch.
        text: the choice in a sentence; empty if nothing was chosen.
        tile_size: side of the tiles of a photo in its pixels; None to show whole photos.
    """

    size: int
    batch_size: int
    text: str = ""
    tile_size: int | None = None


def check_quality(quality: str) -> None:
    """Check the argument of `plan_for`.

    Raises:
        ConfigError: it is none of the choices.
    """
    one_of("quality", quality, get_args(Quality))


def plan_for(
    data: Manifest,
    task: Task,
    *,
    model: VisionModule | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    tile_size: int | Literal["auto"] | None = "auto",
    quality: Quality = "balanced",
    budget_s: float | None = None,
) -> Plan:
    """Choose what is not given.

    Args:
        data: annotated images; their sizes are known if they were frozen.
        task: of the images.
        model: that will be trained; None stands for the default one.
        size: side length in pixels; None to choose it.
        batch_size: images per batch; None to choose it.
        tile_size: of a detector's tiles in pixels of the photos; ``"auto"`` to choose them where small objects in large
            photos would have less than 12 pixels; None for none.
        quality: ``"fast"``, ``"balanced"`` or ``"best"``.
        budget_s: seconds of training; None to leave time out.
    """
    detects = not task.kind.label_alone
    if size is not None and batch_size is not None and not (detects and tile_size == "auto"):
        return Plan(size, batch_size, tile_size=None if tile_size == "auto" else tile_size)
    facts = photo_facts(data)
    pretrained = _starts_pretrained(size) if model is None else model.pretrained
    forward_s = math.nan
    if budget_s is not None and model is not None and not on_gpu():
        forward_s = forward_seconds(model, _MEASURED_AT) / _MEASURED_AT**2  # a pixel
    side = size or _wanted_side(task, facts, quality, detects=detects, pretrained=pretrained)
    if size is None and pretrained:
        side = _in_time(side, facts, budget_s, forward_s, least=task.default_size if detects else None)
    if tile_size == "auto":
        tile_size = _tile_size(facts, side, quality) if detects else None
        if tile_size is not None and size is None:
            side, tile_size = _side_of_tiles(task, facts, side, tile_size)
    if size is not None and batch_size is not None and tile_size is None:
        return Plan(size, batch_size)
    wanted = _batch(task, facts, detects=detects, pretrained=pretrained)
    batch = batch_size or affordable_batch(wanted, side=side, free=free_bytes(), least=1 if detects else 2)
    name = "the network" if model is None else model.backbone_name or type(model.network).__name__
    why = ", ".join(_reasons(facts, side, budget_s, forward_s, tile_size))
    text = f"{name.removeprefix('timm:')} at {side} px in batches of {batch}: {why}."
    return Plan(side, batch, text, tile_size)


def _starts_pretrained(size: int | None) -> bool:
    """Return whether the default model would start from weights; only a size that is chosen depends on it."""
    return size is None and best_start(candidates()).file is not None


def _wanted_side(task: Task, facts: PhotoFacts, quality: Quality, *, detects: bool, pretrained: bool) -> int:
    return _detector_side(task, facts, quality) if detects else _side(task, facts, quality, pretrained=pretrained)


def _side(task: Task, facts: PhotoFacts, quality: Quality, *, pretrained: bool) -> int:
    """A classifier's size: what its weights were trained for is worth as many pixels as the photos have."""
    if not pretrained:
        return task.default_size
    goal = (_GPU_GOAL if on_gpu() else _GOAL)[quality]
    return goal if facts.shorter is None else max(64, min(goal, _rounded(_ENLARGED * facts.shorter)))


def _detector_side(task: Task, facts: PhotoFacts, quality: Quality) -> int:
    """A detector's size: at which a small object has enough pixels, if the photos have them."""
    if facts.object_share is None or facts.longer is None:
        return task.default_size
    wanted = _rounded(_OBJECT_PX[quality] / facts.object_share)
    return max(task.default_size, min(wanted, _MOST[quality], _rounded(facts.longer)))


def _tile_size(facts: PhotoFacts, side: int, quality: Quality) -> int | None:
    """The tiles in which a small object has enough pixels, if it does not in the whole photo; never enlarged."""
    if facts.object_share is None or facts.longer is None:
        return None
    if facts.object_share * side >= _TOO_SMALL_PX or facts.longer < _WORTH_TILES * side:
        return None
    return max(side, round(side * facts.object_share * facts.longer / _OBJECT_PX[quality]))


def _side_of_tiles(task: Task, facts: PhotoFacts, side: int, tile_size: int) -> tuple[int, int]:
    """The smallest size at which a tile still shows large objects as a whole, and the tiles at the same scale."""
    scale, large = side / tile_size, (facts.large_share or 0.0) * (facts.longer or 0.0)
    smaller = min(side, max(task.default_size, _rounded(_TILE_OF_LARGE * large * scale)))
    return smaller, round(smaller / scale)


def _in_time(wanted: int, facts: PhotoFacts, budget_s: float | None, forward_s: float, *, least: int | None) -> int:
    """The largest size up to ``wanted`` at which enough epochs fit into the budget; without, a classifier's ``least``.

    A classifier without time for them gets the largest size at which its last layer is trained.
    """
    if budget_s is None or math.isnan(forward_s):
        return wanted
    smallest = min(wanted, least or _LEAST)
    sides = range(wanted, smallest, -_STEP)
    enough = (side for side in sides if _epochs(side, facts, budget_s, forward_s) >= _FEWEST_EPOCHS)
    found = next(enough, smallest)
    if least is not None or found > smallest or _epochs(smallest, facts, budget_s, forward_s) >= _HEAD_EPOCHS:
        return found
    looks_s = forward_s * (facts.n_train + facts.n_val)  # a pixel
    return next((side for side in sides if looks_s * side * side <= _HEAD_SHARE * budget_s), smallest)


def _epochs(side: int, facts: PhotoFacts, budget_s: float, forward_s: float) -> float:
    return epochs_within(budget_s, n_train=facts.n_train, n_val=facts.n_val, forward_s=forward_s * side * side)


def _rounded(pixels: float) -> int:
    return _STEP * max(1, math.ceil(pixels / _STEP - 1e-9))


def _batch(task: Task, facts: PhotoFacts, *, detects: bool, pretrained: bool) -> int:
    """Batches that give a small dataset some steps an epoch, and a GPU something to do."""
    if on_gpu() and facts.n_train >= 1000:
        return 16 if detects else 64
    if not detects and pretrained and facts.n_train < 320:
        return 16
    return task.train_batch_size


def _reasons(
    facts: PhotoFacts, side: int, budget_s: float | None, forward_s: float, tile_size: int | None
) -> list[str]:
    found = [f"{count(facts.n_train, 'photo')}" + (f" of about {facts.shorter:.0f} px" if facts.shorter else "")]
    if tile_size is not None and facts.object_share is not None and facts.longer is not None:
        whole_px, tile_px = (facts.object_share * n for n in (side, facts.longer * side / tile_size))
        found.append(
            f"in tiles of {tile_size} px of the photos, where small objects have {tile_px:.0f} px instead of "
            f"{whole_px:.0f}"
        )
    elif facts.object_share is not None:
        found.append(f"small objects of {facts.object_share * side:.0f} px at that size")
    found.append("a GPU" if on_gpu() else f"{torch.get_num_threads()} CPU threads")
    if budget_s is not None:
        found.append(f"{budget_s:.0f} s")
        if not math.isnan(forward_s) and facts.object_share is None:  # a detector has three times as many
            n = _epochs(side, facts, budget_s, forward_s)
            short = "time for little more than the last layer: raise budget_s"
            found.append(f"some {n:.0f} epochs" if n >= 1 else short)
    return found
