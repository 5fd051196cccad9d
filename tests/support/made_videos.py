"""Small videos whose frames say their own number, written with PyAV."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BITS = 12
RATE = 30
# what a camera, a phone, a browser or a converter would write: container, codec, pixels, options
KINDS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "h264.mp4": ("mp4", "libx264", "yuv420p", {"g": "50", "bf": "3"}),
    "h264-open.mp4": ("mp4", "libx264", "yuv420p", {"g": "50", "x264-params": "open-gop=1:scenecut=0"}),
    "h265.mov": ("mov", "libx265", "yuv420p", {"g": "50", "x265-params": "open-gop=1:log-level=none"}),
    "h264.mkv": ("matroska", "libx264", "yuv420p", {"g": "50"}),
    "h264.ts": ("mpegts", "libx264", "yuv420p", {"g": "50"}),
    "vp8.webm": ("webm", "libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "50"}),
    "vp9.webm": ("webm", "libvpx-vp9", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "25", "g": "50"}),
    "mpeg4.avi": ("avi", "mpeg4", "yuv420p", {"bf": "2", "g": "30"}),
    "mjpeg.avi": ("avi", "mjpeg", "yuvj420p", {}),
    "mpeg2.mpg": ("mpeg", "mpeg2video", "yuv420p", {"bf": "2", "g": "15"}),
}


def numbered(number: int, size_hw: tuple[int, int] = (64, 96)) -> np.ndarray:
    """(H, W, 3) uint8: twelve bright or dark fields, the binary digits of a number."""
    height, width = size_hw
    pixels = np.full((height, width, 3), 40, np.uint8)
    for bit in range(BITS):
        left, top = bit % 6 * (width // 6), bit // 6 * (height // 2)
        pixels[top : top + height // 2, left : left + width // 6] = 230 if number >> bit & 1 else 20
    return pixels


def number_in(pixels: np.ndarray) -> int:
    """The number that a picture says, however badly it was compressed."""
    height, width = pixels.shape[:2]
    found = 0
    for bit in range(BITS):
        left, top = bit % 6 * (width // 6), bit // 6 * (height // 2)
        middle = pixels[top + height // 8 : top + 3 * height // 8, left + width // 24 : left + width // 8]
        found |= int(middle.mean() > 127) << bit
    return found


def write_video(
    n: int = 60,
    *,
    kind: str = "h264.mp4",
    times: Sequence[int] | None = None,
    ticks: int = RATE,
    size_hw: tuple[int, int] = (64, 96),
    picture: Callable[[int], np.ndarray] | None = None,
    faststart: bool = False,
    setup: Callable[[Any], None] | None = None,
) -> bytes:
    """A video file.

    Args:
        n: frames.
        kind: one of `KINDS`.
        times: of the frames, in ticks.
        ticks: a second.
        size_hw: height and width.
        picture: the pixels of a frame by its number.
        faststart: the index of an MP4 comes first.
        setup: is given the stream before the first frame.
    """
    container, codec, pixel_format, options = KINDS[kind]
    folder = tempfile.mkdtemp()  # a BytesIO would not do: the index is moved to the front by opening the file again
    file = Path(folder) / "video"
    with av.open(str(file), "w", format=container, options={"movflags": "faststart"} if faststart else {}) as output:
        stream = output.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = size_hw
        stream.pix_fmt = pixel_format
        stream.time_base = stream.codec_context.time_base = Fraction(1, ticks)
        if setup is not None:
            setup(stream)
        for number in range(n):
            pixels = numbered(number, size_hw) if picture is None else picture(number)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = times[number] if times is not None else number
            frame.time_base = Fraction(1, ticks)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    data = file.read_bytes()
    shutil.rmtree(folder)
    return data


def write_planes(
    planes: Sequence[np.ndarray],
    pixel_format: str,
    *,
    size_hw: tuple[int, int],
    matrix: int = 2,
    full_range: int = 0,
    primaries: int = 2,
    transfer: int = 2,
    codec: str = "ffv1",
) -> bytes:
    """A lossless video of three equal frames whose planes are given, with the numbers of ITU-T H.273 for its colours.

    Args:
        planes: as the pixel format has them.
        pixel_format: FFmpeg's name.
        size_hw: height and width.
        matrix: 1 BT.709, 6 BT.601, 9 BT.2020, 2 not said.
        full_range: 2 full, 1 limited, 0 not said.
        primaries: 1 BT.709, 9 BT.2020.
        transfer: 16 PQ, 18 HLG.
        codec: one that loses nothing.
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mov" if codec == "png" else "matroska") as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.height, stream.width = size_hw
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, full_range
        context.color_primaries, context.color_trc = primaries, transfer
        for number in range(3):
            frame = av.VideoFrame(size_hw[1], size_hw[0], pixel_format)
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.zeros((plane.height, plane.line_size), np.uint8)
                raw = np.ascontiguousarray(values).view(np.uint8).reshape(plane.height, -1)
                rows[:, : raw.shape[1]] = raw
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            frame.colorspace, frame.color_range = matrix, full_range
            frame.color_primaries, frame.color_trc = primaries, transfer
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def with_matrix(mp4: bytes, a: float, b: float, c: float, d: float) -> bytes:
    """The same file with another display matrix in its track header (ISO/IEC 14496-12: 8.3.2, version 0)."""
    data = bytearray(mp4)
    place = data.find(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 8
    numbers = [round(v * 65536) for v in (a, b)] + [0] + [round(v * 65536) for v in (c, d)] + [0, 0, 0, 1 << 30]
    data[place : place + 36] = struct.pack(">9i", *numbers)
    return bytes(data)
