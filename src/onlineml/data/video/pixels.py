"""Conversion of decoded video frames to upright 8-bit sRGB with square pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.images.decode import from_pillow
from onlineml.errors import BadVideoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from numpy.typing import NDArray

__all__ = ["MAX_PIXELS", "Painter", "upright"]

MAX_PIXELS = 64_000_000  # of a frame; 8K has 33 million

# Code points of ITU-T H.273, which FFmpeg and all containers use
_UNSPECIFIED = 2  # MatrixCoefficients
_PQ, _HLG = 16, 18  # TransferCharacteristics of high dynamic range
_FIXED_POINT = 65536.0  # of a display matrix (ISO/IEC 14496-12, tkhd)


class Painter:
    """Converter of decoded frames of one video to pixels.

    Args:
        aspect: width over height of a stored pixel; 1 if the file does not declare it.
        note: called with the code of each finding, each time it occurs.
    """

    def __init__(self, *, aspect: Fraction | None, note: Callable[[str], None]) -> None:
        from av.video.reformatter import VideoReformatter  # noqa: PLC0415 (an optional dependency)

        self._aspect = float(aspect) if aspect and aspect > 0 else 1.0
        self._note = note
        self._reformatter = VideoReformatter()

    def rgb(self, frame: Any) -> NDArray[np.uint8]:
        """Convert a frame to (H, W, 3) uint8 sRGB, upright, C-contiguous.

        Raises:
            BadVideoError: the frame has more pixels than allowed.
        """
        width = max(1, round(frame.width * self._aspect))
        if width * frame.height > MAX_PIXELS:
            raise BadVideoError(
                "oversized", f"a frame has {width} x {frame.height} pixels; at most {MAX_PIXELS:,} are allowed"
            )
        if width != frame.width:
            self._note("stretched")
        if frame.interlaced_frame:
            self._note("interlaced")
        pixels = self._converted(frame, width)
        matrix = _display_matrix(frame)
        if matrix is None:
            return pixels
        turned = upright(pixels, matrix)
        if turned is not pixels:
            self._note("rotated")
        return turned

    def _converted(self, frame: Any, width: int) -> NDArray[np.uint8]:
        from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc  # noqa: PLC0415
        from av.video.reformatter import Interpolation as How  # noqa: PLC0415

        matrix = primaries = transfer = None
        if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb:
            # the default of players: BT.709 for high definition, BT.601 below it (mpv's mp_csp_guess_colorspace)
            high = frame.width >= 1280 or frame.height > 576
            matrix = Colorspace.ITU709 if high else Colorspace.ITU601
        if frame.color_trc in {_PQ, _HLG}:
            self._note("hdr")
            primaries, transfer = ColorPrimaries.BT709, ColorTrc.IEC61966_2_1
        has_alpha = any(component.is_alpha for component in frame.format.components)
        # each channel is within half a level of H.273's formulas; without these flags it takes a third of the time and
        # is up to three levels off
        exact = How.BILINEAR | How.ACCURATE_RND | How.FULL_CHR_H_INT
        converted = self._reformatter.reformat(
            frame,
            width=width,
            format="rgba" if has_alpha else "rgb24",
            src_colorspace=matrix,
            interpolation=exact,
            dst_color_range=ColorRange.JPEG,
            dst_color_trc=transfer,
            dst_color_primaries=primaries,
            threads=1,
        )
        pixels: NDArray[np.uint8] = np.ascontiguousarray(converted.to_ndarray())
        return self._on_white(pixels) if has_alpha else pixels

    def _on_white(self, rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image  # noqa: PLC0415

        if rgba[..., 3].min() < 255:
            self._note("alpha")
        return from_pillow(Image.fromarray(rgba))


def _display_matrix(frame: Any) -> NDArray[np.float64] | None:
    """Return the (2, 2) matrix from stored to upright x and y coordinates; None if the file does not declare it."""
    stored = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return None
    a, b, _, c, d, *_ = np.frombuffer(stored, np.int32)[:9] / _FIXED_POINT
    return np.array([[a, c], [b, d]])


def upright(pixels: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Rotate and mirror a frame according to its display matrix, to the nearest right angle.

    Args:
        pixels: (H, W, 3), as stored.
        matrix: (2, 2), rows x and y of the upright frame, columns x and y of the stored one; y points down.

    Returns:
        (H, W, 3) or (W, H, 3), C-contiguous; ``pixels`` itself if it is already upright.
    """
    (a, c), (b, d) = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        flip_x, flip_y, turned = a < 0, d < 0, pixels
    else:  # rows become columns
        flip_x, flip_y, turned = c < 0, b < 0, pixels.transpose(1, 0, 2)
    if turned is pixels and not flip_x and not flip_y:
        return pixels
    return np.ascontiguousarray(turned[:: -1 if flip_y else 1, :: -1 if flip_x else 1])
