"""A review queue in JupyterLab: each reason is read beside its image, and answered by one key, for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onlineml.project.project import Project
from picture_files import grey_files
from stage import Stage

if TYPE_CHECKING:
    from lab_page import LabPage
    from lab_server import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CLASSES = ["apple", "lemon", "pear"]
QUEUE = """
from onlineml import Project
from onlineml.improving.review import ReviewItem, ReviewQueue, Why
from onlineml.widgets import {widget}
whys = {whys}
items = tuple(ReviewItem(i, n, tuple(Why(**w) for w in own), not own) for n, (i, own) in enumerate(whys.items()))
view = {widget}(Project.open("{name}"), ReviewQueue(items, len(items), len(items), 0, 0), author="ann")
view
"""


def why(reason: str, suggestion: str, label: str, confidence: float, **facts: object) -> dict[str, object]:
    return {"reason": reason, "row": 0, "score": 0.5, "suggestion": suggestion, "label": label,
            "confidence": confidence, **facts}  # fmt: skip


def opened(page: LabPage, **facts: object) -> None:
    page.show(QUEUE.format(**facts))


def test_a_label_is_right_or_the_model_is(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "queue-labels"
    project = Project.create(folder, class_names=CLASSES)
    ids = project.images.upload(grey_files(folder, 3), label="lemon")
    suspect = why("label error", "apple", "lemon", 0.93)
    opened(shared_page, widget="Relabel", name=folder.name, whys={ids[0]: [suspect], ids[1]: [suspect], ids[2]: []})
    page, grid = shared_page.page, shared_page.find(".oml-relabel")
    cards = grid.locator(".oml-card")
    cards.nth(2).locator("img").wait_for()

    assert "labelled lemon, model says apple, 93" in cards.nth(0).locator(".oml-note").inner_text()
    cards.nth(0).click()
    shared_page.shot("queue-labels", grid)
    page.keyboard.press(".")  # the model is right
    page.keyboard.press(",")  # the label is right
    page.wait_for_selector('.oml-relabel[data-waiting="0"][data-done="2"]')
    page.keyboard.press(".")
    assert "proposes nothing" in grid.inner_text()

    state = Project.open(folder).labels.state()
    assert [state.row(one)["label"] for one in ids] == ["apple", "lemon", "lemon"]
    assert list(project.labels.history(ids[1])["event"])[-1] == "accepted"


def test_labels_of_a_set_follow_the_model_or_stay(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "queue-sets"
    project = Project.create(folder, task="multilabel", class_names=CLASSES)
    ids = project.images.upload(grey_files(folder, 2), labels=["lemon", "pear"])
    whys = [
        why("label error", "with apple", "lemon, pear", 0.93),
        why("label error", "without pear", "lemon, pear", 0.9),
    ]
    opened(shared_page, widget="Relabel", name=folder.name, whys={ids[0]: whys, ids[1]: whys})
    grid = shared_page.find(".oml-relabel")
    grid.locator(".oml-card img").nth(1).wait_for()

    grid.locator(".oml-card").nth(0).click()
    shared_page.shot("queue-sets", grid)
    grid.locator("button", has_text="Model right").click()
    grid.locator("button", has_text="Label right").click()
    shared_page.page.wait_for_selector('.oml-relabel[data-waiting="0"][data-done="2"]')

    state = Project.open(folder).labels.state()
    assert [state.row(one)["labels"] for one in ids] == [["apple", "lemon"], ["lemon", "pear"]]


def test_a_suspect_box_is_selected_and_mended_by_one_key(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "queue-boxes"
    project = Project.create(folder, task="detection", class_names=CLASSES)
    boxes = [([[10, 10, 90, 80], [200, 40, 300, 120]], ["pear", "lemon"])] * 2
    ids = project.images.upload(grey_files(folder, 2), boxes=boxes)
    swapped = why("swapped box", "apple", "lemon", 0.93, box_xyxy=(201.0, 41.0, 300.0, 120.0), object_row=1)
    missed = why("missed box", "pear", "", 0.7, box_xyxy=(120.0, 150.0, 180.0, 220.0))
    opened(shared_page, widget="BoxEditor", name=folder.name, whys={ids[0]: [swapped, missed], ids[1]: [swapped]})
    stage = Stage(shared_page, (360, 240))
    stage.wait_for(ids[0])
    reason = stage.root.locator(".oml-reason")

    assert "labelled lemon, model says apple, 93" in reason.inner_text()
    assert "1 of 2" in reason.inner_text()
    assert "lemon" in stage.root.locator(".oml-tag.oml-chosen").inner_text()
    shared_page.shot("queue-boxes", stage.root)
    stage.root.locator(".oml-canvas").click(position={"x": 3, "y": 3})
    stage.press(".", "Control+z", ".")  # the model is right; taken back, and said again
    assert "no box here, model says pear" in reason.inner_text()
    shared_page.shot("queue-boxes-missed", stage.root)
    stage.press(".")  # saves, after the last reason
    stage.wait_for(ids[1])
    stage.press(",")
    stage.saved(2)
    shared_page.shots_in_the_dark()

    state = Project.open(folder).labels.state()
    assert state.row(ids[0])["labels"] == ["pear", "apple", "pear"]
    assert state.row(ids[0])["boxes_xyxy"] == [[10, 10, 90, 80], [200, 40, 300, 120], [120, 150, 180, 220]]
    assert (state.row(ids[1])["boxes_xyxy"], state.row(ids[1])["labels"]) == boxes[0]
    assert list(project.labels.history(ids[1])["event"])[-1] == "accepted"
