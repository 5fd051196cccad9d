"""A video file, opened so that it can open no other, on any storage."""

from __future__ import annotations

import errno
import io
import re
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from onlineml.data.images.decode import MAX_PIXELS
from onlineml.errors import BadVideoError, MissingDependencyError
from onlineml.storage.filesystems import translated
from onlineml.storage.io import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["declared_duration", "opened", "require_av"]

# No playlists (hls, dash, concat, image2): they make FFmpeg open whatever other file or address they name.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,ivf,obu,flv,asf,ogg,gif,mjpeg,mxf,dv,rm,nut,"
    "yuv4mpegpipe"
)
_BUFFER = 1 << 20  # bytes FFmpeg asks for at once: each time costs a call into Python, or a request
_BLOCK = 4 << 20  # bytes a request asks of remote storage


def require_av() -> Any:
    """PyAV.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import av  # noqa: PLC0415 (an optional dependency)
    except ImportError as error:
        raise MissingDependencyError("videos need PyAV: pip install 'onlineml[video]'") from error
    return av


@contextmanager
def opened(
    source: str | bytes, *, name: str, storage_options: Mapping[str, Any] | None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video's container and its main video stream; whatever reading it raises is one of our errors.

    Raises:
        BadVideoError: it is no video that can be decoded here.
        NotFoundError: nothing is there.
        StorageError: reading failed.
    """
    av = require_av()
    with translated(name, storage_options), _file(source, storage_options) as file:
        options = {"format_whitelist": _FORMATS, "max_pixels": str(MAX_PIXELS)}
        try:
            container = av.open(_Source(file), "r", options=options, metadata_errors="replace", buffer_size=_BUFFER)
        except av.FFmpegError as error:
            raise _unreadable(file, str(error.strerror)) from error
        with container:
            yield container, _main_stream(container)


class _Source:
    """A file as FFmpeg asks for it: a damaged one makes it ask for places before the beginning, which is no error."""

    def __init__(self, file: Any) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, place: int, whence: int = 0) -> int:
        """The new place; negative, as FFmpeg has it, where there is none such."""
        if whence == 0 and place < 0:
            return -errno.EINVAL
        return int(self._seek(place, whence))


@contextmanager
def _file(source: str | bytes, storage_options: Mapping[str, Any] | None) -> Iterator[Any]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    with open_file(source, block_size=_BLOCK, storage_options=storage_options) as file:
        yield file


def _unreadable(file: Any, detail: str) -> BadVideoError:
    file.seek(0)
    begin = file.read(16)
    if not begin:
        return BadVideoError("empty", "the file has no bytes")
    if begin[4:8] in {b"ftyp", b"mdat", b"wide", b"free"}:
        detail += "; an MP4 whose index is missing, as after a recording that was cut off: recover it with untrunc"
    return BadVideoError("unreadable", f"{detail}; the file begins with {begin!r}")


def _main_stream(container: InputContainer) -> VideoStream:
    found = [s for s in container.streams.video if not s.disposition.value & s.disposition.attached_pic.value]
    if not found:
        raise BadVideoError("unreadable", f"a file of the format {container.format.name} without a video stream")
    stream = container.streams.best("video") or found[0]
    stream = stream if stream in found else found[0]
    if stream.codec_context is None:
        raise BadVideoError("unreadable", "the video's codec has no decoder here; convert it, for instance to H.264")
    if stream.width * stream.height > MAX_PIXELS:
        raise BadVideoError(
            "oversized",
            f"{stream.width} x {stream.height} pixels are declared, more than the {MAX_PIXELS:,} that are allowed",
        )
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    return stream


def declared_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds that a file says its video has; None where it does not say."""
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska: 00:01:02.500000000
    if re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", tag):
        hours, minutes, seconds = tag.split(":")
        return 3600 * Fraction(hours) + 60 * Fraction(minutes) + Fraction(seconds)
    if container.duration and len(container.streams) == 1:  # of the longest stream, which may be the sound
        return Fraction(container.duration, 1_000_000)
    return None
