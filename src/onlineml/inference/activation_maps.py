"""The places of a photo that speak for a class, as a classifier sees it: Grad-CAM.

Written here instead of using `captum`, which wants the name of a layer for each network and draws nothing: it takes one
forward and one backward step, and a search for the last layer that still has places.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch.nn.functional import interpolate

from onlineml.arguments.checks import one_of, whole
from onlineml.data.images.thumbnails import encoded
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation.render.image_grid import image_grid
from onlineml.inference.predict_classifier import fitted
from onlineml.inference.stream import Stream
from onlineml.models.modes import in_eval_mode
from onlineml.tasks import task_of
from onlineml.tasks.classifier import ClassifierModule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.base import BaseScores
    from onlineml.storage.location import Options

__all__ = ["ActivationMaps", "activation_figure", "activation_maps", "with_activation_maps"]

S = TypeVar("S", bound="BaseScores")

_HEAT_SHARE = 0.55  # of the colour, where the map is 1
_INCHES = 2.0
_BATCH_SIZE = 16


class ActivationMaps(NamedTuple):
    """Maps of n images at the size of the network's input."""

    maps: NDArray[np.float32]
    """(n, H, W) in 0..1, where 1 is the place that speaks most for the class; all 0 where nothing speaks for it."""
    label_ids: NDArray[np.int64]
    """(n,) the class that each map is of."""
    scores: NDArray[np.float32]
    """(n,) its probability, 0..1."""


def activation_maps(model: ClassifierModule, images: Tensor, *, label: str | None = None) -> ActivationMaps:
    """Compute which places speak for a class by Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391).

    The channels of the last layer that still has places are added up, each weighted by the mean gradient of the class's
    logit; what is negative is left out. For a network that averages places before a linear layer this is the class
    activation map of Zhou et al. 2016 exactly. It shows where evidence was found, not that another place would not do.

    Args:
        model: a classifier, also of several labels; modes and gradients are kept.
        images: (n, 3, H, W) uint8 RGB at the size of its input, as in a batch.
        label: a class; None takes the most likely one of each image.

    Raises:
        ConfigError: the model is no classifier, has no such class, or no layer with (n, channels, height, width).
    """
    chosen = _chosen(model, label)
    with in_eval_mode(model), torch.inference_mode(mode=False), torch.enable_grad():
        logits, features = _with_features(model, images.to(model.device))
        scores = model.probabilities(logits.detach().float())
        ids = scores.argmax(1) if chosen is None else torch.full((len(images),), chosen, device=logits.device)
        (slopes,) = torch.autograd.grad(logits.gather(1, ids[:, None]).sum(), features)
    if not _are_places(features.shape[2:], images.shape[2:]):  # (n, height, width, channels), as in Swin
        slopes, features = slopes.permute(0, 3, 1, 2), features.permute(0, 3, 1, 2)
    maps = (slopes.mean((2, 3), keepdim=True) * features.detach()).sum(1, keepdim=True).clamp(min=0).float()
    maps = interpolate(maps, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    maps = maps / maps.amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    of_class = scores.gather(1, ids[:, None])[:, 0]
    return ActivationMaps(maps.cpu().numpy(), ids.cpu().numpy(), of_class.cpu().numpy())


def activation_figure(
    model: ClassifierModule, images: Any, *, label: str | None = None, limit: int = 12, storage_options: Options = None
) -> Figure:
    """Draw where a classifier found its evidence: bright places speak for the class below the photo.

    Args:
        model: a trained classifier, also of several labels.
        images: as of `onlineml.predict`; shown as the network sees them.
        label: a class; None takes the most likely one of each image.
        limit: maximum number of images.
        storage_options: of the filesystem.

    Raises:
        ConfigError: as `activation_maps`, or an argument is outside its range.
        NotFoundError: a folder or pattern contains no image.
        StorageError: the store failed.
    """
    whole("limit", limit, least=1)
    _chosen(model, label)  # before an image is read
    prepare = partial(fitted, size_hw=model.input_size_hw(), whole=model.whole)
    batches = Stream(images, prepare, batch_size=min(limit, 16), storage_options=storage_options)
    shown = list(itertools.islice((one for batch in batches for one in _drawn(model, batch, label)), limit))
    return image_grid(
        [picture for picture, _ in shown], [text for _, text in shown], columns=4, limit=limit, inches=_INCHES
    )


def with_activation_maps(scores: S, model: ClassifierModule, data: Manifest) -> S:
    """Return the scores with the model's evidence: reports and figures show what spoke for each mistake.

    The thumbnails that `onlineml.evaluate` stored become photos as the network sees them, bright where they speak for
    the most likely class, as in `activation_figure`.

    Args:
        scores: of the model on ``data``.
        model: the classifier, also of several labels.
        data: the manifest that was evaluated.

    Raises:
        ConfigError: as `activation_maps`.
        DataError: the manifest is not the one that was evaluated.
    """
    _chosen(model, None)  # before an image is read
    row_of = {str(image_id): i for i, image_id in enumerate(data.column("image_id"))}
    if missing := [image_id for image_id in scores.thumbnails if image_id not in row_of]:
        raise DataError(f"the manifest has no image {missing[0]!r}: pass the one that was evaluated")
    rows = np.array([row_of[image_id] for image_id in scores.thumbnails], np.int64)
    datamodule = task_of(model).load("datamodule")(data, size_hw=model.input_size_hw(), batch_size=_BATCH_SIZE)
    found = dict(scores.thumbnails)
    for batch in datamodule.loader_of(rows) if len(rows) else ():
        pixels = batch["image"].permute(0, 2, 3, 1).numpy()
        heated = map(_heated, pixels, activation_maps(model, batch["image"]).maps)
        found |= {i: encoded(picture) for i, picture in zip(batch["image_id"], heated, strict=True)}
    return scores.with_thumbnails(found)


def _chosen(model: ClassifierModule, label: str | None) -> int | None:
    """The number of the class that is asked for; None for the most likely one."""
    if not isinstance(model, ClassifierModule):
        raise ConfigError(f"activation maps are of a classifier; found {type(model).__name__}, whose boxes show places")
    return None if label is None else model.class_names.index(one_of("label", label, model.class_names))


def _with_features(model: ClassifierModule, images: Tensor) -> tuple[Tensor, Tensor]:
    """The logits, and the last activations with places on the way to them."""
    found: list[Tensor] = []

    def note(_module: Any, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            sides = (output.shape[2:], output.shape[1:3])
            if any(_are_places(side_hw, images.shape[2:]) for side_hw in sides):
                found.append(output)

    hooks = [module.register_forward_hook(note) for module in model.network.modules() if module is not model.network]
    try:
        seen = model.normalize(images).requires_grad_()  # also if every layer is frozen
        logits = model.network(seen)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ConfigError(
            f"the network {model.backbone_name or type(model.network).__name__} has no layer whose output is (images, "
            "channels, height, width), so there is no map of places: use a convolutional one"
        )
    return logits, found[-1]


def _are_places(side_hw: Sequence[int], image_hw: Sequence[int]) -> bool:
    """Return whether two sides are those of the image in steps of some pixels; those of attention are not."""
    step = max(round(image_hw[0] / max(side_hw[0], 1)), 1)
    fits = (abs(side - own / step) <= 1 for side, own in zip(side_hw, image_hw, strict=True))
    return side_hw[0] * side_hw[1] > 1 and all(fits)


def _drawn(
    model: ClassifierModule, batch: list[tuple[Any, NDArray[np.uint8] | Exception]], label: str | None
) -> Iterator[tuple[NDArray[np.uint8] | None, str]]:
    good = [image for _, image in batch if not isinstance(image, Exception)]
    if good:
        found = activation_maps(model, torch.from_numpy(np.stack(good)).permute(0, 3, 1, 2), label=label)
        drawn = (
            (_heated(pixels, heat), f"{model.class_names[label_id]}, {score:.0%}")
            for pixels, heat, label_id, score in zip(good, *found, strict=True)
        )
    for _, image in batch:
        yield (None, str(image)) if isinstance(image, Exception) else next(drawn)


def _heated(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The photo with the map in colours of matplotlib's inferno; dark where nothing speaks for the class."""
    from matplotlib import colormaps  # noqa: PLC0415

    colours = colormaps["inferno"](heat)[:, :, :3] * 255
    share = _HEAT_SHARE * heat[:, :, None]
    return np.asarray(np.rint(pixels * (1 - share) * 0.9 + colours * share), np.uint8)
