"""Cross-validation: every image is scored once, by a model that has seen nothing of its group."""

from __future__ import annotations

import pytest

import onlineml as oml
from onlineml.errors import ConfigError, DataError
from onlineml.improving.searching import Candidate, cross_validation
from tiny import make_photos
from tiny_boxes import drawn_manifest
from tiny_labels import label_manifest
from tiny_projects import FACTORY

GOOD = Candidate(backbone=FACTORY, size=32, lr_factor=100.0)


@pytest.fixture
def fitted(monkeypatch):
    """The datamodules that were trained on."""
    seen, fit = [], cross_validation.fit

    def noting(model, datamodule, **options):
        seen.append(datamodule.manifest)
        return fit(model, datamodule, **options)

    monkeypatch.setattr(cross_validation, "fit", noting)
    return seen


@pytest.fixture
def data(tmp_path):
    make_photos(tmp_path, counts={"train": 6, "val": 2, "test": 2})
    found = oml.Manifest.from_folders(str(tmp_path))
    uris = found.column("uri").tolist()  # 000.jpg and 001.jpg are there in each split and class
    return found.with_column("group", [uri[-7:] if uri[-7:] < "002" else uri for uri in uris])


def test_every_image_counts_once_and_groups_stay_together(data, decoded_photos, fitted):
    scores = oml.cross_validate(data, GOOD, folds=3, epochs=25)

    assert sorted(scores.image_ids) == sorted(data.column("image_id"))
    assert scores.n_groups == len(set(data.column("group")))
    assert scores.accuracy > 0.9  # colours, which its first layer sees
    assert scores.interval("accuracy")[0] < 1
    assert (scores.manifest_hash, scores.split, scores.model_ref) == (data.hash, "", "")
    tested = []
    for part in fitted:
        of_split = {split: set(part.select(split=split).column("group")) for split in ("train", "val", "test")}
        assert not of_split["train"] & of_split["test"]
        assert not of_split["train"] & of_split["val"]
        assert not of_split["val"] & of_split["test"]
        tested += part.select(split="test").column("image_id").tolist()
    assert sorted(tested) == sorted(data.column("image_id"))


def test_folds_may_be_given_as_a_camera_that_is_left_out(data, decoded_photos, fitted):
    data = data.with_column("group", data.column("uri").tolist())
    cameras = [f"camera {i % 3}" for i in range(len(data))]
    scores = oml.cross_validate(data, Candidate(backbone=FACTORY, size=32), folds=cameras, epochs=1)
    assert scores.n_images == len(data)
    camera_of = dict(zip(data.column("image_id"), cameras, strict=True))
    for part in fitted:
        of_split = [{camera_of[i] for i in part.select(split=s).column("image_id")} for s in ("train", "val", "test")]
        assert [len(found) for found in of_split] == [1, 1, 1]
        assert len(set.union(*of_split)) == 3


def test_a_class_of_one_image_is_scored_by_a_model_that_never_saw_it(data, decoded_photos, fitted):
    rows = [i for i, label in enumerate(data.column("label")) if label != "red"]
    one = next(i for i, label in enumerate(data.column("label")) if label == "red")
    rare = data.take(sorted([*rows, one]))
    scores = oml.cross_validate(rare, Candidate(backbone=FACTORY, size=32), folds=3, epochs=1)
    assert scores.n_images == len(rare)
    assert scores.class_names == data.class_names


def test_several_labels(tmp_path, decoded_photos):
    data = label_manifest(tmp_path)
    scores = oml.cross_validate(data, Candidate(backbone=FACTORY, size=32), folds=3, epochs=1)
    assert sorted(scores.image_ids) == sorted(data.column("image_id"))


def test_boxes(tmp_path, decoded_photos, fitted):
    data = drawn_manifest(tmp_path, counts={"train": 4, "test": 2})
    scores = oml.cross_validate(data, Candidate(backbone="tiny_projects:narrow_net", size=64), folds=3, epochs=1)
    assert scores.n_images == len(data)
    assert len(fitted) == 3


def test_what_is_wrong_is_refused(data, decoded_photos, fitted):
    with pytest.raises(ConfigError, match="folds=2: expected at least 3"):
        oml.cross_validate(data, folds=2)
    with pytest.raises(ConfigError, match="at least as many groups"):
        oml.cross_validate(data.with_column("group", ["one"] * len(data)))
    with pytest.raises(ConfigError, match="Candidate"):
        oml.cross_validate(data, "resnet18")
    with pytest.raises(ConfigError, match="3 values: expected a number, or the fold of each"):
        oml.cross_validate(data, folds=[0, 1, 2])
    with pytest.raises(ConfigError, match="'camera': expected a number, or the fold"):
        oml.cross_validate(data, folds="camera")
    with pytest.raises(ConfigError, match="0, 1: expected at least 3"):
        oml.cross_validate(data, folds=[int(group[-7:] < "001") for group in data.column("group")])
    with pytest.raises(DataError, match="tested on what it has seen"):
        oml.cross_validate(data, folds=[i % 3 for i in range(len(data))])
    assert not fitted
