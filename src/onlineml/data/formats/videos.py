"""Import of a folder of videos: ``<class>/**/video``, or ``{train,val,test}/<class>/**/video``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.folders.layout import layout_of
from onlineml.data.formats.parts import Parts, list_folder, naturally_sorted
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS, stable_split
from onlineml.data.video.video import POLICIES, is_video_name
from onlineml.errors import BadVideoError, DataError
from onlineml.pages import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from onlineml.data.video.frames import ExtractedFrames, FrameStore
    from onlineml.data.video.sampling import Sampling
    from onlineml.storage.location import Location

__all__ = ["VideoFinding", "VideoFindings", "read_videos"]


class VideoFinding(NamedTuple):
    """One finding about one video.

    Attributes:
        video: its path or URL.
        finding: a code of `onlineml.data.video.POLICIES`, ``"duplicate"`` or ``"duplicate_label_conflict"``.
        outcome: ``"usable"``, ``"quarantined"`` or ``"refused"``.
        detail: details of the finding.
    """

    video: str
    finding: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class VideoFindings:
    """Findings about videos; videos without findings have no row.

    Attributes:
        rows: the findings.
        n_videos: number of videos read.
        n_frames: number of frames extracted.
    """

    rows: tuple[VideoFinding, ...]
    n_videos: int
    n_frames: int

    def to_frame(self) -> pd.DataFrame:
        """Return the findings as a table."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame(list(self.rows), columns=list(VideoFinding._fields))

    def __str__(self) -> str:
        n_bad = len({row.video for row in self.rows if row.outcome != "usable"})
        head = f"{count(self.n_frames, 'frame')} of {self.n_videos:,} videos, {n_bad:,} of which cannot be used"
        return "\n".join([head, *(f"  {row.video}: {row.finding} ({row.outcome}): {row.detail}" for row in self.rows)])

    def _repr_html_(self) -> str:
        return table(str(self).partition("\n")[0], VideoFinding._fields, self.rows)


class _Found(NamedTuple):
    url: str
    path: str  # relative to the folder, so that a moved folder is the same data
    label: str | None
    split: str | None
    frames: ExtractedFrames


def read_videos(
    url: Location, *, store: FrameStore, sampling: Sampling, split: str | None = None
) -> tuple[Parts, VideoFindings]:
    """Extract the frames of all videos in a folder; see `Manifest.from_videos`."""
    folder = url.absolute
    listing = list_folder(folder.url, folder.options)
    files = listing.files
    videos = [info for info in files if is_video_name(info.path)]
    if not videos:
        others = (
            f"{count(len(files), 'other file')}, such as {examples(f.path for f in files)}"
            if files
            else "no files at all"
        )
        raise DataError(f"no videos in {folder}: expected {folder}/<class>/<video>, found {others}")
    labels, splits, notes = layout_of([info.path for info in videos], where=str(folder), reading=split)
    found: list[_Found] = []
    rows: list[VideoFinding] = []
    for info, label, own_split in zip(videos, labels, splits, strict=True):
        try:
            frames = store.extract(folder / info.path, sampling=sampling, version=info.version)
        except BadVideoError as error:
            rows.append(VideoFinding(info.url, error.finding, POLICIES[error.finding].outcome, error.detail))
            continue
        rows += [VideoFinding(info.url, *finding) for finding in frames.findings]
        found.append(_Found(info.url, info.path, label, own_split, frames))
    kept = _each_once(found, rows)
    table = _table(kept)
    names = naturally_sorted({video.label for video in kept if video.label is not None})
    findings = VideoFindings(tuple(rows), len(videos), len(table))
    if not kept:
        raise DataError(f"none of the {len(videos):,} videos in {folder} can be used:\n{findings}")
    n_ignored = len(files) + listing.n_junk - len({video.path for video in kept})
    return Parts(table, names, store.root.url, n_ignored, notes=notes), findings


def _each_once(found: Sequence[_Found], rows: list[VideoFinding]) -> list[_Found]:
    """Deduplicate videos by content: identical files count once; with different labels, none of them is used."""
    same: dict[str, list[_Found]] = {}
    for video in found:
        same.setdefault(video.frames.sha256, []).append(video)
    kept = []
    for copies in same.values():
        if len({video.label for video in copies}) > 1:
            said = ", ".join(f"{video.path}: {video.label}" for video in copies)
            rows += [VideoFinding(v.url, "duplicate_label_conflict", "quarantined", said) for v in copies]
            continue
        most_careful = max(copies, key=lambda video: -1 if video.split is None else SPLITS.index(video.split))
        rows += [
            VideoFinding(video.url, "duplicate", "usable", f"the same bytes as {most_careful.path}: used once")
            for video in copies
            if video is not most_careful
        ]
        kept.append(most_careful)
    return kept


def _table(videos: Sequence[_Found]) -> pa.Table:
    tables = []
    for video in videos:
        frames, n = video.frames.table, len(video.frames.table)
        split = video.split or str(stable_split([video.frames.sha256])[0])
        for name, value in (("label", video.label), ("split", split)):
            frames = frames.set_column(frames.column_names.index(name), name, pa.array([value] * n, pa.string()))
        tables.append(frames.append_column("video", pa.array([video.path] * n, pa.string())))
    return pa.concat_tables(tables) if tables else pa.table({})
