"""Video frames as images: extracted once, stored under the hash of their bytes, with one group per video.

A small note file records what was extracted from a video, so that a repeated request reads none of the video, and an
interrupted import of a thousand videos continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa

from onlineml.data.annotations.state import parquet_bytes
from onlineml.data.checks.table import Finding
from onlineml.data.manifest.schema import COLUMNS
from onlineml.data.video.sampling import Sampling
from onlineml.data.video.video import Video
from onlineml.errors import ConfigError
from onlineml.storage import io
from onlineml.storage.documents import decoded, parquet_table
from onlineml.storage.location import Location, Options, Url

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from numpy import uint8


__all__ = ["ExtractedFrames", "FrameFormat", "FrameStore", "frame_id", "frame_sampling"]
__all__ += ["hashed_locally"]

FrameFormat = Literal["jpeg", "png"]

_LAYOUT = 1  # version of the notes and of the frame encoding: increase it when either changes
_WRITERS = 16
_AHEAD = 2 * _WRITERS  # frames in memory
_HASHED = 8 << 20  # bytes per read
_EVERY_S = 0.5  # closer frames look almost the same
_QUALITY = 95  # JPEG quality with invisible differences; half a megabyte for a frame of 1920 x 1080
_FRAMES = pa.schema([*COLUMNS.items(), ("time_s", pa.float64()), ("frame", pa.int64())])


def frame_id(video_sha256: str, time_s: float) -> str:
    """Return the image id of a frame, 32 hex digits; it depends only on the video and the time, not on the decoder."""
    text = f"{video_sha256}\0{round(time_s * 1_000_000)}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def frame_sampling(*, every_s: float | None, every_n: int | None) -> Sampling:
    """Return the selection of frames to import; by default one every half second."""
    return Sampling(every_s=_EVERY_S if every_s is None and every_n is None else every_s, every_n=every_n)


class _Note(msgspec.Struct):
    """The facts that are noted beside the table of a video's frames."""

    sha256: str
    findings: list[tuple[str, Any, str]]


@dataclass(frozen=True)
class ExtractedFrames:
    """The frames of one video.

    Attributes:
        table: one row per frame: the columns of a manifest, without splits and labels, and ``time_s`` and ``frame``
            (its number); the group is the video's hash.
        sha256: hash of the video's bytes.
        findings: findings about the video, with codes of `onlineml.data.video.POLICIES`.
    """

    table: pa.Table
    sha256: str
    findings: tuple[Finding, ...]

    @property
    def image_ids(self) -> list[str]:
        """Image ids in the order of the frames."""
        return list(self.table["image_id"].to_pylist())


class FrameStore:
    """Storage of frames: ``<root>/blobs/<ab>/<sha256>.jpg``, with notes of extracted frames in ``<root>/<notes>/``.

    Attributes:
        root: location of a folder; the uris of the frames are relative to it.
        notes: the folder of the notes, relative to the root.
        format: ``"jpeg"`` (quality 95, no chroma subsampling) or ``"png"`` (lossless, several times as large).
    """

    def __init__(
        self,
        root: Url,
        notes: str = "videos",
        format: FrameFormat = "jpeg",  # noqa: A002 (it is what people call it)
        *,
        storage_options: Options = None,
    ) -> None:
        if format not in {"jpeg", "png"}:
            raise ConfigError(f"format={format!r}: expected 'jpeg' or 'png'")
        self.root = Location.of(root, storage_options)
        self.notes, self.format = notes, format

    def extract(
        self,
        source: Url | bytes,
        *,
        sampling: Sampling,
        version: str = "",
        storage_options: Options = None,
    ) -> ExtractedFrames:
        """Extract frames, unless that was done before.

        Args:
            source: a path or URL, or the bytes of a file.
            sampling: the selection of frames.
            version: the store's tag of the source's content, which identifies it without reading it; ``""`` if unknown.
            storage_options: options for opening the source.

        Raises:
            BadVideoError: no frame can be decoded.
            NotFoundError: the source does not exist.
            StorageError: reading or writing failed.
        """
        place = source if isinstance(source, bytes) else Location.of(source, storage_options)
        by_version = ""
        if version and isinstance(place, Location):
            by_version = self._note("version", place.url, version, sampling)
        found = self._noted(by_version) if by_version else None
        if found is not None:
            return found
        with hashed_locally(place) as (local, digest):
            found = self.extract_local(local, digest, sampling=sampling)
        if by_version:
            self._keep(by_version, found)
        return found

    def extract_local(self, local: str | bytes, digest: str, *, sampling: Sampling) -> ExtractedFrames:
        """Extract frames as `extract` does, from the results of `hashed_locally`."""
        note = self._note("content", digest, "", sampling)
        found = self._noted(note)
        if found is None:
            found = self._extracted(Video(local), digest, sampling)
            self._keep(note, found)
        return found

    def keep_local(self, local: str | bytes, digest: str, *, ending: str) -> str:
        """Store the video itself under the hash of its bytes; return its uri, relative to the root."""
        uri = f"blobs/{digest[:2]}/{digest}{ending}"
        url = self.root / uri
        if not io.exists(url):
            if isinstance(local, bytes):
                io.write_bytes(url, local)
            else:
                io.upload_file(local, url)
        return uri

    def _extracted(self, video: Video, digest: str, sampling: Sampling) -> ExtractedFrames:
        rows: list[dict[str, Any]] = []
        with ThreadPoolExecutor(_WRITERS) as pool:
            pending: deque[Future[dict[str, Any]]] = deque()
            for frame in video.sampled(sampling):
                facts = {"image_id": frame_id(digest, frame.time_s), "group": digest, "version": ""}
                told = {**facts, "time_s": frame.time_s, "frame": frame.number}
                pending.append(pool.submit(self._put, frame.pixels, told))
                if len(pending) == _AHEAD:
                    rows.append(pending.popleft().result())
            rows += [future.result() for future in pending]
        return ExtractedFrames(pa.Table.from_pylist(rows, schema=_FRAMES), digest, video.findings)

    def _put(self, pixels: npt.NDArray[uint8], facts: dict[str, Any]) -> dict[str, Any]:
        data = _encoded(pixels, self.format)
        digest = hashlib.sha256(data).hexdigest()
        uri = f"blobs/{digest[:2]}/{digest}.{'jpg' if self.format == 'jpeg' else 'png'}"
        url = self.root / uri
        if not io.exists(url):
            io.write_bytes(url, data)
        return {**facts, "uri": uri, "sha256": digest, "width": pixels.shape[1], "height": pixels.shape[0]}

    def _note(self, kind: str, what: str, version: str, sampling: Sampling) -> str:
        text = "\0".join([kind, what, version, str(sampling), self.format, str(_LAYOUT)])
        return f"{self.notes}/{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.parquet"

    def _noted(self, name: str) -> ExtractedFrames | None:
        url = self.root / name
        if not io.exists(url):
            return None
        table = parquet_table(io.read_bytes(url), url)
        facts = decoded((table.schema.metadata or {}).get(b"onlineml", b""), _Note, url)
        return ExtractedFrames(
            table.replace_schema_metadata(None), facts.sha256, tuple(Finding(*one) for one in facts.findings)
        )

    def _keep(self, name: str, found: ExtractedFrames) -> None:
        facts = json.dumps({"sha256": found.sha256, "findings": found.findings})
        data = parquet_bytes(found.table.replace_schema_metadata({"onlineml": facts}))
        io.write_bytes(self.root / name, data)


def _encoded(pixels: npt.NDArray[uint8], image_format: FrameFormat) -> bytes:
    import cv2  # noqa: PLC0415 (decoders are loaded only where needed)

    bgr = pixels[:, :, ::-1]
    if image_format == "png":
        return bytes(cv2.imencode(".png", bgr)[1])
    full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, *full])[1])


@contextmanager
def hashed_locally(source: Location | bytes) -> Iterator[tuple[str | bytes, str]]:
    """Yield a video that allows random access, and its sha256: a file on this machine's disk, or the given bytes."""
    if isinstance(source, bytes):
        yield source, hashlib.sha256(source).hexdigest()
        return
    with tempfile.TemporaryDirectory(prefix="onlineml-video-") as folder:
        local = source.local
        if local is None:
            local = str(Path(folder) / "video")
            io.download_file(source, local)
        elif not Path(local).is_file():
            io.read_bytes(local)  # raises the appropriate error
        digest = hashlib.sha256()
        with open(local, "rb") as file:  # noqa: PTH123 (as all of storage opens files)
            while piece := file.read(_HASHED):
                digest.update(piece)
        yield local, digest.hexdigest()
