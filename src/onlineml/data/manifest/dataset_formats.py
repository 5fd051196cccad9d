"""Import of a manifest from datasets that are Python objects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from onlineml.data.formats.boxes import HASHED
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.parts import absolute
from onlineml.data.kinds import task_of
from onlineml.data.manifest.base import ManifestBase, Url
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import ConfigError
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

__all__ = ["DatasetFormats"]

_ABLE = {"boxes_xyxy": ("boxes_xyxy", "labels"), "label": ("label", "labels"), "labels": ("labels",)}


class DatasetFormats(ManifestBase):
    """A base class of `Manifest`: datasets that are Python objects."""

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        folder: Url | None = None,
        label: str | None = None,
        task: str | None = None,
        class_names: Sequence[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Import a dataset of Hugging Face's `datasets`, of torchvision, or any other of PyTorch.

        Images that are files stay where they are; those that exist only in memory, such as CIFAR10's, or rows of
        Parquet, are written to `folder`, as they are or as PNG. Importing again writes the same files.

        Args:
            dataset: a ``datasets.Dataset`` with a column of images, and one of classes or of objects; an
                ``ImageFolder``, ``CocoDetection``, ``VOCDetection`` or ``CIFAR10`` of torchvision; a dataset of
                (image, class number); a ``Subset`` of one. Or several, by their splits:
                ``{"train": …, "test": …}``, as a ``DatasetDict`` is; or the URL of Parquet files with images inside,
                as Hugging Face stores them. Without splits images are divided by a hash.
            folder: for images that are no files.
            label: the column of classes, or of objects, of a ``datasets.Dataset`` that has several.
            task: by default what the dataset holds.
            class_names: the order of the classes; by default the dataset's.
            storage_options: fsspec's, for `folder` and for images at URLs.

        A class of -1, or none, is unlabelled. Boxes of objects are ``x, y, width, height`` in pixels.

        Raises:
            ConfigError: no such dataset, an unknown split, images that need `folder`, or several columns of classes.
            DataError: anything that `Manifest` refuses.
        """
        from onlineml.data.formats.parquet_rows import parquet_datasets  # noqa: PLC0415 (rarely needed)
        from onlineml.data.formats.python_objects.datasets import read_dataset  # noqa: PLC0415 (rarely needed)
        from onlineml.data.formats.python_objects.items import items_of  # noqa: PLC0415

        if isinstance(dataset, str | os.PathLike):
            dataset = parquet_datasets(Location(absolute(dataset), storage_options))
        several = dict(dataset) if isinstance(dataset, Mapping) else {HASHED: dataset}
        splits = {name: normalised_split(str(name)) or HASHED for name in several}
        unknown = [name for name, split in splits.items() if name != split == HASHED]
        if unknown or not several or len({*splits.values()}) < len(splits):
            raise ConfigError(
                f"the datasets are for the splits {', '.join(map(repr, several)) or '(none)'}; expected each of train, "
                "val and test at most once; pass those that are wanted as a mapping"
            )
        items = {splits[name]: items_of(one, label, class_names or ()) for name, one in several.items()}
        holds = {one.holds for one in items.values()}
        if len(holds) > 1:
            raise ConfigError(f"the datasets of the splits hold different annotations: {', '.join(sorted(holds))}")
        kind = holds.pop()
        read = partial(read_dataset, items=items)
        found = Format("a dataset", _ABLE[kind], "a dataset", detect=lambda _: None, read=read)
        source = Source("" if folder is None else absolute(folder), options=storage_options)
        return cls._imported(found, source, task or task_of(kind), class_names)
