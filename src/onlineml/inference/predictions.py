"""Rows of predictions: a stream, a list, a table or a file on storage."""

from __future__ import annotations

import csv
import html
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from onlineml.errors import ConfigError
from onlineml.storage.io import upload_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

__all__ = ["Prediction", "Predictions"]

_CHUNK = 1024  # rows written at once


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        uri: the path or URL, or ``bytes:3``, ``array:3``, ``image:3`` for what came without a name.
        label: the likeliest class; None for an image that cannot be used.
        score: its probability, 0..1; nan without a label.
        top: the likeliest classes and their probabilities, best first.
        error: why the image cannot be used; None for a good one.
    """

    uri: str
    label: str | None
    score: float
    top: tuple[tuple[str, float], ...]
    error: str | None

    def __str__(self) -> str:
        return f"{self.uri}: {self.error if self.label is None else f'{self.label} ({self.score:.3f})'}"


class Predictions(Sequence[Prediction]):
    """Predictions that are made as they are asked for.

    Iterating streams them and holds none. Asking for a length, for one by its number, or for a table, makes all and
    keeps them.

    Args:
        rows: starts the stream.
        model: named in files.
    """

    def __init__(self, rows: Callable[[], Iterator[Prediction]], *, model: str = "") -> None:
        self._rows, self.model = rows, model
        self._kept: list[Prediction] | None = None

    def __iter__(self) -> Iterator[Prediction]:
        # looks for kept rows only at the first one: list() asks for an iterator, then for the length, which keeps all
        yield from self._rows() if self._kept is None else self._kept

    def _all(self) -> list[Prediction]:
        if self._kept is None:
            self._kept = list(self._rows())
        return self._kept

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | list[Prediction]:
        return self._all()[index]

    def to_frame(self) -> pd.DataFrame:
        """A table: uri, label, score, top_labels, top_scores, error."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame([_record(p) for p in self._all()], columns=list(_COLUMNS))

    def save(self, url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write all rows, as they are made, to a file that appears when it is whole.

        Args:
            url: ends in .parquet, .csv, .json (one list) or .jsonl (one object a line).
            storage_options: opens the URL.

        Returns:
            ``url``, as text.

        Raises:
            ConfigError: another ending.
        """
        ending = Path(url).suffix.lower()
        if ending not in _WRITERS:
            raise ConfigError(f"{url}: expected one of {', '.join(_WRITERS)}")
        with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
            path = Path(folder) / f"predictions{ending}"
            _WRITERS[ending](path, (_record(p) for p in self))
            upload_file(path, url, storage_options=storage_options)
        return str(url)

    def __repr__(self) -> str:
        made = "not made yet" if self._kept is None else f"{len(self._kept)} rows"
        return f"Predictions({made}, model={self.model!r})"

    def _repr_html_(self) -> str:
        if self._kept is None:
            return f"<p>{html.escape(repr(self))}: iterate, or .to_frame()</p>"
        table: str = self.to_frame().head(20).to_html(max_rows=20)
        return f"<p>{len(self._kept)} predictions by {html.escape(self.model)}</p>{table}"


_COLUMNS = ("uri", "label", "score", "top_labels", "top_scores", "error")


def _record(p: Prediction) -> dict[str, Any]:
    values = (p.uri, p.label, p.score, [n for n, _ in p.top], [s for _, s in p.top], p.error)
    return dict(zip(_COLUMNS, values, strict=True))


def _write_parquet(path: Path, records: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    text, number = pa.string(), pa.float64()
    types = (text, text, number, pa.list_(text), pa.list_(number), text)
    schema = pa.schema(list(zip(_COLUMNS, types, strict=True)))
    with pq.ParquetWriter(path, schema) as writer:
        chunk: list[dict[str, Any]] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == _CHUNK:
                writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
                chunk = []
        if chunk:
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def _write_csv(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        for record in records:
            lists = {k: json.dumps(record[k]) for k in ("top_labels", "top_scores")}
            score = "" if math.isnan(record["score"]) else record["score"]
            writer.writerow(record | lists | {"score": score})


def _json_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    for record in records:
        score = None if math.isnan(record["score"]) else record["score"]
        yield json.dumps(record | {"score": score}, ensure_ascii=False)


def _write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in _json_lines(records))


def _write_json(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for i, line in enumerate(_json_lines(records)):
            file.write((",\n" if i else "\n") + line)
        file.write("\n]\n")


_WRITERS = {".parquet": _write_parquet, ".csv": _write_csv, ".json": _write_json, ".jsonl": _write_jsonl}
