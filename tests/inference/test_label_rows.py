"""Labels of images: thresholds, rows of every kind of input, tables and galleries."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import onlineml as oml
from onlineml.data.kinds import kind_of
from onlineml.errors import ConfigError, UnknownClassError
from onlineml.inference.label_rows import ImageLabels, LabelRows
from tiny import CLASSES
from tiny_labels import knowing_model, label_manifest, scene


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, decoded_photos) -> oml.Manifest:
    return label_manifest(tmp_path_factory.mktemp("labels") / "photos")


@pytest.fixture(scope="module")
def model(labelled) -> oml.MultilabelClassifier:
    return knowing_model(labelled)


def urls(data: oml.Manifest) -> list[str]:
    return data.urls()[:14]


def probabilities(model, labelled) -> np.ndarray:
    """(14, 3) by the network itself, of what evaluation sees."""
    batch = next(iter(oml.MultilabelDataModule(labelled, size_hw=(32, 32), batch_size=14).loader("train")))
    with torch.no_grad():
        return torch.sigmoid(model(batch["image"])).numpy()


def test_labels_are_those_that_reach_their_thresholds(model, labelled) -> None:
    rows = oml.predict(model, urls(labelled))
    expected = probabilities(model, labelled)

    assert isinstance(rows, LabelRows)
    for row, own in zip(rows, expected, strict=True):
        by_name = dict(zip(CLASSES, own.tolist(), strict=True))
        assert dict(row.top) == pytest.approx(by_name, abs=1e-5)
        assert [score for _, score in row.top] == sorted(dict(row.top).values(), reverse=True)
        assert set(row.labels) == {name for name in CLASSES if by_name[name] >= model.thresholds[name]}
        assert list(row.scores) == sorted(row.scores, reverse=True)
        assert row.strengths().items() <= dict(row.top).items()
        assert row.error is None


@pytest.mark.parametrize(
    ("threshold", "least"),
    [(0.0, [0, 0, 0]), (1.0, [1, 1, 1]), (0.3, [0.3] * 3), ({"green": 0.9}, [None, 0.9, None])],
)
def test_a_threshold_of_the_users(model, labelled, threshold, least) -> None:
    own = [model.thresholds[n] if t is None else t for n, t in zip(CLASSES, least, strict=True)]
    reached = probabilities(model, labelled) >= np.array(own)
    expected = [set(np.array(CLASSES)[row]) for row in reached]

    assert [set(row.labels) for row in oml.predict(model, urls(labelled), threshold=threshold)] == expected


def test_a_long_image_is_seen_as_evaluation_sees_it(labelled, tmp_path: Path) -> None:
    pixels = np.concatenate(
        [scene(("red",), seed=1), *[scene((), seed=i) for i in range(5)], scene(("blue",), seed=2)], 1
    )
    cv2.imwrite(str(tmp_path / "000.png"), pixels[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "001.png"), pixels[:, ::-1, ::-1])
    model = knowing_model(labelled)
    table = labelled.table.slice(0, 2).set_column(1, "uri", pa.array(["000.png", "001.png"]))
    data = oml.Manifest(table, CLASSES, root=str(tmp_path), task="multilabel")
    batch = next(iter(oml.MultilabelDataModule(data, size_hw=(32, 32), cache=False).loader("train")))
    with torch.no_grad():
        expected = torch.sigmoid(model(batch["image"])).numpy()

    for row, own in zip(oml.predict(model, [tmp_path / "000.png", tmp_path / "001.png"]), expected, strict=True):
        assert dict(row.top) == pytest.approx(dict(zip(CLASSES, own.tolist(), strict=True)), abs=1e-5)


def test_a_model_without_thresholds_takes_a_half(labelled) -> None:
    fresh = knowing_model(labelled)
    fresh.thresholds = None
    expected = [set(np.array(CLASSES)[row >= 0.5]) for row in probabilities(fresh, labelled)]

    assert [set(row.labels) for row in oml.predict(fresh, urls(labelled))] == expected


def test_thresholds_that_are_none(model) -> None:
    with pytest.raises(ConfigError, match=r"threshold=1\.5: expected a score between 0 and 1"):
        oml.predict(model, [], threshold=1.5)
    with pytest.raises(UnknownClassError, match="threshold: cyan is not among the model's classes blue, green, red"):
        oml.predict(model, [], threshold={"cyan": 0.5})


def test_all_that_may_be_an_image(model, labelled, tmp_path: Path) -> None:
    path = Path(urls(labelled)[6])
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    rows = oml.predict(model, [str(path), path.read_bytes(), scene(("red",), seed=9), tmp_path / "bad.jpg"], top_k=1)

    one, same, array, bad = rows
    assert one.labels == same.labels != ()
    assert (one.uri, same.uri, array.uri) == (str(path), "bytes:1", "array:2")
    assert array.labels == ("red",)
    assert [len(row.top) for row in rows] == [1, 1, 1, 0]
    assert (bad.labels, bad.top, bad.label, str(bad.score)) == ((), (), None, "nan")
    assert "bad.jpg: " in str(bad)
    assert [row.uri for row in rows] == [row.uri for row in rows]  # once more from the beginning


def test_tables_and_files(model, labelled, tmp_path: Path) -> None:
    rows = oml.predict(model, urls(labelled))
    table = rows.to_frame()
    rows.save(tmp_path / "rows.parquet")
    read = pd.read_parquet(tmp_path / "rows.parquet")

    assert list(table.columns) == ["uri", "labels", "scores", "top_labels", "top_scores", "error", "image_id"]
    assert [tuple(labels) for labels in read["labels"]] == [row.labels for row in rows]
    assert [tuple(scores) for scores in read["top_scores"]] == [tuple(score for _, score in row.top) for row in rows]


def test_galleries_and_pictures(model, labelled) -> None:
    rows = oml.predict(model, urls(labelled))
    given = [row.labels for row in rows]
    gallery = rows.gallery()
    (classes, _) = gallery.facets
    for place, name in enumerate(classes.values):
        found = sorted(classes.rows[classes.codes == place].tolist())
        assert found == [i for i, labels in enumerate(given) if name in (labels or ("no labels",))]
    assert gallery.items([0])[0].title == rows[0].summary
    pixels = scene(("red", "blue"), seed=3)
    drawn = next(row for row in rows if len(row.labels) > 1).drawn_on(pixels, CLASSES)
    assert drawn.shape == pixels.shape
    assert not np.array_equal(drawn, pixels)
    assert np.array_equal(ImageLabels("x", (), (), (), None).drawn_on(pixels, CLASSES), pixels)


def test_rows_are_suggestions(model, labelled) -> None:
    row = oml.predict(model, urls(labelled))[6]
    guess = kind_of("multilabel").guess("image", row)

    assert guess == {"image_id": "image", "labels": list(row.labels), "scores": list(row.scores)}
    assert kind_of("multilabel").guess("image", ImageLabels("x", (), (), (), "unreadable")) is None
