"""`evaluate`: the scores of exactly the images of a split, by the names of their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError, DataError, TooManyBadImagesError, UnknownClassError
from tiny import CLASSES, jpeg, make_photos, picture, tiny_data, tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

QUICK = {"n_bootstrap": 20}


@pytest.fixture(scope="module")
def model(manifest: oml.Manifest, tmp_path_factory: pytest.TempPathFactory) -> oml.ImageClassifier:
    made = tiny_model(lr=2e-2)
    oml.fit(made, tiny_data(manifest), run=tmp_path_factory.mktemp("fit") / "run", epochs=2, progress="none")
    return made


def truth_of(part: oml.Manifest) -> dict[str, str]:
    return dict(zip(part.urls(), part.column("label"), strict=True))


def test_accuracy_by_hand_from_predictions(manifest: oml.Manifest, model: oml.ImageClassifier) -> None:
    part = manifest.select(split="test")
    scores = oml.evaluate(model, manifest, **QUICK)
    truth = truth_of(part)
    rows = list(oml.predict(model, part.urls(), top_k=3))

    assert scores.n_images == len(part) == 15
    assert scores.accuracy == sum(truth[row.uri] == row.label for row in rows) / 15
    assert 0 < scores.accuracy <= 1
    expected = -np.mean([np.log(dict(row.top)[truth[row.uri]]) for row in rows])
    assert scores.log_loss == pytest.approx(expected, rel=1e-4)
    assert scores.manifest_hash == manifest.hash
    assert scores.split == "test"


def test_the_same_probabilities_as_predict(manifest: oml.Manifest, model: oml.ImageClassifier) -> None:
    part = manifest.select(split="train")
    scores = oml.evaluate(model, manifest, split="train", batch_size=7, **QUICK)
    url_of = dict(zip(part.column("image_id"), part.urls(), strict=True))
    rows = oml.predict(model, [url_of[i] for i in scores.image_ids], top_k=3)
    found = np.array([[dict(row.top)[name] for name in CLASSES] for row in rows])

    assert len(scores.image_ids) == 36
    assert found == pytest.approx(np.asarray(scores.probabilities), abs=1e-6)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_and_workers_change_nothing(manifest, model, workers: int) -> None:
    expected = oml.evaluate(model, manifest, **QUICK)
    scores = oml.evaluate(model, manifest, batch_size=4, num_workers=workers, **QUICK)

    assert scores.accuracy == expected.accuracy
    assert scores.log_loss == pytest.approx(expected.log_loss, rel=1e-5)
    assert list(scores.image_ids) == list(expected.image_ids)


def test_classes_are_matched_by_name(photos: Path, manifest, model) -> None:
    turned = oml.Manifest.from_folders(str(photos), class_names=["red", "yellow", "blue", "green"])
    expected, scores = (oml.evaluate(model, data, **QUICK) for data in (manifest, turned))

    assert scores.accuracy == expected.accuracy
    assert np.array_equal(scores.confusion, expected.confusion)
    assert tuple(scores.class_names) == CLASSES  # the model's order


def test_a_class_that_the_model_does_not_know(tmp_path: Path, model) -> None:
    folder = make_photos(tmp_path / "images")
    for i in range(2):
        (folder / "test" / "violet").mkdir(exist_ok=True)
        (folder / "test" / "violet" / f"{i}.jpg").write_bytes(jpeg(picture((150, 0, 150), seed=i)))
    data = oml.Manifest.from_folders(str(folder))

    with pytest.raises(
        UnknownClassError, match="1 class of the manifest is unknown to the model: violet; it knows blue"
    ):
        oml.evaluate(model, data, **QUICK)
    assert oml.evaluate(model, data, split="val", **QUICK).n_images == 12  # none of it there


def test_unlabelled_images_are_left_out(manifest, model) -> None:
    part = manifest.select(split="test")
    some = manifest.with_labels({part.column("image_id")[0]: None})

    assert oml.evaluate(model, some, **QUICK).n_images == 14


def test_a_split_with_nothing_in_it(manifest, model) -> None:
    with pytest.raises(DataError, match="the split 'test' has no annotated images"):
        oml.evaluate(model, manifest.select(split="val"))
    with pytest.raises(ConfigError, match=r"split='tset': expected one of train, val, test .did you mean 'test'"):
        oml.evaluate(model, manifest, split="tset")


def test_slices(manifest, model) -> None:
    camera = np.array(["old", "new"])[np.arange(len(manifest)) % 2]
    shot = [f"shot-{i}" for i in range(len(manifest))]
    data = manifest.with_column("camera", camera.tolist()).with_column("shot", shot)
    scores = oml.evaluate(model, data, **QUICK)
    labels = np.array([CLASSES.index(name) for name in data.select(split="test").column("label")])
    right = dict(zip(scores.image_ids, np.argmax(scores.probabilities, 1) == scores.labels, strict=True))
    where = dict(zip(data.column("image_id"), camera, strict=True))

    assert {row.column for row in scores.by_slice} == {"camera"}  # 63 shots are no slice
    for row in scores.by_slice:
        chosen = [right[i] for i in right if where[i] == row.value]
        assert (row.n, row.accuracy) == (len(chosen), pytest.approx(np.mean(chosen)))
    assert sum(row.n for row in scores.by_slice) == len(labels)
    asked = oml.evaluate(model, data, slices=["shot"], **QUICK)
    assert {row.column for row in asked.by_slice} == {"shot"}
    assert not oml.evaluate(model, data, slices=[], **QUICK).by_slice
    with pytest.raises(ConfigError, match="slices: 'lens' is not a column of the manifest; it has"):
        oml.evaluate(model, data, slices=["lens"])


def test_bad_images_are_left_out_up_to_a_share(tmp_path: Path, model) -> None:
    folder = make_photos(tmp_path / "images")
    (folder / "test" / "red" / "zz.jpg").write_bytes(b"no image at all")
    data = oml.Manifest.from_folders(str(folder))

    for batch_size in (1, 4, 64):  # a batch of nothing but the bad one, too
        assert oml.evaluate(model, data, max_bad=0.1, batch_size=batch_size, **QUICK).n_images == 15
    with pytest.raises(TooManyBadImagesError, match="1 of 16 images"):
        oml.evaluate(model, data, max_bad=0.01, **QUICK)


def test_mistakes_are_shown(manifest) -> None:
    untrained = tiny_model(seed=4)
    untrained.size_hw = (32, 32)
    scores = oml.evaluate(untrained, manifest, **QUICK)

    assert scores.accuracy < 1
    assert len(scores.thumbnails) == len(scores.mistakes)
    assert all(data[:2] == b"\xff\xd8" for data in scores.thumbnails.values())


def test_a_thumbnail_that_cannot_be_had_is_left_out(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "images")
    data = oml.Manifest.from_folders(str(folder))
    untrained = tiny_model(seed=4)
    untrained.size_hw = (32, 32)
    before = oml.evaluate(untrained, data, **QUICK)  # decoded now, and kept
    for path in folder.glob("test/*/*.jpg"):
        path.unlink()
    after = oml.evaluate(untrained, data, **QUICK)

    assert after.accuracy == before.accuracy
    assert not after.thumbnails


def test_the_model_is_left_as_it_was(manifest, model) -> None:
    model.train()
    oml.evaluate(model, manifest, **QUICK)
    assert model.training
    model.eval()
    oml.evaluate(model, manifest, **QUICK)
    assert not model.training


def test_a_model_that_was_never_trained(manifest) -> None:
    with pytest.raises(ConfigError, match="no input size: train it with fit"):
        oml.evaluate(tiny_model(), manifest)


def test_the_champion_by_its_url(store: Store, manifest, tmp_path: Path) -> None:
    options = {"storage_options": store.storage_options}
    classifier = oml.ImageClassifier(class_names=CLASSES, backbone="slim_resnet18")
    classifier.size_hw = (32, 32)
    expected = oml.evaluate(classifier, manifest, **QUICK)
    project = oml.Project.create(f"{store.url}/project", **options)
    version = project.publish(classifier, expected)
    project.promote(version)
    scores = oml.evaluate(f"{project.url}@champion", manifest, **options, **QUICK)

    assert np.array_equal(scores.probabilities, expected.probabilities)
    assert scores.model_ref == version.url
    assert torch.is_inference_mode_enabled() is False
