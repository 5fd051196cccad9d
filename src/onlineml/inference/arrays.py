"""Arrays and tensors as images: by their shape one image or a batch, by their type bytes or shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from onlineml.data.images.decode import from_pillow
from onlineml.errors import BadImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["images_in"]

_CHANNELS = (1, 3, 4)  # grey, RGB, RGB with opacity
_EXPECTED = "(H, W), (H, W, C) or (C, H, W), or a batch (N, H, W, C) or (N, C, H, W), with 1, 3 or 4 channels C"


def images_in(given: Any) -> list[NDArray[np.uint8] | BadImageError]:
    """The images of an array or tensor, as (H, W, 3) uint8 RGB, or the reason why one is none.

    The channels are the last axis of an array and the first of a tensor's image, if its length is 1, 3 or 4; else those
    are the other one. Opacity is drawn on white, as in files.

    Args:
        given: with an axis less than three one image, with four a batch; uint8 in 0..255, or floats in 0..1.
    """
    tensor = isinstance(given, torch.Tensor)
    array = _of_tensor(given) if tensor else np.asarray(given)
    if array.ndim == 4:
        return [_one(image, first=tensor, whole=array) for image in array]
    return [_one(array, first=tensor, whole=array)]


def _of_tensor(tensor: torch.Tensor) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    found: NDArray[Any] = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    return found


def _one(image: NDArray[Any], *, first: bool, whole: NDArray[Any]) -> NDArray[np.uint8] | BadImageError:
    pixels = _channels_last(image, first=first)
    named = f"an array of shape {whole.shape} and type {whole.dtype} is no image"
    if pixels is None or 0 in pixels.shape:
        return BadImageError("unreadable", f"{named}: expected {_EXPECTED}")
    if np.issubdtype(pixels.dtype, np.floating):
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # also nan
            remedy = "divide by 255, undo a normalisation, or use uint8"
            return BadImageError("unreadable", f"{named}: expected floats in 0..1, found {low:g}..{high:g}; {remedy}")
        pixels = np.rint(pixels * 255).astype(np.uint8)
    if pixels.dtype != np.uint8:
        return BadImageError("unreadable", f"{named}: expected uint8 in 0..255, or floats in 0..1")
    if pixels.shape[2] == 4:
        try:
            return from_pillow(Image.fromarray(np.ascontiguousarray(pixels)))
        except BadImageError as error:
            return error
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)


def _channels_last(image: NDArray[Any], *, first: bool) -> NDArray[Any] | None:
    """(H, W, C); None if no axis can be the channels."""
    if image.ndim == 2:
        return image[:, :, None]
    if image.ndim != 3:
        return None
    for axis in (0, 2) if first else (2, 0):
        if image.shape[axis] in _CHANNELS:
            return np.moveaxis(image, axis, 2)
    return None
