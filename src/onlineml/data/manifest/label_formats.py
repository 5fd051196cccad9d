"""Import of a manifest from any format, and from and to formats of images with labels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from onlineml.data.formats import box_tables, folders, tables
from onlineml.data.formats.columns import frame_table
from onlineml.data.formats.format import Source
from onlineml.data.formats.parts import absolute
from onlineml.data.kinds import kind_of, task_of
from onlineml.data.manifest.base import ManifestBase, Url
from onlineml.errors import ConfigError
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    import pandas as pd

    from onlineml.data.video.frames import FrameFormat

__all__ = ["LabelFormats"]


class LabelFormats(ManifestBase):
    """A base class of `Manifest`: the formats of images with labels, and any format by its name."""

    @classmethod
    def from_any(
        cls,
        url: Url,
        *,
        task: str | None = None,
        format: str | None = None,  # noqa: A002 (the word that everybody looks for)
        split: str | None = None,
        images: Url | None = None,
        label: str | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import what lies at a URL in any known format, which names tell, and the beginnings of files.

        Class folders, tables, COCO, Pascal VOC, YOLO and the others of the page on formats are known under the names
        that people give them; those of installed packages first. The `summary` says what was read and left out.

        Args:
            url: the file or folder.
            task: says what images are annotated with; by default what the format usually holds.
            format: the name of the format; by default the first that recognises the names.
            split: of class folders only, see `from_folders`.
            images: the folder of the images, where they are not beside the file that names them.
            label: the attribute or column to read, where a file has several.
            class_names: the order of the classes; by default the format's.
            storage_options: fsspec's.

        Raises:
            ConfigError: an unknown task or format, or an argument that the format does not take.
            NotFoundError: nothing is there.
            DataError: no known format, another task's data, or what its reader refuses.
        """
        from onlineml.data.formats.registry import detect  # noqa: PLC0415 (it loads what all formats need)

        at, kind = Location(absolute(url), storage_options), None if task is None else kind_of(task)
        found, source, holds = detect(at, kind, name=format, given_splits=split is not None)
        given = {"split": split, "images": images, "label": label}
        if wrong := [name for name, value in given.items() if value is not None and name not in found.takes]:
            raise ConfigError(f"{url} is read as {found.name}, which takes no {', '.join(wrong)}=")
        source = source._replace(split=split, images=source.images if images is None else images, label=label)
        return cls._imported(found, source, task or task_of(holds), class_names)

    @classmethod
    def from_folders(
        cls,
        url: Url,
        *,
        split: str | None = None,
        task: str = "classification",
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a folder with a subfolder per class. No image is opened: the listing is enough.

        For ``task="multilabel"`` an image has the labels of all folders that contain a copy of it: the same bytes under
        any name, for which files of equal size are read.

        Layouts are ``<url>/<class>/**/image``, ``<url>/<split>/<class>/**/image`` and ``<url>/<class>/<split>/image``,
        also inside outer folders; splits have any of their usual names. Images outside class folders are unlabelled;
        files that systems leave, and files without an image's extension, are counted in `n_ignored`.

        Args:
            url: the folder, on any filesystem.
            split: None: as the folders' names or `to_folders`' ``split.csv`` tell, else 80/10/10 by a hash of the path.
                ``"folders"``: top folders with names of splits are splits; ``"hash"``: all are classes. Else the path
                of a table, relative to `url`: ``path``, ``split`` and, if wanted, ``label`` (overrides the folder) and
                ``group``. Images that it does not list have no split.
            task: ``"classification"`` or ``"multilabel"``.
            class_names: the order of the classes; by default the folders' names, sorted naturally (2 before 10).
            storage_options: fsspec's, for `url`.

        Raises:
            DataError: no images are there, folders can be splits or classes, the split table names files that are not
                there, or anything `Manifest` refuses.
        """
        source = Source(url, split=split, options=storage_options)
        return cls._imported(folders.FOLDERS, source, task, class_names)

    @classmethod
    def from_videos(
        cls,
        url: Url,
        *,
        frames_url: Url,
        every_s: float | None = None,
        every_n: int | None = None,
        image_format: FrameFormat = "jpeg",
        split: str | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a folder of videos, with a subfolder per class and, if wanted, per split, as `from_folders` has them.

        Frames are extracted into a folder of images; those of a video are one group. No video is read twice. One that
        is of no use is counted in `n_ignored`; `Project.images.import_videos` tells why.

        Args:
            url: the folder, on any filesystem.
            frames_url: the folder that the frames go to.
            every_s: seconds between two frames; half a second if neither this nor ``every_n`` is given.
            every_n: each ``every_n``-th frame.
            image_format: ``"jpeg"`` or ``"png"``, see `onlineml.data.video.frames.FrameStore`.
            split: ``"folders"`` or ``"hash"``, see `from_folders`.
            class_names: the order of the classes; by default the folders' names, sorted naturally.
            storage_options: fsspec's, for both folders.

        Raises:
            DataError: no videos are there, or not one of them can be used.
        """
        from onlineml.data.formats import videos  # noqa: PLC0415 (decoders are loaded only to decode)
        from onlineml.data.video.frames import FrameStore, frame_sampling  # noqa: PLC0415

        store = FrameStore(absolute(frames_url), format=image_format, storage_options=storage_options)
        sampling = frame_sampling(every_s=every_s, every_n=every_n)
        parts, _ = videos.read_videos(Location.of(url, storage_options), store=store, sampling=sampling, split=split)
        return cls._from_parts(parts, "classification", class_names, storage_options)

    @classmethod
    def from_table(
        cls,
        url: Url,
        *,
        path: str | None = None,
        label: str | None = None,
        separator: str | None = None,
        split: str | None = None,
        group: str | None = None,
        root: Url | None = None,
        task: str = "classification",
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        r"""Import a CSV (comma, semicolon or tab) or Parquet table with a row per image. No image is opened.

        For ``task="multilabel"`` a label is a list: a column of lists in Parquet, JSON lists, or names with separators;
        an empty one is ``[]``. The labels of several rows of one image are united. Without a column of labels, each
        class is a column of 0 and 1: all columns that hold nothing else, or those of ``class_names``.

        Args:
            url: the table, on any filesystem; its kind is told by its extension.
            path: the column of paths, relative to `root`, or absolute below it; ``/`` or backslashes. By default
                ``path``, or a column of a like name (``filename``, ``image``, ``image_id``, …), in any case. A column
                that is named here, or as one of the next, must be there.
            label: the column of labels, read as text; absent or empty is unlabelled. By default ``label``, or
                ``class``, ``category``, ``target``, ``labels``, … Blanks around labels are dropped.
            separator: between several labels in a text; by default ``;``, or ``|`` or ``,`` if rows share these labels.
            split: the column of splits; where it is absent, images are divided 80/10/10 by a hash of their group. By
                default ``split``, or ``subset``, ``set``, ``fold``, … if it holds names of splits, or ``is_valid``.
            group: the column of groups, by default ``group``; where it is absent, every image is a group of its own.
            root: the folder of the images; by default the table's. ``""``: the table's paths are absolute paths or
                URLs, and may lie anywhere.
            task: ``"classification"`` or ``"multilabel"``.
            class_names: the order of the classes; by default the labels, sorted as a person would.
            storage_options: fsspec's, for the table and the images.

        Further columns are kept; one whose name a manifest needs for itself (``width``, …) is kept as ``table_width``.

        Raises:
            DataError: rows are bad (all are listed), none of the images exists, or labels are lists of names although
                the task is not multilabel.
        """
        names = tables.TableColumns(path, label, split, group, separator, class_names)
        found = replace(tables.TABLE, read=partial(tables.read_table, names=names))
        return cls._imported(found, Source(url, root=root, options=storage_options), task, class_names)

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        *,
        path: str | None = None,
        label: str | None = None,
        separator: str | None = None,
        box: tuple[str, str, str, str] | str | None = None,
        split: str | None = None,
        group: str | None = None,
        root: Url = "",
        task: str = "classification",
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a data frame with the columns of `from_table`, or for ``task="detection"`` of `from_boxes`.

        Args:
            frame: a row per image, or per box; its index is not read.
            path: the column of paths or URLs, and so the next: see `from_table` and `from_boxes`.
            label: the column of labels.
            separator: between several labels in a text, see `from_table`.
            box: the columns of the corners.
            split: the column of splits.
            group: the column of groups.
            root: the folder that paths are relative to; ``""``: they are absolute paths or URLs.
            task: ``"classification"``, ``"multilabel"`` or ``"detection"``.
            class_names: the order of the classes; by default the labels, sorted naturally.
            storage_options: fsspec's, for the images.

        Raises:
            DataError: rows are bad (all are listed), or none of the images exists.
        """
        labels = tables.TableColumns(path, label, split, group, separator, class_names)
        boxes = box_tables.BoxColumns(path, label, box, split, group)
        readers = (
            replace(tables.TABLE, read=partial(tables.read_table, names=labels)),
            replace(box_tables.BOX_TABLE, read=partial(box_tables.read_box_table, names=boxes)),
        )
        key = kind_of(task).key
        found = next((one for one in readers if key in one.holds), readers[0])  # which says that it does not hold it
        table = frame_table(frame)
        source = Source("the data frame", root=root, table=table, options=storage_options)
        return cls._imported(found, source, task, class_names)

    def export(
        self,
        url: Url,
        *,
        format: str,  # noqa: A002 (the word that everybody looks for)
        storage_options: Mapping[str, Any] | None = None,
    ) -> str:
        """Write in a format by its name, such as ``"coco"``, ``"voc"``, ``"yolo"``, ``"table"`` or that of a package.

        The methods that are called after formats, such as `to_coco`, take further arguments.

        Args:
            url: a new folder, or a file; its extension says what kind of table is written.
            format: the name of an `onlineml.data.formats.Format`.
            storage_options: fsspec's, for `url`.

        Raises:
            ConfigError: no such format holds annotations of the manifest's task, or it can only be read.
            AlreadyExistsError: the folder holds files already.
            DataError: the format cannot hold something that the manifest has.
        """
        from onlineml.data.formats.registry import format_of  # noqa: PLC0415 (it loads what all formats need)

        manifest = self._manifest()
        if (write := format_of(format, manifest.kind).write) is None:
            raise ConfigError(f"format={format!r} can be read, not written; choose another one")
        return write(manifest, Location(absolute(url), storage_options))

    def to_folders(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Copy the images, byte for byte, to ``<url>/<split>/<class>/<name>``, and list them in ``<url>/split.csv``.

        Where some images have no split, to ``<url>/<class>/<name>``. Unlabelled images get no class folder; one with
        several labels has a copy in each. `Manifest.from_folders(url, split="split.csv")` reads it back, with groups.

        Args:
            url: the folder.
            storage_options: fsspec's, for `url`.

        Raises:
            ConfigError: images have boxes.
            DataError: a class name cannot be a folder's name.
            AlreadyExistsError: the folder holds files already.
            StorageError: an image cannot be read or written.
        """
        return self.export(url, format="folders", storage_options=storage_options)

    def to_table(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write a CSV or Parquet table (by the extension): path, label, split, group and the further columns.

        Several labels are a list in Parquet, and in CSV names with ``;``. Paths are relative to the table's folder
        where the images lie below it, else absolute. `Manifest.from_table(url)` reads it back (with
        ``root=manifest.root`` or ``""`` for absolute paths).

        Raises:
            ConfigError: images have boxes, or the extension is neither of CSV nor of Parquet.
        """
        return self.export(url, format="table", storage_options=storage_options)
