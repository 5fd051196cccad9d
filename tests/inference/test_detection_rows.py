"""Rows of detections: as a stream, a list, a table and a file, read back with pandas."""

from __future__ import annotations

import io
import itertools
import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from late import Late
from onlineml.errors import ConfigError
from onlineml.inference.detections import DetectionRows, ImageDetections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stores import Store

pd = Late("pandas")

NAMES = ("cat", 'd"o,g')
COLUMNS = ["uri", "label", "score", "x1", "y1", "x2", "y2", "width", "height", "error", "image_id", "is_full"]


def row(uri: str, objects: Sequence[tuple[int, float, tuple[float, ...]]], size_hw=(480, 640)) -> ImageDetections:
    """(class id, score, box) of each object."""
    return ImageDetections(
        uri,
        size_hw,
        np.array([box for _, _, box in objects], float).reshape(-1, 4),
        np.array([label for label, _, _ in objects], np.int64),
        tuple(NAMES[label] for label, _, _ in objects),
        np.array([score for _, score, _ in objects], float),
        None,
    )


TWO = row("s3://lab/a,b.jpg", [(1, 0.75, (1, 2, 30.5, 40.25)), (0, 0.5, (0, 0, 640, 480))])
NONE = row("none \n日本.jpg", [])
BAD = ImageDetections.unusable("broken.jpg", "truncated: the end is missing")


class Source:
    """Counts how often it is begun and how many rows it made."""

    def __init__(self, rows) -> None:
        self.rows, self.begun, self.made = rows, 0, 0

    def __call__(self) -> Iterator[ImageDetections]:
        self.begun += 1
        for one in self.rows:
            self.made += 1
            yield one


def read_back(data: bytes, ending: str) -> pd.DataFrame:
    if ending == "parquet":
        return pd.read_parquet(io.BytesIO(data))
    if ending == "csv":
        numbers = dict.fromkeys(("score", "x1", "y1", "x2", "y2"), lambda text: float(text or "nan"))  # every digit
        return pd.read_csv(io.BytesIO(data), converters=numbers)
    return pd.read_json(io.BytesIO(data), lines=ending == "jsonl", precise_float=True)


def test_nothing(tmp_path: Path) -> None:
    empty = DetectionRows(Source([]))

    assert list(empty) == []
    assert len(empty) == 0
    assert list(empty.to_frame().columns) == COLUMNS
    for ending in ("parquet", "csv", "json", "jsonl"):
        empty.save(str(tmp_path / f"p.{ending}"))
    assert list(pd.read_parquet(tmp_path / "p.parquet").columns) == COLUMNS
    assert len(pd.read_csv(tmp_path / "p.csv")) == 0
    assert json.loads((tmp_path / "p.json").read_bytes()) == []
    assert (tmp_path / "p.jsonl").read_bytes() == b""


def test_a_row() -> None:
    objects = list(TWO)

    assert len(TWO) == len(objects) == 2
    assert objects[0].label == 'd"o,g'
    assert objects[0].box_xyxy == (1, 2, 30.5, 40.25)
    assert TWO.main == objects[0]
    assert (TWO.label, TWO.score) == ('d"o,g', 0.75)
    assert TWO.top == (('d"o,g', 0.75), ("cat", 0.5))
    assert str(objects[0]) == 'd"o,g (0.750) at 1, 2, 30, 40'
    assert str(TWO) == 's3://lab/a,b.jpg: 1 d"o,g, 1 cat'
    assert repr(NONE) == "<ImageDetections: none \n日本.jpg: no objects>"
    assert str(BAD) == "broken.jpg: truncated: the end is missing"
    assert (BAD.main, BAD.label, BAD.top, len(BAD)) == (None, None, (), 0)
    assert math.isnan(BAD.score)


def test_iterating_streams_and_keeps_nothing() -> None:
    source = Source(itertools.cycle([TWO, BAD]))
    detections = DetectionRows(source)

    assert list(itertools.islice(detections, 3)) == [TWO, BAD, TWO]
    assert source.made == 3
    assert "not made yet" in repr(detections)
    assert "not made yet" in detections._repr_html_()
    assert source.made == 3  # showing makes none


@pytest.mark.parametrize("how", [list, len, lambda d: d[0], lambda d: d[-2:], lambda d: d.to_frame()])
def test_all_are_made_once(how) -> None:
    source = Source([TWO, NONE])
    detections = DetectionRows(source, model="m")
    how(detections)

    assert len(detections) == 2
    assert detections[1] is NONE
    assert (source.begun, source.made) == (1, 2)
    assert repr(detections) == "DetectionRows(2 rows, model='m')"


def test_the_table_has_a_line_for_each_object_and_one_for_an_image_without() -> None:
    table = DetectionRows(Source([TWO, NONE, BAD])).to_frame()

    assert table["uri"].tolist() == [TWO.uri, TWO.uri, NONE.uri, BAD.uri]
    assert table["label"].tolist()[:2] == ['d"o,g', "cat"]
    assert table["label"].isna().tolist() == table["x1"].isna().tolist() == [False, False, True, True]
    assert table[["x1", "y1", "x2", "y2"]].to_numpy()[:2].tolist() == [[1, 2, 30.5, 40.25], [0, 0, 640, 480]]
    assert table["score"].tolist()[:2] == [0.75, 0.5]
    assert table["width"].tolist()[:3] == [640, 640, 640]
    assert table["height"].isna().tolist() == [False, False, False, True]
    assert table["error"].isna().tolist() == [True, True, True, False]


def test_a_page_shows_no_tags_of_others() -> None:
    detections = DetectionRows(Source([ImageDetections.unusable("<script>x</script>", "<b>")]), model="<i>")
    detections.to_frame()
    page = detections._repr_html_()

    assert "<script>" not in page
    assert "<b>" not in page
    assert "<i>" not in page


@pytest.mark.parametrize("ending", ["parquet", "csv", "json", "jsonl"])
def test_every_format_on_every_store_is_read_back(store: Store, ending: str) -> None:
    rng = np.random.default_rng(0)
    rows = [TWO, NONE, BAD]
    for i in range(700):  # more than two pieces of a Parquet file
        boxes = [(int(rng.integers(2)), float(rng.random()), tuple(rng.uniform(0, 400, 4))) for _ in range(i % 7)]
        rows.append(row(f"{i}.jpg", boxes))
    url = f"{store.url}/out/objects.{ending}"
    source = Source(rows)
    detections = DetectionRows(source)

    assert detections.save(url, storage_options=store.storage_options) == url
    assert (source.made, detections._kept) == (len(rows), None)
    assert store.raw_names() == [f"out/objects.{ending}"]
    table = read_back(store.raw_read(f"out/objects.{ending}"), ending)
    assert list(table.columns) == COLUMNS
    boxes, expected = table.dropna(subset=["label"]), [(one.uri, found) for one in rows for found in one]
    assert boxes["uri"].tolist() == [uri for uri, _ in expected]
    assert boxes["label"].tolist() == [found.label for _, found in expected]
    assert boxes["score"].tolist() == [found.score for _, found in expected]
    assert boxes[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [list(found.box_xyxy) for _, found in expected]
    without = table[table["label"].isna()]
    assert without["uri"].tolist() == [one.uri for one in rows if not len(one)]
    assert without[["score", "x1", "y2"]].isna().all(axis=None)
    assert table["error"].dropna().tolist() == [BAD.error]
    assert table["width"].isna().sum() == 1
    assert set(table["width"].dropna()) == {640}


def test_other_endings_are_refused_before_anything_is_made() -> None:
    source = Source([TWO])
    with pytest.raises(ConfigError, match=r"expected one of \.parquet, \.csv, \.json, \.jsonl"):
        DetectionRows(source).save("p.xlsx")

    assert source.begun == 0


def test_nothing_is_left_behind_when_it_fails_midway(store: Store) -> None:
    def failing() -> Iterator[ImageDetections]:
        yield from [TWO] * 1500
        raise OSError("the store went away")

    store.raw_write("p.parquet", b"of yesterday")
    with pytest.raises(OSError, match="the store went away"):
        DetectionRows(failing).save(f"{store.url}/p.parquet", storage_options=store.storage_options)

    assert store.raw_names() == ["p.parquet"]
    assert store.raw_read("p.parquet") == b"of yesterday"


@pytest.mark.parametrize(
    ("n", "limit", "places"),
    [(0, 5, []), (3, 5, [0, 1, 2]), (10, 5, [0, 2, 4, 6, 8]), (11, 5, [0, 3, 6, 9]), (4, 1, [0])],
)
def test_some_are_evenly_chosen(n: int, limit: int, places: list[int]) -> None:
    rows = [row(f"{i}.jpg", []) for i in range(n)]

    assert DetectionRows(Source(rows)).sample(limit) == [rows[i] for i in places]
