"""The contract of batches: what a module needs of them, and the error about a batch that does not have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import DataError

if TYPE_CHECKING:
    from onlineml.tasks.base import VisionModule

__all__ = ["blank_batch", "check_batch", "ids_of", "image_of", "targets_of"]

_SEE = "see docs/models/lightning.md for the contract of batches"


def image_of(batch: Any) -> torch.Tensor:
    """The images of a batch.

    Raises:
        DataError: the batch is no mapping with images.
    """
    if not isinstance(batch, Mapping) or "image" not in batch:
        held = f" of {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else ""
        raise DataError(
            f"a batch is a {type(batch).__name__}{held}: expected a mapping with 'image', such as {{'image': images, "
            f"'label': labels}}; give the DataLoader a dataset of such mappings, or a collate_fn; {_SEE}"
        )
    image: torch.Tensor = batch["image"]
    return image


def check_batch(module: VisionModule, batch: Any) -> None:
    """Check the first batch of an epoch; its images have the module's input size if that is unknown.

    Args:
        module: which takes it.
        batch: from any loader; ``targets`` have all of the module's ``batch_keys``.

    Raises:
        DataError: the batch lacks something, or its images are not as the contract wants them.
    """
    image = image_of(batch)
    multiple = 32 if module.pads_to_multiples else 1
    missing = [key for key in module.batch_keys if key not in batch and "targets" not in batch]
    if missing:
        raise DataError(
            f"a batch lacks {', '.join(map(repr, missing))}; it has {', '.join(map(str, batch))}: let the dataset "
            f"return it; {_SEE}"
        )
    found = f"{tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}"
    if image.ndim != 4 or image.shape[1] != 3 or any(side % multiple for side in image.shape[2:]):
        sides = f", H and W multiples of {multiple}" if multiple > 1 else ""
        raise DataError(f"the images of a batch are {found}: expected (B, 3, H, W){sides}; {_SEE}")
    if image.dtype != torch.uint8 and len(image) and not (float(image.min()) >= 0 and float(image.max()) <= 1):
        raise DataError(
            f"the images of a batch are {found} in {float(image.min()):g}..{float(image.max()):g}: expected uint8, or "
            f"float in 0..1: leave normalisation to the module, and divide floats in 0..255 by 255; {_SEE}"
        )
    if module.size_hw is None and len(image):
        module.size_hw = (int(image.shape[2]), int(image.shape[3]))


def ids_of(batch: Mapping[str, Any]) -> list[str]:
    """Names of a batch's images, for messages: their ``image_id``, else their positions."""
    ids = batch.get("image_id")
    return [f"number {i} of the batch" for i in range(len(batch["image"]))] if ids is None else list(map(str, ids))


def targets_of(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The objects in each image of a batch, as `onlineml.data.loading.detection_datasets.DetectionTarget`.

    Args:
        batch: with ``targets``, a mapping an image, or else with ``boxes`` and ``labels``, a tensor an image each.
    """
    given = batch.get("targets")
    if given is None:
        given = [{"boxes": b, "labels": n} for b, n in zip(batch["boxes"], batch["labels"], strict=True)]
    made = []
    for target in given:
        boxes = target["boxes"].float().reshape(-1, 4)
        made.append({"ignore": boxes.new_zeros((0, 4)), **target, "boxes": boxes, "labels": target["labels"].long()})
    return made


def blank_batch(module: VisionModule, batch: Any) -> dict[str, Any]:
    """Return a batch of one blank image without an annotation, in place of one without images.

    Args:
        module: which takes it.
        batch: of no images.
    """
    image = image_of(batch)
    height, width = image.shape[2:] if min(image.shape[2:]) else (module.size_hw or (32, 32))
    blank: dict[str, Any] = {"image": image.new_zeros((1, 3, height, width))}
    if "label" in module.batch_keys:
        label = batch["label"]
        return blank | {"label": label.new_zeros((1, *label.shape[1:]))}
    empty = torch.zeros(0, 4, device=image.device)
    labels = torch.zeros(0, dtype=torch.int64, device=image.device)
    return blank | {"targets": [{"boxes": empty, "labels": labels, "ignore": empty}]}
