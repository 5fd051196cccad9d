"""The last cell of a notebook."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from onlineml.jobs.result import save_result
from onlineml.runs.run import Run

if TYPE_CHECKING:
    from pathlib import Path

VALUES = {"notebook": "x", "accuracy": 0.5, "hash": "abc", "intervals": {"accuracy": (0.25, 0.75)}}


def test_programs_read_all_and_people_the_scores(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    result = save_result(run, VALUES, "Found <it>", files={"Report": "a&b.html", "Nothing": ""}, then="Go on.")

    assert json.loads((tmp_path / "run/result.json").read_text()) == {**VALUES, "intervals": {"accuracy": [0.25, 0.75]}}
    assert run.status()["state"] == "finished"
    page = result._repr_html_()
    assert "Found &lt;it&gt;" in page
    assert "<td>accuracy</td><td>0.500</td><td>0.250 to 0.750</td>" in page
    assert "a&amp;b.html" in page
    assert "abc" not in page
    assert str(result).splitlines()[0] == "Found <it>"
    assert str(result).splitlines()[-1] == "Go on."


def test_long_names_and_their_values_are_apart(tmp_path: Path) -> None:
    values = {"map": 0.5, "micro_f1": 0.25, "intervals": {"map": (0.25, 0.75), "micro_f1": (0.0, 0.5)}}
    lines = str(save_result(Run.create(tmp_path / "run"), values, "Found")).splitlines()

    assert lines[1] == "mean average precision  0.500 (95 % interval 0.250 to 0.750)"
    assert lines[2] == "F1                      0.250 (95 % interval 0.000 to 0.500)"


def test_a_training_that_was_stopped_stays_so(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run")
    run.set_status("stopped")
    save_result(run, {}, "Nothing")

    assert run.status()["state"] == "stopped"
