"""Projects that the version before the folders wrote (`fixtures/format_1`) open, and give the same numbers.

The fixtures were written once, by that version: a classification project with an import, uploads, corrections, a
conflict, a rename, a deletion, a suggestion, a finished run, a stopped run with its checkpoint, a job and a champion;
and a detection project with corrected boxes, merged classes and a champion. ``*.json`` beside them holds what that
version read back from them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import onlineml as oml
from tiny import decoded_photos, tiny_net
from tiny_boxes import SlimResNet

__all__ = ["decoded_photos"]

FIXTURES = Path(__file__).parent / "fixtures" / "format_1"


def opened(task, tmp_path):
    shutil.copytree(FIXTURES / task, tmp_path / task)
    expected = json.loads((FIXTURES / f"{task}.json").read_text(encoding="utf-8"))
    return oml.Project.open(tmp_path / task), expected


@pytest.fixture
def classification(tmp_path, decoded_photos):
    return opened("classification", tmp_path)


@pytest.fixture
def detection(tmp_path, decoded_photos):
    return opened("detection", tmp_path)


def records(frame):
    """The rows as JSON has them; nothing is null, whether pandas has None or nan for it."""
    return without_nan(json.loads(json.dumps(frame.to_dict("records"), default=str)))


def without_nan(rows):
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]  # noqa: PLR0124


def test_a_dataset_opens_and_the_same_labels_are_frozen_again(classification):
    project, expected = classification

    (name,) = project.datasets.list()
    data = project.datasets.get(name)
    assert (data.hash, len(data), list(data.class_names)) == (expected["hash"], expected["n"], expected["class_names"])
    assert dict(zip(data.column("image_id"), data.column("label"), strict=True)) == expected["labels"]
    assert list(map(str, data.column("split"))) == expected["splits"]
    assert records(project.datasets.provenance(data)) == without_nan(expected["provenance"])
    assert project.freeze().hash == expected["hash"]


def test_the_log_is_read_as_before(classification):
    project, expected = classification

    assert records(project.labels.history(expected["history_id"])) == expected["history"]
    assert records(project.labels.conflicts()) == expected["conflicts"]
    assert records(project.labels.suggestions()) == expected["suggestions"]
    assert list(project.labels.state().deleted["image_id"].to_pylist()) == expected["deleted"]


def test_runs_and_jobs_open(classification):
    project, expected = classification

    runs = {run.id: run for run in project.runs.list()}
    assert runs[expected["run"]].metrics() == expected["metrics"]
    assert runs[expected["stopped_run"]].status()["state"] == "stopped"
    job = project.jobs.get(expected["job"])
    assert (job.status().state, job.result()) == (expected["job_state"], expected["job_result"])


def test_a_stopped_run_goes_on_to_the_same_weights(classification):
    project, expected = classification
    (run,) = [run for run in project.runs.list() if run.id == expected["stopped_run"]]
    data = project.datasets.get(expected["hash"])
    model = oml.ImageClassifier(class_names=data.class_names, backbone="tiny:tiny_net", seed=4)

    batches = oml.ClassificationDataModule(data, size_hw=(32, 32), batch_size=8)
    oml.fit(model, batches, run=run, epochs=3, progress="none", accelerator="cpu")

    sums = {name: float(values.double().sum()) for name, values in model.state_dict().items()}
    assert sums == pytest.approx(expected["resumed"], rel=1e-5)


def test_a_classifier_opens_with_the_same_numbers(classification):
    project, expected = classification
    assert project.champion().version == expected["version"]
    model = oml.load_model(f"{project.url}@champion", backbone=tiny_net(num_classes=4))
    data = project.datasets.get(expected["hash"])

    scores = oml.evaluate(model, data, split="test")
    assert scores.accuracy == expected["scores"]["accuracy"]
    found = [(row.label, row.score) for row in oml.predict(model, data.urls())]
    assert [label for label, _ in found] == [label for label, _ in expected["probabilities"]]
    np.testing.assert_allclose([score for _, score in found], [s for _, s in expected["probabilities"]], rtol=1e-4)


def test_a_detector_opens_with_the_same_numbers(detection):
    project, expected = detection
    network = SlimResNet(2, width=8, depths=(1, 1, 1, 1))
    model = oml.load_model(f"{project.url}@champion", backbone=network)
    data = project.datasets.get(expected["hash"])

    assert data.table["labels"].to_pylist() == expected["labels"]
    assert data.table["boxes_xyxy"].to_pylist() == expected["boxes"]
    assert records(project.labels.history(expected["history_id"])) == expected["history"]
    scores = oml.evaluate(model, data, split="test")
    for name, value in expected["scores"].items():
        assert getattr(scores, name) == pytest.approx(value, abs=1e-4)
    for row, objects in zip(oml.predict(model, data.urls()), expected["objects"], strict=True):
        assert [found.label for found in row] == [label for label, *_ in objects]
        places = [[found.score, *found.box_xyxy] for found in row]
        np.testing.assert_allclose(
            np.reshape(places, (-1, 5)), np.reshape([o[1:] for o in objects], (-1, 5)), atol=0.01
        )
