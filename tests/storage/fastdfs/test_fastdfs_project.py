"""A whole project lives on FastDFS alone: uploaded, labelled, frozen, trained, published, used for predictions."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import onlineml as oml
from onlineml.storage import io
from onlineml.storage.fastdfs import places
from onlineml.storage.fastdfs.administer import create_volume
from places import SUPPORT
from tiny import CLASSES, COLOURS, decoded_photos, jpeg, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["decoded_photos"]

pytestmark = pytest.mark.fastdfs

COUNTS = {"train": 8, "val": 3, "test": 4}  # of each class


@pytest.fixture
def beginning_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of volumes is known before the test."""
    monkeypatch.setattr(places, "_volumes", {})
    return


def _photos(label: str, split: str) -> list[bytes]:
    begin = 1000 * list(COUNTS).index(split) + 100 * CLASSES.index(label)
    return [jpeg(picture(COLOURS[label], seed=begin + number)) for number in range(COUNTS[split])]


@pytest.mark.usefixtures("beginning_again")
def test_a_project_lives_on_fastdfs(fastdfs_trackers: str) -> None:
    url = create_volume(fastdfs_trackers)
    project = oml.Project.create(f"{url}/colours")
    ids = {
        (label, split): project.images.upload(_photos(label, split), label=label, split=split)
        for label in CLASSES
        for split in COUNTS
    }
    wrong = ids["red", "train"][0]
    project.labels.set(wrong, "blue", author="ann")
    before = project.freeze()
    project.labels.set(wrong, "red", author="bob")
    data = project.freeze()
    assert len(data) == 3 * sum(COUNTS.values())
    assert before.hash != data.hash
    assert project.datasets.list() == sorted([before.hash, data.hash])
    assert list(project.labels.history(wrong)["author"])[-2:] == ["ann", "bob"]

    batches = oml.ClassificationDataModule(data, size_hw=(32, 32), batch_size=8, num_workers=2)  # they are forked
    model = oml.ImageClassifier(class_names=data.class_names, backbone="tiny:tiny_net", lr=1e-2)
    run = oml.fit(model, batches, run=project.runs.new(), epochs=2, progress="none", accelerator="cpu")
    assert run.status()["state"] == "finished"
    assert len(project.runs.list()) == 1
    scores = oml.evaluate(model, data, split="test")
    version = project.publish(model, scores)
    project.promote(version, reason="the first")
    second = project.publish(model)
    project.promote(second)
    project.models.rollback(reason="no better")

    photos = io.list_files(f"{url}/colours/blobs")
    assert len(photos) == len(data)
    here = [(row.uri, row.label) for row in oml.predict(model, [info.url for info in photos])]
    code = (
        "import sys, onlineml as oml; model = oml.load_model(sys.argv[1] + '@champion', backbone='tiny:tiny_net');"
        "print(sorted((row.uri, row.label) for row in oml.predict(model, sys.argv[1] + '/blobs/')))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, project.url]
    there = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SUPPORT)
    assert there.returncode == 0, there.stderr[-2000:]
    assert there.stdout.strip() == str(sorted(here))

    places._volumes.clear()  # as a process that begins now
    again = oml.Project.open(project.url)
    assert again.champion() is not None
    assert again.champion().version == version.version
    assert [found.version for found in again.models.list()] == [version.version, second.version]
    assert again.datasets.get(data.hash[:10]).hash == data.hash
    count = again.labels.compact()
    assert count > 1  # the log of what people said
    assert again.freeze().hash == data.hash
