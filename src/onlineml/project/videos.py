"""Videos of a project: `Project` has these methods, `onlineml.project.frames` does the work."""
# ruff: noqa: PLC0415 - decoders are loaded only to decode

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Any

    from onlineml.data.formats.videos import VideoFindings
    from onlineml.data.video.frames import FrameFormat
    from onlineml.project.frames import Source, UploadedVideo
    from onlineml.project.project import Project

__all__ = ["ProjectVideos"]


class ProjectVideos:
    """Videos, and groups of images."""

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

        The group is named by the hash of the video's bytes: see `relabel_group` and `delete_group`. Doing it again adds
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
        from onlineml.data.video.frames import frame_sampling
        from onlineml.project.frames import upload_video

        return upload_video(
            cast("Project", self),
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
        from onlineml.data.video.frames import frame_sampling
        from onlineml.project.frames import import_videos

        return import_videos(
            cast("Project", self),
            url,
            sampling=frame_sampling(every_s=every_s, every_n=every_n),
            image_format=image_format,
            storage_options=storage_options,
            author=author,
        )

    def relabel_group(self, group: str, label: str | None, *, author: str | None = None) -> list[str]:
        """Correct the label of all images of a group, such as a whole video; see `Project.relabel_many`.

        Raises:
            DataError: there are no images of this group.
            UnknownClassError: the label is none of the project's classes; see `Project.add_class`.
        """
        from onlineml.project.frames import images_of_group

        project = cast("Project", self)
        return project.relabel_many(dict.fromkeys(images_of_group(project, group), label), author=author)

    def delete_group(self, group: str, *, author: str | None = None) -> list[str]:
        """Leave all images of a group, such as a whole video, out of further datasets; see `Project.delete`.

        Raises:
            DataError: there are no images of this group.
        """
        from onlineml.project.frames import images_of_group

        project = cast("Project", self)
        return project.delete(images_of_group(project, group), author=author)
