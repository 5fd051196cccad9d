"""Result files read as columns: the numbers of the json module, to the bit, or nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coco_cases import random_case
from onlineml.errors import DataError
from onlineml.evaluation import coco_scores
from onlineml.evaluation.coco import json as coco_json
from onlineml.evaluation.coco.columns import Columns, Layout


def rows(n: int, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [
        {"image_id": int(i), "category_id": int(c), "bbox": box, "score": s}
        for i, c, box, s in zip(
            rng.integers(0, 2**53, n),
            rng.integers(-5, 90, n),
            (rng.normal(0, 300, (n, 4)) * 10.0 ** rng.integers(-9, 9, (n, 1))).tolist(),
            (rng.random(n) ** 20).tolist(),  # many are so small that they are written with an exponent
            strict=True,
        )
    ]


def read(found: list[dict], **style) -> Columns | bytes:
    content = json.dumps(found, **style).encode()
    layout = Layout.of(content)
    assert layout is not None
    return layout.columns_or_rows(content[1:-1])


@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}])
@pytest.mark.parametrize(
    "keys", [("score", "bbox", "image_id", "category_id"), ("id", "image_id", "bbox", "2 e-", "category_id", "score")]
)
def test_numbers_are_those_of_the_json_module_to_the_bit(style, keys):
    found = [{"id": 1, "2 e-": -1.5e-300} | row for row in rows(500)]
    found = [{key: row[key] for key in keys} for row in found]
    columns = read(found, **style)
    assert isinstance(columns, Columns)
    assert columns.image_id.tolist() == [row["image_id"] for row in found]
    assert columns.category_id.tolist() == [row["category_id"] for row in found]
    assert columns.boxes_xywh.tolist() == [row["bbox"] for row in found]
    assert columns.score.tolist() == [row["score"] for row in found]
    assert "e-" in json.dumps([row["score"] for row in found])


def changed(old: str, new: str, *, at: int = 3) -> bytes:
    """A short list of detections, one of which is another at one place."""
    texts = [json.dumps(row) for row in rows(5)]
    texts[at] = json.dumps({"image_id": 7, "category_id": 8, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5})
    assert old in texts[at]
    texts[at] = texts[at].replace(old, new)
    return ", ".join(texts).encode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"score"', '"scor1"'),
        ('"score"', '"scor"'),
        ('"score"', '"score1"'),
        ('"image_id"', '"imag_eid"'),
        ('"image_id": 7', '"image_id": "7"'),
        ('"image_id": 7', '"image_id": 7.5'),
        ('"image_id": 7', '"image_id": 99999999999999999999'),
        ('"image_id": 7', '"image_id": null'),
        ('"image_id": 7', '"image_id": '),
        ("0.5", "NaN"),
        ("0.5", "0 .5"),
        ("0.5", "0.5.1"),
        ("0.5", "1e"),
        ("0.5", ""),
        ("0.5}", '0.5, "x": 1}'),
        ("[1.0, 2.0, 3.0, 4.0]", "[1.0, 2.0, 3.0]"),
        ("[1.0, 2.0, 3.0, 4.0]", "[1.0, 2.0, 3.0, ]"),
        ("[1.0, 2.0, 3.0, 4.0]", "[1.0, 2.0, 3.0, 4.0, 5.0]"),
        ("[1.0, 2.0, 3.0, 4.0]", "[[1.0, 2.0], 3.0, 4.0]"),
        ('"category_id": 8, "bbox": [1.0, 2.0, 3.0, 4.0]', '"bbox": [1.0, 2.0, 3.0, 4.0], "category_id": 8'),
        ("{", ""),
        ("}", "},"),
    ],
)
def test_what_is_laid_out_otherwise_is_left_to_json(old, new):
    layout = Layout.of(json.dumps(rows(1)).encode())
    assert isinstance(layout.columns_or_rows(changed(old, old)), Columns)
    other = changed(old, new)
    assert layout.columns_or_rows(other) == other


@pytest.mark.parametrize(
    "first",
    ["", "{}", "1", '{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 1}',
     '{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}',
     '{"image_id": "1", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}',
     '{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1, "b\\"x": 1}',
     '{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1, "rle": {"size": 3}}'],
)  # fmt: skip
def test_a_first_row_of_another_kind_is_left_to_json(first):
    assert Layout.of(f"[{first}]".encode()) is None


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_json, "_PART", 150)
    monkeypatch.setattr(coco_json, "_LARGE", 700)


def test_scores_of_files_in_small_parts_are_those_of_dicts(tmp_path, monkeypatch):
    small_parts(monkeypatch)
    n_rows = 0
    for seed in range(60):
        document, found = random_case(seed)
        if seed % 3 == 1:  # some parts of a file as columns, others row by row
            found = [row | {"note": "}, {"} if i % 50 == 49 else row for i, row in enumerate(found)]
        if seed % 3 == 2:
            found = [dict(reversed(row.items())) for row in found]
        (tmp_path / "found.json").write_text(json.dumps(found), encoding="utf-8")
        expected = coco_scores(document, found)
        ours = coco_scores(document, tmp_path / "found.json")
        np.testing.assert_array_equal(ours.precision, expected.precision)
        np.testing.assert_array_equal(ours.stats, expected.stats)
        n_rows = max(n_rows, len(found))
    assert n_rows > 100


@pytest.mark.parametrize(
    "fault", [{"score": float("nan")}, {"image_id": 10**9}, {"bbox": [1, 1, -1, 1]}, {"score": "1"}]
)
def test_a_fault_in_a_large_file_is_named_with_its_row(tmp_path, monkeypatch, fault):
    small_parts(monkeypatch)
    document, found = next(case for case in map(random_case, range(40)) if len(case[1]) > 60)
    found[57] |= fault
    (tmp_path / "found.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(DataError, match=r"detections\[57\]"):
        coco_scores(document, tmp_path / "found.json")
