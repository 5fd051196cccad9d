"""Sets of labels switched on and off by keys and clicks in JupyterLab, and seen in a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from onlineml.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from lab_page import LabPage
    from lab_server import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CELLS = [
    """
from onlineml import Project
from onlineml.widgets import Gallery, Relabel
project = Project.open("tags")
grid = Relabel(project, {ids}, author="ann")
grid
""",
    """
project = Project.open("tags")
Gallery(project)
""",
]


def project_of(folder: Path) -> tuple[Project, list[str]]:
    """Four images: with a label, without, and two with a suggestion."""
    project = Project.create(folder, task="multilabel", class_names=["cat", "cow", "dog"])
    files = []
    for number in range(4):
        file = folder.parent / f"tag-{number}.png"
        Image.fromarray(np.full((40, 60, 3), 50 * number + 20, np.uint8)).save(file)
        files.append(str(file))
    ids = [*project.images.upload(files[:1], labels=["dog"]), *project.images.upload(files[1:])]
    project.labels.suggest(dict.fromkeys(ids[2:], (["dog", "cat"], [0.9, 0.6])), model="4")
    return project, ids


def test_labels_are_switched_on_and_off(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "tags"
    _, ids = project_of(folder)
    shared_page.show(CELLS[0].format(ids=ids))
    page, grid = shared_page.page, shared_page.find(".oml-relabel")
    cards, pressed = grid.locator(".oml-card"), grid.locator('.oml-class[aria-pressed="true"]')
    cards.nth(3).locator("img").wait_for()

    cards.nth(0).click()
    assert pressed.get_attribute("data-class") == "dog"
    for key in ["1", "3", "2", "Backspace"]:  # cat on, dog off, cow on and taken back
        page.keyboard.press(key)
    assert cards.nth(0).locator(".oml-name").inner_text() == "cat"
    page.keyboard.press("Enter")  # goes on to the next
    page.keyboard.press("0")  # nothing applies
    page.keyboard.press("Enter")  # the suggestion is right
    grid.locator('.oml-class[data-class="cow"]').click()  # beside the suggested ones
    page.wait_for_selector('.oml-relabel[data-waiting="0"][data-done="4"]')
    shared_page.shot("labels-toggled", grid)

    assert pressed.count() == 3
    names = [cards.nth(i).locator(".oml-name").inner_text() for i in range(4)]
    assert names == ["cat", "(no labels)", "cat, dog", "cat, cow, dog"]
    state = Project.open(folder).labels.state()
    assert [state.row(one)["labels"] for one in ids] == [["cat"], [], ["cat", "dog"], ["cat", "cow", "dog"]]
    assert not state.conflicts

    shared_page.show(CELLS[1])
    gallery = shared_page.find(".oml-gallery")
    gallery.locator(".oml-card img").nth(3).wait_for()
    assert {one.replace(" ", "") for one in gallery.locator(".oml-name").all_inner_texts()} >= {
        "cat,dog",
        "cat,cow,dog",
    }
    shared_page.shot("labels-gallery", gallery)
