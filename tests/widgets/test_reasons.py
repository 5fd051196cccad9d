"""A review queue in the widgets: what it asks for reaches the person, for each task."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from front_end import FrontEnd
from onlineml.errors import DataError
from onlineml.improving.review import ReviewItem, ReviewQueue, Why
from onlineml.project.project import Project
from onlineml.widgets import BoxEditor, Relabel

if TYPE_CHECKING:
    from pathlib import Path

NBSP = "\N{NO-BREAK SPACE}"
CLASSES = ["apple", "lemon", "pear"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))


def photos(n: int) -> list[bytes]:
    made = []
    for number in range(n):
        data = io.BytesIO()
        Image.new("RGB", (60, 40), (40 * number, 90, 90)).save(data, "PNG")
        made.append(data.getvalue())
    return made


def queue_of(whys: dict[str, tuple[Why, ...]]) -> ReviewQueue:
    items = [ReviewItem(image_id, row, why, is_random=not why) for row, (image_id, why) in enumerate(whys.items())]
    return ReviewQueue(tuple(items), n_pool=len(items), n_open=len(items), n_alike=0, seed=0)


def cards_of(front: FrontEnd) -> dict[str, dict[str, Any]]:
    return {card["id"]: card for card in front.one("cards", "cards", start=0)["cards"]}


def test_a_label_and_what_the_model_says_of_it(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    first, second = project.images.upload(photos(2), label="lemon")
    why = Why("label error", 0, 0.9, suggestion="apple", confidence=0.93, label="lemon")
    grid = Relabel(project, queue_of({first: (why,), second: ()}))
    front = FrontEnd(grid)

    cards = cards_of(front)

    assert [one["text"] for one in cards[first]["whys"]] == [f"labelled lemon, model says apple, 93{NBSP}%"]
    assert cards[second]["whys"] == []
    assert f"labelled lemon, model says apple, 93{NBSP}%" in grid.static_html()
    bases = [cards[first]["base"]]
    front.one("say", "saved", ids=[first], bases=bases, what="label", labels=["apple"])  # the model is right
    front.one("say", "saved", ids=[second], bases=[cards[second]["base"]], what="accept", labels=["lemon"])
    state = project.labels.state()
    assert [state.row(one)["label"] for one in (first, second)] == ["apple", "lemon"]
    assert list(project.labels.history(second)["event"])[-1] == "accepted"


def test_labels_that_are_missing_or_wrong_among_several(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", task="multilabel", class_names=CLASSES)
    (image_id,) = project.images.upload(photos(1), labels=["lemon", "pear"])
    whys = (
        Why("label error", 0, 0.9, suggestion="with apple", confidence=0.93, label="lemon, pear"),
        Why("label error", 0, 0.8, suggestion="without pear", confidence=0.88, label="lemon, pear"),
    )
    front = FrontEnd(Relabel(project, queue_of({image_id: whys})))

    told = cards_of(front)[image_id]["whys"]

    assert [(one["suggestion"], one["applies"]) for one in told] == [("apple", True), ("pear", False)]
    assert told[0]["text"] == f"labelled lemon, pear, model says also apple, 93{NBSP}%"
    assert told[1]["text"] == f"labelled lemon, pear, model says not pear, 88{NBSP}%"


def test_suspect_boxes_until_somebody_has_looked(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", task="detection", class_names=CLASSES)
    (image_id,) = project.images.upload(photos(1), boxes=[([[1, 1, 20, 20], [30, 5, 50, 30]], ["pear", "lemon"])])
    whys = (
        Why("swapped box", 0, 0.9, "apple", (30.0, 5.0, 50.0, 30.0), 1, confidence=0.93, label="lemon"),
        Why("missed box", 0, 0.5, "pear", (2.0, 25.0, 12.0, 35.0), confidence=0.7),
    )
    editor = BoxEditor(project, queue_of({image_id: whys}))
    front = FrontEnd(editor)

    told = front.one("load", "image", place=0)

    assert [one["text"] for one in told["whys"]] == [
        f"labelled lemon, model says apple, 93{NBSP}%", f"no box here, model says pear, 70{NBSP}%",
    ]  # fmt: skip
    assert [(one["object"], one["xyxy"]) for one in told["whys"]] == [(1, [30, 5, 50, 30]), (-1, [2, 25, 12, 35])]
    assert told["boxes"][1]["own"] == 1
    boxes = [{"xyxy": box["xyxy"], "label": box["label"]} for box in told["boxes"]]
    front.one("save", "saved", id=image_id, boxes=boxes, base=told["base"])  # the labels are right
    assert front.one("load", "image", place=0)["whys"] == []


def test_dozens_of_reasons_are_counted_where_the_notebook_is_saved(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", task="detection", class_names=CLASSES)
    (image_id,) = project.images.upload(photos(1), boxes=[([[1, 1, 20, 20]], ["pear"])])
    whys = tuple(Why("missed box", 0, 0.5, "pear", (n, 25, n + 9, 35), confidence=n / 100) for n in range(1, 31))
    queue = queue_of({image_id: whys})
    editor = BoxEditor(project, queue)

    for saved in (editor.static_html(), queue._repr_html_(), str(queue)):
        assert saved.count("no box here") == 3
        assert "and 27 more" in saved
    assert len(FrontEnd(editor).one("load", "image", place=0)["whys"]) == 30


def test_a_queue_of_another_project_is_refused(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    with pytest.raises(DataError, match="not in the project"):
        Relabel(project, queue_of({"strange": ()}))
