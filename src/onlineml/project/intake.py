"""Intake of untrusted files into a project: images, zip archives and videos, whatever their names.

Unusable files are reported and skipped; `onlineml.Project.images.upload` is strict.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.formats.folders.layout import layout_of
from onlineml.data.images.archives import read_zip, zip_folders
from onlineml.data.images.decode import decode, is_image_name, sniff
from onlineml.data.images.headers import sniff_archive
from onlineml.data.images.policies import is_junk
from onlineml.data.video.video import is_video_name
from onlineml.errors import BadImageError, DataError, NotFoundError
from onlineml.pages import markup
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from onlineml.project.project import Project
    from onlineml.storage.location import Location

__all__ = ["UploadedFiles", "class_folders", "named", "upload_files"]

Source = str | os.PathLike[str] | bytes

_BATCH_IMAGES = 32  # per entry of the log
_BATCH_BYTES = 64 << 20  # in memory
_MIN_SIDE = 32  # images are only decoded to see whether they can be
_HEAD = 512  # bytes to detect the format of an image or an archive


@dataclass(frozen=True)
class UploadedFiles:
    """The result of uploading files.

    Attributes:
        image_ids: of the images that were added or existed already, in the order of the files.
        added: number of images by file.
        refused: reason by name of the refused file.
    """

    image_ids: tuple[str, ...]
    added: Mapping[str, int]
    refused: Mapping[str, str]

    def to_frame(self) -> pd.DataFrame:
        """One row per file: ``file``, ``images`` and ``refused``."""
        import pandas as pd  # noqa: PLC0415

        rows = [(name, n, self.refused.get(name, "")) for name, n in self.added.items()]
        rows += [(name, 0, reason) for name, reason in self.refused.items() if name not in self.added]
        return pd.DataFrame(rows, columns=["file", "images", "refused"])

    def __str__(self) -> str:
        head = (
            f"{count(len(self.image_ids), 'image')} of {len(self.added):,} files; "
            f"{count(len(self.refused), 'file')} refused"
        )
        return "\n".join([head, *(f"  {name}: {reason}" for name, reason in self.refused.items())])

    def _repr_html_(self) -> str:
        return markup("<pre>{}</pre>", self)


@dataclass
class _Intake:
    """Takes files one by one, and uploads images in batches."""

    project: Project
    label: str | None
    from_folders: bool
    split: str | None
    every_s: float | None
    author: str | None
    told: Callable[[int], None]
    ids: list[str] = field(default_factory=list)
    added: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    _waiting: list[tuple[str, bytes]] = field(default_factory=list)  # of one annotation
    _annotation_waiting: Any = None
    _sets: dict[bytes, set[str]] = field(default_factory=dict)  # labels of contents that came in several folders
    _labels: dict[bytes, tuple[str, str | None]] = field(default_factory=dict)  # the file and label of a content

    def take(self, name: str, source: Location | bytes) -> None:
        """Take one file of any type."""
        try:
            head = source[:_HEAD] if isinstance(source, bytes) else _head(source)
            if (archive := sniff_archive(head)) == "zip":
                self._take_zip(name, source)
            elif sniff(head) is not None:
                content = source if isinstance(source, bytes) else io.read_bytes(source)
                self.take_image(name, content, self._label_of(name))
            elif is_video_name(name):
                self._take_video(name, source, self._label_of(name))
            elif archive is not None:
                self.refused[name] = f"{archive} archive: unpack it, and pass its folder, or pack it as .zip"
            else:
                self.refused[name] = "neither an image, a zip archive nor a video" if head else "the file is empty"
        except (DataError, NotFoundError) as error:
            self.refused[name] = str(error)

    def _take_zip(self, name: str, source: Location | bytes) -> None:
        folders = partial(_class_folders, where=name) if self.from_folders else None
        for one in read_zip(source, wanted=_is_wanted, folders=folders):
            full = f"{name}/{one.name}"
            if one.refused:
                self.refused[full] = one.refused
                continue
            label = (one.folder.strip() or self.label) if self.from_folders else self.label
            if is_video_name(one.name) and sniff(one.content[:_HEAD]) is None:
                try:
                    self._take_video(full, one.content, label)
                except DataError as error:
                    self.refused[full] = str(error)
            else:
                self.take_image(full, one.content, label)

    def _label_of(self, name: str) -> str | None:
        folder = name.replace("\\", "/").rpartition("/")[0].rpartition("/")[2].strip()
        return (folder or self.label) if self.from_folders else self.label

    def _take_video(self, name: str, source: Location | bytes, label: str | None) -> None:
        video = self.project.images.upload_video(
            source if isinstance(source, bytes) else source.url,
            label=label,
            every_s=self.every_s,
            split=self.split,
            author=self.author,
        )
        self._count(name, list(video.image_ids))

    def take_image(self, name: str, content: bytes, label: str | None) -> None:
        """Take one image, if it can be decoded."""
        try:
            decode(content, min_side=_MIN_SIDE, name=name)
        except BadImageError as error:
            self.refused[name] = str(error)
            return
        annotation = self._annotation(content, label)
        if self.from_folders and not isinstance(annotation, list) and self._contradicts(name, content, label):
            return
        if self._waiting and annotation != self._annotation_waiting:
            self.flush()
        self._annotation_waiting = annotation
        self._waiting.append((name, content))
        if len(self._waiting) >= _BATCH_IMAGES or sum(len(data) for _, data in self._waiting) >= _BATCH_BYTES:
            self.flush()

    def _contradicts(self, name: str, content: bytes, label: str | None) -> bool:
        """Return whether the same bytes came with another label; the image is then left without one, and reported."""
        digest = sha256(content).digest()
        first, told = self._labels.setdefault(digest, (name, label))
        if told == label:
            return False
        reason = f"the same photo is in {first} and {name}, with the labels {told!r} and {label!r}: it has none now"
        self.refused |= {first: reason, name: reason}
        self.flush()
        (image_id,) = self.project.images.upload([content], split=self.split, author=self.author)
        self.project.labels.set(image_id, None, author=self.author)
        return True

    def _annotation(self, content: bytes, label: str | None) -> Any:
        """Return the annotation of an image with one label; a set of labels has those of all copies."""
        value = self.project.kind.of_label(label)
        if not isinstance(value, list):
            return value
        labels = self._sets.setdefault(sha256(content).digest(), set())
        labels.update(value)
        return sorted(labels)

    def flush(self) -> None:
        """Upload the pending images."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        contents = [content for _, content in waiting]
        given = {self.project.kind.argument: self._annotation_waiting}
        found = self.project.images.upload(contents, **given, split=self.split, author=self.author)
        for (name, _), image_id in zip(waiting, found, strict=True):
            self._count(name, [image_id])

    def _count(self, name: str, ids: list[str]) -> None:
        self.ids += ids
        self.added[name] = self.added.get(name, 0) + len(ids)
        self.told(len(self.ids))


def upload_files(
    project: Project,
    sources: Iterable[tuple[str, Source]],
    *,
    label: str | None,
    labels_from_folders: bool,
    split: str | None,
    every_s: float | None,
    author: str | None,
    told: Callable[[int], None] = lambda _: None,
) -> UploadedFiles:
    """See `onlineml.Project.images.upload_files`.

    Args:
        project: the target.
        sources: pairs of a display name and a path, URL, folder or bytes.
        label: of all images.
        labels_from_folders: take the label from the name of an image's folder, if it is in one.
        split: of all images.
        every_s: seconds between two frames of videos.
        author: of the entries.
        told: called with the number of images so far.
    """
    intake = _Intake(project, label, labels_from_folders, split, every_s, author, told)
    for name, source in sources:
        for one, inner in _spread(name, source, project):
            intake.take(one, inner)
    intake.flush()
    return UploadedFiles(tuple(intake.ids), intake.added, intake.refused)


def class_folders(source: Source, project: Project) -> dict[str, int]:
    """Count the images and videos in the folders of an archive or folder, which may be meant as classes.

    Args:
        source: a path, URL or bytes, relative to the project.
        project: whose credentials are used.

    Returns:
        The number of files by the name of the innermost folder, or in archives of the class folder; empty for other
        files, or if they are in no folder.
    """
    with contextlib.suppress(DataError, NotFoundError, OSError):  # told when it is uploaded
        files = [] if isinstance(source, bytes) else io.list_files(project.location.to(source))
        if files:
            paths = [
                info.path for info in files if "/" in info.path and _is_wanted(info.path) and not is_junk(info.path)
            ]
            return dict(Counter(path.split("/")[-2] for path in paths))
        place = source if isinstance(source, bytes) else project.location.to(source)
        if sniff_archive(place[:_HEAD] if isinstance(place, bytes) else _head(place)) == "zip":
            found = zip_folders(place, wanted=_is_wanted, folders=partial(_class_folders, where="the archive"))
            return {name: n for name, n in found.items() if name}
    return {}


def _is_wanted(path: str) -> bool:
    return is_image_name(path) or is_video_name(path)


def _spread(name: str, source: Source, project: Project) -> Iterator[tuple[str, Location | bytes]]:
    """Yield a file, or all files of a folder."""
    if isinstance(source, bytes):
        yield name, source
        return
    place = project.location.to(source)
    files = io.list_files(place)
    if not files:
        yield name, place
    for info in files:
        if not is_junk(info.path):
            yield f"{name.rstrip('/')}/{info.path}", place.to(info.url)


def _class_folders(paths: Sequence[str], *, where: str) -> list[str | None]:
    """Return the class folders of an archive's files, as those of the same folder on a disk.

    Raises:
        DataError: folders may be splits or classes.
    """
    try:
        return layout_of(paths, where=where).labels
    except DataError as error:
        raise DataError(
            f"{error}; unpack the archive for that, and import its folder with Manifest.from_folders"
        ) from None


def _head(source: Location) -> bytes:
    with io.open_file(source, block_size=1 << 16) as file:
        return bytes(file.read(_HEAD))


def named(sources: Source | Iterable[Source]) -> list[tuple[str, Source]]:
    """Return sources with display names."""
    listed = [sources] if isinstance(sources, str | bytes | os.PathLike) else list(sources)
    return [
        (f"file {number}" if isinstance(one, bytes) else redacted(str(one)), one) for number, one in enumerate(listed)
    ]
