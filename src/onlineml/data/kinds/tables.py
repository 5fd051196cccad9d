"""The methods of every kind of annotation for the tables of manifests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of, one_chunk
from onlineml.data.annotations.images import renamed
from onlineml.data.checks.table import Judged
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.checks.table import Finding
    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["AnnotatedTables"]


class AnnotatedTables(ABC):
    """The methods of `onlineml.data.kinds.base.AnnotationKind` for manifests: columns, checks, samples."""

    task: ClassVar[str]
    columns: ClassVar[Mapping[str, pa.DataType]] = {}
    key: ClassVar[str]
    names: ClassVar[str]
    one_by_one: ClassVar[str] = ""
    aside: ClassVar[tuple[str, ...]] = ()
    label_alone: ClassVar[bool] = True

    # ---- a manifest's table ----

    def normalised(self, table: pa.Table, problems: list[str]) -> dict[str, pa.Array]:
        """The kind's own columns with their types, null if absent; problems are added to the list."""
        return {}

    def problems(self, table: pa.Table) -> list[str]:
        """Return the problems of the annotations of a normalised table, apart from unknown classes."""
        return []

    def unknown_labels(self, table: pa.Table, class_names: Sequence[str]) -> list[str]:
        """The labels that are not class names, if a manifest must not have any."""
        return sorted(self.names_used(table) - set(class_names))

    def names_by_row(self, table: pa.Table) -> tuple[pa.Array, npt.NDArray[np.int64]]:
        """All class names that images have, without nulls, and (M,) the row of each."""
        names = one_chunk(table[self.names])
        rows = np.arange(len(names))
        if pa.types.is_list(names.type):
            rows = np.repeat(rows, pc.list_value_length(names).fill_null(0).to_numpy(zero_copy_only=False))
            names = pc.list_flatten(names)
        if not names.null_count:
            return names, rows
        valid = mask_of(names.is_valid())
        return names.filter(pa.array(valid)), rows[valid]

    def names_used(self, table: pa.Table) -> set[str]:
        """The class names that images have."""
        names = table[self.names]
        flat = pc.list_flatten(names) if pa.types.is_list(names.type) else names
        return set(pc.unique(flat).drop_null().to_pylist())

    def is_annotated(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """(N,) whether each image is annotated."""
        return mask_of(table[self.key].is_valid())

    def value_columns(self, table: pa.Table) -> list[str]:
        """The columns of the annotation."""
        return [self.key]

    @abstractmethod
    def counts(self, table: pa.Table, class_names: tuple[str, ...]) -> dict[str, dict[str, int]]:
        """See `onlineml.Manifest.counts`."""

    def content(self, table: pa.Table) -> str:
        """Return the amount of content as text, such as ``"1,200 boxes"``; ``""`` for one label per image."""
        return f"{len(self.names_by_row(table)[0]):,} {self.one_by_one}" if self.one_by_one else ""

    def boxes(self, table: pa.Table, class_names: tuple[str, ...]) -> Boxes:
        """See `onlineml.Manifest.boxes`.

        Raises:
            ConfigError: images have none.
        """
        raise ConfigError(f"a manifest of the task {self.task!r} has no boxes; expected task='detection'")

    @abstractmethod
    def changed(
        self, table: pa.Table, class_names: tuple[str, ...], values: Mapping[str, Any]
    ) -> dict[str, pa.Array | pa.ChunkedArray]:
        """The value columns with other annotations, by image_id.

        Raises:
            DataError: an image_id is not in the table, or a value is malformed.
            UnknownClassError: a label is not one of the class names.
        """

    def renamed(self, table: pa.Table, lineage: Mapping[str, str]) -> pa.Table:
        """A table of images, or of suggestions, with the present names of classes, given by former name."""
        return renamed(table, lineage)

    @abstractmethod
    def differ(self, old: pa.Table, new: pa.Table) -> npt.NDArray[np.bool_]:
        """(N,) whether the annotations of two tables of the same N images, in order, differ."""

    @abstractmethod
    def in_words(self, record: Mapping[str, Any]) -> str:
        """Return the annotation in a row, or in a record of the log, as text."""

    def with_labels(self, table: pa.Table, class_names: tuple[str, ...]) -> tuple[pa.Table, tuple[str, ...]]:
        """Convert a table with one label per image, from folder names, to this kind; also return its classes."""
        return table, class_names

    # ---- display ----

    def title(self, names: Sequence[str]) -> str:
        """Return a short title of an image, given its class names, which may be empty."""
        return ", ".join(names) or self.aside[0]

    def drawn_boxes(self, table: pa.Table, class_names: tuple[str, ...]) -> Boxes | None:
        """The boxes to draw on the images; None if there are none."""
        return None

    def guess_in_words(self, guess: Mapping[str, Any]) -> str:
        """Return the suggestion in a row of a table of suggestions, as text."""
        return ", ".join(f"{name} {score:.2f}" for name, score in zip(guess["labels"], guess["scores"], strict=True))

    def surety(self, guesses: pa.Table) -> list[float]:
        """(M,) confidence of each suggestion, 0..1: the lowest of several parts; 0.5 without parts."""
        return [min(scores, default=0.5) for scores in guesses["scores"].to_pylist()]

    # ---- checks, samples ----

    def note_mismatches(self, found: list[list[Finding]], manifest: Manifest) -> None:
        """Add findings about images that differ from the annotated ones."""

    @abstractmethod
    def contradiction(self, manifest: Manifest) -> Callable[[list[int]], str]:
        """Return a function that describes the conflict between annotations of images of the same bytes.

        The function takes the rows of several images and returns a text; ``""`` for none. Unannotated images conflict
        with none.
        """

    def judge(self, manifest: Manifest) -> Judged:
        """Return the problems of the parts of annotations, such as boxes, of usable images."""
        return Judged(manifest, [[] for _ in range(len(manifest))], 0, 0)

    def n_judged(self, table: pa.Table) -> int:
        """Return the number of parts that `judge` checks."""
        return 0

    def sample_maker(self) -> Callable[..., dict[str, bytes]]:
        """The function that makes sample photos, see `onlineml.data.samples.samples.make_samples`.

        Raises:
            ConfigError: the task has no samples.
        """
        raise ConfigError(f"there are no samples for the task {self.task!r}")
