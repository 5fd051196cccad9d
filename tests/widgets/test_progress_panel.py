"""The panel of a run: told by the training itself, or read from the record of a job, with a button that stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from front_end import FrontEnd
from onlineml.errors import StoppedError
from onlineml.jobs.job import Job
from onlineml.runs.run import Run
from onlineml.widgets import ProgressPanel
from onlineml.widgets.progress import _Pushed

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ROW = {"epoch": 0, "train_loss": 0.5, "val_accuracy": 0.75, "progress": 0.5, "images_per_s": 10.0, "seconds": 4.0}


def test_a_run_that_has_not_begun_and_one_that_is_over(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", spec={"epochs": 8})
    front = FrontEnd(ProgressPanel(run))

    told = front.one("look", "panel")
    assert (told["over"], told["stops"], told["pushed"]) == (False, False, False)
    assert "created" in told["html"]

    run.set_status("running")
    run.log_metrics(ROW)
    assert "epoch 1 of 8" in front.one("look", "panel")["html"]
    run.set_status("finished")
    told = front.one("look", "panel")
    assert told["over"]
    assert "100" in told["html"]
    run.set_status("failed", facts={"error": "TrainingError: the loss is <nan>"})
    assert "the loss is &lt;nan&gt;" in ProgressPanel(run).static_html()


def test_a_training_in_this_kernel_tells_by_itself_and_can_be_stopped(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", spec={"epochs": 4})
    panel = ProgressPanel(run)
    panel.pushed = True
    front = FrontEnd(panel)
    reporter = _Pushed(panel)

    reporter.tick(ROW | {"train_loss": 0.9})
    told = front.told[-1][0]
    assert told["pushed"]
    assert told["stops"]
    assert "loss 0.9000" in told["html"]
    reporter([ROW])
    assert "loss 0.5000" in front.told[-1][0]["html"]

    assert front.one("stop", "panel")["asked"]
    assert run.stop_requested
    run.set_status("stopped", facts={"by": "request"})
    reporter.close()
    told = front.told[-1][0]
    assert (told["over"], told["stops"]) == (True, False)
    assert "stopped" in told["html"]


def test_a_stop_that_comes_late_stops_nothing_that_comes_after(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    panel = ProgressPanel(run)
    panel.pushed = True
    front = FrontEnd(panel)
    run.set_status("finished")
    _Pushed(panel).close()

    front.ask("stop")

    assert not run.stop_requested


class Status:
    function, id, state, error, remedy, silent_s = "train", "20261124", "running", "", "", 2.0

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row


class WatchedJob(Job):
    """A job whose process is only said to be there."""

    cancelled = 0
    stands = Status({})

    def status(self) -> Any:
        return self.stands

    def tail(self, lines: int = 20) -> str:
        return "epoch   0 <done>"

    def cancel(self, *, now: bool = False) -> None:
        self.cancelled += 1


def test_a_job_is_read_from_its_record_and_cancelled_by_the_button(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", spec={"job": {"function": "train", "arguments": {"budget_s": 100}}})
    run.log_metrics(ROW)
    job = WatchedJob(run)
    job.stands = Status({**ROW, "seconds": 20.0, "progress": 0.7})
    front = FrontEnd(ProgressPanel(job))

    told = front.one("look", "panel")
    assert told["stops"]
    assert "about 1 min 18 s left" in told["html"]  # of 100 s, 20 and the 2 since then are over
    assert "train 20261124" in told["html"]
    assert "&lt;done&gt;" in told["html"]
    assert front.one("stop", "panel")["asked"]
    assert job.cancelled == 1
    job.stands.state, job.stands.remedy = "lost", "go on: .resume()"  # type: ignore[misc]
    told = front.one("look", "panel")
    assert told["over"]
    assert "go on: .resume()" in told["html"]


def test_following_ends_with_the_run(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    run.set_status("finished")

    assert ProgressPanel(run).follow(poll_s=0.01) == "finished"


def test_being_stopped_is_told_in_one_line() -> None:
    assert StoppedError("asked to stop")._render_traceback_() == ["StoppedError: asked to stop"]


def test_it_can_be_shown_without_a_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onlineml.widgets.progress import shown_live

    reporter = shown_live(Run.create(tmp_path / "run"), None)
    reporter.tick(ROW)
    reporter.close()

    assert "ProgressPanel" in capsys.readouterr().out
