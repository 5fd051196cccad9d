"""Videos of a project: their frames become images, one group per video, so that they stay in one split."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.annotations.uploads import checked_split
from onlineml.data.formats.videos import read_videos
from onlineml.data.images.policies import extension
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import stable_split
from onlineml.data.video.frames import FrameStore, hashed_locally
from onlineml.data.video.video import VIDEO_EXTENSIONS
from onlineml.errors import ConfigError, DataError
from onlineml.pages import markup
from onlineml.storage.location import Location, Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.checks.table import Finding
    from onlineml.data.formats.videos import VideoFindings
    from onlineml.data.video.frames import ExtractedFrames, FrameFormat
    from onlineml.data.video.sampling import Sampling
    from onlineml.project.project import Project

__all__ = ["UploadedVideo", "images_of_group", "import_videos", "upload_video"]

Source = str | os.PathLike[str] | bytes


@dataclass(frozen=True)
class UploadedVideo:
    """A video whose frames are images of a project.

    Attributes:
        group: the sha256 of its bytes, the group of its frames.
        video: a path relative to the project's folder, or a path or URL.
        image_ids: of its frames, in order.
        split: of its frames.
        findings: about the video, codes of `onlineml.data.video.POLICIES`.
    """

    group: str
    video: str
    image_ids: tuple[str, ...]
    split: str
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        head = (
            f"{count(len(self.image_ids), 'frame')} of {self.video} in the split {self.split!r}, group "
            f"{self.group[:12]}…"
        )
        return "\n".join([head, *(f"  {code} ({outcome}): {detail}" for code, outcome, detail in self.findings)])

    def _repr_html_(self) -> str:
        return markup("<pre>{}</pre>", self)


def upload_video(
    project: Project,
    source: Source,
    *,
    label: str | None,
    sampling: Sampling,
    split: str | None,
    image_format: FrameFormat,
    keep: bool,
    author: str | None,
) -> UploadedVideo:
    """See `onlineml.Project.images.upload_video`."""
    checked_split(split)
    value = project.kind.of_label(label)
    store = _store(project, image_format)
    place = source if isinstance(source, bytes) else project.location.to(source)
    with hashed_locally(place) as (local, digest):
        frames = store.extract_local(local, digest, sampling=sampling)
        kept = keep or isinstance(place, bytes)
        video = store.keep_local(local, digest, ending=_ending(place)) if kept else str(place)
    chosen = _split_of(project, digest, split)
    table = _with_columns(frames, label=label, split=chosen, video=video)
    _add_frames(project, table, label=label, value=value, author=author)
    return UploadedVideo(digest, video, tuple(frames.image_ids), chosen, frames.findings)


def import_videos(
    project: Project,
    url: str | os.PathLike[str],
    *,
    sampling: Sampling,
    image_format: FrameFormat,
    split: str | None,
    storage_options: Options,
    author: str | None,
) -> VideoFindings:
    """See `onlineml.Project.images.import_videos`."""
    folder = project.location.to(url) if storage_options is None else Location.of(url, storage_options)
    store = _store(project, image_format)
    parts, findings = read_videos(folder, store=store, sampling=sampling, split=split)
    groups, splits = parts.table["group"].to_pylist(), parts.table["split"].to_pylist()
    known = project.labels.state().splits_of_groups(sorted(set(groups)))
    splits = [known.get(group, split) for group, split in zip(groups, splits, strict=True)]
    place = parts.table.column_names.index("split")
    table = parts.table.set_column(place, "split", pa.array(splits, pa.string()))
    table, names = project.kind.with_labels(table, parts.class_names)
    project.add(Manifest(table, names, root=project.url, task=project.task), author=author)
    return findings


def images_of_group(project: Project, group: str) -> list[str]:
    """The ids of the images of a group.

    Raises:
        DataError: the group has no images.
    """
    table = project.labels.state().table
    ids: list[str] = table.filter(pc.equal(table["group"], group))["image_id"].to_pylist()
    if not ids:
        raise DataError(f"{project.location} has no images of the group {group!r}, or all of them were deleted")
    return ids


def _store(project: Project, image_format: FrameFormat) -> FrameStore:
    return FrameStore(project.location, "log/videos", image_format)


def _ending(source: Location | bytes) -> str:
    own = "" if isinstance(source, bytes) else extension(source.url)
    return own if own in VIDEO_EXTENSIONS else ".mp4"


def _split_of(project: Project, group: str, given: str | None) -> str:
    """The split of a video's frames: the existing one, else the given one, else by the hash of the video."""
    known = project.labels.state().splits_of_groups([group]).get(group)
    if known is not None and given is not None and known != given:
        raise ConfigError(
            f"split={given!r}: frames of this video are in the split {known!r} already, and a video has one split: "
            "omit split=, or move all frames first with project.images.move_to_split"
        )
    return known or given or str(stable_split([group])[0])


def _with_columns(frames: ExtractedFrames, *, label: str | None, split: str, video: str) -> pa.Table:
    table, n = frames.table, len(frames.table)
    for name, value in (("label", label), ("split", split)):
        table = table.set_column(table.column_names.index(name), name, pa.array([value] * n, pa.string()))
    return table.append_column("video", pa.array([video] * n, pa.string()))


def _add_frames(project: Project, table: pa.Table, *, label: str | None, value: Any, author: str | None) -> None:
    """Add frames to the project, restore deleted ones, and give existing ones the new label."""
    ids: Sequence[str] = table["image_id"].to_pylist()
    labelled, names = project.kind.with_labels(table, () if label is None else (label,))
    frames = Manifest(labelled, names, root=project.url, task=project.task)
    project.add(frames, author=author)
    state = project.labels.state()
    deleted = set(state.deleted["image_id"].to_pylist())
    if back := [image_id for image_id in ids if image_id in deleted]:
        project.images.restore(back, author=author)
        state = project.labels.state()
    if value is not None:
        order = pc.index_in(frames.table["image_id"], value_set=state.table["image_id"])
        other = project.kind.differ(state.table.take(order), frames.table)
        if changed := frames.table.filter(pa.array(other))["image_id"].to_pylist():
            project.labels.set(dict.fromkeys(changed, value), author=author)
