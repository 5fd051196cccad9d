"""Pictures of the widgets, made in JupyterLab on the demo's project: `nox -s pictures`, after `nox -s docs`."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "browser")]

from conftest import FLAGS  # noqa: E402 (of the browser's tests)
from playwright.sync_api import sync_playwright  # noqa: E402

from lab_page import LabPage  # noqa: E402
from lab_server import jupyter_lab, write_notebook  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Locator

DEMO = ROOT / "docs" / "_build" / "demo" / "classification"
PICTURES = ROOT / "docs" / "_static" / "widgets"
HEIGHT = 620  # of a picture, at most
QUALITY = 72  # of a WebP

CELLS = [
    """
import onlineml as oml
from onlineml.widgets import BoxEditor, Gallery, ProgressPanel, Relabel, Results, Upload

project = oml.Project.open("project")
model = oml.load_model("project@champion")
data = project.datasets.get(project.datasets.list()[-1])
queue = oml.review_queue(project, n=24, data=data, random_share=0.0)
""",
    "Relabel(project, queue, page_size=12)",
    'Gallery(project, where={"split": "test"})',
    "Results(oml.evaluate(model, data, split='val'), data)",
    "Results(oml.predict(model, data.select(split='test').urls()))",
    "ProgressPanel(project.runs.get(RUN))",
    """
new = oml.Project.create("new", title="Fruit", class_names=project.classes.names())
Upload(new, label="apple")
""",
    """
fruit = oml.Project.create("fruit", task="detection", class_names=project.classes.names())
oml.make_samples("samples", task="detection", n=12, mislabelled=0, broken=0)
truth = oml.Manifest.from_coco("samples/annotations.json", images="samples/images").to_pandas()
row = truth[truth["labels"].map(len) >= 3].iloc[0]
(photo,) = fruit.images.upload("samples/images/" + row.uri.rpartition("/")[2])
fruit.labels.suggest({photo: (list(row.boxes_xyxy), list(row.labels), [0.9] * len(row.labels))}, model="champion")
BoxEditor(fruit)
""",
]


def picture(page: LabPage, name: str, target: Locator) -> None:
    """Store what is seen of a part as a small WebP."""
    page.page.wait_for_timeout(1500)  # thumbnails fade in
    shown = Image.open(io.BytesIO(page.shot(name, target).read_bytes())).convert("RGB")
    shown.crop((0, 0, shown.width, min(HEIGHT, shown.height))).save(
        PICTURES / f"{name}.webp", quality=QUALITY, method=6
    )


def take_all(page: LabPage, photos: list[Path]) -> None:
    page.run(0)
    page.run(1)
    grid = page.find(".oml-relabel")
    grid.locator(".oml-card img").nth(7).wait_for()
    grid.locator(".oml-card").first.click()
    picture(page, "relabel", grid)
    galleries = {"gallery": 2, "confusion": 3, "predictions": 4}
    for nth, (name, cell) in enumerate(galleries.items()):
        page.run(cell)
        shown = page.find(".oml-gallery").nth(nth)
        shown.locator(".oml-card img").nth(3).wait_for()
        picture(page, name, shown)
    page.run(5)
    picture(page, "progress", page.find(".oml-run").last)
    page.run(6)
    upload = page.find(".oml-upload")
    with page.page.expect_file_chooser() as chooser:
        upload.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(photos)
    page.page.wait_for_selector(f'.oml-upload[data-added="{len(photos)}"]')
    picture(page, "upload", upload)
    page.run(7)
    editor = page.find(".oml-editor")
    editor.locator(".oml-stage image").first.wait_for()
    picture(page, "boxes", editor)


def is_whole(path: Path) -> bool:
    """Whether a photo can be uploaded: some of the demo's are broken on purpose."""
    try:
        Image.open(path).load()
    except OSError:
        return False
    return True


def main() -> None:
    trained = [path for path in sorted((DEMO / "project" / "runs").iterdir()) if (path / "metrics.jsonl").exists()]
    run = max(trained, key=lambda path: (path / "metrics.jsonl").stat().st_size).name
    with tempfile.TemporaryDirectory() as folder, jupyter_lab(Path(folder) / "lab") as lab, sync_playwright() as tool:
        shutil.copytree(DEMO / "project", lab.root / "project")
        write_notebook(lab.root / "pictures.ipynb", [cell.replace("RUN", repr(run)) for cell in CELLS])
        path = shutil.which("chromium") or "/usr/bin/chromium"
        browser = tool.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        page = LabPage(browser, lab, Path(folder), height=1000)
        page.open("pictures.ipynb")
        take_all(page, [path for path in sorted((DEMO / "photos" / "apple").glob("*.jpg")) if is_whole(path)][:5])
        page.close()
        browser.close()


if __name__ == "__main__":
    main()
