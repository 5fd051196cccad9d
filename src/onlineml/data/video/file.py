"""Opening of video files on any storage, without access to other files that a video may refer to."""

from __future__ import annotations

import errno
import io
import re
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from onlineml.data.video.pixels import MAX_PIXELS
from onlineml.errors import BadVideoError, MissingDependencyError
from onlineml.storage.filesystems import translated
from onlineml.storage.io import open_file
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["declared_duration", "opened", "require_av"]

# No playlists (hls, dash, concat, image2): they make FFmpeg open any other file or address that they name.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,ivf,obu,flv,asf,ogg,gif,mjpeg,mxf,dv,rm,nut,"
    "yuv4mpegpipe"
)
_BUFFER = 1 << 20  # bytes per FFmpeg read: each costs a call into Python, or a request
_BLOCK = 4 << 20  # bytes per request to remote storage


def require_av() -> Any:
    """Import PyAV, with FFmpeg's log off.

    Older releases of torchvision turn the log on. A decoder thread that logs waits for the interpreter, which waits for
    that thread when a video is closed: a deadlock.

    Raises:
        MissingDependencyError: PyAV is not installed.
    """
    try:
        import av  # noqa: PLC0415 (an optional dependency)
    except ImportError as error:
        raise MissingDependencyError("videos need PyAV: pip install 'av>=18,<19'") from error
    av.logging.set_level(None)
    return av


@contextmanager
def opened(source: Location | bytes) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and yield its container and main video stream; errors within the block become onlineml errors.

    Raises:
        BadVideoError: the file is not a video that can be decoded.
        NotFoundError: the file does not exist.
        StorageError: reading failed.
    """
    av = require_av()
    place = Location("bytes") if isinstance(source, bytes) else source
    with translated(place), _file(source) as file:
        options = {"format_whitelist": _FORMATS, "max_pixels": str(MAX_PIXELS)}
        try:
            container = av.open(_Source(file), "r", options=options, metadata_errors="replace", buffer_size=_BUFFER)
        except av.FFmpegError as error:
            raise _unreadable(file, str(error.strerror)) from error
        with container:
            yield container, _main_stream(container)


class _Source:
    """File object for FFmpeg, which in damaged files seeks to negative positions; those are not errors."""

    def __init__(self, file: Any) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, place: int, whence: int = 0) -> int:
        """Return the new position, or FFmpeg's negative error code for an invalid one."""
        if whence == 0 and place < 0:
            return -errno.EINVAL
        return int(self._seek(place, whence))


def _file(source: Location | bytes) -> AbstractContextManager[Any]:
    return io.BytesIO(source) if isinstance(source, bytes) else open_file(source, block_size=_BLOCK)


def _unreadable(file: Any, detail: str) -> BadVideoError:
    file.seek(0)
    begin = file.read(16)
    if not begin:
        return BadVideoError("empty", "the file has no bytes")
    if begin[4:8] in {b"ftyp", b"mdat", b"wide", b"free"}:
        detail += "; an MP4 without its index, as after an interrupted recording: recover it with untrunc"
    return BadVideoError("unreadable", f"{detail}; the file begins with {begin!r}")


def _main_stream(container: InputContainer) -> VideoStream:
    found = [s for s in container.streams.video if not s.disposition.value & s.disposition.attached_pic.value]
    if not found:
        raise BadVideoError("unreadable", f"the file of format {container.format.name} has no video stream")
    stream = container.streams.best("video") or found[0]
    stream = stream if stream in found else found[0]
    if stream.codec_context is None:
        raise BadVideoError("unreadable", "the video's codec has no decoder here; convert it, for instance to H.264")
    if stream.width * stream.height > MAX_PIXELS:
        raise BadVideoError(
            "oversized",
            f"the file declares {stream.width} x {stream.height} pixels; at most {MAX_PIXELS:,} are allowed",
        )
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    return stream


def declared_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the duration in seconds that a file declares for its video; None if it declares none."""
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska: 00:01:02.500000000
    if re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", tag):
        hours, minutes, seconds = tag.split(":")
        return 3600 * Fraction(hours) + 60 * Fraction(minutes) + Fraction(seconds)
    if container.duration and len(container.streams) == 1:  # the longest stream's duration, which may be the audio's
        return Fraction(container.duration, 1_000_000)
    return None
