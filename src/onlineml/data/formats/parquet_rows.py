"""Images inside Parquet, as Hugging Face stores datasets: rows as `datasets.Dataset` has them, without that library.

A column of images is a struct of ``bytes`` and ``path``; what the columns mean stands in the file's metadata under
``huggingface`` (https://huggingface.co/docs/datasets/about_dataset_features).
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from onlineml.data.formats.format import Format, Place, Source
from onlineml.data.manifest.splits import split_in_name
from onlineml.errors import ConfigError, DataError, NotFoundError
from onlineml.storage import io
from onlineml.storage.documents import json_value, reading_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.parts import Parts
    from onlineml.storage.location import Location

__all__ = ["EMBEDDED", "ParquetRows", "parquet_datasets"]

_ENDINGS = (".parquet", ".pq")


class Image:
    """The feature of a column of images, which are never decoded here."""

    def __init__(self, *, decode: bool = False) -> None:
        self.decode = decode


class ClassLabel(NamedTuple):
    """The feature of a column of numbers that stand for classes."""

    names: Sequence[str]


class ListOf(NamedTuple):
    """The feature of a column of lists."""

    feature: Any


class ParquetRows:
    """Rows of files with the same columns; one group of rows at a time is in memory.

    Attributes:
        features: of the columns, by name.
        column_names: in their order.
    """

    def __init__(self, files: Sequence[Location]) -> None:
        schemas = [_schema(file) for file in files]
        self.features = _features(schemas[0][0])
        self.column_names = list(self.features)
        for file, (schema, _) in zip(files, schemas, strict=True):
            if schema.names != schemas[0][0].names:
                raise DataError(f"{file} has other columns than {files[0]}; give the folder of one dataset")
        self._groups = [
            (file, group) for file, (_, sizes) in zip(files, schemas, strict=True) for group in range(len(sizes))
        ]
        self._ends = list(accumulate(size for _, sizes in schemas for size in sizes))
        self._read: tuple[int, list[dict[str, Any]]] = (-1, [])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, row: int) -> dict[str, Any]:
        group = bisect_right(self._ends, row)
        if self._read[0] != group:
            file, own = self._groups[group]
            with reading_parquet(file, error=DataError), io.open_file(file) as opened:
                self._read = (group, pq.ParquetFile(opened).read_row_group(own).to_pylist())
        return self._read[1][row - (self._ends[group - 1] if group else 0)]

    def cast_column(self, _name: str, _feature: Any) -> ParquetRows:
        """Return the same rows: images are bytes already."""
        return self


def _schema(file: Location) -> tuple[pa.Schema, list[int]]:
    """Return the columns of a file, and the sizes of its groups of rows."""
    with reading_parquet(file, error=DataError), io.open_file(file) as opened:
        parquet = pq.ParquetFile(opened)
        groups = range(parquet.num_row_groups)
        return parquet.schema_arrow, [parquet.metadata.row_group(group).num_rows for group in groups]


def _features(schema: pa.Schema) -> dict[str, Any]:
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    said: Any = {}
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        told = json_value(text)["info"]["features"]
        said = {field.name: _feature(told.get(field.name)) for field in schema} if isinstance(told, dict) else {}
    return {field.name: Image() if _is_image(field.type) else said.get(field.name) for field in schema}


def _is_image(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {kind.field(n).name for n in range(kind.num_fields)} == {"bytes", "path"}


def _feature(told: Any) -> Any:
    if isinstance(told, list) and len(told) == 1:
        return ListOf(_feature(told[0]))
    if not isinstance(told, dict):
        return None
    if isinstance(told.get("names"), list):
        return ClassLabel([str(name) for name in told["names"]])
    if "feature" in told:
        return ListOf(_feature(told["feature"]))
    return None if "_type" in told else {name: _feature(one) for name, one in told.items()}


def parquet_datasets(at: Location) -> dict[str, ParquetRows]:
    """Return the rows of a Parquet file, or of each split below a folder; the key of files that say no split is ``""``.

    Raises:
        ConfigError: there is no Parquet.
        NotFoundError: nothing is there.
        DataError: files of a split have different columns.
    """
    if at.url.lower().endswith(_ENDINGS):
        return {"": ParquetRows([at])}
    files: dict[str, list[Location]] = {}
    for info in io.list_files(at):
        if info.path.lower().endswith(_ENDINGS):
            files.setdefault(split_in_name(info.path) or "", []).append(at / info.path)
    if not files and not io.exists(at):
        raise NotFoundError(f"{at} does not exist; expected Parquet files with images")
    if not files:
        raise ConfigError(f"{at}: expected Parquet files with images, or a dataset of Hugging Face or PyTorch")
    return {split: ParquetRows(own) for split, own in files.items()}


# ---- recognised by from_any, which has no folder to write images into ----


def _detect(place: Place) -> Source | None:
    paths = [""] if place.ending in _ENDINGS else [] if place.images else place.others
    for path in [path for path in paths if (path or place.url).lower().endswith(_ENDINGS)][:1]:
        try:
            with reading_parquet(path, error=DataError), io.open_file(place.at / path if path else place.at) as file:
                schema = pq.read_schema(file)
        except DataError:
            return None
        return place.source() if any(_is_image(field.type) for field in schema) else None
    return None


def _refuse(source: Source, *, holds: str) -> Parts:
    raise DataError(
        f"the images of {source.where} are inside Parquet; write them as files, with "
        f"Manifest.from_dataset({source.where!r}, folder=<a folder>)"
    )


EMBEDDED = Format(
    "parquet_images",
    holds=("label", "labels", "boxes_xyxy"),
    expected="Parquet with a column of images, which from_dataset reads",
    detect=_detect,
    read=_refuse,
)
