"""Images of a project: uploaded, deleted and restored, moved to other splits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from onlineml.data.annotations import edits
from onlineml.project.part import ProjectPart
from onlineml.registry.promotions import default_author

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

__all__ = ["ProjectImages"]


class ProjectImages(ProjectPart):
    """Images of a project, ``project.images``."""

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

        A new label becomes a new class. An existing image (uploaded, or imported and read since) gets the given label
        or boxes; without any, it keeps its own.

        Args:
            sources: paths, URLs or the bytes of image files; one or several.
            label: for classification, of all images; None if unknown.
            boxes: for detection, a pair (boxes_xyxy, labels), or None, for each source, or for the only one; boxes are
                (n, 4) pixels of the upright image. ``([], [])`` means no objects, None not annotated.
            labels: for multi-label, of all images; ``[]`` means that none applies.
            split: ``"train"``, ``"val"`` or ``"test"``; by default the group's, or else by the group's hash.
            group: images of one group (a video, an animal) stay in one split; by default each is its own.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            The image ids, in the order of the sources.

        Raises:
            BadImageError: images are unusable; all are named, and nothing was added.
            DataError: boxes are invalid; nothing was added.
        """
        project = self._project
        annotation = project.kind.argument_of({"label": label, "boxes": boxes, "labels": labels}, of="upload")
        return project.annotation_log.upload(
            sources, annotation=annotation, split=split, group=group, author=default_author(author)
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
        """Store the usable files among images, zip archives, videos, and folders of these.

        File types are detected from the content. Unusable files (other types, damaged images, archive members with
        unsafe paths, decompression bombs) are listed in the result; see `onlineml.data.images.archives`.

        Args:
            sources: paths, URLs or the bytes of files; paths or URLs of folders; one or several.
            label: for classification, of all images; None if unknown.
            labels_from_folders: take the label from the name of an image's folder; within an archive, from its class
                folder, as `Manifest.from_folders` finds it. A photo in two of them is listed, and has no label.
            split: ``"train"``, ``"val"`` or ``"test"``; by default by hashes, see `upload`.
            every_s: seconds between two frames of a video; by default 0.5.
            author: of the entries; by default the user of the hub or the machine.

        Raises:
            ConfigError: a label was given for detection.
        """
        from onlineml.project.intake import named, upload_files  # noqa: PLC0415 (decoders are loaded only to decode)

        self._project.kind.of_label("" if labels_from_folders else label)  # raises for detection
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
        """Add frames of a video as images, in one group, so that they stay in one split.

        The group is the sha256 of the video's bytes, see `of_group`. Repeating it adds nothing; further frames of a
        known video join its group, and deleted frames are restored. The columns ``video``, ``time_s`` and ``frame`` of
        a dataset give an image's origin.

        Args:
            source: a path or URL, or the bytes of a video file.
            label: for classification, of all frames; None if unknown.
            every_s: seconds between two frames; by default 0.5, if ``every_n`` is not given either.
            every_n: each ``every_n``-th frame.
            split: ``"train"``, ``"val"`` or ``"test"``; by default by the hash of the video.
            image_format: ``"jpeg"``, or ``"png"``, which is lossless and several times as large.
            keep: store the video too, and not only its URL.
            author: of the entries; by default the user of the hub or the machine.

        Raises:
            BadVideoError: no frame can be decoded. A truncated or damaged video gives its decodable frames, with
                findings in the result.
            ConfigError: a label was given for detection, or the video's frames are in another split.
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
        split: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        author: str | None = None,
    ) -> VideoFindings:
        """Add frames of all videos in a folder as images; see `onlineml.Manifest.from_videos`.

        The videos stay where they are; a video that was imported before is not read again.

        Args:
            url: the folder, with one subfolder per class, optionally below splits.
            every_s: seconds between two frames; by default 0.5, if ``every_n`` is not given either.
            every_n: each ``every_n``-th frame.
            image_format: ``"jpeg"`` or ``"png"``.
            split: ``"folders"`` or ``"hash"``, where folders can be splits or classes; see `Manifest.from_folders`.
            storage_options: of the folder; by default the project's, if it is on the same kind of storage.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            Findings about the videos, such as unusable or truncated ones.

        Raises:
            DataError: the folder has no usable videos.
        """
        from onlineml.data.video.frames import frame_sampling  # noqa: PLC0415 (decoders are loaded only to decode)
        from onlineml.project.frames import import_videos  # noqa: PLC0415 (decoders are loaded only to decode)

        return import_videos(
            self._project,
            url,
            sampling=frame_sampling(every_s=every_s, every_n=every_n),
            image_format=image_format,
            split=split,
            storage_options=storage_options,
            author=author,
        )

    def of_group(self, group: str) -> list[str]:
        """List the ids of all images of a group, such as a whole video, for `delete` or `Project.labels.set`.

        Raises:
            DataError: the group has no images.
        """
        from onlineml.project.frames import images_of_group  # noqa: PLC0415 (decoders are loaded only to decode)

        return images_of_group(self._project, group)

    def delete(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Exclude images from all later datasets; their bytes and history are kept. `restore` undoes it."""
        return self._project.append_entries(partial(edits.deleted, image_ids=edits.ids_of(images)), author)

    def restore(self, images: str | Iterable[str], *, author: str | None = None) -> list[str]:
        """Restore deleted images.

        Raises:
            DataError: an image is not deleted; ``project.labels.state().deleted`` lists those that are.
        """
        return self._project.append_entries(partial(edits.restored, image_ids=edits.ids_of(images)), author)

    def moved(
        self, old_url: str | os.PathLike[str], new_url: str | os.PathLike[str], *, author: str | None = None
    ) -> int:
        """Give imported images their new addresses, after their folder was moved or copied elsewhere.

        They keep their ids, annotations, groups and splits; `Project.freeze` then stores the new addresses in the
        dataset. Images that are not in the new folder keep their old address.

        Args:
            old_url: the folder in which the images were.
            new_url: the folder in which they are, under the same names.
            author: of the entry; by default the user of the hub or the machine.

        Returns:
            The number of images with a new address.

        Raises:
            DataError: the project has no images in the old folder, none of them is in the new one, or some have another
                content there: then nothing is changed.
        """
        return self._project.annotation_log.readdress(old_url, new_url, author=default_author(author))

    def move_to_split(self, splits: Mapping[str, str | None], *, reason: str, author: str | None = None) -> list[str]:
        """Move images, each with all images of its group, to other splits.

        Scores from before and after are not comparable: a model may have been trained on images that are now in the
        test split. `Project.datasets.changes` shows it.

        Args:
            splits: ``"train"``, ``"val"`` or ``"test"`` by image id; None: in no split, so that no model is trained,
                validated or tested on it.
            reason: for the log.
            author: of the entries; by default the user of the hub or the machine.

        Returns:
            The ids of the log's new entries, one for each group that was not in its new split already.

        Raises:
            ConfigError: the reason is empty, or a split is unknown.
            DataError: an image is not in the project, or images of one group have different splits.
        """
        return self._project.append_entries(partial(edits.moved, splits=splits, reason=reason), author)
