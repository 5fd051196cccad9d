"""Features of a project's images: computed once, and what looks alike by them, against cosines by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import onlineml as oml
from onlineml.errors import BadImageError, DataError, NotFoundError
from onlineml.project.features import ImageFeatures
from onlineml.training import embedding
from tiny import COLOURS, jpeg, make_photos, picture
from tiny_labels import label_manifest
from tiny_projects import FACTORY, image_of


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path_factory):
    def small():
        made = oml.MultilabelClassifier(class_names=("anything",), backbone=FACTORY)
        made.size_hw = (32, 32)
        return made.eval()

    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(embedding, "embedder", small)


@pytest.fixture
def project(tmp_path):
    make_photos(tmp_path / "photos", counts={"train": 4})
    made = oml.Project.create(str(tmp_path / "project"))
    made.add(oml.Manifest.from_folders(str(tmp_path / "photos")))
    return made


def test_features_are_those_of_the_network_and_only_new_ones_are_computed(project, monkeypatch):
    found = project.features.of()
    assert isinstance(found, ImageFeatures)
    assert found.values.shape == (12, 6)
    red = image_of(project, "red/000.jpg")
    url = project.freeze().urls()[found.image_ids.index(red)]
    pixels = embedding.decode(Path(url).read_bytes()).pixels
    by_hand = embedding.pixels_features(embedding.embedder(), [pixels])
    np.testing.assert_allclose(found.values[found.image_ids.index(red)], by_hand[0], atol=0.02)

    seen = []
    collect = embedding.collect_features
    monkeypatch.setattr(
        "onlineml.training.features.collect_features",
        lambda model, head, batches: collect(model, head, (seen.append(len(b["index"])) or b for b in batches)),
    )
    (new,) = project.images.upload([jpeg(picture(COLOURS["red"], seed=99))])
    again = project.features.of()
    assert sum(seen) == 1
    assert again.values.shape == (13, 6)
    assert project.features.of([new, red]).values.tolist() == [
        again.values[again.image_ids.index(name)].tolist() for name in (new, red)
    ]


def test_the_nearest_are_those_of_the_largest_cosine(project):
    every = project.features.of()
    blue = image_of(project, "blue/001.jpg")
    units = every.values / np.linalg.norm(every.values, axis=1, keepdims=True)
    cosines = units @ units[every.image_ids.index(blue)]
    expected = [every.image_ids[i] for i in np.argsort(-cosines) if every.image_ids[i] != blue][:4]

    found = project.features.similar(blue, n=4)

    assert [item.image_id for item in found.items] == expected
    assert [item.similarity for item in found.items] == pytest.approx(sorted(cosines)[-2:-6:-1], abs=1e-5)
    assert {item.label for item in found.items[:3]} == {"blue"}
    assert found.to_frame()["label"].tolist() == [item.label for item in found.items]
    assert found._repr_html_().count("<img") == 4
    assert "4 images, the most similar first" in str(found)


def test_any_file_bytes_and_pixels_can_be_asked_about(project, tmp_path):
    pixels = picture(COLOURS["green"], seed=500)
    (tmp_path / "asked.jpg").write_bytes(jpeg(pixels))
    for asked in (tmp_path / "asked.jpg", str(tmp_path / "asked.jpg"), jpeg(pixels), pixels):
        assert {item.label for item in project.features.similar(asked, n=4).items} == {"green"}
    assert len(project.features.similar(pixels, n=100)) == 12


def test_what_cannot_be_asked_about_is_refused_with_a_reason(project, tmp_path):
    with pytest.raises(NotFoundError):
        project.features.similar(str(tmp_path / "nothing.jpg"))
    with pytest.raises(BadImageError):
        project.features.similar(b"no image")
    with pytest.raises(DataError, match="expected \\(H, W, 3\\) uint8"):
        project.features.similar(np.zeros((4, 4)))
    with pytest.raises(DataError, match="covers nothing"):
        project.features.similar(picture((1, 2, 3), seed=0), box_xyxy=(100, 100, 120, 120))
    with pytest.raises(DataError, match="not in the project or were set aside, such as 'x'"):
        project.features.of(["x"])


def test_boxes_are_compared_with_boxes(tmp_path):
    project = oml.Project.create(str(tmp_path / "project"), task="detection")
    grey = np.full((60, 60, 3), 120, np.uint8)
    names = list(COLOURS)
    for i in range(4):
        pixels = grey.copy()
        for k, name in enumerate(names):
            pixels[5 + i : 15 + i, 5 + 18 * k : 15 + 18 * k] = COLOURS[name]
        boxes = [[5 + 18 * k, 5 + i, 15 + 18 * k, 15 + i] for k in range(3)]
        project.images.upload([jpeg(pixels)], boxes=(boxes, names))
    ids = project.labels.state().table["image_id"].to_pylist()
    boxes, labels = project.freeze().boxes(), project.freeze().class_names

    first = int(np.flatnonzero(boxes.image_index == 0)[0])
    found = project.features.similar(ids[0], n=3, box_xyxy=boxes.boxes_xyxy[first])

    assert {item.label for item in found.items} == {labels[boxes.label_ids[first]]}
    assert ids[0] not in {item.image_id for item in found.items}
    assert found._repr_html_().count("<img") == 3
    assert len(project.features.similar(ids[0], n=2)) == 2  # whole images
    again = project.features.similar(ids[0], n=3, box_xyxy=boxes.boxes_xyxy[first])
    assert again.items == found.items  # from the store


def test_sets_of_labels_are_shown_together(tmp_path):
    project = oml.Project.create(str(tmp_path / "project"), task="multilabel")
    project.add(label_manifest(tmp_path / "photos", splits={"train": 14}))
    every = project.features.of()
    labels = dict(zip(*(project.freeze().column(name) for name in ("image_id", "labels")), strict=True))
    asked = next(one for one, names in labels.items() if len(names) == 3)
    units = every.values / np.linalg.norm(every.values, axis=1, keepdims=True)
    order = np.argsort(-(units @ units[every.image_ids.index(asked)]))

    found = project.features.similar(asked, n=5)

    assert [item.image_id for item in found.items] == [
        every.image_ids[i] for i in order if every.image_ids[i] != asked
    ][:5]
    assert [item.label for item in found.items] == [", ".join(labels[item.image_id]) for item in found.items]
    assert found._repr_html_().count("<img") == 5
