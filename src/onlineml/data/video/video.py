"""Videos: frames by time or by number, upright and colour-converted, from any storage, without loading the whole file.

Needs PyAV: ``pip install 'av>=18,<19'``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.data.checks.table import Finding
from onlineml.data.images.policies import Policy, extension
from onlineml.data.video.file import opened
from onlineml.data.video.reader import Reader
from onlineml.data.video.sampling import Sampling, chosen, note_losses
from onlineml.errors import BadVideoError
from onlineml.storage.location import Location, Options, Url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from numpy import uint8

__all__ = ["POLICIES", "VIDEO_EXTENSIONS", "Sampling", "Video", "VideoFrame", "VideoInfo", "is_video_name"]

POLICIES: dict[str, Policy] = {
    "empty": Policy("quarantined", "Zero bytes, or no frame that can be decoded: excluded."),
    "unreadable": Policy("quarantined", "Not a video, a playlist of other files, or without a decoder: excluded."),
    "oversized": Policy("refused", "More pixels per frame are declared than allowed: never decoded."),
    "truncated": Policy("usable", "The file is truncated: the frames before the end are used."),
    "damaged": Policy(
        "usable", "Frames cannot be decoded: they and dependent frames are excluded, up to the next key frame."
    ),
    "beyond_end": Policy("usable", "Requested times are after the end: no frame is returned for them."),
    "rotated": Policy("usable", "Stored rotated or mirrored: turned upright by the display matrix, to a right angle."),
    "stretched": Policy("usable", "Stored pixels are not square: the width is scaled so that they are."),
    "interlaced": Policy("usable", "Interlaced fields: used together as one frame, as stored."),
    "hdr": Policy("usable", "High dynamic range (PQ, HLG): converted to sRGB; luminance above 203 cd/m² is white."),
    "alpha": Policy("usable", "Some pixels are transparent: composited on white."),
}
VIDEO_EXTENSIONS = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".mpe",
        ".m2v",
        ".ts",
        ".mts",
        ".m2ts",
        ".wmv",
        ".asf",
        ".flv",
        ".3gp",
        ".3g2",
        ".ogv",
        ".mxf",
        ".dv",
        ".mjpeg",
        ".mjpg",
        ".h264",
        ".264",
        ".hevc",
        ".h265",
        ".265",
        ".vob",
    }
)


def is_video_name(name: str) -> bool:
    """Return whether the extension, in any case, is that of a video format."""
    return extension(name) in VIDEO_EXTENSIONS


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One frame.

    Attributes:
        number: its index among the frames of the video, from 0; after damage, among the remaining frames.
        time_s: time of display in seconds since the first frame.
        pixels: (H, W, 3) uint8 sRGB, upright, C-contiguous.
    """

    number: int
    time_s: float
    pixels: npt.NDArray[uint8]

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<VideoFrame {self.number} at {self.time_s:.3f} s, {width} x {height}>"


@dataclass(frozen=True)
class VideoInfo:
    """Properties that a video file declares.

    Attributes:
        size_hw: height and width of a frame in pixels, upright, as returned by `Video.frames`.
        duration_s: seconds; nan if the file does not declare it.
        frame_rate: average frames per second; nan if the file does not declare it.
        n_frames: number of frames; None if the file does not declare it.
        codec: such as ``"h264"``.
        container: such as ``"mov"``.
    """

    size_hw: tuple[int, int]
    duration_s: float
    frame_rate: float
    n_frames: int | None
    codec: str
    container: str


class Video:
    """A video file. It is opened on each access, so that the object can be pickled and sent to a worker.

    Args:
        source: a path or URL, or the bytes of a file.
        storage_options: options for opening the URL.

    Attributes:
        name: name for messages: the path or URL, or ``"bytes"``.
        findings: findings of the last call of `frames` so far: codes of `POLICIES` with details.
    """

    def __init__(self, source: Url | bytes, *, storage_options: Options = None) -> None:
        self.source = source if isinstance(source, bytes) else Location.of(source, storage_options)
        self.name = "bytes" if isinstance(self.source, bytes) else str(self.source)
        self.findings: tuple[Finding, ...] = ()

    def info(self) -> VideoInfo:
        """Return the properties that the file declares; decodes its first frame.

        Raises:
            BadVideoError: the file is not a video that can be decoded.
            NotFoundError: the file does not exist.
        """
        first = next(self.frames(), None)
        with opened(self.source) as (container, stream):
            reader = Reader(container, stream)
            rate = stream.average_rate or stream.guessed_rate
            return VideoInfo(
                size_hw=(0, 0) if first is None else (first.pixels.shape[0], first.pixels.shape[1]),
                duration_s=math.nan if reader.duration is None else float(reader.duration),
                frame_rate=float(rate) if rate else math.nan,
                n_frames=stream.frames or None,
                codec=stream.codec_context.codec.canonical_name,
                container=container.format.name.split(",")[0],
            )

    def frames(
        self,
        *,
        every_s: float | None = None,
        every_n: int | None = None,
        times_s: Sequence[float] | None = None,
    ) -> Iterator[VideoFrame]:
        """Yield frames in display order, one at a time.

        Set one of ``every_s``, ``every_n`` and ``times_s``, or none for all frames. In MP4 and QuickTime files, the
        frames between distant times are skipped; in other files all frames are decoded. Damage does not end the
        iteration: decodable frames are returned, and `findings` describe the rest.

        Args:
            every_s: interval in seconds; selects the frames displayed at 0, ``every_s``, 2 ``every_s``, …
            every_n: selects each ``every_n``-th frame, starting with the first.
            times_s: selects the frames displayed at these times in seconds, in any order; they are returned sorted,
                each once.

        Raises:
            ConfigError: two arguments are set, or a number is not positive and finite.
            BadVideoError: no frame can be decoded.
            NotFoundError: the file does not exist.
            StorageError: reading failed.
        """
        return self.sampled(Sampling(every_s=every_s, every_n=every_n, times_s=times_s))

    def sampled(self, sampling: Sampling) -> Iterator[VideoFrame]:
        """Yield frames as `frames` does, for a given selection."""
        from onlineml.data.video.pixels import Painter  # noqa: PLC0415 (decoders are loaded only to decode)

        self.findings = ()
        notes: dict[str, str] = {}

        def note(code: str, detail: str = "") -> None:
            if detail or code not in notes:
                notes[code] = detail or POLICIES[code].text
                self.findings = tuple(Finding(c, POLICIES[c].outcome, d) for c, d in notes.items())

        with opened(self.source) as (container, stream):
            reader = Reader(container, stream)
            painter = Painter(aspect=stream.sample_aspect_ratio, note=note)
            for shown in chosen(reader, sampling, note):
                yield VideoFrame(shown.number, float(shown.time), painter.rgb(shown.frame))
                note_losses(reader, note)
            note_losses(reader, note)
            if reader.end == 0:
                raise BadVideoError("empty", f"no frame of {self.name} can be decoded")

    def __repr__(self) -> str:
        return f"Video({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source,)
