"""JupyterHub as its page describes it: two people build, upload and relabel; what was cut off goes on later."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from PIL import Image

from hub_server import Hub, jupyter_hub
from lab_page import LabPage
from lab_server import write_notebook
from late import Late
from onlineml.project.project import Project
from onlineml.storage import io
from processes import LONG_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from onlineml import jobs
    from s3_server import S3Server

nbformat = Late("nbformat")

pytestmark = [pytest.mark.hub, pytest.mark.s3, pytest.mark.timeout(1200)]
SHOTS = Path(__file__).parents[2] / ".browser"
BUILD = Path(__file__).parents[2] / "notebooks" / "1_build.ipynb"

SMALL = """
import os
import onlineml as oml
photos, project_url = oml.make_samples("photos", n=80), os.environ["ONLINEML_PROJECT"]
budget_s, size, max_bad = 3, 32, 0.1
"""
SUBMIT = """
job = project.jobs.submit("train", {"epochs": 100_000, "size": 32, "max_bad": 0.1})
"""
UPLOAD = """
from onlineml.widgets import Relabel, Upload
shared = oml.Project.create(os.environ["ONLINEML_SHARED"], class_names=["cat", "dog"], exist_ok=True)
upload = Upload(shared, label="cat")
upload
"""
RELABEL = """
relabel = Relabel(shared, sorted(upload.image_ids))
relabel
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[Hub]:
    prefix = os.environ.get("ONLINEML_HUB")
    assert prefix, "these tests need JupyterHub and its proxy: run nox -s hub, which installs them"
    with jupyter_hub(tmp_path_factory.mktemp("hub"), s3_server, prefix=Path(prefix)) as running:
        yield running


def until(done: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + LONG_S
    while not (value := done()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.5)
    return value


def come_in(hub: Hub, page: LabPage, user: str) -> None:
    """Log in, start a server, and open the notebook."""
    page.page.goto(hub.address("/hub/login?next=%2Fhub%2Fhome"))
    page.page.fill("#username_input", user)
    page.page.fill("#password_input", hub.password)
    page.page.click("#login_submit")
    page.page.wait_for_url("**/hub/home")
    place = f"/user/{user}/lab/tree/work.ipynb"
    page.page.goto(hub.address(f"/hub/spawn?next={place}"))
    page.page.wait_for_url(f"**{place}**")
    page.ready()


def notebook_for(hub: Hub, user: str) -> int:
    """The guided notebook, made small, and after it the shared project; returns how many cells are the guided ones."""
    cells = [cell.source for cell in nbformat.read(BUILD, as_version=4).cells if cell.cell_type == "code"]
    cells.insert(1, SMALL)
    write_notebook(hub.user_home(user) / "work.ipynb", [*cells, SUBMIT, UPLOAD, RELABEL])
    return len(cells)


def work(page: LabPage, n_cells: int, photo: Path) -> str:
    """Build, upload a photo into the shared project, and call the cat a dog; returns the image's id."""
    for number in range(n_cells):
        page.run(number)
    page.run(n_cells + 1)
    uploader = page.find(".oml-upload")
    uploader.locator(".oml-title").wait_for()
    with page.page.expect_file_chooser() as chooser:
        uploader.get_by_role("button", name="Choose files").click()
    chooser.value.set_files([photo])
    page.page.wait_for_selector('.oml-upload[data-added="1"]')
    page.run(n_cells + 2)
    card = page.find(".oml-relabel .oml-card").first
    card.locator("img").wait_for()
    card.click()
    page.page.keyboard.press("2")
    page.page.wait_for_selector('.oml-relabel[data-waiting="0"][data-done="1"]')
    return str(card.get_attribute("data-id"))


def has_checkpoint(job: jobs.Job) -> bool:
    return io.exists(job.run.location / "last.ckpt")


def test_two_people_and_a_background_run_that_goes_on(
    hub: Hub, browser: Browser, s3_server: S3Server, tmp_path: Path
) -> None:
    said = {}
    for number, user in enumerate(["ben", "ann"]):
        n_cells = notebook_for(hub, user)
        Image.new("RGB", (40, 30), (90, 60 * number, 20)).save(tmp_path / f"{user}.png")
        page = LabPage(browser, None, SHOTS)
        come_in(hub, page, user)
        said[user] = work(page, n_cells, tmp_path / f"{user}.png")
        if user == "ann":
            page.run(n_cells)
        page.shot(f"hub-{user}")
        page.context.close()  # nobody shuts a kernel down
        assert not page.errors, page.errors

    options = s3_server.storage_options
    shared = Project.open(f"{hub.bucket}/shared", storage_options=options)
    for user, image_id in said.items():
        history = shared.labels.history(image_id)
        assert history["author"].tolist() == [user, user]  # who uploaded it, and who corrected it
        assert shared.labels.state().row(image_id)["label"] == "dog"
        own = Project.open(f"{hub.bucket}/users/{user}", storage_options=options)
        assert own.champion() is not None
        assert set(own.labels.state().provenance["author"].to_pylist()) == {user}

    ann = Project.open(f"{hub.bucket}/users/ann", storage_options=options)
    (status,) = ann.jobs.list()
    job = ann.jobs.get(status.id)
    log = (hub.home / "hub.log").read_text()
    assert "Starting service 'culler'" in log
    assert "Service culler exited" not in log
    with hub.culled():
        until(lambda: not hub.has_server("ann") and not hub.has_server("ben"), "idle servers are stopped")
    until(lambda: job.status().state != "starting", "the job begins")
    assert job.status().state == "running", job.tail(50)
    pid = job.status().pid
    assert pid is not None
    until(lambda: job.run.metrics() and has_checkpoint(job), "a checkpoint")
    assert psutil.Process(pid).is_running()  # here, the job outlives the server; in a container it would not, so:
    os.kill(pid, signal.SIGKILL)
    until(lambda: job.status().state == "lost", "the loss is noticed")
    before = max(row["epoch"] for row in job.run.metrics())

    page = LabPage(browser, None, SHOTS)
    come_in(hub, page, "ann")
    try:
        until(lambda: (job.status().state, job.status().attempt) == ("running", 2), "it goes on as soon as she is back")
        until(lambda: max(row["epoch"] for row in job.run.metrics()) > before, "it learns on")
        assert "resumed" in (hub.user_home("ann") / ".onlineml-resumed.log").read_text()
    finally:
        job.cancel()
        job.wait(LONG_S)
        page.context.close()
