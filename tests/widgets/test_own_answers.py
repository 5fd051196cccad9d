"""One person at several views of a widget: nobody contradicts himself, and what was said last is taken back first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from front_end import FrontEnd
from onlineml.errors import ConfigError
from onlineml.widgets import BoxEditor, Gallery, Relabel
from onlineml.widgets._classes import key_of
from tasks_shown import shown_project

if TYPE_CHECKING:
    from pathlib import Path

    from onlineml.project.project import Project

TASKS = ["classification", "multilabel", "detection"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))


def view_of(project: Project, ids: list[str], author: str = "ann", **options: Any) -> Any:
    kind = BoxEditor if project.task == "detection" else Relabel
    return kind(type(project).open(project.location), ids, author=author, **options)


def base_of(front: FrontEnd, place: int) -> str:
    """The revision that a view shows of an image."""
    if isinstance(front.view, BoxEditor):
        return str(front.one("load", "image", place=place)["base"])
    return str(front.one("cards", "cards", start=0)["cards"][place]["base"])


def say(front: FrontEnd, image_id: str, base: str, label: str) -> dict[str, Any]:
    if isinstance(front.view, BoxEditor):
        boxes = [{"xyxy": [1, 1, 9, 9], "label": label}]
        return front.one("save", "saved", id=image_id, boxes=boxes, base=base)
    several = front.view.project.task == "multilabel"
    facts = {"labels": [[label]]} if several else {"label": label}
    return front.one("say", "saved", ids=[image_id], bases=[base], what="label", **facts)


@pytest.mark.parametrize("kernels", [1, 2])
@pytest.mark.parametrize("task", TASKS)
def test_one_person_in_two_views_or_two_kernels_is_in_no_conflict(tmp_path: Path, task: str, kernels: int) -> None:
    project, ids = shown_project(tmp_path / "project", task)
    first = FrontEnd(view_of(project, ids))
    second = FrontEnd(view_of(project, ids)) if kernels == 2 else first
    base = base_of(first, 4)
    assert base_of(second, 4) == base

    say(first, ids[4], base, "cat")
    if task != "detection" and kernels == 2:  # the grid asks when somebody comes back to it
        second.ask("news", ids=ids)
    say(second, ids[4], base, "cow")

    state = project.labels.state()
    row = state.row(ids[4])
    assert not state.conflicts
    assert (row["label"] or row["labels"]) in ("cow", ["cow"])


@pytest.mark.parametrize("task", TASKS)
def test_two_people_are_in_conflict_as_before(tmp_path: Path, task: str) -> None:
    project, ids = shown_project(tmp_path / "project", task)
    ann, bob = FrontEnd(view_of(project, ids)), FrontEnd(view_of(project, ids, "bob"))
    base = base_of(ann, 4)
    assert base_of(bob, 4) == base

    say(ann, ids[4], base, "cat")
    say(bob, ids[4], base, "cow")

    assert set(project.labels.state().conflicts) == {ids[4]}


@pytest.mark.parametrize(("author", "n_conflicts"), [("ann", 0), ("bob", 1)])
@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_a_gallery_and_a_grid_of_one_person_are_in_no_conflict(
    tmp_path: Path, task: str, author: str, n_conflicts: int
) -> None:
    project, ids = shown_project(tmp_path / "project", task)
    gallery = FrontEnd(Gallery(project, author="ann"))
    grid = FrontEnd(view_of(project, ids, author))
    say(grid, ids[4], base_of(grid, 4), "cat")

    gallery.ask("mend", rows=[4], what="label" if task == "classification" else "add", label="cow")

    state = project.labels.state()
    if task == "classification":
        assert len(state.conflicts) == n_conflicts
    assert "cow" in str(state.row(ids[4])["label"] or state.row(ids[4])["labels"])


@pytest.mark.parametrize("task", TASKS)
def test_a_class_that_was_created_is_taken_back_after_what_was_said_with_it(tmp_path: Path, task: str) -> None:
    project, ids = shown_project(tmp_path / "project", task)
    front = FrontEnd(view_of(project, ids))
    told = front.one("class", "class", name="ox")
    assert told["new"]
    assert not front.one("class", "class", name="ox")["new"]
    say(front, ids[4], base_of(front, 4), "ox")
    assert front.view.n_saved == 1

    stays = front.one("undo", "undone", of=told["of"])
    assert (stays["class"], stays["gone"]) == ("ox", False)  # an image has it
    front.ask("undo")

    assert project.classes.names() == ("cat", "cow", "7")
    assert front.view.n_saved == 0
    assert "class" not in front.one("undo", "undone")


def test_an_answer_is_taken_back_by_its_number_whichever_view_gave_it(tmp_path: Path) -> None:
    project, ids = shown_project(tmp_path / "project", "classification")
    front = FrontEnd(view_of(project, ids))
    first = say(front, ids[4], base_of(front, 4), "cat")
    say(front, ids[5], base_of(front, 5), "cow")

    front.ask("undo", of=first["of"])

    labels = [project.labels.state().row(ids[place])["label"] for place in (4, 5)]
    assert labels == [None, "cow"]
    assert front.ask("undo", of="another-7") == [{"kind": "undone", "cards": []}]


def test_answers_that_a_view_could_not_save_are_offered_while_nobody_has_said_anything_since(tmp_path: Path) -> None:
    project, ids = shown_project(tmp_path / "project", "classification")
    front = FrontEnd(view_of(project, ids))
    kept = [{"ids": [ids[i]], "bases": [base_of(front, i)], "what": "label", "label": "cow"} for i in (4, 5)]
    say(front, ids[4], base_of(front, 4), "cat")

    assert front.one("kept", "kept", answers=kept)["answers"] == kept[1:]


def test_a_view_is_told_what_is_for_it_or_for_all(tmp_path: Path) -> None:
    project, ids = shown_project(tmp_path / "project", "classification")
    front = FrontEnd(view_of(project, ids))
    sent: list[dict[str, Any]] = []
    front.view._widget = type("Both", (), {"send": lambda _, content, buffers: sent.append(content)})()

    front.view._heard({"kind": "hello", "number": "one-1"}, [])
    front.view._heard({"kind": "say", "number": "two-1", "ids": ids[:1], "bases": [None], "what": "skip"}, [])

    assert {one["kind"]: one.get("to") for one in sent} == {"classes": None, "begin": "one", "saved": "two",
                                                            "elsewhere": None}  # fmt: skip
    assert sent[-1] == {"kind": "elsewhere", "ids": ids[:1], "from": "two"}


def test_classes_have_the_keys_that_they_are_called_by_or_that_a_person_chose(tmp_path: Path) -> None:
    digits = [str(digit) for digit in range(10)]
    assert key_of(digits) == dict(zip(digits, digits, strict=True))
    assert key_of(["10", "2", "B", "cat"]) == {"2": "2", "B": "b", "10": "1", "cat": "3"}
    assert key_of(["cat", "2", "dog"], chosen={"cat": "2"}) == {"cat": "2", "2": "1", "dog": "3"}
    assert len(key_of([f"class {i}" for i in range(100)])) == 35
    project, ids = shown_project(tmp_path / "project", "classification")
    front = FrontEnd(view_of(project, ids, keys={"cow": "K"}))
    (told,) = [one for one in front.ask("hello") if one["kind"] == "classes"]
    assert {one["name"]: one["key"] for one in told["classes"]} == {"cat": "1", "cow": "k", "7": "7"}


@pytest.mark.parametrize("keys", [{"dog": "1"}, {"cat": "ab"}, {"cat": "/"}, {"cat": " "}, {"cat": "x", "cow": "X"}])
def test_keys_that_cannot_be_are_refused(tmp_path: Path, keys: dict[str, str]) -> None:
    project, ids = shown_project(tmp_path / "project", "classification")
    with pytest.raises(ConfigError, match="keys"):
        view_of(project, ids, keys=keys)


@pytest.mark.parametrize("task", TASKS)
def test_every_image_of_a_gallery_opens(tmp_path: Path, task: str) -> None:
    project, ids = shown_project(tmp_path / "project", task)
    front = FrontEnd(Gallery(project))
    for row in range(len(ids)):
        assert front.one("open", "open", row=row)["facts"]
