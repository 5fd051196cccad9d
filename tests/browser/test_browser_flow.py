"""From a file on somebody's desk to a corrected label, by clicks and keys in JupyterLab."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from lab_server import write_notebook
from onlineml.project.project import Project
from stage import Stage, marked_image

if TYPE_CHECKING:
    from pathlib import Path

    from lab_page import LabPage
    from lab_server import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CELLS = [
    """
import onlineml as oml
from onlineml.widgets import BoxEditor, Gallery, Relabel, Results, Upload

project = oml.Project.create("flow", title="Discs", class_names=["blue", "red"])
upload = Upload(project, label="red")
upload
""",
    """
gallery = Gallery(project)
gallery
""",
    """
data = project.freeze(max_bad=0.5)
batches = oml.datamodule_for(data, size=32, max_bad=0.5)
model = oml.model_for(data)
run = oml.fit(model, batches, run=project.runs.new(), epochs=25, progress="live")
""",
    """
project.promote(project.publish(model, oml.evaluate(model, data, split="test")))
predictions = oml.predict(model, data.urls())
guessed = project.labels.suggest(predictions, model="live")
Results(predictions)
""",
    """
relabel = Relabel(project, sorted(upload.image_ids), page_size=12)
relabel
""",
    """
scores = oml.evaluate(model, project.freeze(max_bad=0.5), split="train")
Results(scores, data)
""",
    """
outcome = oml.improve(project, recipe=oml.Recipe(epochs=5, max_bad=0.5))
outcome
""",
    """
boxes = oml.Project.create("flow-boxes", task="detection", class_names=["mark", "other"])
photo = boxes.images.upload("photo.png")
boxes.labels.suggest({photo[0]: ([[250, 120, 460, 300], [20, 20, 60, 60]], ["mark", "other"], [0.9, 0.3])}, model="1")
BoxEditor(boxes)
""",
]


def disc(path: Path, colour: tuple[int, int, int], seed: int) -> Path:
    rng = np.random.default_rng(seed)
    pixels = np.full((40, 44, 3), rng.integers(90, 160), np.uint8)
    y, x = np.mgrid[:40, :44]
    pixels[(x - rng.integers(15, 29)) ** 2 + (y - rng.integers(14, 26)) ** 2 < rng.integers(60, 160)] = colour
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def desk(tmp_path: Path) -> dict[str, list[Path]]:
    """Red discs, an archive of blue ones with a trap in it, and what is no photo."""
    reds = [disc(tmp_path / f"red {i}.png", (200, 40, 40), i) for i in range(20)]
    with zipfile.ZipFile(tmp_path / "blue.zip", "w") as archive:
        for i in range(20):
            archive.write(disc(tmp_path / f"b{i}.png", (40, 60, 200), 100 + i), f"blue/{i}.png")
        archive.write(reds[0], "../../outside.png")
    (tmp_path / "notes.txt").write_text("to do")
    return {"reds": reds, "rest": [tmp_path / "blue.zip", tmp_path / "notes.txt"]}


def labels(folder: Path) -> dict[str, str]:
    table = Project.open(folder).labels.state().table
    return dict(zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_upload_label_train_predict_relabel_improve_boxes(
    lab: Lab, lab_page: LabPage, desk: dict[str, list[Path]]
) -> None:
    marked_image(lab.root / "photo.png", (640, 400), (250, 120, 460, 300))
    write_notebook(lab.root / "flow.ipynb", CELLS)
    lab_page.open("flow.ipynb")
    page, folder = lab_page.page, lab.root / "flow"

    # upload, with a label
    lab_page.run(0)
    uploader = lab_page.find(".oml-upload")
    uploader.locator(".oml-title").wait_for()
    with page.expect_file_chooser() as chooser:
        uploader.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(desk["reds"])
    page.wait_for_selector('.oml-upload[data-added="20"]')
    with page.expect_file_chooser() as chooser:
        uploader.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(desk["rest"])
    uploader.get_by_role("button", name="They are the classes").click()
    page.wait_for_selector('.oml-upload[data-added="40"]')
    page.wait_for_selector('.oml-file[data-name="notes.txt"][data-state="refused"]')
    assert "1 refused" in uploader.locator('[data-name="blue.zip"]').inner_text()
    assert sorted(labels(folder).values()) == ["blue"] * 20 + ["red"] * 20
    assert not list(lab.root.parent.glob("**/outside.png"))
    lab_page.shot("flow-1-upload", uploader)

    # looked at
    lab_page.run(1)
    gallery = lab_page.find(".oml-gallery").first
    gallery.get_by_label("class").select_option("=blue")
    page.wait_for_function("() => document.querySelectorAll('.oml-gallery .oml-card img').length === 20")
    gallery.locator(".oml-card").nth(3).click()
    gallery.locator(".oml-detail img").wait_for()
    assert "blue" in gallery.locator(".oml-facts").inner_text()
    lab_page.shot("flow-2-gallery", gallery)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")

    # trained
    lab_page.start(2)
    page.wait_for_selector(".oml-run .oml-panel img")
    page.wait_for_selector('.oml-run[data-over="true"]')
    panel = lab_page.find(".oml-run")
    assert "finished" in panel.inner_text()
    assert panel.locator("button").is_hidden()
    lab_page.shot("flow-3-trained", panel)

    # predicted
    lab_page.run(3)
    results = lab_page.find(".oml-gallery").nth(1)
    results.locator(".oml-card img").first.wait_for()
    lab_page.shot("flow-4-predictions", results)
    assert len(Project.open(folder).labels.suggestions()) == 40

    # relabelled: accepted, corrected, taken back, skipped
    lab_page.run(4)
    grid = lab_page.find(".oml-relabel")
    cards = grid.locator(".oml-card")
    cards.nth(11).locator("img").wait_for()
    ids = [cards.nth(i).get_attribute("data-id") for i in range(12)]
    before = labels(folder)
    other = {"red": "1", "blue": "2"}  # the key of the other class
    cards.nth(0).click()
    for key in ["Enter", other[before[str(ids[1])]], other[before[str(ids[2])]], "Backspace", " ", "Enter"]:
        page.keyboard.press(key)
    page.wait_for_selector('.oml-relabel[data-waiting="0"][data-done="4"]')
    lab_page.shot("flow-5-relabel", grid)
    after = labels(folder)
    assert after[str(ids[1])] == {"red": "blue", "blue": "red"}[before[str(ids[1])]]
    assert after[str(ids[2])] == before[str(ids[2])]
    events = {one: Project.open(folder).labels.history(one)["event"].tolist()[-1] for one in map(str, ids[:4])}
    assert list(events.values()) == ["accepted", "corrected", "skipped", "accepted"]

    # the confusion matrix opens its images
    lab_page.run(5)
    matrix = lab_page.find(".oml-matrix")
    cell = matrix.locator("td button:enabled").first
    n = int(cell.inner_text())
    cell.click()
    scored = lab_page.find(".oml-gallery").nth(2)
    page.wait_for_function(
        "(n) => document.querySelectorAll('.oml-gallery:has(.oml-matrix) .oml-card img').length === n", arg=n
    )
    lab_page.shot("flow-6-confusion", scored)

    # improved: the corrections are trained on, and the gate says what becomes of it
    (shown,) = [
        one["data"]["text/plain"] for one in lab_page.run(6)["outputs"] if one["output_type"] == "execute_result"
    ]
    versions = Project.open(folder).models.list()
    assert len(versions) == 2
    assert versions[-1].version in "".join(shown)
    lab_page.shot("flow-7-improved", lab_page.find(".jp-OutputArea-executeResult").last)

    # boxes: one suggestion is right, the other is none
    lab_page.run(7)
    (image_id,) = Project.open(lab.root / "flow-boxes").labels.state().table["image_id"].to_pylist()
    stage = Stage(lab_page, (640, 400))
    stage.wait_for(image_id)
    stage.click(40, 40)
    lab_page.shot("flow-8-boxes", stage.root)
    stage.press("Delete", "Enter")
    stage.saved(1)
    assert stage.root.locator(".oml-state").inner_text() == "annotated"
    row = Project.open(lab.root / "flow-boxes").labels.state().row(image_id)
    assert (row["boxes_xyxy"], row["labels"]) == ([[250.0, 120.0, 460.0, 300.0]], ["mark"])
    assert Project.open(lab.root / "flow-boxes").labels.history(image_id)["event"].tolist()[-1] == "accepted"
    lab_page.shots_in_the_dark()
