"""A detector that sees large pictures in tiles: an oracle that finds rectangles in whatever it is shown."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

import colour_scenes
import onlineml as oml
from onlineml.data.augment.tiles import Tiles
from onlineml.errors import StorageError
from onlineml.models.detector import Detector
from onlineml.models.slim_resnet import SlimResNet
from onlineml.training import checkpoints, training
from tiny_boxes import CLASSES, boxes_manifest, drawn, tiny_detector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Box = tuple[int, int, int, int]


class Components(Detector):
    """Finds each connected piece of white, exactly, and notes the shapes of its batches."""

    def __init__(self, *, least_px: float = 0.0) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 1)
        self.least_px = least_px
        self.given: list[tuple[int, ...]] = []

    def detect(self, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        self.given.append(tuple(image.shape))
        return [self._one(one) for one in (image[:, 0] > 0.75).numpy().astype(np.uint8)]

    def _one(self, white: np.ndarray) -> dict[str, torch.Tensor]:
        _, _, stats, _ = cv2.connectedComponentsWithStats(white)
        boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist() if max(w, h) >= self.least_px]
        n = len(boxes)
        made = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        return {"boxes": made, "labels": torch.zeros(n, dtype=torch.int64), "scores": torch.full((n,), 0.9)}


def oracle(tiles: Tiles | None, *, size: int = 64, **options: Any) -> oml.ObjectDetector:
    model = oml.ObjectDetector(class_names=["white"], architecture=Components(**options))
    model.set_normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    model.size_hw, model.tiles = (size, size), tiles
    return model.eval()


def picture(size_hw: tuple[int, int], boxes: Sequence[Box]) -> np.ndarray:
    pixels = np.full((*size_hw, 3), 60, np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = 255
    return pixels


def found_in(model: oml.ObjectDetector, image: Any) -> list[Box]:
    (row,) = oml.predict(model, image)
    assert row.error is None
    return sorted(tuple(round(v) for v in box) for box in row.boxes_xyxy.tolist())


def planted(size_hw: tuple[int, int], *, longest: int, seed: int) -> list[Box]:
    """Rectangles apart from each other, anywhere."""
    rng, boxes = np.random.default_rng(seed), []
    for _ in range(300):
        h, w = rng.integers(4, longest + 1, 2).tolist()
        y, x = (int(rng.integers(0, n - side + 1)) for n, side in zip(size_hw, (h, w), strict=True))
        if all(x > b[2] + 1 or y > b[3] + 1 or x + w < b[0] - 1 or y + h < b[1] - 1 for b in boxes):
            boxes.append((x, y, x + w, y + h))
    return sorted(boxes)


@pytest.mark.parametrize("size_hw", [(300, 500), (64, 400), (210, 64), (97, 65)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_object_within_the_overlap_is_found_once(size_hw: tuple[int, int], seed: int):
    boxes = planted(size_hw, longest=16, seed=seed)
    assert len(boxes) > 5
    assert found_in(oracle(Tiles(64, 16)), picture(size_hw, boxes)) == boxes


def test_batches_of_tiles_have_a_constant_size_whatever_the_picture():
    model = oracle(Tiles(64, 16))
    network: Any = model.network
    found_in(model, picture((500, 700), [(5, 5, 15, 15)]))
    # of a picture padded to 512 x 704: (512 - 64) / 42 and (704 - 64) / 42, rounded up, plus one
    assert sum(shape[0] for shape in network.given) == 12 * 17
    assert {shape[1:] for shape in network.given} == {(3, 64, 64)}
    assert max(shape[0] for shape in network.given) == 8


def test_the_scale_is_that_of_the_tiles():
    """Tiles of 128 px are seen at 64: objects come back in pixels of the original."""
    boxes = [(100, 20, 120, 40), (10, 200, 30, 216), (300, 300, 320, 320)]
    model = oracle(Tiles(128, 40))
    assert found_in(model, picture((340, 400), boxes)) == sorted(boxes)


@pytest.mark.parametrize("size_hw", [(64, 64), (40, 64), (20, 30)])
def test_a_picture_that_needs_no_tiles_is_seen_as_ever(size_hw: tuple[int, int]):
    image = drawn(size_hw, [("red", (4, 4, 18, 16))])
    model = tiny_detector()
    model.size_hw = (size_hw[1], size_hw[1])
    (without,) = oml.predict(model, image, threshold=0)
    model.tiles = Tiles(size_hw[1], 8)
    (with_tiles,) = oml.predict(model, image, threshold=0)
    assert len(without)
    assert np.array_equal(without.boxes_xyxy, with_tiles.boxes_xyxy)
    assert np.array_equal(without.scores, with_tiles.scores)


def test_objects_longer_than_a_tile_are_found_in_the_whole_picture():
    large, small = (40, 30, 230, 220), (250, 10, 260, 20)
    shown = picture((256, 320), [large, small])
    assert large not in found_in(oracle(Tiles(64, 16)), shown)
    found = found_in(oracle(Tiles(64, 16, whole=True)), shown)
    assert small in found
    # its place is known to a pixel of the small copy, which is five of the original; pieces of it are no objects
    assert len([box for box in found if np.abs(np.subtract(box, large)).max() <= 5]) == 1


def test_the_limit_is_of_the_picture():
    boxes = planted((300, 300), longest=10, seed=4)
    model = oracle(Tiles(64, 16))
    model.max_objects = 7
    (row,) = oml.predict(model, picture((300, 300), boxes))
    assert (len(row), row.is_full) == (7, True)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_that_its_camera_turned(orientation: int):
    boxes = [(10, 130, 22, 144), (90, 200, 100, 212)]
    upright = picture((240, 110), boxes)
    assert found_in(oracle(Tiles(64, 16)), colour_scenes.png(upright, orientation=orientation)) == boxes


def big_manifest(folder: Path) -> oml.Manifest:
    """Photos of 160 x 200 pixels with small rectangles, and one that needs no tiles."""
    images = []
    for i, split in enumerate(["train", "train", "val", "test"]):
        boxes = planted((160, 200), longest=14, seed=10 + i)[:12]
        objects = [(CLASSES[k % 3], box) for k, box in enumerate(boxes)]
        images.append((split, drawn((160, 200), objects, seed=i), objects))
    images.append(("train", drawn((40, 48), [("red", (3, 4, 15, 16))], seed=9), [("red", (3, 4, 15, 16))]))
    return boxes_manifest(folder, images)


def tiled_boxes(data: oml.Manifest, **options: Any) -> oml.DetectionDataModule:
    return oml.DetectionDataModule(data, **({"size_hw": (64, 64), "tile_size": 64, "batch_size": 4} | options))


def test_an_evaluation_counts_whole_photos(tmp_path: Path):
    boxes = [planted((160, 200), longest=14, seed=seed)[::2] for seed in (1, 2)]
    images = [("test", picture((160, 200), own), [("blue", box) for box in own]) for own in boxes]
    data = boxes_manifest(tmp_path, images)
    model = oml.ObjectDetector(class_names=CLASSES, architecture=Components())
    model.set_normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    model.size_hw, model.tiles = (64, 64), Tiles(64, 16)
    scores = oml.evaluate(model, data, n_bootstrap=0)
    assert (scores.map_50, scores.map_50_95, scores.n_images) == (1.0, 1.0, 2)


def test_a_trained_model_keeps_its_tiles(tmp_path: Path):
    data = big_manifest(tmp_path / "photos")
    model, batches = tiny_detector(), tiled_boxes(data)
    oml.fit(model, batches, epochs=1, progress="none")
    assert model.tiles == batches.tiles == Tiles(64, 14)

    before = list(oml.predict(model, data, threshold=0))
    again = oml.load_model(model.save(tmp_path / "model"), backbone=SlimResNet(2, width=8, depths=(1, 1, 1, 1)))
    assert again.tiles == model.tiles
    assert again.chosen_settings().images.tile_size == 64
    for one, other in zip(before, oml.predict(again, data, threshold=0), strict=True):
        assert np.array_equal(one.boxes_xyxy, other.boxes_xyxy)
        assert np.array_equal(one.scores, other.scores)
    scores = [oml.evaluate(one, data, n_bootstrap=0).map_50 for one in (model, again)]
    assert scores[0] == scores[1]

    (file := tmp_path / "model/model.json").write_text(file.read_text().replace('"overlap": 14', '"overlap": -1'))
    with pytest.raises(StorageError, match=r"tiles\.overlap"):
        oml.load_model(tmp_path / "model")


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch 2.15 to Lightning 2.6.6
def test_a_checkpoint_keeps_the_tiles(tmp_path: Path):
    data = big_manifest(tmp_path / "photos")
    model = oml.ObjectDetector(class_names=CLASSES, backbone="resnet18", weights="random")
    trainer = pl.Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )
    trainer.fit(model, tiled_boxes(data))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = oml.ObjectDetector.load_from_checkpoint(tmp_path / "a.ckpt")
    assert (again.tiles, again.size_hw) == (Tiles(64, 14), (64, 64))
    assert again.rebuild(CLASSES).tiles is None
    assert again.around(again.network, CLASSES, pretrained=True).tiles == Tiles(64, 14)


class Stop(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 6:
            raise RuntimeError("stopped")


def test_a_training_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoints, "_SHARE", math.inf)
    monkeypatch.setattr(training, "Checkpoints", partial(checkpoints.Checkpoints, every_s=0.0))
    data, options = big_manifest(tmp_path / "photos"), {"epochs": 1, "progress": "none"}
    whole, killed, again = (tiny_detector() for _ in range(3))
    oml.fit(whole, tiled_boxes(data), **options)
    with pytest.raises(RuntimeError, match="stopped"):
        oml.fit(killed, tiled_boxes(data), run=tmp_path / "run", callbacks=[Stop()], **options)
    oml.fit(again, tiled_boxes(data, num_workers=1), run=tmp_path / "run", **options)
    assert whole.global_step == again.global_step == 10  # two photos of 4 x 5 tiles and a small one: 41 samples
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
