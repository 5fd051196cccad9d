"""Damaged records of jobs: each is one bad row of the list, and the others are as they were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import onlineml as oml

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "spec.json": {"job": {"function": "train", "arguments": {}, "executor": "local"}},
    "status.json": {"state": "finished", "attempt": 1, "time": "2026-01-02T03:04:05+00:00"},
    "heartbeat.json": {"attempt": 1, "time": 1.7e9, "host": "a", "pid": 5, "row": {"progress": 0.5}},
    "attempt-0001.json": {"time": 1.7e9, "host": "a", "executor": "local"},
    "attempt-0001.handle.json": {"host": "a", "pid": 5},
}


def jobs_of(folder: Path, damage: dict[str, Any]) -> oml.jobs.Jobs:
    """Three jobs, the second with one file replaced."""
    project = oml.Project.create(folder / "project")
    for name, files in (("1-good", GOOD), ("2-damaged", GOOD | damage), ("3-good", GOOD)):
        run = folder / "project" / "runs" / name
        run.mkdir(parents=True)
        for file, value in files.items():
            (run / file).write_text(value if isinstance(value, str) else json.dumps(value))
    return project.jobs.list()


def replaced(file: str, **changes: Any) -> dict[str, Any]:
    return {file: GOOD[file] | changes}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (replaced("status.json", state=5), "status.json"),
        (replaced("status.json", attempt="1"), "status.json"),
        (replaced("status.json", attempt=10**30), "status.json"),
        (replaced("status.json", time="yesterday"), "status.json"),
        (replaced("status.json", time=[1]), "status.json"),
        (replaced("heartbeat.json", time="now"), "heartbeat.json"),
        (replaced("heartbeat.json", time=float("nan")), "heartbeat.json"),
        (replaced("heartbeat.json", row=[1, 2]), "heartbeat.json"),
        (replaced("heartbeat.json", pid="5"), "heartbeat.json"),
        (replaced("attempt-0001.json", time=1e300), "attempt-0001.json"),
        (replaced("attempt-0001.json", time=float("-inf")), "attempt-0001.json"),
        (replaced("attempt-0001.handle.json", pid={"a": 1}), "attempt-0001.handle.json"),
        (replaced("spec.json", job="train"), "spec.json"),
        (replaced("spec.json", job={"function": ["train"], "arguments": {}}), "spec.json"),
        (replaced("spec.json", job={"function": "train", "arguments": [1]}), "spec.json"),
        ({"spec.json": []}, "spec.json"),
        ({"spec.json": "{" * 10}, "spec.json"),
        ({"status.json": '{"a":' * 100_000}, "status.json"),
        ({"heartbeat.json": "[]"}, "heartbeat.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_record_is_one_bad_row(tmp_path: Path, damage: dict[str, Any], told: str) -> None:
    jobs = jobs_of(tmp_path, damage)

    assert [status.id for status in jobs] == ["1-good", "2-damaged", "3-good"]
    assert told in jobs[1].error
    assert [(s.state, s.error, s.function) for s in (jobs[0], jobs[2])] == 2 * [("finished", "", "train")]
    assert told in str(jobs)
    assert told in jobs._repr_html_()
    assert len(jobs.to_frame()) == 3


@pytest.mark.parametrize("file", ["status.json", "heartbeat.json"])
def test_a_file_that_is_being_written_is_no_damage(tmp_path: Path, file: str) -> None:
    jobs = jobs_of(tmp_path, {file: '{"state": "fin'})
    assert jobs[1].error == ""
