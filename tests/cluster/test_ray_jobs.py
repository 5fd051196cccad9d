"""Background runs as Ray Jobs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import pytest

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.ray import RayJobs

if TYPE_CHECKING:
    from pathlib import Path

    from ray_nodes import Nodes

pytestmark = pytest.mark.ray


@pytest.fixture
def project(tmp_path: Path) -> oml.Project:
    oml.make_samples(str(tmp_path / "photos"), n=60)
    made = oml.Project.create(str(tmp_path / "project"))
    made.add(oml.Manifest.from_any(str(tmp_path / "photos")), author="ann")
    made.freeze(max_bad=0.1)
    return made


@pytest.fixture
def executor(nodes: Nodes) -> RayJobs:
    return RayJobs(nodes.dashboard, python=sys.executable)


TRAIN = {"weights": "random", "size": 32}


def test_it_trains_and_publishes_there(project: oml.Project, executor: RayJobs):
    job = project.jobs.submit("train", {**TRAIN, "epochs": 1}, executor=executor)
    assert job.wait(180) == "finished", job.tail()
    assert job.result()["version"].startswith("1-")
    assert "published as" in job.tail()
    assert project.jobs.list(executor=executor)[0].state == "finished"


def test_it_is_cancelled_with_a_checkpoint_and_resumed(project: oml.Project, executor: RayJobs):
    job = project.jobs.submit("train", {**TRAIN, "epochs": 400}, executor=executor)
    while not job.run.metrics():
        assert job.status().state in {"starting", "running"}, job.tail()
        time.sleep(0.5)
    job.cancel()
    assert job.wait(60) == "stopped"
    assert job.run.location.local
    with pytest.raises(ConfigError, match="is stopped already"):
        job.cancel()
    job.resume()
    assert job.status().attempt == 2
    job.cancel(now=True)
    assert job.wait(60) in {"lost", "stopped"}


def test_a_program_that_is_not_there_is_lost_and_its_output_says_why(project: oml.Project, nodes: Nodes):
    job = project.jobs.submit("train", TRAIN, executor=RayJobs(nodes.dashboard, python="no-such-python"))
    assert job.wait(60) == "lost"
    assert "no-such-python" in job.tail()


def test_credentials_are_not_handed_to_ray(tmp_path: Path, executor: RayJobs):
    from onlineml.jobs import ProjectJobs

    oml.Project.create(str(tmp_path / "p"))
    jobs = ProjectJobs(str(tmp_path / "p"), storage_options={"auto_mkdir": True})
    with pytest.raises(ConfigError, match="storage_options"):
        jobs.submit("train", TRAIN, executor=executor)
    assert jobs.list(executor=executor)[0].state == "failed"


def test_nor_is_an_address_with_a_password(executor: RayJobs, tmp_path: Path):
    order = {"run": "s3://key:secret@lab/p/runs/1", "storage_options": None}
    with pytest.raises(ConfigError, match="a password in its address") as caught:
        executor.start(["python"], environment={"ONLINEML_JOB": json.dumps(order)}, log=tmp_path / "log")
    assert "secret" not in str(caught.value)


def test_a_cluster_that_does_not_answer_is_said(project: oml.Project, executor: RayJobs):
    with pytest.raises(ConfigError, match=r"Ray cluster at http://127\.0\.0\.1:9"):
        project.jobs.submit("train", TRAIN, executor=RayJobs("http://127.0.0.1:9"))
