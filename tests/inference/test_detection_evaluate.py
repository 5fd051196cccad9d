"""`evaluate` with a detector: its scores against pycocotools, on exactly the images of a split."""

from __future__ import annotations

import contextlib
import io
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch

import onlineml as oml
from colour_scenes import CLASSES, COLOURS, ColourDetector, png, scene
from onlineml.errors import ConfigError, DataError, TooManyBadImagesError, TrainingError, UnknownClassError
from tiny import tiny_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Drawn = tuple[np.ndarray, list[tuple[str, tuple[float, ...]]]]

QUICK = {"n_bootstrap": 20}
SHAPES = [(120, 160), (160, 120), (100, 300), (64, 64), (16, 24), (600, 800), (30, 900)]


class Data(NamedTuple):
    """The same objects twice: as a COCO file, for the reference, and as a manifest."""

    coco: Path
    manifest: oml.Manifest


class FaultyDetector(ColourDetector):
    """Moves, misses, mistakes and doubles some of the objects, by what is seen in the image."""

    def _find(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
        found = super()._find(pixels)
        boxes, labels, scores = [], [], []
        for box, label, score in zip(found["boxes"], found["labels"], found["scores"], strict=True):
            kind = int(box.sum().item()) % 7
            width = (box[2] - box[0]).item()
            if kind == 0:
                continue  # missed
            if kind == 1:
                box = box + 0.15 * width  # noqa: PLW2901 - off its place
            if kind == 2:
                boxes, labels, scores = [*boxes, box + 0.05 * width], [*labels, label], [*scores, score * 0.8]
            boxes, labels = [*boxes, box], [*labels, (label + 1) % 3 if kind == 3 else label]
            scores.append(score * (0.3 + 0.1 * (int(box[0].item()) % 6)))
        order = np.argsort([-s.item() for s in scores], kind="stable").tolist()
        return {
            "boxes": torch.stack([boxes[i] for i in order]) if order else torch.zeros(0, 4),
            "labels": torch.tensor([int(labels[i]) for i in order], dtype=torch.int64),
            "scores": torch.tensor([float(scores[i]) for i in order]),
        }


def random_objects(rng: np.random.Generator, size_hw: tuple[int, int]) -> list[tuple[str, tuple[int, ...]]]:
    """Up to four rectangles, each in a quarter of the picture, so that none hides another."""
    high, wide = size_hw[0] // 2, size_hw[1] // 2
    objects = []
    for quarter in np.flatnonzero(rng.random(4) < 0.6).tolist():
        top, left = (quarter // 2) * high, (quarter % 2) * wide
        h, w = int(rng.integers(max(3, high // 2), high - 1)), int(rng.integers(max(3, wide // 2), wide - 1))
        y, x = top + int(rng.integers(0, high - h)), left + int(rng.integers(0, wide - w))
        objects.append((CLASSES[int(rng.integers(3))], (x, y, x + w, y + h)))
    return objects


def written(
    folder: Path, images: Sequence[Drawn], *, class_names: Sequence[str] = CLASSES, orientation: int = 1
) -> Data:
    """Store images, all of the test split, with a manifest and a COCO file of the same objects.

    In the file the category of class i is 10 * i + 5, and image ids begin with 100.
    """
    annotations, listed, rows = [], [], []
    folder.mkdir(parents=True, exist_ok=True)
    for i, (pixels, objects) in enumerate(images):
        name, (high, wide) = f"{i:03}.png", pixels.shape[:2]
        (folder / name).write_bytes(png(pixels, orientation=orientation))
        listed.append({"id": 100 + i, "file_name": name, "width": wide, "height": high})
        rows.append({"image_id": f"image {i}", "uri": name, "split": "test"})
        rows[-1] |= {"boxes_xyxy": [list(box) for _, box in objects], "labels": [label for label, _ in objects]}
        for label, (x1, y1, x2, y2) in objects:
            number, category = len(annotations) + 1, 10 * list(class_names).index(label) + 5
            annotation = {"id": number, "image_id": 100 + i, "category_id": category, "iscrowd": 0}
            annotations.append(annotation | {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)})
    categories = [{"id": 10 * i + 5, "name": name} for i, name in enumerate(class_names)]
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": listed, "annotations": annotations, "categories": categories}))
    lists = {"boxes_xyxy": pa.list_(pa.list_(pa.float64())), "labels": pa.list_(pa.string())}
    schema = pa.schema({**dict.fromkeys(("image_id", "uri", "split"), pa.string()), **lists})
    table = pa.Table.from_pylist(rows, schema=schema)
    return Data(path, oml.Manifest(table, tuple(class_names), root=str(folder), task="detection"))


def drawn(n: int, *, seed: int = 0) -> list[Drawn]:
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n):
        size_hw = SHAPES[i % len(SHAPES)]
        objects = random_objects(rng, size_hw)
        images.append((scene(size_hw, objects), objects))
    return images


def reference(path: Path, results: list[dict[str, Any]]) -> list[float]:
    """The twelve numbers by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        judge = COCOeval(truth, truth.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(v) for v in judge.stats]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return written(tmp_path_factory.mktemp("coco"), drawn(42))


@pytest.fixture(scope="module")
def manifest(data: Data) -> oml.Manifest:
    return data.manifest


def test_nothing_annotated_and_nothing_found(tmp_path: Path) -> None:
    data = written(tmp_path, [(scene((40, 60), []), [])] * 3).manifest
    scores = oml.evaluate(ColourDetector(), data, **QUICK)

    assert scores.n_images == 3
    assert math.isnan(scores.map_50_95)


def test_a_split_with_nothing_in_it(manifest: oml.Manifest) -> None:
    with pytest.raises(DataError, match="the split 'val' has no annotated images"):
        oml.evaluate(ColourDetector(), manifest, split="val")


def test_who_finds_everything_exactly(manifest: oml.Manifest) -> None:
    scores = oml.evaluate(ColourDetector(), manifest, **QUICK)

    assert scores.n_images == 42
    assert scores.map_50 == pytest.approx(1.0)
    assert scores.map_50_95 > 0.95
    assert scores.manifest_hash == manifest.hash
    assert scores.split == "test"
    assert tuple(scores.class_names) == CLASSES


def test_the_numbers_of_pycocotools(data: Data, manifest: oml.Manifest) -> None:
    model = FaultyDetector()
    scores = oml.evaluate(model, manifest, **QUICK)
    rows = oml.predict(model, manifest.urls(), threshold=0)
    results = [
        {
            "image_id": 100 + i,
            "category_id": 10 * CLASSES.index(found.label) + 5,
            "bbox": [*found.box_xyxy[:2], found.box_xyxy[2] - found.box_xyxy[0], found.box_xyxy[3] - found.box_xyxy[1]],
            "score": found.score,
        }
        for i, row in enumerate(rows)
        for found in row
    ]
    expected = reference(data.coco, results)

    assert 0.1 < expected[0] < 0.9
    found = [scores.map_50_95, scores.map_50, scores.map_75, scores.map_small, scores.map_medium, scores.map_large]
    assert found == pytest.approx(expected[:6], abs=1e-9)
    assert [scores.ar_100, scores.ar_small] == pytest.approx([expected[8], expected[9]], abs=1e-9)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 64}, {"num_workers": 1}])
def test_batches_and_workers_change_nothing(manifest: oml.Manifest, options: dict[str, int]) -> None:
    expected = oml.evaluate(FaultyDetector(), manifest, **QUICK)
    scores = oml.evaluate(FaultyDetector(), manifest, **options, **QUICK)

    assert scores.map_50_95 == expected.map_50_95
    assert list(scores.image_ids) == list(expected.image_ids)
    assert np.array_equal(scores.confusion, expected.confusion)


@pytest.mark.parametrize("orientation", [3, 6])
def test_turned_photos(tmp_path: Path, orientation: int) -> None:
    data = written(tmp_path, drawn(8), orientation=orientation).manifest

    assert oml.evaluate(ColourDetector(), data, **QUICK).map_50_95 > 0.9


def test_classes_are_matched_by_name(tmp_path: Path, manifest: oml.Manifest) -> None:
    names = ("red", "blue", "green")
    turned = written(tmp_path, drawn(42), class_names=names).manifest
    expected, scores = (oml.evaluate(FaultyDetector(), data, **QUICK) for data in (manifest, turned))

    assert turned.class_names != manifest.class_names
    assert scores.map_50_95 == expected.map_50_95
    assert np.array_equal(scores.confusion, expected.confusion)
    assert tuple(scores.class_names) == CLASSES  # the model's order


def test_a_class_that_the_model_does_not_know(manifest: oml.Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownClassError, match="1 class of the manifest is unknown to the model: green"):
        oml.evaluate(ColourDetector(class_names=("blue", "red")), manifest, **QUICK)

    monkeypatch.setitem(COLOURS, "violet", (150, 40, 200))  # one that the manifest does not know is no harm
    more = oml.evaluate(ColourDetector(class_names=(*CLASSES, "violet")), manifest, **QUICK)
    assert more.map_50 == pytest.approx(1.0)
    assert math.isnan(more.per_class.ap[3])


def test_images_that_nobody_annotated_are_left_out(manifest: oml.Manifest) -> None:
    some = manifest.with_boxes({manifest.column("image_id")[0]: None})

    assert oml.evaluate(ColourDetector(), some, **QUICK).n_images == 41


def test_the_models_thresholds_are_those_of_the_scores(manifest: oml.Manifest) -> None:
    own = {"blue": 0.15, "green": 0.5}
    scores = oml.evaluate(ColourDetector(thresholds=own), manifest, **QUICK)

    assert scores.thresholds == {"blue": 0.15, "green": 0.5, "red": 0.25}  # as predict applies them
    assert scores.map_50 == pytest.approx(1.0)
    high = oml.evaluate(ColourDetector(thresholds=dict.fromkeys(CLASSES, 0.99)), manifest, **QUICK)
    assert high.map_50 == pytest.approx(1.0)  # average precision knows no threshold
    assert high.recall.tolist() == [0, 0, 0]


def test_slices(manifest: oml.Manifest) -> None:
    camera = np.array(["old", "new"])[np.arange(len(manifest)) % 2].tolist()
    scores = oml.evaluate(ColourDetector(), manifest.with_column("camera", camera), **QUICK)

    assert {row.column for row in scores.by_slice} == {"camera"}  # no list of boxes is a slice
    assert sum(row.n for row in scores.by_slice) == 42
    for name in ("lens", "boxes_xyxy"):
        with pytest.raises(ConfigError, match=f"slices: '{name}' is not a column of the manifest; it has"):
            oml.evaluate(ColourDetector(), manifest, slices=[name])


def test_bad_images_are_left_out_up_to_a_share(tmp_path: Path) -> None:
    data = written(tmp_path, drawn(10)).manifest
    (tmp_path / "003.png").write_bytes(b"no image at all")

    for batch_size in (1, 64):  # a batch of nothing but the bad one, too
        scores = oml.evaluate(ColourDetector(), data, max_bad=0.2, batch_size=batch_size, **QUICK)
        assert scores.n_images == 9
        assert scores.map_50 == pytest.approx(1.0)
    with pytest.raises(TooManyBadImagesError, match="1 of 10 images"):
        oml.evaluate(ColourDetector(), data, max_bad=0.01, **QUICK)


def test_boxes_that_cannot_be_used_are_no_truth(tmp_path: Path) -> None:
    box = ("red", (10, 10, 50, 40))
    truth = [box, ("red", (20, 20, 20, 30)), ("blue", (200, 10, 240, 30)), ("green", (-5, 60, 30, 90))]
    seen = scene((120, 160), [box, ("green", (0, 60, 30, 90))])
    data = written(tmp_path, [(seen, truth)]).manifest
    scores = oml.evaluate(ColourDetector(), data, max_bad=0.9, **QUICK)

    assert scores.per_class.support.tolist() == [0, 1, 1]  # one is empty, one outside, one overshoots the edge
    # that one counts as given, 35 pixels wide; what is seen of it is 30: an overlap of 6/7 is enough up to 0.85
    assert scores.per_class.ap[1:].tolist() == pytest.approx([0.8, 1.0])


def test_the_worst_images_are_shown(manifest: oml.Manifest) -> None:
    scores = oml.evaluate(FaultyDetector(), manifest, **QUICK)

    assert set(scores.thumbnails) == {image.image_id for image in scores.worst[:24]}
    assert len(scores.thumbnails) > 3
    assert all(data[:2] == b"\xff\xd8" for data in scores.thumbnails.values())
    assert scores.figure("worst").axes


def test_a_thumbnail_that_cannot_be_had_is_left_out(tmp_path: Path) -> None:
    data = written(tmp_path, drawn(8)).manifest
    before = oml.evaluate(FaultyDetector(), data, **QUICK)  # decoded now, and kept
    for path in tmp_path.glob("*.png"):
        path.unlink()
    after = oml.evaluate(FaultyDetector(), data, **QUICK)

    assert after.map_50_95 == before.map_50_95
    assert before.thumbnails
    assert not after.thumbnails


def test_a_network_that_gives_no_numbers(manifest: oml.Manifest) -> None:
    class Broken(ColourDetector):
        def _find(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
            found = super()._find(pixels)
            return found | {"scores": found["scores"] * torch.nan}

    with pytest.raises(TrainingError, match="not finite for the image"):
        oml.evaluate(Broken(), manifest, **QUICK)


def test_the_model_is_left_as_it_was(manifest: oml.Manifest) -> None:
    model = ColourDetector()
    for training in (True, False):
        model.train(training)
        oml.evaluate(model, manifest, **QUICK)
        assert model.training is training
    assert not torch.is_inference_mode_enabled()


def test_a_manifest_of_another_task(manifest: oml.Manifest) -> None:
    classifier = tiny_model()
    classifier.size_hw = (32, 32)
    with pytest.raises(ConfigError, match="for classification, the manifest for detection: expected the same task"):
        oml.evaluate(classifier, manifest)
