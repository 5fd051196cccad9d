"""Writing video files for browsers and players: H.264 in MP4, if PyAV's FFmpeg has an encoder for it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.video.file import require_av
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["write_frames"]

_TICKS = 60_000  # a second: whole frames of 24, 25, 29.97, 30, 50, 59.94 and 60 Hz; MPEG-4 takes at most 65,535
# codecs and settings: visually lossless, as fast as decoding
_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"crf": "20", "preset": "veryfast"}),
    ("libopenh264", {}),
    ("mpeg4", {}),
)
_BITS_PER_PIXEL = 0.25  # for an encoder without a quality setting
_BT709 = 1  # ITU-T H.273: primaries, transfer and matrix
_LIMITED = 1


def write_frames(path: Path, frames: Iterable[tuple[float, NDArray[np.uint8]]], *, frame_rate: float) -> int:
    """Write frames with their times into an MP4 file.

    Args:
        path: a local file.
        frames: seconds, rising, and (H, W, 3) uint8 sRGB; all are resized to the first.
        frame_rate: average frames per second.

    Returns:
        The number of frames.

    Raises:
        ConfigError: there are no frames.
    """
    av = require_av()
    n = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as output:
        stream: Any = None
        for time_s, pixels in frames:
            if stream is None:
                stream = _stream(av, output, pixels.shape[:2], frame_rate)
                first_s = time_s
            frame = _frame(av, pixels, (stream.height, stream.width))
            frame.pts, frame.time_base = round((time_s - first_s) * _TICKS), Fraction(1, _TICKS)
            output.mux(stream.encode(frame))
            n += 1
        if stream is None:
            raise ConfigError("there are no frames to write")
        output.mux(stream.encode(None))
    return n


def _stream(av: Any, output: Any, size_hw: tuple[int, ...], frame_rate: float) -> Any:
    name, options = next((name, options) for name, options in _ENCODERS if _has_encoder(av, name))
    stream = output.add_stream(name, rate=Fraction(frame_rate).limit_denominator(1001), options=options)
    stream.height, stream.width = (side + side % 2 for side in size_hw)  # chroma has half the size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    stream.time_base = context.time_base = Fraction(1, _TICKS)
    if "crf" not in options:
        context.bit_rate = int(_BITS_PER_PIXEL * stream.height * stream.width * frame_rate)
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


def _has_encoder(av: Any, name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except ValueError:  # UnknownCodecError
        return False
    return True


def _frame(av: Any, pixels: NDArray[np.uint8], size_hw: tuple[int, int]) -> Any:
    from av.video.reformatter import ColorRange, Colorspace  # noqa: PLC0415
    from av.video.reformatter import Interpolation as How  # noqa: PLC0415

    height, width = size_hw
    missing = height - pixels.shape[0], width - pixels.shape[1]
    if missing not in {(0, 0), (0, 1), (1, 0), (1, 1)}:  # the frame size changed
        import cv2  # noqa: PLC0415

        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    elif missing != (0, 0):
        pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return rgb.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=How.BILINEAR | How.ACCURATE_RND,
        threads=1,
    )
