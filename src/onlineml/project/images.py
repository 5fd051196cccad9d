"""Images of a project: uploaded, deleted and restored, moved to other splits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from onlineml.data.annotations import edits
from onlineml.project.say import author_or_user, say

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from onlineml.data.annotations.boxes import BoxesClaim
    from onlineml.data.annotations.uploads import Source
    from onlineml.data.formats.videos import VideoFindings
    from onlineml.data.video.frames import FrameFormat
    from onlineml.project.frames import UploadedVideo
    from onlineml.project.intake import UploadedFiles
    from onlineml.project.project import Project

__all__ = ["ProjectImages"]


class ProjectImages:
    """Images of a project, ``project.images``."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def upload(
        self,
        sources: Source | Sequence[Source],
        *,
        label: str | None = None,
        boxes: BoxesClaim | Sequence[BoxesClaim | None] | None = None,
        labels: Sequence[str] | None = None,
        split: str | None = None,
        group: str | None = None,
        author: str | None = None,
    ) -> list[str]:
        """Store images in the project, under the hash of their bytes: the same bytes are stored once.

        A new label becomes a new class. An image that is there already, be it uploaded or imported and read since, gets
        this label, or these boxes; where none are given, it keeps what it has.

        Args:
            sources: paths, URLs or the bytes of image files; one or several.
            label: of all of them, where the task is classification; None where it is not known yet.
            boxes: where the task is detection: a pair (boxes_xyxy, labels), or None, for each source, or for the only
                one; boxes are (n, 4) pixels of the upright image. An image without objects has no boxes,
                ``([], [])``; None: nobody annotated it yet.
            labels: of all of them, where images have several labels; none, ``[]``: none applies.
            split: ``"train"``, ``"val"`` or ``"test"``; by default the group's, or else decided by the group's hash.
            group: images of one group (a video, an animal) stay in one split; by default each is its own.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The image ids, in the order of the sources.

        Raises:
            BadImageError: images cannot be used; all are named, and nothing was added.
            DataError: boxes cannot be used; nothing was added.
        """
        project = self._project
        annotation = project.kind.argument_of({"label": label, "boxes": boxes, "labels": labels}, of="upload")
        return project.annotation_log.upload(
            sources, annotation=annotation, split=split, group=group, author=author_or_user(author)
        )

    def upload_files(
        self,
        sources: Source | Sequence[Source],
        *,
        label: str | None = None,
        labels_from_folders: bool = False,
        split: str | None = None,
        every_s: float | None = None,
        author: str | None = None,
    ) -> UploadedFiles:
        """Store whatever is usable of some files: images, zip archives of them, videos, folders of all these.

        What a file is, its content says. What cannot be used (other kinds, damaged images, paths that lead out of an
        archive, bombs) is refused by name and stops nothing; see `onlineml.data.images.archives`.

        Args:
            sources: paths, URLs or the bytes of files; paths or URLs of folders; one or several.
            label: of all of them, where the task is classification; None where it is not known yet.
            labels_from_folders: the label is the name of the folder that an image is in, also within an archive.
            split: ``"train"``, ``"val"`` or ``"test"``; by default decided by hashes, see `upload`.
            every_s: seconds between two frames of a video; half a second by default.
            author: who says so; by default the user of the hub or the machine.

        Raises:
            ConfigError: a label where the task is detection.
        """
        from onlineml.project.intake import named, upload_files  # noqa: PLC0415 (decoders are loaded only to decode)

        self._project.kind.of_label("" if labels_from_folders else label)  # refuses one where it would say too little
        return upload_files(
            self._project,
            named(sources),
            label=label,
            labels_from_folders=labels_from_folders,
            split=split,
            every_s=every_s,
            author=author,
        )

    def upload_video(
        self,
        source: Source,
        *,
        label: str | None = None,
        every_s: float | None = None,
        every_n: int | None = None,
        split: str | None = None,
        image_format: FrameFormat = "jpeg",
        keep: bool = True,
        author: str | None = None,
    ) -> UploadedVideo:
        """Make frames of a video images of the project, in one group, so that they never straddle a split.

        The group is named by the hash of the video's bytes: see `of_group`. Doing it again adds
        nothing; other frames of a video that is there already join it. Frames that were deleted come back. The columns
        ``video``, ``time_s`` and ``frame`` of a dataset tell where an image comes from.

        Args:
            source: a path or URL, or the bytes of a video file.
            label: of all frames, where the task is classification; None where it is not known yet.
            every_s: seconds between two frames; half a second if neither this nor ``every_n`` is given.
            every_n: each ``every_n``-th frame.
            split: ``"train"``, ``"val"`` or ``"test"``; by default decided by the hash of the video.
            image_format: ``"jpeg"``, or ``"png"``, which loses nothing and is several times as large.
            keep: store the video too; without it, only where it was is noted.
            author: who says so; by default the user of the hub or the machine.

        Raises:
            BadVideoError: not one frame can be decoded. A video that is cut off or damaged gives the frames that it
                has, and the result says so.
            ConfigError: a label where the task is detection, or another split than that of its frames.
        """
        from onlineml.data.video.frames import frame_sampling  # noqa: PLC0415 (decoders are loaded only to decode)
        from onlineml.project.frames import upload_video  # noqa: PLC0415 (decoders are loaded only to decode)

        return upload_video(
            self._project,
            source,
            label=label,
            sampling=frame_sampling(every_s=every_s, every_n=every_n),
            split=split,
            image_format=image_format,
            keep=keep,
            author=author,
        )

    def import_videos(
        self,
        url: str | os.PathLike[str],
        *,
        every_s: float | None = None,
        every_n: int | None = None,
        image_format: FrameFormat = "jpeg",
        storage_options: Mapping[str, Any] | None = None,
        author: str | None = None,
    ) -> VideoFindings:
        """Make frames of all videos in a folder images of the project; see `onlineml.Manifest.from_videos`.

        The videos stay where they are; no video that was seen before is read again.

        Args:
            url: the folder: a subfolder per class, and, if wanted, per split.
            every_s: seconds between two frames; half a second if neither this nor ``every_n`` is given.
            every_n: each ``every_n``-th frame.
            image_format: ``"jpeg"`` or ``"png"``.
            storage_options: open the folder; by default the project's, where it is on the same kind of storage.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            What was found about the videos: those that cannot be used, that are cut off, and so on.

        Raises:
            DataError: no videos are there, or not one of them can be used.
        """
        from onlineml.data.video.frames import frame_sampling  # noqa: PLC0415 (decoders are loaded only to decode)
        from onlineml.project.frames import import_videos  # noqa: PLC0415 (decoders are loaded only to decode)

        return import_videos(
            self._project,
            url,
            sampling=frame_sampling(every_s=every_s, every_n=every_n),
            image_format=image_format,
            storage_options=storage_options,
            author=author,
        )

    def of_group(self, group: str) -> list[str]:
        """List the ids of all images of a group, such as a whole video, for `delete` or `Project.labels.set`.

        Raises:
            DataError: there are no images of this group.
        """
        from onlineml.project.frames import images_of_group  # noqa: PLC0415 (decoders are loaded only to decode)

        return images_of_group(self._project, group)

    def delete(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Leave images out of all further datasets; their bytes and history stay. `restore` brings them back."""
        return say(self._project, partial(edits.deleted, image_ids=edits.ids_of(images)), author)

    def restore(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Bring deleted images back, as they were.

        Raises:
            DataError: an image is not among those deleted, which are in ``project.labels.state().deleted``.
        """
        return say(self._project, partial(edits.restored, image_ids=edits.ids_of(images)), author)

    def move_to_split(self, splits: Mapping[str, str], *, reason: str, author: str | None = None) -> list[str]:
        """Move images, each with all images of its group, to other splits.

        Scores from before cannot be compared with scores from after: a model may have learnt what it is tested on now.
        `Project.datasets.changes` shows it.

        Args:
            splits: ``"train"``, ``"val"`` or ``"test"`` by image id.
            reason: why, for those who wonder about the scores.
            author: who says so; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries, one for each group that was not there already.

        Raises:
            ConfigError: no reason, or a split that is none.
            DataError: an image is not in the project, or images of one group are to go to different splits.
        """
        return say(self._project, partial(edits.moved, splits=splits, reason=reason), author)
