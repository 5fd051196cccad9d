"""The formats that a manifest is imported from and exported to; each has a module in `onlineml.data.formats`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, cast

from onlineml.data.formats import box_tables, coco, folders, tables, voc, yolo
from onlineml.data.formats.parts import absolute
from onlineml.data.kinds import kind_of
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.data.video.frames import FrameFormat

__all__ = ["ManifestFormats"]

Url = str | os.PathLike[str]
Split = Literal["train", "val", "test"]


class ManifestFormats:
    """The base class of `Manifest`: what it can be read from, and written as."""

    @classmethod
    def _from_parts(
        cls, parts: Parts, class_names: Sequence[str] | None, storage_options: Mapping[str, Any] | None
    ) -> Self:
        raise NotImplementedError

    def _manifest(self) -> Manifest:
        return cast("Manifest", self)

    # ---- read ----

    @classmethod
    def from_any(
        cls, url: Url, *, task: str, split: str | None = None, storage_options: Mapping[str, Any] | None = None
    ) -> Self:
        """Import what lies at a URL, in whichever format: told by an ending, or by the names in a folder.

        For ``"classification"`` a table (`from_table`) or class folders (`from_folders`). For ``"detection"`` COCO
        (a ``.json`` file, or a folder with ``annotations.json``, ``annotations/instances_*.json`` or
        ``{train,valid,test}/_annotations.coco.json``), Pascal VOC (a folder with ``Annotations``), YOLO
        (``data.yaml``, or its folder) or a table of boxes.

        Args:
            url: the file or folder.
            task: says what images are annotated with.
            split: of class folders only, see `from_folders`.
            storage_options: fsspec's.

        Raises:
            ConfigError: an unknown task, or ``split`` where the format has splits of its own.
            DataError: no known format, or anything that its reader refuses.
        """
        kind, where, images = kind_of(task).detect_format(absolute(url), storage_options=storage_options)
        if split is not None and kind != "folders":
            raise ConfigError(f"split={split!r} is for class folders; {url} is read as {kind}, which tells its own")
        if kind == "coco":
            return cls.from_coco(where, images=images, storage_options=storage_options)
        single = cast("str", where)  # only COCO has a file for each split
        if kind == "folders":
            return cls.from_folders(single, split=split, storage_options=storage_options)
        read = {"table": cls.from_table, "voc": cls.from_voc, "yolo": cls.from_yolo, "boxes": cls.from_boxes}[kind]
        return read(single, storage_options=storage_options)

    @classmethod
    def from_folders(
        cls,
        url: Url,
        *,
        split: str | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a folder with a subfolder per class. No image is opened: the listing is enough.

        Two layouts are understood: ``<url>/<class>/**/image`` and, with the user's own splits,
        ``<url>/{train,val,valid,validation,test}/<class>/**/image``. Images outside any class folder are unlabelled;
        hidden files, and files without an image's extension (in upper or lower case), are counted in `n_ignored`.

        Args:
            url: the folder, on any filesystem.
            split: None divides the images 80/10/10 by a hash of their path (or by the folders, where those are
                splits); else the path of a CSV or Parquet table, relative to `url`, with the columns ``path``
                (relative to `url`), ``split`` and, if wanted, ``label`` (overrides the folder) and ``group``.
                Images that it does not list have no split.
            class_names: the order of the classes; by default the folders' names, sorted as a person would (2 before
                10).
            storage_options: fsspec's, for `url`.

        Raises:
            DataError: no images are there, the split table names files that are not, or anything `Manifest` refuses.
        """
        parts = folders.read_folders(url, split=split, storage_options=storage_options)
        return cls._from_parts(parts, class_names, storage_options)

    @classmethod
    def from_videos(
        cls,
        url: Url,
        *,
        frames_url: Url,
        every_s: float | None = None,
        every_n: int | None = None,
        image_format: FrameFormat = "jpeg",
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a folder of videos, with a subfolder per class and, if wanted, per split, as `from_folders` has them.

        Frames are extracted into a folder of images; the frames of a video are one group, so that they never straddle
        a split. Doing it again reads no video twice. A video that is cut off gives the frames that it has; one that
        cannot be used at all is counted in `n_ignored`. What was found about each is told by
        `onlineml.data.formats.videos.read_videos`, and by `Project.images.import_videos`.

        Args:
            url: the folder, on any filesystem.
            frames_url: the folder that the frames go to.
            every_s: seconds between two frames; half a second if neither this nor ``every_n`` is given.
            every_n: each ``every_n``-th frame.
            image_format: ``"jpeg"`` or ``"png"``, see `onlineml.data.video.frames.FrameStore`.
            class_names: the order of the classes; by default the folders' names, sorted as a person would.
            storage_options: fsspec's, for both folders.

        Raises:
            DataError: no videos are there, or not one of them can be used.
        """
        from onlineml.data.formats import videos  # noqa: PLC0415 (decoders are loaded only to decode)
        from onlineml.data.video.frames import FrameStore, frame_sampling  # noqa: PLC0415

        store = FrameStore(absolute(frames_url), format=image_format, storage_options=storage_options)
        sampling = frame_sampling(every_s=every_s, every_n=every_n)
        parts, _ = videos.read_videos(url, store=store, sampling=sampling, storage_options=storage_options)
        return cls._from_parts(parts, class_names, storage_options)

    @classmethod
    def from_table(
        cls,
        url: Url,
        *,
        path: str = "path",
        label: str = "label",
        split: str = "split",
        group: str = "group",
        root: Url | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a CSV (comma, semicolon or tab) or Parquet table with a row per image. No image is opened.

        Args:
            url: the table, on any filesystem; its kind is told by its extension.
            path: the column of paths, relative to `root`, or absolute below it.
            label: the column of labels, read as text; absent or empty is unlabelled.
            split: the column of splits; where it is absent, images are divided 80/10/10 by a hash of their group.
            group: the column of groups; where it is absent, every image is a group of its own.
            root: the folder of the images; by default the table's. ``""``: the table's paths are absolute paths or
                URLs, and may lie anywhere.
            class_names: the order of the classes; by default the labels, sorted as a person would.
            storage_options: fsspec's, for the table and the images.

        Further columns are kept; one whose name a manifest needs for itself (``width``, …) is kept as ``table_width``.

        Raises:
            DataError: rows are bad (all are listed), or none of the images exists.
        """
        parts = tables.read_table(
            url, path=path, label=label, split=split, group=group, root=root, storage_options=storage_options
        )
        return cls._from_parts(parts, class_names, storage_options)

    @classmethod
    def from_coco(
        cls,
        url: Url | Mapping[str, Url],
        *,
        images: Url | Mapping[str, Url] | None = None,
        split: Split | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import COCO JSON: ``bbox`` is ``[x, y, width, height]`` in pixels. No image is opened.

        An image without annotations shows no objects. `crowd` and `area` are columns, and so are the further keys of
        images and annotations whose values are numbers, texts or truth values; what else the file says is kept for
        `to_coco`. Ids may be sparse, zero, and for annotations repeated. A category that the file does not list is an
        unknown class, which `check` finds.

        Args:
            url: the file; or a file for each split: ``{"train": ..., "val": ...}``.
            images: the folder that ``file_name`` is relative to, or one for each split; by default the file's own.
            split: of all images of one file; None: as `to_coco` noted it, else divided 80/10/10 by a hash of the path.
            class_names: the order of the classes; by default the file's.
            storage_options: fsspec's, for the files and the images.

        Raises:
            DataError: not COCO; ids that clash or refer to nothing; file names that are absolute, URLs, or leave the
                folder; none of the images is there. All problems of a file are named.
        """
        parts = coco.read_coco(url, images=images, split=split, storage_options=storage_options)
        return cls._from_parts(parts, class_names, storage_options)

    @classmethod
    def from_voc(
        cls,
        url: Url,
        *,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a folder in the layout of Pascal VOC: ``JPEGImages``, ``Annotations``, ``ImageSets/Main``.

        XML files beside their images, also below folders named as splits, are understood too. An image belongs to
        the XML file of its name, whatever ``<filename>`` says. One whose XML has no objects shows none; one without
        XML was not annotated. ``pose``, ``truncated``, ``difficult`` and further elements are columns.

        VOC counts pixels from 1, and the last one is inside: ``(xmin - 1, ymin - 1, xmax, ymax)`` are the corners
        here. A box with ``xmin = xmax`` would be a pixel wide; labelling tools write it for a click without a
        drag, so it is a box without a width, which `check` finds.

        Args:
            url: the folder.
            class_names: the order of the classes; by default sorted as a person would.
            storage_options: fsspec's.

        ``train.txt``, ``val.txt`` and ``test.txt`` say the splits; images that they do not list have none, and files
        for single classes are passed over. With ``trainval.txt`` in place of the first two, its images are divided
        90/10 by a hash; without any list, all images 80/10/10.

        Raises:
            DataError: XML that cannot be read, or with entities or a DTD; lists that name no image, or one image
                twice. All are named.
        """
        parts = voc.read_voc(url, storage_options=storage_options)
        return cls._from_parts(parts, class_names, storage_options)

    @classmethod
    def from_yolo(
        cls,
        url: Url,
        *,
        root: Url | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import YOLO labels with the ``data.yaml`` of Ultralytics. The first bytes of each image tell its size.

        The label file of ``images/a/b.jpg`` is ``labels/a/b.txt``; of an image outside any ``images``, the file beside
        it. An image without one shows no objects. A row is ``class cx cy width height``, in shares of the upright
        image; of a row ``class x1 y1 x2 y2 x3 y3 …`` (a segmentation) the smallest box around it is taken. A class
        beyond the names is an unknown one, which `check` finds.

        Args:
            url: ``data.yaml``, or the folder that it is in.
            root: the folder that ``train``, ``val`` and ``test`` are relative to; by default ``path`` in
                ``data.yaml``, if that lies below the file's folder, else the file's folder.
            class_names: the order of the classes; by default the file's.
            storage_options: fsspec's.

        Raises:
            DataError: no ``data.yaml``; rows that cannot be read; paths outside the root. All are named.
        """
        parts = yolo.read_yolo(url, root=root, storage_options=storage_options)
        return cls._from_parts(parts, class_names, storage_options)

    @classmethod
    def from_boxes(
        cls,
        url: Url,
        *,
        path: str = "path",
        label: str = "label",
        box: tuple[str, str, str, str] = ("x1", "y1", "x2", "y2"),
        split: str = "split",
        group: str = "group",
        root: Url | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a CSV or Parquet table with a row per box, in pixels of the upright image. No image is opened.

        A row without label and box is an image without objects. Columns ``width`` and ``height``, if there are any,
        are the size of the image that the boxes were drawn on. Further columns are kept, a value for each box; one
        called ``image.NAME`` has the same value in all rows of an image, and is the image's column ``NAME``.

        Args:
            url: the table; its kind is told by its extension.
            path: the column of paths, relative to `root`, or absolute below it.
            label: the column of labels, read as text; a box without one is of an unknown class.
            box: the columns of the corners: x and y of the upper left one, x and y of the lower right one.
            split: the column of splits; where it is absent, images are divided 80/10/10 by a hash of their group.
            group: the column of groups; where it is absent, every image is a group of its own.
            root: see `from_table`.
            class_names: the order of the classes; by default the labels, sorted as a person would.
            storage_options: fsspec's.

        Raises:
            DataError: rows are bad (all are listed), or none of the images exists.
        """
        columns = box_tables.BoxColumns(path=path, label=label, box=box, split=split, group=group)
        parts = box_tables.read_box_table(url, columns, root=root, storage_options=storage_options)
        return cls._from_parts(parts, class_names, storage_options)

    # ---- written ----

    def to_folders(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Copy the images, byte for byte, to ``<url>/<split>/<class>/<name>``, and list them in ``<url>/split.csv``.

        Where some images have no split, to ``<url>/<class>/<name>``. Unlabelled images get no class folder.
        `Manifest.from_folders(url, split="split.csv")` reads it back with the groups.

        Args:
            url: the folder.
            storage_options: fsspec's, for `url`.

        Raises:
            DataError: a class name cannot be a folder's name.
            AlreadyExistsError: the folder holds files already.
            StorageError: an image cannot be read or written.
        """
        return folders.write_folders(self._manifest(), url, storage_options=storage_options)

    def to_table(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write a CSV or Parquet table (by the extension): path, label, split, group and the further columns.

        Paths are relative to the table's folder where the images lie below it, else absolute.
        `Manifest.from_table(url)` reads it back (with ``root=manifest.root`` or ``""`` for absolute paths).
        """
        return tables.write_table(self._manifest(), url, storage_options=storage_options)

    def to_coco(self, url: Url, *, images: Url | None = None, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write COCO JSON; `from_coco` reads the same manifest from it. Images are not copied.

        ``area`` and ``iscrowd`` are always written, as evaluation tools need them. Splits, groups and what else COCO
        has no word for stand under the key ``onlineml``. A box of an unknown class has ``category_id`` null, unless
        it had one. For a file a split: ``data.select(split="val").to_coco("val.json")``.

        Args:
            url: the file.
            images: the folder that ``file_name`` is relative to; by default `root`.
            storage_options: fsspec's, for `url`.

        Raises:
            ConfigError: the task is not detection.
            DataError: images lie outside that folder.
        """
        return coco.write_coco(self._manifest(), url, images=images, storage_options=storage_options)

    def to_voc(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Copy the images to ``<url>/JPEGImages`` and write ``Annotations`` and ``ImageSets/Main``.

        `from_voc` reads it back: boxes to the last bit, labels, splits, groups and further columns. Images that nobody
        annotated get no XML file; of them the split is kept.

        Args:
            url: the folder.
            storage_options: fsspec's, for `url`.

        Raises:
            AlreadyExistsError: the folder holds files already.
            ConfigError: the task is not detection.
            DataError: a text cannot stand in XML.
            StorageError: an image cannot be read or written.
        """
        return voc.write_voc(self._manifest(), url, storage_options=storage_options)

    def to_yolo(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Copy the images to ``<url>/images/<split>``; write ``labels`` and ``data.yaml`` as Ultralytics reads them.

        `from_yolo` reads the boxes back to the last bit. YOLO holds a class and a box, nothing else: crowds, and
        images that nobody annotated, are not written, because they would be taken for background.

        Args:
            url: the folder.
            storage_options: fsspec's, for `url`.

        Raises:
            AlreadyExistsError: the folder holds files already.
            ConfigError: the task is not detection.
            DataError: images have no split or another size than their boxes were drawn on, or boxes have no class or
                are not finite; ``check().manifest`` is without such.
            StorageError: an image cannot be read or written.
        """
        return yolo.write_yolo(self._manifest(), url, storage_options=storage_options)

    def to_boxes(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write a CSV or Parquet table (by the extension) with a row per box; `from_boxes` reads it back.

        Paths are relative to the table's folder where the images lie below it, else absolute. An image without
        objects has one row without label and box; one that nobody annotated, too, with ``annotated`` false.

        Raises:
            ConfigError: the task is not detection.
            DataError: further columns hold what CSV cannot.
        """
        return box_tables.write_box_table(self._manifest(), url, storage_options=storage_options)
