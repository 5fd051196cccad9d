"""Training by Ray Train, on a cluster of two nodes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError, DivergedError, StoppedError, TrainingError
from onlineml.ray import RayTrain

if TYPE_CHECKING:
    from pathlib import Path

    from ray_nodes import Nodes

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> oml.Manifest:
    folder = tmp_path_factory.mktemp("photos")
    oml.make_samples(str(folder), n=120)
    return oml.Manifest.from_any(str(folder)).check(max_bad=0.1).manifest


def _model(data: oml.Manifest) -> oml.ImageClassifier:
    return oml.ImageClassifier(class_names=data.class_names, weights="random", seed=3)


def _batches(data: oml.Manifest) -> oml.ClassificationDataModule:
    return oml.ClassificationDataModule(data, size_hw=(32, 32), batch_size=8, seed=5)


def _weights(model: oml.ImageClassifier) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.network.state_dict().items() if value.is_floating_point()}


def test_two_nodes_train_to_the_weights_of_two_processes_here(data: oml.Manifest, nodes: Nodes, tmp_path: Path):
    there, here = _model(data), _model(data)
    run = oml.fit(
        there, _batches(data), run=str(tmp_path / "there"), epochs=2, engine=RayTrain(2, address=nodes.address)
    )
    oml.fit(here, _batches(data), run=str(tmp_path / "here"), epochs=2, devices=2, progress="none")
    assert run.status()["state"] == "finished"
    assert len(run.metrics()) == 2
    for name, value in _weights(here).items():
        torch.testing.assert_close(_weights(there)[name], value, rtol=1e-5, atol=1e-5)
    assert not there.training


def test_a_lost_process_is_started_again_and_ends_with_the_same_weights(data, nodes: Nodes, tmp_path: Path):
    import psutil

    calm, harried = _model(data), _model(data)
    oml.fit(calm, _batches(data), run=str(tmp_path / "calm"), epochs=8, devices=2, progress="none")
    killed = []

    def kill() -> None:
        until = time.monotonic() + 200
        while time.monotonic() < until and not killed:
            time.sleep(0.1)
            if not (tmp_path / "harried" / "metrics.jsonl").exists():
                continue
            for process in psutil.process_iter(["cmdline"]):
                told = " ".join(process.info["cmdline"] or ())
                if told.startswith("ray::") and "TrainWorker" in told:
                    process.kill()
                    killed.append(told)
                    return

    thread = threading.Thread(target=kill)
    thread.start()
    run = oml.fit(
        harried, _batches(data), run=str(tmp_path / "harried"), epochs=8, engine=RayTrain(2, address=nodes.address)
    )
    thread.join()
    assert killed
    assert [row["epoch"] for row in run.metrics()] == list(range(8))
    for name, value in _weights(calm).items():
        torch.testing.assert_close(_weights(harried)[name], value, rtol=1e-5, atol=1e-5)


def test_errors_come_back_as_they_are(data: oml.Manifest, nodes: Nodes, tmp_path: Path):
    model = _model(data)
    model.lr = 1e20
    with pytest.raises((DivergedError, TrainingError)):
        oml.fit(model, _batches(data), run=str(tmp_path / "r"), epochs=2, engine=RayTrain(2, address=nodes.address))


def test_a_request_to_stop_reaches_the_nodes_and_the_run_goes_on(data: oml.Manifest, nodes: Nodes, tmp_path: Path):
    model, run = _model(data), oml.Project.create(str(tmp_path / "p"), class_names=data.class_names).runs.new()

    def stop() -> None:
        while not run.metrics():
            time.sleep(0.2)
        run.request_stop()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(StoppedError, match="call fit"):
        oml.fit(model, _batches(data), run=run, epochs=500, engine=RayTrain(2, address=nodes.address))
    thread.join()
    assert run.status()["state"] == "stopped"
    assert (tmp_path / "p" / "runs" / run.id / "last.ckpt").exists()


@pytest.mark.parametrize("given", [{"devices": 2}, {"num_nodes": 2}, {"strategy": "ddp"}])
def test_what_the_engine_decides_is_not_given(data: oml.Manifest, given: dict):
    with pytest.raises(ConfigError, match="the engine decides this"):
        oml.fit(_model(data), _batches(data), epochs=1, engine=RayTrain(2), **given)


def test_something_else_is_no_engine(data: oml.Manifest):
    with pytest.raises(ConfigError, match="expected an engine"):
        oml.fit(_model(data), _batches(data), epochs=1, engine="ray")
