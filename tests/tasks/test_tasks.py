"""The table of tasks: quick to import, open to other packages, and clear about what it does not know."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import get_args

import pytest

from onlineml import tasks
from onlineml.errors import ConfigError
from onlineml.evaluation.base import BaseScores
from onlineml.improving.challenger.successor_pieces import SuccessorPieces
from onlineml.tasks import TASKS, Task, task_names, task_of
from onlineml.tasks.base import VisionModule
from onlineml.tasks.task import Piece

OWN = replace(TASKS[0], name="own")
NO_TASK = object()


@pytest.fixture
def installed(monkeypatch):
    """Installs an entry point for one test."""

    def install(value):
        point = EntryPoint("own", value, "onlineml.tasks")
        monkeypatch.setattr(tasks, "entry_points", lambda group: [point] if group == point.group else [])
        tasks._known.cache_clear()

    yield install
    tasks._known.cache_clear()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_piece_is_there_and_knows_its_task(task):
    assert task_of(task.name) is task
    module = task.load("module")
    assert issubclass(module, VisionModule)
    assert module.task == task.load("datamodule").task == task.name
    assert task_of(module) is task
    assert task.kind.task == task.name
    size = inspect.signature(task.load("datamodule")).parameters["batch_size"].default
    assert size == task.train_batch_size  # who makes a datamodule by hand gets the same
    assert issubclass(task.load("scores"), BaseScores)
    assert issubclass(task.load("successor"), SuccessorPieces)
    optional = {"answers"} if task.name != "classification" else set()  # of one class for an image
    assert all(callable(task.load(piece)) for piece in set(get_args(Piece)) - optional)


def test_the_table_loads_no_network():
    code = (
        "import json, sys; from onlineml.tasks import task_of; task_of('detection'); print(json.dumps([*sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & {"torch", "torchvision", "pytorch_lightning", "pandas", "matplotlib"}


def test_an_unknown_task_is_refused_with_the_known_ones_and_a_hint():
    known = "expected one of classification, detection, multilabel"
    with pytest.raises(ConfigError, match=rf"task='detections': {known} \(did you mean 'detection'\?\)"):
        task_of("detections")
    with pytest.raises(ConfigError, match=rf"task='poses': {known}; .*entry points in the group 'onlineml.tasks'"):
        task_of("poses")
    with pytest.raises(ConfigError, match=f"a int has no task: {known}"):
        task_of(3)


def test_a_task_without_a_piece_says_so():
    with pytest.raises(ConfigError, match="the task 'own' has no datamodule"):
        replace(OWN, datamodule="").load("datamodule")


def test_a_package_adds_a_task(installed):
    installed(f"{__name__}:OWN")
    assert task_names() == ("classification", "detection", "multilabel", "own")
    assert task_of("own") is OWN


@pytest.mark.parametrize("name", ["NO_TASK", "TWICE"])
def test_an_entry_point_that_is_no_new_task_is_refused(installed, name):
    installed(f"{__name__}:{name}")
    with pytest.raises(ConfigError, match=f"the entry point 'own' .*{__name__}:{name}"):
        task_of("classification")


TWICE: Task = replace(TASKS[1])
