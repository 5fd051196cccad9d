"""Detection: resize an image to the network's input, detect, and convert boxes back to the image's pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch

from onlineml.data.augment.detection_geometry import fit_inside, keep_inside, least_side, pad_together
from onlineml.data.manifest.box_arrays import clean_boxes
from onlineml.inference.detections import ImageDetections
from onlineml.inference.network import Answers, Network
from onlineml.inference.stream import decode_with_care
from onlineml.tasks.eval_mode import eval_mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["DetectionModel", "Fitted", "detect_in", "detection_network", "fitted_image", "tile_size_of"]

Objects = Sequence[Mapping[str, "Tensor"]]  # of each image: boxes (n, 4), labels (n,), scores (n,)

_SAME_SCORE = 1e-4
_SAME_PX = 0.1
_COUNTED = 0.01  # score from which objects are compared


class DetectionModel(Protocol):
    """The interface of a detector, such as `onlineml.ObjectDetector`."""

    @property
    def task(self) -> str:
        """``"detection"``."""

    @property
    def training(self) -> bool:
        """As of `torch.nn.Module`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class names, indexed by labels."""

    @property
    def thresholds(self) -> Mapping[str, float] | None:
        """The score threshold of each class, chosen on validation."""

    @property
    def reference(self) -> str:
        """The URL that it was loaded from, or ``""``."""

    @property
    def device(self) -> torch.device:
        """The device of its weights."""

    def input_size_hw(self) -> tuple[int, int]:
        """Height and width of the input."""

    def detect(self, image: Tensor) -> Sequence[Mapping[str, Tensor]]:
        """Objects in (B, 3, H, W) uint8 images: B times boxes (n, 4) xyxy, labels (n,) from 0, scores (n,)."""

    def train(self, mode: bool = ..., /) -> Any:
        """As of `torch.nn.Module`."""


class Fitted(NamedTuple):
    """The input image of a detector.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, the whole image.
        scale: its pixels per pixel of the upright original.
        size_hw: height and width of the upright original.
    """

    pixels: NDArray[np.uint8]
    scale: float
    size_hw: tuple[int, int]


def tile_size_of(model: DetectionModel) -> int | None:
    """Return the side of a model's tiles in pixels of the photos; None if it sees whole photos, as others' models."""
    tiles = getattr(model, "tiles", None)
    return None if tiles is None else int(tiles.size)


def fitted_image(
    content: bytes | NDArray[np.uint8], *, size_hw: tuple[int, int], tile_size: int | None = None
) -> Fitted:
    """Prepare an image as in evaluation, as a copy.

    Args:
        content: of the file, or its (H, W, 3) pixels.
        size_hw: of the network's input.
        tile_size: see `onlineml.data.augment.detection_geometry.view_scale`; a large image then stays larger.

    Raises:
        BadImageError: it is unusable.
    """
    if isinstance(content, bytes):
        decoded = decode_with_care(content, min_side=least_side(size_hw, tile_size))
        pixels, original_hw = decoded.pixels, decoded.size_hw
    else:
        pixels, original_hw = content, (content.shape[0], content.shape[1])
    kept = keep_inside(pixels, original_hw, size_hw=size_hw, tile_size=tile_size)
    pixels, scale = fit_inside(kept, size_hw, original_hw=original_hw, tile_size=tile_size)
    return Fitted(pixels if isinstance(content, bytes) else np.array(pixels), scale, original_hw)


def detect_in(
    model: DetectionModel, images: Sequence[Fitted], *, network: Network[Objects] | None = None
) -> list[ImageDetections | None]:
    """Return all detections, whatever their score.

    Images are batched by shape, so that the detections in one do not depend on the others.

    Args:
        model: the detector.
        images: of one batch.
        network: of the model, see `detection_network`; None lets torch answer.

    Returns:
        For each image its objects, or None if the model returned numbers that are not finite.
    """
    by_shape: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}
    for place, image in enumerate(images):
        padded = pad_together([image.pixels])[0]
        by_shape.setdefault(padded.shape, []).append((place, padded))
    results: list[ImageDetections | None] = [None] * len(images)
    detect = partial(_detected, model) if network is None else network
    for group in by_shape.values():
        batch = torch.from_numpy(np.stack([pixels for _, pixels in group])).permute(0, 3, 1, 2)
        for (place, _), found in zip(group, detect(batch), strict=True):
            results[place] = _placed(found, images[place], model)
    return results


def detection_network(
    model: DetectionModel, *, engine: str, batch_size: int, n_images: Callable[[], int | None], may_pause: bool
) -> Network[Objects]:
    """Return a detector's network in an engine, see `onlineml.inference.network.Network`."""
    answers = Answers(partial(_detected, model), _objects, partial(_difference, model))
    return Network(model, answers, engine=engine, batch_size=batch_size, n_images=n_images, may_pause=may_pause)


def _detected(model: DetectionModel, image: Tensor) -> Objects:
    with eval_mode(model):
        return model.detect(image.to(model.device))


def _objects(outputs: Mapping[str, NDArray[Any]]) -> Objects:
    """The objects of each image from the outputs of a graph."""
    values = {name: torch.from_numpy(outputs[name]) for name in ("boxes", "labels", "scores")}
    return [{name: of[i, :n] for name, of in values.items()} for i, n in enumerate(outputs["count"].tolist())]


def _difference(model: DetectionModel, found: Objects, wanted: Objects) -> str:
    """Objects that only one of two answers has, in words; the order of those that hardly differ does not matter."""
    most = getattr(model, "max_objects", 0)
    for number, pair in enumerate(zip(found, wanted, strict=True)):
        sides = [{name: np.asarray(value) for name, value in side.items()} for side in pair]
        full = [side["scores"].min() + _SAME_SCORE for side in sides if len(side["scores"]) >= most > 0]
        least = max([_COUNTED, *full])  # of those that hardly fit in, either may have another one
        for one, other in (sides, sides[::-1]):
            same = one["labels"][:, None] == other["labels"][None]
            same &= np.abs(one["scores"][:, None] - other["scores"][None]) <= _SAME_SCORE
            same &= (np.abs(one["boxes"][:, None] - other["boxes"][None]) <= _SAME_PX).all(-1)
            if alone := np.flatnonzero(~same.any(1) & ~(one["scores"] < least)).tolist():
                return f"an object of score {one['scores'][alone[0]]:.4f} in image {number} of the batch has no equal"
    return ""


def _placed(found: Mapping[str, Tensor], image: Fitted, model: DetectionModel) -> ImageDetections | None:
    """Objects in pixels of the upright original, without those entirely in the padding."""
    boxes, scores = (found[name].detach().cpu().numpy().astype(np.float64) for name in ("boxes", "scores"))
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        return None
    cut, codes = clean_boxes(boxes / image.scale, image.size_hw)
    inside = np.flatnonzero((codes == "") | (codes == "box_clipped"))
    surest = inside[np.argsort(-scores[inside], kind="stable")]
    label_ids = found["labels"].detach().cpu().numpy().astype(np.int64)[surest]
    labels = tuple(model.class_names[i] for i in label_ids)
    is_full = len(scores) >= getattr(model, "max_objects", len(scores) + 1)  # models of others may have no limit
    return ImageDetections("", image.size_hw, cut[surest], label_ids, labels, scores[surest], None, is_full=is_full)
