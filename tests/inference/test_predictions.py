"""Rows of predictions: as a stream, a list, a table and a file, read back with pandas."""

from __future__ import annotations

import io
import itertools
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from late import Late
from onlineml.errors import ConfigError
from onlineml.inference.predictions import Prediction, Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stores import Store

pd = Late("pandas")

GOOD = Prediction("s3://lab/a,b.jpg", "cat", 0.75, (("cat", 0.75), ('d"o,g', 0.25)), None)
BAD = Prediction("broken \n日本.jpg", None, math.nan, (), "truncated: the end is missing")


class Source:
    """Counts how often it is begun and how many rows it made."""

    def __init__(self, rows: Any) -> None:
        self.rows, self.begun, self.made = rows, 0, 0

    def __call__(self) -> Iterator[Prediction]:
        self.begun += 1
        for row in self.rows:
            self.made += 1
            yield row


def test_nothing(tmp_path: Path) -> None:
    empty = Predictions(Source([]))

    assert list(empty) == []
    assert len(empty) == 0
    assert list(empty.to_frame().columns) == ["uri", "label", "score", "top_labels", "top_scores", "error", "image_id"]
    assert len(empty.to_frame()) == 0
    for ending in ("parquet", "csv", "json", "jsonl"):
        empty.save(str(tmp_path / f"p.{ending}"))
    assert list(pd.read_parquet(tmp_path / "p.parquet").columns) == list(empty.to_frame().columns)
    assert len(pd.read_csv(tmp_path / "p.csv")) == 0
    assert json.loads((tmp_path / "p.json").read_bytes()) == []
    assert (tmp_path / "p.jsonl").read_bytes() == b""


def test_iterating_streams_and_keeps_nothing() -> None:
    source = Source(itertools.cycle([GOOD, BAD]))
    predictions = Predictions(source)

    assert list(itertools.islice(predictions, 3)) == [GOOD, BAD, GOOD]
    assert source.made == 3
    assert "not made yet" in repr(predictions)
    assert "not made yet" in predictions._repr_html_()
    assert source.made == 3  # showing makes none


@pytest.mark.parametrize("how", [list, tuple, len, lambda p: p[0], lambda p: p[-2:], lambda p: p.to_frame(), sorted])
def test_all_are_made_once(how) -> None:
    source = Source([GOOD, GOOD])
    predictions = Predictions(source)
    if how is sorted:
        assert len(sorted(predictions, key=str)) == 2
    else:
        how(predictions)
    assert len(predictions) == 2
    assert list(predictions) == [GOOD, GOOD]
    assert predictions[1] == GOOD
    assert predictions[:1] == [GOOD]

    assert source.begun == 1
    assert source.made == 2


def test_it_is_a_sequence() -> None:
    predictions = Predictions(Source([GOOD, BAD]), model="m")

    assert BAD.uri in {p.uri for p in predictions}
    assert predictions.index(GOOD) == 0
    assert list(reversed(predictions))[1] is GOOD
    with pytest.raises(IndexError):
        predictions[2]
    assert repr(predictions) == "Predictions(2 rows, model='m')"


def test_rows_as_text() -> None:
    assert str(GOOD) == "s3://lab/a,b.jpg: cat (0.750)"
    assert str(BAD) == "broken \n日本.jpg: truncated: the end is missing"


def test_the_table() -> None:
    table = Predictions(Source([GOOD, BAD])).to_frame()

    assert table["uri"].tolist() == [GOOD.uri, BAD.uri]
    assert table["label"].tolist()[0] == "cat"
    assert table["label"].isna().tolist() == [False, True]
    assert table["score"].tolist()[0] == 0.75
    assert table["top_labels"].tolist() == [["cat", 'd"o,g'], []]
    assert table["top_scores"].tolist() == [[0.75, 0.25], []]
    assert table["error"].tolist()[1] == BAD.error


def test_a_page_shows_no_tags_of_others() -> None:
    predictions = Predictions(
        Source([Prediction("<script>x</script>", "<b>", 1.0, (("<b>", 1.0),), None)]), model="<i>"
    )
    predictions.to_frame()
    page = predictions._repr_html_()

    assert "<script>" not in page
    assert "<b>" not in page
    assert "<i>" not in page


def read_back(data: bytes, ending: str) -> pd.DataFrame:
    if ending == "parquet":
        return pd.read_parquet(io.BytesIO(data))
    if ending == "csv":
        table = pd.read_csv(io.BytesIO(data), converters={"score": lambda text: float(text or "nan")})  # every digit
        return table.assign(
            top_labels=table["top_labels"].map(json.loads), top_scores=table["top_scores"].map(json.loads)
        )
    return pd.read_json(io.BytesIO(data), lines=ending == "jsonl", precise_float=True)


@pytest.mark.parametrize("ending", ["parquet", "csv", "json", "jsonl"])
def test_every_format_on_every_store_is_read_back(store: Store, ending: str) -> None:
    rng = np.random.default_rng(0)
    rows = [GOOD, BAD]
    for i in range(2100):  # more than two pieces of a Parquet file
        score = float(rng.random())
        rows.append(Prediction(f"{i}.jpg", "cat", score, (("cat", score), ("dog", 1 - score)), None))
    url = f"{store.url}/out/predictions.{ending}"
    source = Source(rows)

    assert Predictions(source).save(url, storage_options=store.storage_options) == url
    assert source.made == len(rows)
    assert store.raw_names() == [f"out/predictions.{ending}"]
    table = read_back(store.raw_read(f"out/predictions.{ending}"), ending)
    assert list(table.columns) == ["uri", "label", "score", "top_labels", "top_scores", "error", "image_id"]
    assert table["uri"].tolist() == [row.uri for row in rows]
    assert table["label"].isna().tolist() == [row.label is None for row in rows]
    assert table["label"].dropna().tolist() == [row.label for row in rows if row.label is not None]
    assert np.array_equal(table["score"].to_numpy(float), [row.score for row in rows], equal_nan=True)
    assert [list(names) for names in table["top_labels"]] == [[name for name, _ in row.top] for row in rows]
    assert [list(values) for values in table["top_scores"]] == [[score for _, score in row.top] for row in rows]
    assert table["error"].dropna().tolist() == [BAD.error]


def test_an_upper_case_ending_and_a_path(tmp_path: Path) -> None:
    Predictions(Source([GOOD])).save(tmp_path / "P.CSV")

    assert len(pd.read_csv(tmp_path / "P.CSV")) == 1


def test_saving_streams(tmp_path: Path) -> None:
    predictions = Predictions(Source([GOOD] * 10))
    predictions.save(str(tmp_path / "p.jsonl"))

    assert predictions._kept is None


@pytest.mark.parametrize("url", ["p.xlsx", "predictions", "memory://x/p.txt", "p.csv.gz"])
def test_other_endings_are_refused_before_anything_is_made(url: str) -> None:
    source = Source([GOOD])
    with pytest.raises(ConfigError, match=r"expected one of \.parquet, \.csv, \.json, \.jsonl"):
        Predictions(source).save(url)

    assert source.begun == 0


@pytest.mark.parametrize("ending", ["parquet", "csv", "json", "jsonl"])
def test_nothing_is_left_behind_when_it_fails_midway(store: Store, ending: str, tmp_path: Path, monkeypatch) -> None:
    def failing() -> Iterator[Prediction]:
        yield from [GOOD] * 1500
        raise OSError("the store went away")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    name = f"p.{ending}"
    store.raw_write(name, b"of yesterday")
    for url in (f"{store.url}/{name}", f"{store.url}/new/{name}"):
        with pytest.raises(OSError, match="the store went away"):
            Predictions(failing).save(url, storage_options=store.storage_options)

    assert store.raw_names() == [name]
    assert store.raw_read(name) == b"of yesterday"
    assert list((tmp_path / "temporary").iterdir()) == []
