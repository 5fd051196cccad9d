"""Predictions, scores and comparisons beside their images: what is filtered is what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from front_end import FrontEnd
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError
from onlineml.evaluation import Detections, classification_scores, compare, detection_scores
from onlineml.inference.detections import DetectionRows, ImageDetections
from onlineml.inference.predictions import Prediction, Predictions
from onlineml.widgets import Results

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("cat", "dog", "cow")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))


def save_pictures(root: Path, n: int) -> list[str]:
    for i in range(n):
        Image.new("RGB", (100, 100), (5 * i, 100, 100)).save(root / f"{i}.png")
    return [str(root / f"{i}.png") for i in range(n)]


def manifest_of(root: Path, labels: np.ndarray) -> Manifest:
    n = len(labels)
    rows: dict[str, Any] = {
        "image_id": [f"id-{i}" for i in range(n)],
        "uri": [f"{i}.png" for i in range(n)],
        "split": ["test"] * n,
        "group": [f"g{i}" for i in range(n)],
        "label": pa.array([NAMES[i] for i in labels], pa.string()),
    }
    return Manifest(pa.table(rows), NAMES, root=str(root))


def scores_of(data: Manifest, probabilities: np.ndarray) -> Any:
    columns = {name: data.table[name].to_pylist() for name in ("image_id", "uri")}
    return classification_scores(
        probabilities, data.label_ids(), NAMES, image_ids=columns["image_id"], uris=columns["uri"], split="test",
        slices={"half": ["left" if i % 2 else "right" for i in range(len(data))]}, n_bootstrap=0,
    )  # fmt: skip


def some_probabilities(labels: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    given = rng.dirichlet(np.ones(3), len(labels))
    given[np.arange(len(labels)), labels] += 0.4
    return given / given.sum(1, keepdims=True)


def cards_of(front: FrontEnd, **filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = front.one("page", "page", filters=filters, start=0)["cards"]
    return found


def test_predictions_with_their_scores_and_images_that_cannot_be_used(tmp_path: Path) -> None:
    urls = save_pictures(tmp_path, 2)
    rows = [
        Prediction(urls[0], "cat", 0.95, (("cat", 0.95), ("dog", 0.05)), None),
        Prediction(urls[1], "dog", 0.4, (("dog", 0.4), ("cat", 0.35), ("cow", 0.25)), None),
        Prediction("bytes:2", None, float("nan"), (), "truncated: half a file"),
    ]
    view = Results(Predictions(lambda: iter(rows), model="m@1"))
    front = FrontEnd(view)
    front.ask("hello")

    cards = cards_of(front)

    assert [card["title"] for card in cards] == ["cat 0.95", "dog 0.40", "cannot be used"]
    assert cards[1]["note"] == "cat 0.35, cow 0.25"
    assert cards[2]["note"] == "truncated: half a file"
    assert [card["id"] for card in cards_of(front, score="0.9 to 1")] == [urls[0]]
    assert [card["id"] for card in cards_of(front, **{"class": "cannot be used"})] == ["bytes:2"]
    assert "m@1" in view.static_html()
    assert "matrix" not in front.one("hello", "deck")


def test_detections_have_their_boxes(tmp_path: Path) -> None:
    (url,) = save_pictures(tmp_path, 1)
    boxes = np.array([[10.0, 10, 30, 30], [40, 40, 90, 90]])
    found = ImageDetections(url, (100, 100), boxes, np.array([1, 0]), ("dog", "cat"), np.array([0.9, 0.6]), None)
    empty = ImageDetections(url, (100, 100), np.zeros((0, 4)), np.zeros(0, np.int64), (), np.zeros(0), None)
    front = FrontEnd(Results(DetectionRows(lambda: iter([found, empty]))))

    cards = cards_of(front)

    assert cards[0]["title"] == "1 dog, 1 cat"
    assert [(box["xyxy"], box["text"]) for box in cards[0]["boxes"]] == [
        ([10.0, 10.0, 30.0, 30.0], "dog 0.90"),
        ([40.0, 40.0, 90.0, 90.0], "cat 0.60"),
    ]
    assert len(cards_of(front, **{"class": "cat"})) == 1
    assert len(cards_of(front, **{"class": "no objects"})) == 1


def test_every_cell_of_the_confusion_opens_as_many_images_as_it_counts(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, 40)
    save_pictures(tmp_path, 40)
    data = manifest_of(tmp_path, labels)
    scores = scores_of(data, some_probabilities(labels, 1))
    view = Results(scores, data)
    front = FrontEnd(view)

    matrix = front.one("hello", "deck")["matrix"]

    assert matrix["rows"] == matrix["columns"] == list(NAMES)
    counts = [[cell["n"] for cell in row] for row in matrix["cells"]]
    assert counts == scores.confusion.tolist()
    for truth, row in zip(NAMES, matrix["cells"], strict=True):
        for said, cell in zip(NAMES, row, strict=True):
            assert (cell["value"] is None) == (cell["n"] == 0)
            if cell["n"]:
                cards = cards_of(front, **{matrix["facet"]: cell["value"]})
                assert len(cards) == cell["n"]
                assert all(card["title"].startswith(said) for card in cards)
                assert all(card["note"] == ("" if said == truth else f"is {truth}") for card in cards)


def test_the_surest_mistakes_come_first_and_images_are_found_through_the_manifest(tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 0])
    given = np.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2]])
    save_pictures(tmp_path, 4)
    data = manifest_of(tmp_path, labels)
    front = FrontEnd(Results(scores_of(data, given), data, where={"half": "right"}))

    assert [card["id"] for card in cards_of(front)] == ["id-2", "id-1", "id-0", "id-3"]
    assert [card["id"] for card in cards_of(front, half="right")] == ["id-2", "id-0"]
    assert {error for told, _ in front.told if told["kind"] == "pictures" for error in told["errors"]} == {""}


def detection_case(tmp_path: Path) -> Any:
    save_pictures(tmp_path, 3)
    truth = Boxes(
        np.array([[0.0, 0, 20, 20], [50, 50, 90, 90], [0, 0, 20, 20]]), np.array([0, 1, 0]), np.zeros(3, bool),
        np.full(3, np.nan), np.array([0, 2, 3, 3]), np.ones(3, bool),
    )  # fmt: skip
    found = Detections(
        image_index=np.array([0, 0, 2]),
        boxes_xyxy=np.array([[0.0, 0, 20, 20], [50, 50, 90, 90], [5, 5, 50, 50]]),
        label_ids=np.array([0, 2, 1]),
        scores=np.array([0.9, 0.8, 0.7]),
        n_images=3,
    )
    return detection_scores(
        truth, found, NAMES, image_ids=["a", "b", "c"], uris=[str(tmp_path / f"{i}.png") for i in range(3)],
        sizes_hw=[(100, 100)] * 3, thresholds=dict.fromkeys(NAMES, 0.5), n_bootstrap=0,
    )  # fmt: skip


def test_the_cells_of_a_detector_open_the_images_of_missed_objects_and_boxes_of_nothing(tmp_path: Path) -> None:
    view = Results(detection_case(tmp_path))
    front = FrontEnd(view)

    matrix = front.one("hello", "deck")["matrix"]

    assert matrix["columns"] == [*NAMES, "missed"]
    assert matrix["rows"] == [*NAMES, "no object"]
    opened = {
        (truth, said): [card["id"] for card in cards_of(front, **{matrix["facet"]: cell["value"]})]
        for truth, row in zip(matrix["rows"], matrix["cells"], strict=True)
        for said, cell in zip(matrix["columns"], row, strict=True)
        if cell["n"]
    }
    assert opened == {
        ("cat", "cat"): ["a"],
        ("dog", "cow"): ["a"],
        ("cat", "missed"): ["b"],
        ("no object", "dog"): ["c"],
    }
    cards = {card["id"]: card for card in cards_of(front)}
    assert {box["text"]: box["dashed"] for box in cards["b"]["boxes"]} == {"cat": True}
    assert cards["a"]["tone"] == "bad"
    assert "truth" in view.static_html()


def test_of_very_many_classes_the_matrix_has_the_most_confused(tmp_path: Path) -> None:
    names = tuple(f"class {i}" for i in range(60))
    labels = np.repeat(np.arange(60), 2)
    given = np.full((120, 60), 0.001)
    given[np.arange(120), labels] = 0.9
    given[7, 3], given[7, 59] = 0.0, 0.9  # class 3 taken for class 59
    scores = classification_scores(given / given.sum(1, keepdims=True), labels, names, n_bootstrap=0)

    matrix = FrontEnd(Results(scores)).one("hello", "deck")["matrix"]

    assert len(matrix["rows"]) == 20
    assert "60" in matrix["note"]
    i, j = matrix["rows"].index("class 3"), matrix["columns"].index("class 59")
    assert matrix["cells"][i][j]["n"] == 1


def test_a_comparison_shows_what_became_better_and_worse(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, 30)
    save_pictures(tmp_path, 30)
    data = manifest_of(tmp_path, labels)
    first, second = (scores_of(data, some_probabilities(labels, seed)) for seed in (1, 2))
    comparison = compare(first, second, n_resamples=0)
    front = FrontEnd(Results(comparison, data))
    front.ask("hello")

    fixed, broken = cards_of(front, change="fixed"), cards_of(front, change="broken")

    assert {card["id"] for card in fixed} == set(comparison.fixed_ids)
    assert {card["id"] for card in broken} == set(comparison.broken_ids)
    assert all(card["title"].startswith("fixed: ") for card in fixed)


def test_anything_else_is_refused() -> None:
    with pytest.raises(ConfigError, match="a str"):
        Results("photos/")
