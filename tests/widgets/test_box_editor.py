"""The box editor without a browser: what it tells, and that what is seen is what the log gets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from front_end import FrontEnd
from onlineml.errors import ConfigError, DataError
from onlineml.project.project import Project
from onlineml.widgets import BoxEditor
from onlineml.widgets._queue import open_images, rotated

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = [10.25, 5.0, 30.5, 25.0], [1.0, 2.0, 9.0, 12.0], [40.0, 40.0, 60.0, 70.0]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))


def image(seed: int, size_wh: tuple[int, int] = (80, 80)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size_wh, (seed * 20, 90, 10)).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", task="detection", class_names=["cat", "dog"])


def shown(front: FrontEnd, place: int = 0) -> dict[str, Any]:
    return front.one("load", "image", place=place)


def seen(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The boxes as the front end sends them back."""
    return [{"xyxy": box["xyxy"], "label": box["label"]} for box in told["boxes"]]


def save(front: FrontEnd, told: dict[str, Any], boxes: list[dict[str, Any]]) -> dict[str, Any]:
    return front.one("save", "saved", id=told["id"], boxes=boxes, base=told["base"])


def events(project: Project, image_id: str) -> list[str]:
    return project.labels.history(image_id)["event"].tolist()


def boxes_of(project: Project, image_id: str) -> tuple[list[list[float]], list[str]]:
    row = project.labels.state().row(image_id)
    return row["boxes_xyxy"], row["labels"]


def test_without_images_to_answer_it_says_so(project: Project) -> None:
    editor = BoxEditor(project)
    front = FrontEnd(editor)

    assert [told["kind"] for told in front.ask("hello")] == ["classes", "begin"]
    assert front.told[-1][0]["n"] == 0
    assert "No image is open" in editor.static_html()


def test_another_task_is_refused_and_so_are_strange_images(tmp_path: Path, project: Project) -> None:
    with pytest.raises(ConfigError, match="Relabel"):
        BoxEditor(Project.create(tmp_path / "other"))
    with pytest.raises(DataError, match="not in the project"):
        BoxEditor(project, ["no such image"])
    (answer,) = FrontEnd(BoxEditor(project)).ask("load", place=3)
    assert "there is no image 4" in answer["text"]


def test_drawn_boxes_are_written_as_a_correction(project: Project) -> None:
    (image_id,) = project.images.upload([image(1)])
    front = FrontEnd(BoxEditor(project))
    told = shown(front)
    assert (told["size"], told["boxes"], told["state"]) == ((80, 80), [], "not annotated")

    assert save(front, told, [{"xyxy": A, "label": "dog"}])["answered"] == 1

    assert boxes_of(project, image_id) == ([A], ["dog"])
    assert events(project, image_id) == ["uploaded", "corrected"]


def test_an_image_without_objects_is_an_answer_too(project: Project) -> None:
    (image_id,) = project.images.upload([image(1)])
    front = FrontEnd(BoxEditor(project))

    save(front, shown(front), [])

    assert boxes_of(project, image_id) == ([], [])


def test_what_is_suggested_and_left_as_it_is_counts_as_accepted_with_the_model(project: Project) -> None:
    (image_id,) = project.images.upload([image(1)])
    project.labels.suggest({image_id: ([A, B, C], ["cat", "dog", "cat"], [0.9, 0.8, 0.3])}, model="7")
    front = FrontEnd(BoxEditor(project))
    told = shown(front)
    assert [box["score"] for box in told["boxes"]] == [0.9, 0.8, 0.3]

    save(front, told, seen(told)[:2])  # the third was deleted

    assert boxes_of(project, image_id) == ([A, B], ["cat", "dog"])
    assert events(project, image_id)[-1] == "accepted"
    assert project.labels.state().provenance["model"].to_pylist() == ["7"]


def test_a_suggestion_that_was_moved_is_a_correction(project: Project) -> None:
    (image_id,) = project.images.upload([image(1)])
    project.labels.suggest({image_id: ([A], ["cat"], [0.9])}, model="7")
    front = FrontEnd(BoxEditor(project))
    told = shown(front)

    save(front, told, [{"xyxy": [11.25, 5.0, 31.5, 25.0], "label": "cat"}])

    assert events(project, image_id)[-1] == "corrected"


def test_suggestions_are_shown_beside_what_is_there_but_not_twice(project: Project) -> None:
    (image_id,) = project.images.upload([image(1)], boxes=([A], ["cat"]))
    project.labels.suggest({image_id: ([[10, 5, 30, 25], C], ["cat", "dog"], [0.9, 0.8])}, model="7")
    front = FrontEnd(BoxEditor(project))
    told = shown(front)
    assert [(box["xyxy"], "guess" in box) for box in told["boxes"]] == [(A, False), (C, True)]

    save(front, told, seen(told))

    assert boxes_of(project, image_id) == ([A, C], ["cat", "dog"])
    assert events(project, image_id)[-1] == "accepted"


def test_boxes_that_are_not_touched_keep_their_numbers_and_what_an_import_said_of_them(project: Project) -> None:
    exact = [[0.1 + 0.2, 1 / 3, 70.00000000000001, 60.1]]
    (image_id,) = project.images.upload([image(1)], boxes=(exact, ["cat"]))
    front = FrontEnd(BoxEditor(project, [image_id]))
    told = shown(front)

    save(front, told, [*seen(told), {"xyxy": B, "label": "dog"}])

    assert boxes_of(project, image_id)[0] == [*exact, B]


def test_somebody_elses_answer_meanwhile_is_contradicted_not_replaced(tmp_path: Path, project: Project) -> None:
    (image_id,) = project.images.upload([image(1)])
    project.labels.suggest({image_id: ([A], ["cat"], [0.9])}, model="7")
    front = FrontEnd(BoxEditor(project, author="ann"))
    told = shown(front)
    Project.open(tmp_path / "project").labels.set(image_id, ([C], ["dog"]), author="ben")

    save(front, told, seen(told))

    assert set(project.labels.state().conflicts) == {image_id}
    again = shown(front)
    assert again["state"] == "in conflict"
    save(front, again, [{"xyxy": C, "label": "dog"}])  # having seen both, ann decides
    assert not project.labels.state().conflicts


def test_a_box_that_cannot_be_is_refused_by_name_and_nothing_is_written(project: Project) -> None:
    (image_id,) = project.images.upload([image(1)])
    front = FrontEnd(BoxEditor(project))
    told = shown(front)

    (answer,) = front.ask("save", id=image_id, boxes=[{"xyxy": [5, 5, 5, 9], "label": "cat"}], base=told["base"])

    assert "no width" in answer["text"]
    assert events(project, image_id) == ["uploaded"]


def test_undo_takes_back_the_last_answer_then_the_one_before(project: Project) -> None:
    ids = project.images.upload([image(1), image(2)])
    editor = BoxEditor(project, ids)
    front = FrontEnd(editor)
    for place in range(2):
        save(front, shown(front, place), [{"xyxy": A, "label": "cat"}])

    assert front.one("undo", "undone")["place"] == 1
    assert boxes_of(project, ids[1]) == (None, None)
    assert boxes_of(project, ids[0]) == ([A], ["cat"])
    assert front.one("undo", "undone")["place"] == 0
    assert boxes_of(project, ids[0]) == (None, None)
    assert front.one("undo", "undone")["place"] is None


def test_skipping_marks_the_suggestion_and_a_new_class_can_be_added(project: Project) -> None:
    (image_id,) = project.images.upload([image(1)])
    project.labels.suggest({image_id: ([A], ["cat"], [0.9])}, model="7")
    front = FrontEnd(BoxEditor(project))

    assert front.one("skip", "saved", id=image_id)["what"] == "skipped"
    assert project.labels.suggestions()["skipped"].tolist() == [True]
    classes = front.one("class", "classes", name="bird")["classes"]
    assert [(one["name"], one["key"]) for one in classes] == [("cat", "1"), ("dog", "2"), ("bird", "3")]


def test_a_detail_is_cut_from_the_original_at_a_finer_scale(project: Project) -> None:
    pixels = np.zeros((1000, 4000, 3), np.uint8)
    pixels[500:, :, 1] = 255
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    (image_id,) = project.images.upload([data.getvalue()])
    front = FrontEnd(BoxEditor(project))
    assert Image.open(io.BytesIO(_picture(front))).size == (1600, 400)

    told = front.one("detail", "detail", id=image_id, region=[99.5, 450.2, 300, 1200], px_wh=[800, 600])

    assert told["region"] == [99, 450, 300, 1000]
    part = np.asarray(Image.open(io.BytesIO(front.told[-1][1][0])).convert("RGB"))
    assert part.shape == (550, 201, 3)
    assert part[40, 100, 1] < 60
    assert part[60, 100, 1] > 200


def _picture(front: FrontEnd) -> bytes:
    shown(front)
    return next(buffers[0] for told, buffers in reversed(front.told) if told["kind"] == "image")


def test_it_resumes_where_one_stopped(project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(4)])
    front = FrontEnd(BoxEditor(project, ids))
    for place in range(2):
        save(front, shown(front, place), [])

    assert BoxEditor(project, ids)._place == 2
    assert set(BoxEditor(project).image_ids) == set(ids[2:])


def test_what_waits_the_least_sure_first_and_what_was_skipped_last(project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(5)])
    project.labels.set(ids[0], ([], []))
    guesses = {
        ids[1]: ([A, B], ["cat", "cat"], [0.9, 0.5]),
        ids[2]: ([A], ["cat"], [0.4]),
        ids[3]: ([A], ["cat"], [0.7]),
    }
    project.labels.suggest(guesses, model="7")
    project.labels.skip(ids[2])

    assert open_images(project.labels.state()) == [ids[1], ids[3], ids[4], ids[2]]


def test_people_begin_at_other_blocks_and_each_goes_through_all() -> None:
    ids = [str(i) for i in range(95)]
    orders = [rotated(ids, author=f"person-{i}", block=10) for i in range(40)]

    assert all(sorted(order) == sorted(ids) for order in orders)
    starts = {order[0] for order in orders}
    assert starts == {str(10 * i) for i in range(8)}  # within the most urgent 80
    assert rotated(ids, author="ann", block=10) == rotated(ids, author="ann", block=10)
    assert rotated(ids[:10], author="ann", block=10) == ids[:10]


def test_what_is_left_tells_how_far_one_has_come(project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(3)])
    editor = BoxEditor(project, ids)
    front = FrontEnd(editor)
    save(front, shown(front), [{"xyxy": A, "label": "cat"}])

    left = editor.static_html()

    assert "3 images, 1 answered" in left
    assert left.count("<img") == 3
    assert "1 cat" in left


def test_the_boxes_of_the_image_before_are_told(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", task="detection", class_names=["cat"])
    ids = project.images.upload([image(1), image(2)], boxes=[([[1, 1, 9, 9]], ["cat"]), ([], [])])
    front = FrontEnd(BoxEditor(project, ids))

    assert front.one("previous", "previous", id=ids[1])["boxes"] == [{"xyxy": [1, 1, 9, 9], "label": "cat"}]
    assert front.one("previous", "previous", id=ids[0])["boxes"] == []
