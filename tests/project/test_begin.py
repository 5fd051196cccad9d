"""A notebook's first step: photos of one's own are never mixed with samples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

import onlineml as oml
from onlineml.data.samples.samples import make_samples
from onlineml.errors import ConfigError
from onlineml.project import begin
from onlineml.project.begin import begin_project

if TYPE_CHECKING:
    from pathlib import Path

TASKS = ["classification", "multilabel", "detection"]
FEW = partial(make_samples, n=6, broken=0, mislabelled=0)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(begin, "make_samples", FEW)
    return tmp_path


@pytest.mark.parametrize("task", TASKS)
def test_a_project_that_has_photos_keeps_to_them(folder: Path, task: str) -> None:
    own = oml.Manifest.from_any(FEW("own", task=task), task=task)
    begin_project("project", "own", task=task, title="Mine")
    before = oml.Project.open("project").labels.state()

    project, found = begin_project("project")

    assert (project.task, project.title) == (task, "Mine")
    assert sorted(found.urls()) == sorted(own.urls())
    assert project.labels.state().table.equals(before.table)
    assert not (folder / f"photos-{task}").exists()


@pytest.mark.parametrize("task", TASKS)
def test_samples_are_of_the_task_of_a_project_without_photos(folder: Path, task: str) -> None:
    oml.Project.create("project", task=task)

    project, found = begin_project("project")

    assert (project.task, len(found), len(project.labels.state().table)) == (task, 6, 6)
    assert (folder / f"photos-{task}").exists()


def test_a_new_project_has_the_task_of_its_photos() -> None:
    FEW("own", task="detection")
    assert begin_project("boxes", "own")[0].task == "detection"
    assert begin_project("samples", task="multilabel")[0].task == "multilabel"


def test_another_task_than_the_project_s_is_refused() -> None:
    oml.Project.create("project", task="detection")
    with pytest.raises(ConfigError, match="contains a project of the task 'detection', not 'classification'"):
        begin_project("project", task="classification")
