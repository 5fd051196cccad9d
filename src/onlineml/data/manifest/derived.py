"""Manifests made from others: some of the images, several joined, or other annotations, columns, splits, classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.similar import valid_names
from onlineml.data.manifest.base import ManifestBase, Split
from onlineml.data.manifest.edits import ids_of
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import DEFAULT_FRACTIONS, SPLITS, assign_splits
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["DerivedManifests"]


class DerivedManifests(ManifestBase):
    """A base class of `Manifest`: the methods that return a changed one."""

    def select(self, *, split: Split | Sequence[Split]) -> Manifest:
        """The images of one or several splits.

        Raises:
            ConfigError: an unknown split.
        """
        wanted = [split] if isinstance(split, str) else list(split)
        unknown = [name for name in wanted if name not in SPLITS]
        if unknown:
            raise ConfigError(f"unknown split {unknown[0]!r}; expected one of {valid_names(unknown[0], SPLITS)}")
        table = self._manifest().table
        return self._with(table.filter(pc.is_in(table["split"], pa.array(wanted, pa.string()))))

    def take(self, rows: Sequence[int] | Sequence[bool] | npt.NDArray[Any]) -> Manifest:
        """The rows of an array of indices, in its order, or of a mask of N booleans."""
        data, index = self._manifest(), np.asarray(rows)
        if index.dtype == bool:
            if len(index) != len(data):
                raise ConfigError(f"a mask needs one value per image, {len(data)}; found {len(index)}")
            index = np.flatnonzero(index)
        return self._with(data.table.take(pa.array(index.astype(np.int64))))

    def filter(
        self,
        where: npt.ArrayLike | Callable[[pd.DataFrame], npt.ArrayLike] | None = None,
        *,
        split: Split | Sequence[Split] | None = None,
        class_names: str | Iterable[str] | None = None,
    ) -> Manifest:
        """The images that meet all of several conditions; the list of classes stays the same.

        Args:
            where: a mask of N booleans; or a function that takes the data frame of `to_pandas` and returns one.
            split: those of one or several splits.
            class_names: those with a label, or a box, of one of these classes.

        Raises:
            ConfigError: an unknown split or class, or no mask of N booleans.
        """
        found = self._manifest() if split is None else self.select(split=split)
        if where is not None:
            mask = np.asarray(where(found.to_pandas()) if callable(where) else where)
            if mask.dtype != bool:
                raise ConfigError(f"where= needs one boolean per image; found values of the type {mask.dtype}")
            if not callable(where) and split is not None:  # of this manifest's images
                mask = mask[np.isin(self._manifest().column("image_id"), found.column("image_id"))]
            found = found.take(mask)
        if class_names is None:
            return found
        wanted = [class_names] if isinstance(class_names, str) else list(class_names)
        if unknown := [name for name in wanted if name not in found.class_names]:
            raise ConfigError(f"unknown classes {examples(unknown)}; expected some of {examples(found.class_names)}")
        names, rows = found.kind.names_by_row(found.table)
        shown = rows[np.isin(np.asarray(names.to_pylist(), dtype=object), wanted)]
        return found.take(np.unique(shown))

    @classmethod
    def concat(cls, manifests: Iterable[Manifest]) -> Manifest:
        """Join manifests of one task; the classes are those of all, in the order of their first appearance.

        An address stands for one image: rows of several manifests with the same URL become one, as when a project
        imports them one after the other. It keeps the id, split and group of the first, and has the last annotation.

        Raises:
            ConfigError: no manifests, several tasks, or several ``storage_options``.
        """
        from onlineml.data.manifest.joining import joined  # noqa: PLC0415 (it needs the rules of annotation logs)

        return joined(list(manifests))

    def with_column(self, name: str, values: Sequence[Any] | npt.NDArray[Any] | pa.Array) -> Manifest:
        """Add or replace a column of N values.

        Raises:
            ConfigError: not as many values as images.
            DataError: the values are not what that column holds.
        """
        data = self._manifest()
        if len(values) != len(data):
            raise ConfigError(f"the column {name!r} needs one value per image, {len(data)}; found {len(values)}")
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, from_pandas=True)
        table = data.table.drop_columns([name]) if name in data.table.column_names else data.table
        return self._with(table.append_column(name, array))

    def with_labels(self, labels: Mapping[str, str | Iterable[str] | None]) -> Manifest:
        """Correct labels: a new label, or where an image has several a list of them; None for unlabelled, by image_id.

        Raises:
            DataError: an image_id is not in this manifest.
            UnknownClassError: a label is not one of the class names.
        """
        return self._annotated(labels)

    def _annotated(self, values: Mapping[str, Any]) -> Manifest:
        data = self._manifest()
        table = data.table
        for name, column in data.kind.changed(table, data.class_names, values).items():
            table = table.set_column(table.column_names.index(name), name, column)
        return self._with(table)

    def with_boxes(self, boxes: Mapping[str, tuple[npt.ArrayLike, Sequence[str | None]] | None]) -> Manifest:
        """Correct boxes: an image's new ``(boxes_xyxy, labels)``, or None for not annotated, by image_id.

        What further columns of lists say of the former boxes (crowd, area, …) is null then.

        Raises:
            ConfigError: the task is not detection.
            DataError: an image_id is not in this manifest, or there is not a label for each box.
            UnknownClassError: a label is not one of the class names.
        """
        self._manifest().boxes()  # refuses a manifest of another task
        return self._annotated(boxes)

    def with_splits(
        self, *, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, salt: str = "", keep: bool = True
    ) -> Manifest:
        """Divide the images by a hash of their group.

        Args:
            fractions: what share of the groups each split gets.
            salt: another text gives another division.
            keep: splits that are there stay; otherwise all images are divided anew.
        """
        table = self._manifest().table
        groups = table["group"].to_pylist()
        given = table["split"].to_pylist() if keep else [None] * len(table)
        return self.with_column("split", pa.array(assign_splits(groups, given, fractions=fractions, salt=salt)))

    def with_class_names(self, class_names: Sequence[str]) -> Manifest:
        """The same images under another list of classes, which must hold every label in use."""
        return self._with(self._manifest().table, class_names)

    def _with(self, table: pa.Table, class_names: Sequence[str] | None = None) -> Manifest:
        data = self._manifest()
        names = data.class_names if class_names is None else tuple(class_names)
        return replace(data, table=table, class_names=names, class_ids=ids_of(names, data.class_names, data.class_ids))
