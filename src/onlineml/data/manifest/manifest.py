"""The one shape of data: an immutable, hashed table with a row per image, and its class names."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.arguments.similar import valid_names
from onlineml.data.kinds import kind_of
from onlineml.data.manifest.box_formats import BoxFormats
from onlineml.data.manifest.dataset_formats import DatasetFormats
from onlineml.data.manifest.derived import DerivedManifests
from onlineml.data.manifest.edits import ids_of
from onlineml.data.manifest.hashing import manifest_hash
from onlineml.data.manifest.html import manifest_html
from onlineml.data.manifest.label_formats import LabelFormats
from onlineml.data.manifest.saving import DESCRIPTOR, read_saved, require_hash, saved_files
from onlineml.data.manifest.schema import normalised, require_ids, url_column, validate, version_column
from onlineml.data.manifest.summary import manifest_summary, split_sizes
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io
from onlineml.storage.location import Confidential, Location, Options, Url
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from onlineml.data.checks.images import CheckTable
    from onlineml.data.formats.parts import Parts
    from onlineml.data.kinds.base import AnnotationKind
    from onlineml.data.manifest.box_arrays import Boxes

__all__ = ["DESCRIPTOR", "Manifest"]


@dataclass(frozen=True, eq=False)
class Manifest(LabelFormats, BoxFormats, DatasetFormats, DerivedManifests, Confidential):
    """Images, their labels, splits and groups. Every method that changes something returns a new manifest.

    Attributes:
        table: one row per image, one chunk a column: `image_id` (text, unique), `uri` (absolute, or relative to
            `root`), `version` (the store's tag of the content, ``""`` where unknown), `sha256`, `width`, `height`
            (int32, upright pixels; all three null until the image was read), `split` (``"train"``, ``"val"``,
            ``"test"`` or null), `group` (text; images of one group belong together), `label` (one of `class_names`;
            null is unlabelled), then any further columns. For ``task="detection"``, where `label` is null, also
            `boxes_xyxy` (a list of boxes ``x1, y1, x2, y2`` in pixels of the upright image, see
            `onlineml.data.manifest.box_arrays`; an empty list is an image without objects, null is one that nobody
            annotated) and `labels` (a class name for each box; null or another text is a box of an unknown class, which
            `check` finds). Every other column of lists has a value for each box too, such as `crowd` and `area`.
            `declared_width` and `declared_height` are the size that the boxes were drawn on, where that is told: the
            check leaves out an image that has another one. For ``task="multilabel"``, where `label` is null too,
            `labels` is the set of an image's class names as a sorted list: empty where none applies, null where nobody
            annotated it; a name that is given twice counts once.
        class_names: in the order of their ids.
        root: URL or absolute path of the folder that relative uris are in.
        task: such as ``"classification"``.
        storage_options: fsspec's, for reading the images; never shown, saved, pickled to a file or hashed.
        n_ignored: how many other files the import passed over.
        class_ids: the classes' numbers in the file that they came from, such as COCO's category ids; empty: 1, 2, …
        source: what else that file said, such as COCO's licences and supercategories, for writing it again; plain
            JSON values, saved, not hashed.
        notes: sentences about how an import was read, and what it left out; saved, not hashed.

    Two manifests are equal when their `hash` is.

    Example:
        >>> oml.Manifest.from_any("s3://lab/photos").class_names
        ('large white', 'monarch', 'small white', 'viceroy')

    Raises:
        DataError: the table is not a manifest; the message lists every problem.
        UnknownClassError: labels that are no class names are its only problem.
    """

    table: pa.Table
    class_names: tuple[str, ...] = ()
    root: str = ""
    task: str = "classification"
    storage_options: Options = field(default=None, repr=False)
    n_ignored: int = 0
    class_ids: tuple[int, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "class_ids", tuple(int(number) for number in self.class_ids))
        object.__setattr__(self, "table", normalised(self.table, kind=self.kind))
        validate(self.table, self.class_names, kind=self.kind)
        require_ids(self.class_ids, self.class_names)

    # ---- made and written; other formats are in the base class ----

    @classmethod
    def _from_parts(
        cls, parts: Parts, task: str, class_names: Sequence[str] | None, storage_options: Options
    ) -> Manifest:
        names = tuple(parts.class_names if class_names is None else class_names)
        return cls(
            parts.table,
            names,
            root=parts.root,
            task=task,
            storage_options=storage_options,
            n_ignored=parts.n_ignored,
            class_ids=ids_of(names, parts.class_names, parts.class_ids),
            source=parts.source,
            notes=parts.notes,
        )

    @classmethod
    def load(cls, url: Url, *, root: str | None = None, storage_options: Options = None) -> Manifest:
        """Read what `save` wrote.

        Args:
            url: the folder.
            root: where the images are now, if they have moved.
            storage_options: fsspec's, for `url` and for the images.

        Raises:
            NotFoundError: no manifest was saved there.
            DataError: the content does not have the hash that was saved with it.
        """
        folder = Location.of(url, storage_options)
        table, facts = read_saved(folder)
        try:
            loaded = cls(
                table,
                facts.class_names,
                root=facts.root if root is None else root,
                task=facts.task,
                storage_options=folder.options,
                n_ignored=facts.n_ignored,
                class_ids=facts.class_ids,
                source=facts.source,
                notes=facts.notes,
            )
        except (DataError, ConfigError) as error:
            raise DataError(f"the manifest in {folder} is damaged: {error}") from error
        return require_hash(loaded, facts.hash, folder)

    def files(self) -> dict[str, bytes]:
        """The content of a saved manifest by file name; ``dataset.json`` is its descriptor, to be written last."""
        return saved_files(self)

    def save(self, url: Url, *, storage_options: Options = None) -> str:
        """Write ``manifest.parquet`` and then ``dataset.json`` into a folder, without loss.

        Raises:
            AlreadyExistsError: a manifest is there already.
        """
        folder = Location.of(url, storage_options)
        io.publish(folder, self.files(), descriptor=DESCRIPTOR)
        return folder.url

    def pack(self, url: Url, *, shard_bytes: int = 64_000_000, storage_options: Options = None) -> Manifest:
        """Copy the images into large files, and save a manifest that finds them there; it has the same `hash`.

        For buckets of many small images: whole shards arrive at the speed of the link, where each object alone costs a
        request. Images of a split lie together. A row's `uri` is ``shards/….bin#offset=O&length=L/<name>``; everything
        that reads images reads those too. Shards never change; after a kill, pack again into the same folder.

        Args:
            url: the folder; `Manifest.load` of it gives the packed manifest.
            shard_bytes: how large a shard may become; one larger image has a shard of its own.
            storage_options: fsspec's, for `url`, and for reading the packed images.

        Raises:
            AlreadyExistsError: the folder holds a manifest.
            StorageError: an image cannot be read; `check` tells which, and leaves them out.
            DataError: an image was changed since it was checked.
        """
        from onlineml.data.manifest.packing import pack  # noqa: PLC0415 (it needs this module)

        return pack(self, Location.of(url, storage_options), shard_bytes=shard_bytes)

    # ---- looked at ----

    @property
    def kind(self) -> AnnotationKind:
        """The kind of annotation of the images, which answers all that differs from task to task."""
        return kind_of(self.task)

    @cached_property
    def hash(self) -> str:
        """64 hex digits that name this version of the data.

        Over task, class names and, in order of image_id, image_id, label, split, group and further columns; not over
        where images lie (uri, root), what reading them told (version, sha256, width, height) and the size that boxes
        were drawn on. A further column that is null everywhere counts as none.
        """
        return manifest_hash(self.table, class_names=self.class_names, task=self.task)

    def _without_credentials(self) -> dict[str, Any]:
        return {"root": storable(self.root), "storage_options": None}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __eq__(self, other: object) -> bool:
        return self.hash == other.hash if isinstance(other, Manifest) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hash)

    def urls(self) -> list[str]:
        """Return the URL where each image can be read, in the order of the rows."""
        return cast("list[str]", url_column(self.table, root=self.root).to_pylist())

    def versions(self) -> list[str]:
        """Return for each image the store's tag, else its sha256, else ``""``: it identifies the content at one place.

        `onlineml.storage.io.read_many` caches contents on this machine under these versions.
        """
        return cast("list[str]", version_column(self.table).to_pylist())

    def digests(self) -> list[str]:
        """Return for each image its sha256, 64 hex digits; ``""`` where nobody has read it."""
        return [digest or "" for digest in self.table["sha256"].to_pylist()]

    def label_ids(self) -> npt.NDArray[np.int64]:
        """(N,) int64: each label's place in `class_names`; -1 for unlabelled."""
        ids = pc.index_in(self.table["label"], value_set=pa.array(self.class_names, pa.string()))
        return np.asarray(ids.fill_null(-1).cast(pa.int64()).to_numpy(), dtype=np.int64)

    def boxes(self) -> Boxes:
        """The boxes of all images in flat arrays, made once.

        Raises:
            ConfigError: the task is not detection.
        """
        return self._boxes

    @cached_property
    def _boxes(self) -> Boxes:
        return self.kind.boxes(self.table, self.class_names)

    def column(self, name: str) -> npt.NDArray[Any]:
        """(N,) values of one column; texts and lists as objects, null as None (nan in columns of numbers).

        Raises:
            ConfigError: there is no such column.
        """
        if name not in self.table.column_names:
            raise ConfigError(f"no column {name!r}; the columns are {valid_names(name, self.table.column_names)}")
        column = self.table[name]
        if pa.types.is_nested(column.type):
            values = np.empty(len(self), dtype=object)
            values[:] = column.to_pylist()
            return values
        return cast("npt.NDArray[Any]", column.to_numpy())

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by class and split: ``counts()["cat"]["train"]``; boxes, or labels, where an image has several.

        Each class has ``train``, ``val`` and ``test``. Images without a label are under ``"(unlabelled)"``, those
        without a split under ``"(no split)"``; both are there only where needed. So are, for detection, the images
        without objects, ``"(no objects)"``, and the boxes whose label is no class name, ``"(unknown class)"``.
        """
        return self.kind.counts(self.table, self.class_names)

    def to_pandas(self) -> pd.DataFrame:
        """The table as a data frame."""
        return cast("pd.DataFrame", self.table.to_pandas())

    def check(self, *, max_bad: float = 0.01, progress: bool = False) -> CheckTable:
        """Open every image once, look at every box, report what is odd; see `onlineml.data.checks.check`."""
        from onlineml.data.checks.images import check  # noqa: PLC0415 (decoders are loaded only to decode)

        return check(self, max_bad=max_bad, progress=progress)

    def summary(self) -> str:
        """Return what an import found, in lines for people: images by split, content, classes, notes, files left out.

        It is logged by every import, at the level INFO of the logger ``onlineml``.
        """
        return manifest_summary(self)

    def __str__(self) -> str:
        sizes = ", ".join(f"{n:,} {name}" for name, n in split_sizes(self).items() if n)
        names = count(len(self.class_names), "class")
        shown = ", ".join(filter(None, [count(len(self), "image"), self.kind.content(self.table), names]))
        return f"Manifest of {shown} ({sizes or 'empty'}) {self.hash[:12]}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        return manifest_html(self)
