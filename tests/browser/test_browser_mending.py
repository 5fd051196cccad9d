"""Images mended where they are seen, in JupyterLab: from a gallery, a confusion matrix, and in the editor of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onlineml.project.project import Project
from picture_files import grey_files
from stage import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab_page import LabPage
    from lab_server import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CLASSES = ["apple", "lemon", "pear"]
GALLERY = """
from onlineml import Project
from onlineml.widgets import Gallery
view = Gallery(Project.open("{name}"), author="ann")
view
"""
MATRIX = """
import numpy as np
from onlineml import Project
from onlineml.evaluation import classification_scores
from onlineml.widgets import Results
project = Project.open("{name}")
ids = {ids}
table = np.array([[.9, .1, 0], [.2, .8, 0], [.6, .4, 0], [.1, .9, 0]])
scores = classification_scores(table, np.ones(4, int), {classes}, image_ids=ids, uris=ids, n_bootstrap=0)
Results(scores, project.freeze(), project=project, author="ann")
"""
EDITOR = """
from onlineml import Project
from onlineml.widgets import BoxEditor
view = BoxEditor(Project.open("{name}"), {ids}, author="ann")
view
"""


def labels_of(folder: Path, ids: Sequence[str]) -> list[str | None]:
    state = Project.open(folder).labels.state()
    return [state.row(one).get("label") for one in ids]


def narrow(page: LabPage, name: str, selector: str) -> None:
    """Keep a picture of a narrow window, too."""
    page.resize(640)
    page.shot(f"{name}-640", page.find(selector))
    page.taken.pop()  # in the dark it would be of a wide window
    page.resize(1280)


def test_a_gallery_is_searched_sorted_cut_and_mended(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "mend-labels"
    project = Project.create(folder, class_names=CLASSES)
    ids = project.images.upload(grey_files(folder, 4), label="lemon")
    project.labels.suggest({ids[0]: ("apple", 0.6), ids[1]: ("lemon", 0.9), ids[2]: ("pear", 0.8)}, model="4")
    shared_page.show(GALLERY.format(name=folder.name))
    page, gallery = shared_page.page, shared_page.find(".oml-gallery")
    cards = gallery.locator(".oml-card")
    cards.nth(3).locator("img").wait_for()

    gallery.get_by_label("sort by").select_option("score")
    page.wait_for_function(f"() => document.querySelector('.oml-card').title.startsWith('{ids[1]}')")
    gallery.get_by_label("least score").fill("0.7")
    page.wait_for_function("() => document.querySelectorAll('.oml-gallery .oml-card').length === 2")
    assert "0.70: 2 of 4 images" in gallery.locator(".oml-tools").inner_text()
    gallery.get_by_label("least score").fill("0")
    gallery.get_by_label("search names").fill(ids[3][:12].upper())
    page.wait_for_function("() => document.querySelectorAll('.oml-gallery .oml-card').length === 1")
    gallery.get_by_label("search names").press("Escape")
    page.wait_for_function("() => document.querySelectorAll('.oml-gallery .oml-card').length === 4")
    cards.nth(3).locator("img").wait_for()

    cards.nth(0).hover()
    cards.nth(0).locator(".oml-pick").click()
    cards.nth(2).locator(".oml-pick").click(modifiers=["Shift"])
    assert "3 images chosen" in gallery.locator(".oml-choice").inner_text()
    shared_page.shot("mend-gallery", gallery)
    narrow(shared_page, "mend-gallery", ".oml-gallery")
    gallery.get_by_label("label to give").select_option("apple")
    gallery.get_by_role("button", name="Relabel").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.oml-warm')].filter((n) => n.textContent === 'now apple').length === 3"
    )
    assert labels_of(folder, ids) == ["apple", "apple", "apple", "lemon"]
    gallery.get_by_role("button", name="Undo").click()
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.oml-warm')].some((n) => n.textContent === 'now apple')"
    )
    assert labels_of(folder, ids) == ["lemon"] * 4

    cards.nth(3).locator("img").wait_for()
    cards.nth(3).locator(".oml-pick").click()
    gallery.get_by_role("button", name="Open in the editor").click()
    editor = shared_page.find(".oml-relabel")
    editor.locator(".oml-card img").wait_for()
    assert editor.locator(".oml-card").get_attribute("data-id") == ids[3]
    editor.locator(".oml-card").click()
    page.keyboard.press("3")
    page.wait_for_selector('.oml-relabel[data-waiting="0"][data-done="1"]')
    gallery.get_by_role("button", name="Close the editor").click()
    editor.wait_for(state="detached")
    assert labels_of(folder, ids)[3] == "pear"
    page.wait_for_function(
        "() => [...document.querySelectorAll('.oml-gallery .oml-name')].some((n) => n.textContent === 'pear')"
    )


def test_images_of_all_pages_are_chosen_and_relabelled(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "mend-pages"
    project = Project.create(folder, class_names=CLASSES)
    ids = project.images.upload(grey_files(folder, 5), label="lemon")
    shared_page.show(GALLERY.format(name=folder.name).replace('author="ann"', "page_size=2"))
    page, gallery = shared_page.page, shared_page.find(".oml-gallery")
    gallery.locator(".oml-card img").nth(1).wait_for()

    gallery.locator(".oml-card").first.locator(".oml-pick").click()
    gallery.get_by_role("button", name="next page").click()
    page.wait_for_function(
        "() => document.querySelector('.oml-choice').innerText.includes('1 image chosen, 1 of them not on this page')"
    )
    gallery.get_by_role("button", name="Choose all").click()
    page.wait_for_function(
        "() => document.querySelector('.oml-choice').innerText.includes('5 images chosen, 3 of them not on this page')"
    )
    shared_page.shot("mend-pages", gallery)
    gallery.get_by_label("label to give").select_option("apple")
    gallery.get_by_role("button", name="Relabel").click()
    page.wait_for_function("() => document.querySelectorAll('.oml-gallery .oml-warm').length === 2")
    assert labels_of(folder, ids) == ["apple"] * 5


def test_a_cell_of_the_matrix_is_relabelled(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "mend-matrix"
    project = Project.create(folder, class_names=CLASSES)
    ids = project.images.upload(grey_files(folder, 4), label="lemon")
    shared_page.show(MATRIX.format(name=folder.name, ids=ids, classes=CLASSES))
    page, gallery = shared_page.page, shared_page.find(".oml-gallery")
    gallery.locator(".oml-card img").nth(3).wait_for()

    gallery.locator('.oml-matrix button[title="lemon → apple"]').click()
    page.wait_for_function("() => document.querySelectorAll('.oml-gallery .oml-card').length === 2")
    gallery.locator(".oml-card img").nth(1).wait_for()
    gallery.get_by_role("button", name="Choose page").click()
    gallery.locator(".oml-choice select").select_option("apple")
    gallery.get_by_role("button", name="Relabel").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.oml-warm')].filter((n) => n.textContent === 'now apple').length === 2"
    )
    shared_page.shot("mend-matrix", gallery)

    assert labels_of(folder, ids) == ["apple", "lemon", "apple", "lemon"]


def test_many_boxes_are_copied_repeated_and_seen_without_labels(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "mend-boxes"
    project = Project.create(folder, task="detection", class_names=CLASSES)
    corners = [[4 + 17 * (i % 20), 4 + 15 * (i // 20), 16 + 17 * (i % 20), 14 + 15 * (i // 20)] for i in range(300)]
    files = grey_files(folder, 3)
    ids = project.images.upload(files, boxes=[(corners, ["pear"] * 300), ([[10, 10, 60, 50]], ["apple"]), ([], [])])
    project.labels.suggest(
        {ids[2]: ([[200, 20, 260, 80], [20, 120, 80, 200]], ["lemon", "pear"], [0.9, 0.3])}, model="4"
    )
    shared_page.show(EDITOR.format(name=folder.name, ids=ids))
    page, stage = shared_page.page, Stage(shared_page, (360, 240))
    stage.wait_for(ids[0])
    tags, boxes = stage.root.locator(".oml-tag"), stage.root.locator(".oml-stage [data-box]")

    assert (boxes.count(), tags.count()) == (300, 0)
    shared_page.shot("mend-boxes-300", stage.root)
    stage.root.locator(".oml-canvas").click(position={"x": 2, "y": 2})
    stage.press("#")
    assert tags.count() == 300
    stage.press("#", "PageDown")
    stage.wait_for(ids[1])
    assert tags.count() == 1

    stage.click(30, 30)
    stage.press("Control+c", "Control+v", "Control+v")  # within the image: beside it, and beside that
    assert boxes.count() == 3
    stage.press("Delete")
    stage.press("Enter")
    stage.wait_for(ids[2])
    stage.press("Control+v")  # across images: at its place
    assert boxes.count() == 3
    stage.press("Control+b")  # those of the image before
    page.wait_for_function("() => document.querySelectorAll('.oml-stage [data-box]').length === 4")
    stage.root.get_by_label("least score").fill("0.5")
    assert "0.50: 1 of 2" in stage.root.inner_text()
    assert boxes.count() == 3
    shared_page.shot("mend-boxes", stage.root)
    narrow(shared_page, "mend-boxes", ".oml-editor")
    shared_page.shots_in_the_dark()
    stage.press("Enter")  # what is seen is saved
    stage.saved(2)

    state = Project.open(folder).labels.state()
    assert state.row(ids[1])["boxes_xyxy"] == [[10, 10, 60, 50], [20, 20, 70, 60]]
    assert sorted(zip(state.row(ids[2])["labels"], state.row(ids[2])["boxes_xyxy"], strict=True)) == [
        ("apple", [10, 10, 60, 50]), ("apple", [20, 20, 70, 60]), ("lemon", [200, 20, 260, 80]),
    ]  # fmt: skip


CHANGED = """
import numpy as np
import onlineml as oml
from onlineml.evaluation import Detections, detection_scores
from onlineml.widgets import Results
project = oml.Project.open("{name}")
data = project.freeze()
boxes = np.array([[10., 10, 60, 50], [200, 40, 300, 120]])
def scores(rows, which):
    found = Detections(rows, boxes[which], np.zeros(len(rows), int), np.full(len(rows), .9), len(data))
    ids, sizes = data.table["image_id"].to_pylist(), [(240, 360)] * len(data)
    return detection_scores(data.boxes(), found, data.class_names, image_ids=ids,
        uris=data.table["uri"].to_pylist(), sizes_hw=sizes, thresholds={{"apple": .5}}, n_bootstrap=0)
compared = oml.compare(scores([0, 0, 1], [0, 1, 0]), scores([0, 1, 1], [0, 0, 1]), n_resamples=0)
view = Results(compared, data, project=project, author="ann")
view
"""


def test_boxes_before_and_after_are_seen_and_the_image_is_opened_in_the_editor(lab: Lab, shared_page: LabPage) -> None:
    folder = lab.root / "mend-changed"
    project = Project.create(folder, task="detection", class_names=["apple"])
    both = ([[10, 10, 60, 50], [200, 40, 300, 120]], ["apple", "apple"])
    ids = project.images.upload(grey_files(folder, 2), boxes=[both, both])
    shared_page.show(CHANGED.format(name=folder.name))
    gallery = shared_page.find(".oml-gallery")
    gallery.locator(".oml-card img").nth(1).wait_for()

    gallery.locator(".oml-card", has_text="fixed").click()
    figures = gallery.locator(".oml-detail figure")
    figures.nth(1).locator("img").wait_for()
    assert figures.locator("figcaption").all_inner_texts() == ["first model", "second model"]
    assert [figures.nth(i).locator(".oml-dashed").count() for i in (0, 1)] == [1, 0]  # missed before, found now
    shared_page.shot("mend-changed", gallery)
    gallery.get_by_role("button", name="Open in the editor").click()
    stage = Stage(shared_page, (360, 240))
    stage.root.locator(".oml-stage [data-box]").nth(1).wait_for(state="attached")
    assert stage.root.get_attribute("data-image") in ids
    gallery.get_by_role("button", name="Close the editor").click()
    stage.root.wait_for(state="detached")
