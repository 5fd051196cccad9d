"""Images mended from a gallery, results and a confusion matrix, for each task; sorted, searched, and cut by score."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from front_end import FrontEnd
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError
from onlineml.evaluation import classification_scores
from onlineml.inference.predictions import Prediction, Predictions
from onlineml.project.project import Project
from onlineml.widgets import BoxEditor, Gallery, Relabel, Results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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


def shown(front: FrontEnd, filters: dict[str, str] | None = None, **arrangement: Any) -> dict[str, Any]:
    facts = {"search": "", "sort_by": "", "descending": True, "least_score": 0.0, **arrangement}
    return front.one("page", "page", filters=filters or {}, start=0, arrangement=facts)


def ids_of(page: dict[str, Any]) -> list[str]:
    return [card["id"] for card in page["cards"]]


def rows_of(front: FrontEnd, image_ids: Sequence[str]) -> list[int]:
    rows = {card["id"]: card["row"] for card in shown(front)["cards"]}
    return [rows[one] for one in image_ids]


def refused(front: FrontEnd, **facts: Any) -> str:
    return str(front.one("mend", "error", **facts)["text"])


def labels_now(project: Project, ids: Sequence[str]) -> list[str]:
    state = Project.open(project.location).labels.state()
    return [state.row(one)["label"] for one in ids]


def test_chosen_images_are_relabelled_left_out_and_taken_back(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    ids = project.images.upload(photos(3), label="lemon")
    front = FrontEnd(Gallery(project, author="ann"))

    deck = front.one("hello", "deck")
    assert deck["mend"] == {"classes": CLASSES, "several": False, "editor": True}
    front.one("mend", "mended", rows=rows_of(front, ids[:2]), what="label", label="apple")

    state = Project.open(project.location).labels.state()
    assert [state.row(one)["label"] for one in ids] == ["apple", "apple", "lemon"]
    assert list(project.labels.history(ids[0])["author"])[-1] == "ann"
    assert [card["mended"] for card in shown(front)["cards"]] == ["now apple", "now apple", ""]
    front.one("mend", "mended", rows=rows_of(front, ids[2:]), what="delete")
    assert set(ids_of(shown(front))) == set(ids[:2])
    front.one("mend", "mended", rows=[], what="undo")
    front.one("mend", "mended", rows=[], what="undo")
    state = Project.open(project.location).labels.state()
    assert [state.row(one)["label"] for one in ids] == ["lemon"] * 3
    assert "nothing was changed here" in refused(front, rows=[], what="undo")


def test_labels_of_sets_are_added_and_removed(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", task="multilabel", class_names=CLASSES)
    ids = project.images.upload(photos(2), labels=["lemon"])
    front = FrontEnd(Gallery(project))

    assert front.one("hello", "deck")["mend"]["several"]
    front.one("mend", "mended", rows=rows_of(front, ids), what="add", label="pear")
    front.one("mend", "mended", rows=rows_of(front, ids[:1]), what="remove", label="lemon")

    state = Project.open(project.location).labels.state()
    assert [state.row(one)["labels"] for one in ids] == [["pear"], ["lemon", "pear"]]


def test_boxes_are_opened_in_the_editor_and_sorted_by_their_number(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", task="detection", class_names=CLASSES)
    boxes = [[[1, 1, 9, 9]], [[1, 1, 9, 9], [20, 5, 30, 20]], []]
    ids = project.images.upload(photos(3), boxes=[(own, ["pear"] * len(own)) for own in boxes])
    gallery = Gallery(project)
    front = FrontEnd(gallery)

    assert front.one("hello", "deck")["mend"] == {"classes": [], "several": False, "editor": True}
    assert ids_of(shown(front, sort_by="number of boxes")) == [ids[1], ids[0], ids[2]]
    assert ids_of(shown(front, sort_by="number of boxes", descending=False)) == [ids[2], ids[0], ids[1]]
    front.one("mend", "mended", rows=rows_of(front, [ids[2], ids[0]]), what="editor")
    assert isinstance(gallery.editor, BoxEditor)
    assert gallery.editor.image_ids == [ids[2], ids[0]]


def test_suggestions_sort_by_score_and_disagreement_and_are_cut_by_a_score(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    ids = project.images.upload(photos(4), label="lemon")
    project.labels.suggest({ids[0]: ("apple", 0.6), ids[1]: ("lemon", 0.9), ids[2]: ("pear", 0.8)}, model="4")
    front = FrontEnd(Gallery(project))

    assert {"score", "disagreement", "date", "name"} <= set(front.one("hello", "deck")["orders"])
    assert ids_of(shown(front, sort_by="score"))[:3] == [ids[1], ids[2], ids[0]]
    assert ids_of(shown(front, sort_by="score"))[3] == ids[3]  # without a score: last in both directions
    assert ids_of(shown(front, sort_by="score", descending=False)) == [ids[0], ids[2], ids[1], ids[3]]
    assert ids_of(shown(front, sort_by="disagreement"))[:2] == [ids[2], ids[0]]
    page = shown(front, least_score=0.8)
    assert (set(ids_of(page)), page["total"]) == ({ids[1], ids[2]}, 2)
    assert [page["at_least"][n] for n in (0, 1, 60, 61, 80, 81, 90, 91)] == [4, 3, 3, 2, 2, 1, 1, 0]


def test_a_name_is_found_in_any_case_and_not_in_a_signature(tmp_path: Path) -> None:
    urls = ["s3://b/Garden/Tree-1.jpg", "https://h/barn/2.jpg?sig=tree", "s3://b/garden/3.jpg"]
    table = {"image_id": ["a", "b", "c"], "uri": urls, "split": ["test"] * 3, "group": ["a", "b", "c"],
             "label": ["lemon"] * 3}  # fmt: skip
    import pyarrow as pa

    front = FrontEnd(Gallery(Manifest(pa.table(table), tuple(CLASSES))))

    assert ids_of(shown(front, search="tree")) == ["a"]
    assert ids_of(shown(front, search="GARDEN")) == ["a", "c"]
    assert ids_of(shown(front, sort_by="name", descending=False)) == ["b", "a", "c"]
    assert "pass project=" in refused(front, rows=[0], what="delete")


def test_a_wrong_cell_of_the_confusion_matrix_is_mended(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    ids = project.images.upload(photos(3), label="lemon")
    table = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0]])
    scores = classification_scores(table, np.array([1, 1, 1]), CLASSES, image_ids=ids, uris=ids, n_bootstrap=0)
    view = Results(scores, project.freeze(), project=project)
    front = FrontEnd(view)

    page = shown(front, {"pair": "lemon → apple"}, sort_by="disagreement")
    assert ids_of(page) == [ids[0], ids[2]]
    front.one("mend", "mended", rows=[card["row"] for card in page["cards"]], what="label", label="apple")
    front.one("mend", "mended", rows=rows_of(front, ids[1:2]), what="editor")

    state = Project.open(project.location).labels.state()
    assert [state.row(one)["label"] for one in ids] == ["apple", "lemon", "apple"]
    assert isinstance(view.editor, Relabel)
    assert view.editor.image_ids == [ids[1]]
    Project.open(project.location).labels.set(ids[1], "pear")  # as the editor does
    front.one("mend", "mended", rows=[], what="close")
    notes = {card["id"]: card["mended"] for card in shown(front)["cards"]}
    assert notes == {ids[0]: "now apple", ids[1]: "changed in the editor", ids[2]: "now apple"}
    front.one("mend", "mended", rows=rows_of(front, ids[1:2]), what="label", label="apple")
    assert {card["mended"] for card in shown(front)["cards"]} == {"now apple"}


def test_images_of_all_pages_are_chosen_by_the_filters(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    ids = project.images.upload(photos(5), label="lemon")
    project.labels.set(ids[4], "pear")
    front = FrontEnd(Gallery(project, page_size=2))

    assert shown(front, {"class": "lemon"})["total"] == 4
    rows = front.one("rows", "rows")["rows"]
    front.one("mend", "mended", rows=rows, what="label", label="apple")
    assert labels_now(project, ids) == ["apple"] * 4 + ["pear"]


def test_predictions_are_mended_by_their_addresses(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    ids = project.images.upload(photos(2))
    urls = dict(zip(project.labels.state().table["image_id"].to_pylist(), project.freeze().urls(), strict=True))
    rows = [Prediction(urls[one], "pear", 0.9, (("pear", 0.9),), None) for one in ids]
    rows.append(Prediction("elsewhere.jpg", "pear", 0.5, (("pear", 0.5),), None))
    front = FrontEnd(Results(Predictions(lambda: iter(rows), model="m@1"), project=project))

    assert shown(front, sort_by="score", descending=False)["cards"][0]["id"] == "elsewhere.jpg"
    front.one("mend", "mended", rows=[0, 1], what="label", label="pear")
    assert "elsewhere.jpg: add them with project.add" in refused(front, rows=[1, 2], what="delete")

    state = Project.open(project.location).labels.state()
    assert [state.row(one)["label"] for one in ids] == ["pear", "pear"]


def test_unknown_orders_and_changes_are_refused(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", class_names=CLASSES)
    ids = project.images.upload(photos(1))
    gallery = Gallery(project)

    with pytest.raises(ConfigError, match="cannot be sorted by 'scores'"):
        gallery.show({}, sort_by="scores")
    with pytest.raises(ConfigError, match="cannot be sorted by 'score'"):
        gallery.show({}, least_score=0.5)
    front = FrontEnd(gallery)
    assert "unknown change" in refused(front, rows=rows_of(front, ids), what="explode")
