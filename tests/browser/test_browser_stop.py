"""The live panel's stop button clicked in JupyterLab: the training leaves a checkpoint, and the same run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab_server import write_notebook
from onlineml.runs.run import Run

if TYPE_CHECKING:
    from lab_page import LabPage
    from lab_server import Lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

MAKE = """
import onlineml as oml

photos = oml.make_samples({folder!r}, task={task!r}, n=60, broken=0, mislabelled=0)
data = oml.Manifest.from_any(photos, task={task!r})
model = oml.model_for(data, weights="random")
batches = oml.datamodule_for(data, size=64, batch_size=8)
run = {folder!r} + "-run"
"""
FIT = 'oml.fit(model, batches, run=run, epochs={epochs}, progress="live")'


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_the_stop_button_leaves_a_run_that_goes_on(lab: Lab, lab_page: LabPage, task: str) -> None:
    folder = lab.root / f"stop-{task}"
    cells = [MAKE.format(folder=str(folder), task=task), FIT.format(epochs=4), "print(model.training)"]
    write_notebook(lab.root / f"stop-{task}.ipynb", cells)
    lab_page.open(f"stop-{task}.ipynb")
    lab_page.run(0)
    lab_page.start(1)
    panel = lab_page.find(".oml-run")
    lab_page.page.wait_for_function("() => /loss [0-9]/.test(document.querySelector('.oml-run .oml-panel')?.innerText)")
    panel.get_by_role("button", name="Stop").click()
    lab_page.page.wait_for_selector('.oml-run[data-over="true"]')
    lab_page.ready()

    (error,) = [one for one in lab_page.cells()[1]["outputs"] if one["output_type"] == "error"]
    assert error["ename"] == "StoppedError"
    assert len(error["traceback"]) == 1  # a sentence, no traceback
    lab_page.shot(f"stop-{task}-stopped", panel)
    run = Run.open(f"{folder}-run")
    assert run.status()["state"] == "stopped"
    assert (folder.parent / f"stop-{task}-run" / "last.ckpt").exists()
    assert lab_page.run(2)["outputs"][0]["text"] == "False\n"  # the next cells can go on with the model

    lab_page.run(1)  # the same cell again
    lab_page.page.wait_for_function("() => /finished/.test(document.querySelector('.oml-run .oml-panel').innerText)")
    lab_page.shot(f"stop-{task}-finished", lab_page.find(".oml-run"))
    assert run.status()["state"] == "finished"
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2, 3]
