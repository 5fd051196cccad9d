"""Rows of predictions, computed lazily: a stream, a list, a table or a file on storage."""

from __future__ import annotations

import csv
import json
import math
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, overload

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError
from onlineml.pages import markup, table
from onlineml.storage.io import upload_file
from onlineml.storage.location import Location, Options, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

__all__ = ["Answered", "Answering", "Rows", "as_json", "named_scores"]

R = TypeVar("R")

_CHUNK = 1024  # records written at once


class Answering(Protocol):
    """Source of answers that tells which engine gives them, see `onlineml.inference.network.Network`."""

    @property
    def engine(self) -> str:
        """Name of the engine."""

    @property
    def rates(self) -> Mapping[str, float]:
        """Images per second by engine."""


@dataclass(frozen=True)
class Answered:
    """Engine that gave answers, when they are kept without the model."""

    engine: str
    rates: Mapping[str, float]


class Rows(Sequence[R]):
    """Rows, one per image, computed lazily.

    Iterating streams them without keeping them. Length, indexing and tables compute and keep all.

    Args:
        rows: starts the stream.
        model: its name, for display.
        network: what answers, with an attribute `engine`; None for rows from elsewhere.
    """

    columns: ClassVar[Mapping[str, str]]
    """Of the table, with their types in Arrow's words; ``"list of …"`` for a list."""

    def __init__(self, rows: Callable[[], Iterator[R]], *, model: str = "", network: Answering | None = None) -> None:
        self._rows, self.model, self._network = rows, model, network
        self._kept: list[R] | None = None

    @property
    def engine(self) -> str:
        """Name of the engine that the network runs in, see `onlineml.predict`; it may change while rows are made."""
        return "" if self._network is None else self._network.engine

    @property
    def engine_rates(self) -> dict[str, float]:
        """Images per second by engine, where ``"auto"`` has measured them, else empty."""
        return {} if self._network is None else dict(self._network.rates)

    @staticmethod
    @abstractmethod
    def records(row: R) -> list[dict[str, Any]]:
        """The table rows of one row: a value for each of `columns`."""

    def __iter__(self) -> Iterator[R]:
        # checks for kept rows at the first one: list() calls iter() and then len(), which keeps all rows
        yield from self._rows() if self._kept is None else self._kept

    def _all(self) -> list[R]:
        if self._kept is None:
            self._kept = list(self._rows())
        return self._kept

    def __getstate__(self) -> dict[str, Any]:
        # the rows, not the way to make them, which takes the model, and the images' addresses with their credentials
        kept = self._all()
        told = None if self._network is None else Answered(self.engine, self.engine_rates)
        return {**self.__dict__, "_kept": kept, "_rows": list, "_network": told}

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> list[R]: ...
    def __getitem__(self, index: int | slice) -> R | list[R]:
        return self._all()[index]

    def sample(self, limit: int) -> list[R]:
        """At most ``limit`` rows, evenly spaced."""
        rows = self._all()
        return rows[:: max(1, -(-len(rows) // max(1, limit)))]

    def to_frame(self) -> pd.DataFrame:
        """All rows as a table with the columns that `save` writes."""
        return self._table(self._all())

    def _table(self, rows: Iterable[R]) -> pd.DataFrame:
        import pandas as pd  # noqa: PLC0415

        table = pd.DataFrame([record for row in rows for record in self.records(row)], columns=list(self.columns))
        whole = {name: "Int64" for name, kind in self.columns.items() if kind == "int64"}  # with room for none
        return table.astype(whole)

    def save(self, url: Url, *, storage_options: Options = None) -> str:
        """Write all rows, as they are made, to a file that appears when it is whole.

        Args:
            url: with the extension .parquet, .csv, .json (one list) or .jsonl (one object per line).
            storage_options: of the filesystem.

        Returns:
            ``url``, as text.

        Raises:
            ConfigError: another extension.
        """
        file = Location.of(url, storage_options)
        ending = Path(file.url).suffix.lower()
        if ending not in _WRITERS:
            raise ConfigError(f"{file}: expected one of {', '.join(_WRITERS)}")
        records = (record for row in self for record in self.records(row))
        return written(file, lambda path: _WRITERS[ending](path, self.columns, records))

    def __repr__(self) -> str:
        made = "not made yet" if self._kept is None else f"{count(len(self._kept), 'row')}"
        engine = f", engine={self.engine!r}" if self.engine else ""
        return f"{type(self).__name__}({made}, model={self.model!r}{engine})"

    def _repr_html_(self) -> str:
        if self._kept is None:
            return markup("<p>{!r}: iterate, or .to_frame()</p>", self)
        frame = self._table(self._kept[:20])[:20].itertuples(index=False)
        rows = [[f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in frame]
        return table(f"{count(len(self._kept), 'prediction')} by {self.model}", list(self.columns), rows)


def named_scores(pairs: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    """Return ``label`` and ``score`` of each pair, for JSON."""
    return [{"label": label, "score": score} for label, score in pairs]


def written(file: Location, write: Callable[[Path], None]) -> str:
    """Let ``write`` make a local file, then put it to its place, where it appears when it is whole."""
    with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
        path = Path(folder) / "rows"
        write(path)
        upload_file(path, file)
    return file.url


def as_json(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write records as one list, one per line; nan becomes null."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for i, line in enumerate(_json_lines(records)):
            file.write((",\n" if i else "\n") + line)
        file.write("\n]\n")


def _write_json(path: Path, columns: Mapping[str, str], records: Iterable[Mapping[str, Any]]) -> None:
    del columns
    as_json(path, records)


def _write_jsonl(path: Path, columns: Mapping[str, str], records: Iterable[Mapping[str, Any]]) -> None:
    del columns
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in _json_lines(records))


def _json_lines(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for record in records:
        yield json.dumps({k: None if _undefined(v) else v for k, v in record.items()}, ensure_ascii=False)


def _undefined(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _write_parquet(path: Path, columns: Mapping[str, str], records: Iterable[Mapping[str, Any]]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    def arrow_type(kind: str) -> Any:
        of = kind.removeprefix("list of ")
        return pa.type_for_alias(kind) if of == kind else pa.list_(pa.type_for_alias(of))

    schema = pa.schema([(name, arrow_type(kind)) for name, kind in columns.items()])
    with pq.ParquetWriter(path, schema) as writer:
        chunk: list[Mapping[str, Any]] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == _CHUNK:
                writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
                chunk = []
        if chunk:
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def _write_csv(path: Path, columns: Mapping[str, str], records: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        for record in records:
            lists = {k: json.dumps(v) for k, v in record.items() if isinstance(v, list)}
            writer.writerow({k: "" if _undefined(v) else v for k, v in record.items()} | lists)


_WRITERS = {".parquet": _write_parquet, ".csv": _write_csv, ".json": _write_json, ".jsonl": _write_jsonl}
