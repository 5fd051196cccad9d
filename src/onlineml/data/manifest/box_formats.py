"""Import and export of a manifest in formats of images with boxes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from onlineml.data.formats import box_tables, coco, voc, yolo
from onlineml.data.formats.format import Source
from onlineml.data.formats.parts import absolute
from onlineml.data.manifest.base import ManifestBase, Split, Url
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from onlineml.data.manifest.manifest import Manifest


__all__ = ["BoxFormats"]


class BoxFormats(ManifestBase):
    """A base class of `Manifest`: the formats of images with boxes."""

    @classmethod
    def from_coco(
        cls,
        url: Url | Mapping[str, Url],
        *,
        images: Url | Mapping[str, Url] | None = None,
        split: Split | None = None,
        task: str = "detection",
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import COCO JSON: ``bbox`` is ``[x, y, width, height]`` in pixels. No image is opened.

        An image without annotations shows no objects. `crowd`, `area` and further keys whose values are numbers, texts
        or truth values are columns; what else the file says is kept for `to_coco`. Ids may be sparse, zero, and for
        annotations repeated; ids and numbers may be written as text. A category that the file does not list is an
        unknown class, which `check` finds. An annotation without ``bbox`` has the box around its ``segmentation``.

        Images are looked for below the folder: in the folder that fits the file's split and most of its names, then by
        their own names; Windows' separators, URLs and absolute paths of another machine are understood.

        Args:
            url: the file; or a folder with such files, whose names or folders tell the splits (``train.json``,
                ``annotations/instances_val2017.json``, ``test/_annotations.coco.json``); or a file for each split:
                ``{"train": ..., "val": ...}``.
            images: the folder that ``file_name`` is relative to, or one for each split; by default the file's own.
            split: of all images; None: as `to_coco` noted it, else as the folders of all images are named, else divided
                80/10/10 by a hash of the path.
            task: ``"detection"``; or ``"multilabel"``: the classes of an image's annotations, with or without boxes.
            class_names: the order of the classes; by default the file's.
            storage_options: fsspec's, for the files and the images.

        Raises:
            DataError: not COCO, or COCO without boxes (captions, panoptic); ids that clash; file names that fit several
                images; none of the images is there. All problems of a file are named.
        """
        source = Source(url, images=images, split=split, options=storage_options)
        return cls._imported(coco.COCO, source, task, class_names)

    @classmethod
    def from_voc(
        cls,
        url: Url,
        *,
        images: Url | None = None,
        annotations: Url | None = None,
        first_pixel: Literal[0, 1] | None = None,
        task: str = "detection",
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import Pascal VOC: an XML file per image, in ``JPEGImages`` and ``Annotations`` or any other folders.

        An XML file belongs to the image of its name: in the same folder, or in folders that differ only in words such
        as ``images``, ``annots`` and ``xmls``; else to the only image of its name; else to the one that its
        ``<filename>`` or ``<path>`` names. Files without a partner are counted in the import's notes. An image whose
        XML has no objects shows none; one without XML was not annotated. ``pose``, ``truncated``, ``difficult`` and
        further elements are columns.

        VOC counts pixels from 1, and the last one is inside: ``(xmin - 1, ymin - 1, xmax, ymax)`` are the corners here.
        Many tools write ``(xmin, ymin, xmax, ymax)``: so is a dataset read in which a corner is 0. A box with
        ``xmin = xmax`` is one without a width, which `check` finds. Without corners, the box around a polygon, or
        around a rotated box, is taken.

        Args:
            url: the folder.
            images: the folder of images, a name below `url` or a URL; by default anywhere below `url`.
            annotations: the folder of XML files, likewise.
            first_pixel: the number that pixels are counted from; None: 0 if some corner is 0, else 1.
            task: ``"detection"``; or ``"multilabel"``: the classes of an image's boxes.
            class_names: the order of the classes; by default sorted as a person would.
            storage_options: fsspec's.

        The lists ``train.txt``, ``val.txt`` and ``test.txt`` in ``ImageSets/Main`` say the splits, or else folders
        called ``train``, ``valid`` and so on; images that they do not list have none, and lists for single classes
        are passed over. With ``trainval.txt`` in place of the first two, its images are divided 90/10 by a hash;
        without any of these, all images 80/10/10.

        Raises:
            DataError: no XML file has an image; an image has several, or the other way round; XML that cannot be read,
                or with entities or a DTD; lists that name no image, or one image twice. All are named.
        """
        found = replace(voc.VOC, read=partial(voc.read_voc, annotations=annotations, first_pixel=first_pixel))
        source = Source(url, images=images, options=storage_options)
        return cls._imported(found, source, task, class_names)

    @classmethod
    def from_yolo(
        cls,
        url: Url,
        *,
        root: Url | None = None,
        names: Sequence[str] | Mapping[int, str] | None = None,
        kpt_shape: tuple[int, int] | None = None,
        task: str = "detection",
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import YOLO labels, a text file per image. The first bytes of each image tell its size.

        The classes and splits are those of ``data.yaml`` (Ultralytics, Roboflow) or ``obj.data`` (Darknet, CVAT); paths
        of another machine are found by their ends. Without either, ``classes.txt`` or ``obj.names`` give the classes,
        and lists or folders the splits. The label file of an image has its name, beside it or in a folder that differs
        only in words such as ``images`` and ``labels``, or is the only one of its name. An image without one shows no
        objects, unless no image of its split has any: those are not annotated.

        A row is ``class cx cy width height``, in shares of the upright image, and may end with a confidence. Of a row
        ``class x1 y1 x2 y2 x3 y3 …`` (a polygon, an oriented box) the smallest box around it is taken. With keypoints,
        the box before them is; they need `kpt_shape`, and rows that look like them are refused without it. Repeated
        rows are left out. A class beyond the names is an unknown one, which `check` finds.

        Args:
            url: the folder, ``data.yaml`` or ``obj.data``.
            root: the folder that ``train``, ``val`` and ``test`` are relative to; by default ``path`` in
                ``data.yaml``, if that lies below the file's folder, else the file's folder.
            names: the classes by number; by default the file's.
            kpt_shape: how many keypoints a row has, and 2 or 3 numbers for each; by default that in ``data.yaml``.
                ``(0, 2)``: none, long rows are polygons.
            task: ``"detection"``; or ``"multilabel"``: the classes of an image's boxes.
            class_names: the order of the classes; by default the file's.
            storage_options: fsspec's.

        Raises:
            DataError: no names; no image has labels; rows that cannot be read; images in two splits. All are named.
        """
        found = replace(yolo.YOLO, read=partial(yolo.read_yolo, names=names, kpt_shape=kpt_shape))
        source = Source(url, root=root, options=storage_options)
        return cls._imported(found, source, task, class_names)

    @classmethod
    def from_boxes(
        cls,
        url: Url,
        *,
        path: str | None = None,
        label: str | None = None,
        box: tuple[str, str, str, str] | str | None = None,
        split: str | None = None,
        group: str | None = None,
        root: Url | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a CSV or Parquet table with a row per box, in pixels or shares of the upright image.

        Columns are found by their usual names, in any case: ``path`` or ``filename``, ``image``, …; ``label`` or
        ``class``, ``category``, …; ``x1,y1,x2,y2`` or ``xmin,ymin,xmax,ymax``, ``xtl,ytl,xbr,ybr``, ``x,y,w,h``,
        ``left,top,width,height``, ``bbox`` with four numbers, …: ``docs/data/formats.md``. Tables without a header, as
        keras-retinanet has them, are understood. Boxes that lie between 0 and 1 are shares of their images, whose sizes
        are read from the table or the images' first bytes. Images are found below the folder by the ends of their
        paths, see `notes`.

        A row without label and box is an image without objects. Columns ``width`` and ``height``, if there are any,
        are the size of the image that the boxes were drawn on. Further columns are kept, a value for each box; one
        called ``image.NAME`` has the same value in all rows of an image, and is the image's column ``NAME``.

        Args:
            url: the table; its kind is told by its extension.
            path: the column of paths; one that is named must be there, as all the following.
            label: the column of labels, read as text; a box without one is of an unknown class. ``""``: there is none,
                and all boxes are of the class ``"object"``.
            box: the columns of the corners: x and y of the upper left one, x and y of the lower right one. Or what the
                four numbers mean: ``"xyxy"``, ``"xywh"`` (upper left corner and size) or ``"cxcywh"`` (centre and
                size); by default as the columns' names say, else as the only meaning that fits all images.
            split: the column of splits; where there is none, the folders of the images, if all are called as splits;
                else images are divided 80/10/10 by a hash of their group.
            group: the column of groups; where there is none, every image is a group of its own.
            root: the folder of the images; by default the table's, or one beside it. ``""``: paths are absolute.
            class_names: the order of the classes; by default the labels, sorted as a person would.
            storage_options: fsspec's.

        Raises:
            ConfigError: `box` is something else.
            DataError: rows are bad (all are listed), columns may be several things, or none of the images exists.
        """
        names = box_tables.BoxColumns(path=path, label=label, box=box, split=split, group=group)
        found = replace(box_tables.BOX_TABLE, read=partial(box_tables.read_box_table, names=names))
        source = Source(url, root=root, options=storage_options)
        return cls._imported(found, source, "detection", class_names)

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
        return coco.write_coco(self._manifest(), Location(absolute(url), storage_options), images=images)

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
        return self._with_boxes().export(url, format="voc", storage_options=storage_options)

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
        return self._with_boxes().export(url, format="yolo", storage_options=storage_options)

    def to_boxes(self, url: Url, *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write a CSV or Parquet table (by the extension) with a row per box; `from_boxes` reads it back.

        Paths are relative to the table's folder where the images lie below it, else absolute. An image without
        objects has one row without label and box; one that nobody annotated, too, with ``annotated`` false.

        Raises:
            ConfigError: the task is not detection.
            DataError: further columns hold what CSV cannot.
        """
        return self._with_boxes().export(url, format="boxes", storage_options=storage_options)

    def _with_boxes(self) -> Manifest:
        found = self._manifest()
        found.boxes()  # refuses another task
        return found
