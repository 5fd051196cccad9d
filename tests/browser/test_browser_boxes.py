"""Boxes drawn with a mouse in a real browser have the pixels of the upright original, whatever the image's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from onlineml.project.project import Project
from stage import Stage, marked_image

if TYPE_CHECKING:
    from pathlib import Path

    from lab_page import LabPage
    from lab_server import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

OPEN = """
from onlineml import Project
from onlineml.widgets import BoxEditor
editor = BoxEditor(Project.open("{name}"), {images})
editor
"""


def project_of(folder: Path, *images: Path) -> tuple[Project, list[str]]:
    project = Project.create(folder, task="detection", class_names=["cat", "dog"])
    return project, project.images.upload([str(image) for image in images])


def boxes_of(folder: Path, image_id: str) -> tuple[list[list[float]], list[str]]:
    row = Project.open(folder).labels.state().row(image_id)
    return row["boxes_xyxy"], row["labels"]


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("wide.png", ((3200, 500), (1003, 101, 1507, 404), 1)),
        ("tiny.png", ((12, 8), (2, 1, 7, 6), 1)),
        ("turned.jpg", ((1500, 2100), (300, 1200, 900, 1650), 6)),
    ],
)
def test_a_box_is_drawn_moved_resized_relabelled_and_deleted(
    lab: Lab, shared_page: LabPage, name: str, case: tuple[tuple[int, int], tuple[int, int, int, int], int]
) -> None:
    size_wh, mark, orientation = case
    folder = lab.root / f"boxes-{name}"
    marked_image(lab.root / name, size_wh, mark, orientation=orientation)
    _, (image_id,) = project_of(folder, lab.root / name)
    shared_page.show(OPEN.format(name=folder.name, images=[image_id]))
    stage = Stage(shared_page, size_wh)
    stage.wait_for(image_id)

    x1, y1, x2, y2 = mark
    red, green, blue = stage.colour((x1 + x2) / 2, (y1 + y2) / 2)
    assert min(red, blue) > 200  # the picture is upright, and where the test thinks
    assert green < 60
    stage.drag((x1, y1), (x2, y2))
    stage.press("2")  # a dog
    shared_page.shot(f"boxes-{name}-drawn", stage.root)
    stage.press("Enter")
    stage.saved(1)
    boxes, labels = boxes_of(folder, image_id)
    assert np.abs(np.array(boxes) - [mark]).max() <= stage.tolerance
    assert labels == ["dog"]
    drawn = boxes[0]

    shared_page.resize(853)  # as a zoom of 150 % does: the mouse and the boxes keep together
    dx, dy = (1, 1) if size_wh == (12, 8) else (-40, 37)
    centre = (drawn[0] + drawn[2]) / 2, (drawn[1] + drawn[3]) / 2
    stage.drag(centre, (centre[0] + dx, centre[1] + dy))  # it is still selected
    corner = drawn[2] + dx, drawn[3] + dy
    grown = corner[0] + 3 * abs(dx), corner[1] + abs(dy)
    stage.drag(corner, grown)
    stage.press("1", "Enter")
    stage.page.wait_for_function("() => !document.querySelector('.oml-state').textContent.includes('changed')")
    (after,), labels = boxes_of(folder, image_id)
    wanted = [drawn[0] + dx, drawn[1] + dy, *grown]
    assert np.abs(np.array(after) - wanted).max() <= 2 * stage.tolerance
    assert labels == ["cat"]

    stage.press("Delete", "Enter")
    stage.page.wait_for_function("() => document.querySelectorAll('.oml-stage [data-box]').length === 0")
    stage.page.wait_for_function("() => !document.querySelector('.oml-state').textContent.includes('changed')")
    assert boxes_of(folder, image_id) == ([], [])
    shared_page.resize(1280)
