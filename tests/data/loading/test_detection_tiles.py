"""Batches of parts of large photos: how many, of what, and the same ones every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import onlineml as oml
from onlineml.data.augment.tiles import Tiles
from onlineml.data.loading.loaders import BatchOrder
from onlineml.errors import ConfigError
from tiny_boxes import COLOURS, boxes_manifest

if TYPE_CHECKING:
    from pathlib import Path

BOXES = [(20, 30, 32, 40), (150, 20, 160, 34), (100, 90, 112, 100), (10, 110, 22, 118)]
NAMES = ["red", "green", "blue", "red"]


@pytest.fixture
def photos(tmp_path: Path) -> oml.Manifest:
    """A photo of 128 x 192 pixels, one of 64 x 64 without objects, and one to validate."""
    large = np.full((128, 192, 3), 90, np.uint8)
    for name, (x1, y1, x2, y2) in zip(NAMES, BOXES, strict=True):
        large[y1:y2, x1:x2] = COLOURS[name]
    objects = list(zip(NAMES, BOXES, strict=True))
    empty = np.full((64, 64, 3), 90, np.uint8)
    return boxes_manifest(
        tmp_path / "photos", [("train", large, objects), ("train", empty, []), ("val", large, objects)]
    )


def batches_of(data: oml.Manifest, **options: Any) -> oml.DetectionDataModule:
    chosen = {"size_hw": (64, 64), "tile_size": 64, "batch_size": 2, "augment": "none"}
    return oml.DetectionDataModule(data, **(chosen | options))


def test_an_epoch_has_as_many_parts_of_a_photo_as_tiles_cover_it(photos: oml.Manifest):
    data = batches_of(photos)
    assert data.tiles == Tiles(64, 14)  # the longest side
    # with 2 x 3 pixels to the borders (128 - 64) / 44 and (192 - 64) / 44 steps: 3 x 4
    assert np.bincount(data.loader("train", train=True).order.order()).tolist() == [12, 1]
    assert len(data.loader("train", train=True)) == 6  # 13 in twos, without the last
    assert len(data.loader("train")) == 2  # as they are


def test_parts_show_their_objects_where_the_boxes_say(photos: oml.Manifest):
    seen = 0
    for batch in batches_of(photos).loader("train", train=True):
        for pixels, target in zip(batch["image"].permute(0, 2, 3, 1).numpy(), batch["targets"], strict=True):
            assert pixels.shape == (64, 64, 3)
            inside = np.zeros((64, 64), bool)
            for (x1, y1, x2, y2), label in zip(target["boxes"].numpy().astype(int), target["labels"], strict=True):
                assert (pixels[y1:y2, x1:x2] == COLOURS[photos.class_names[label]]).all()
                inside[y1:y2, x1:x2] = True
                seen += 1
            for x1, y1, x2, y2 in target["ignore"].numpy().astype(int):
                inside[y1:y2, x1:x2] = True
            assert (pixels[~inside] == 90).all()
    assert seen > 6


@pytest.mark.parametrize("augment", ["none", "standard"])
def test_half_of_the_parts_are_around_an_object(tmp_path: Path, augment: str):
    """One object in a photo of 14 x 14 tiles, of which chance alone would show it in one of 200."""
    pixels = np.full((260, 260, 3), 90, np.uint8)
    pixels[50:56, 200:208] = COLOURS["red"]
    data = boxes_manifest(tmp_path, [("train", pixels, [("red", (200, 50, 208, 56))])])
    loader = batches_of(data, size_hw=(32, 32), tile_size=32, augment=augment).loader("train", train=True)
    shown = [len(target["boxes"]) + len(target["ignore"]) > 0 for batch in loader for target in batch["targets"]]
    assert len(shown) == 196
    assert 0.4 < np.mean(shown) < 0.6


def test_epochs_differ_and_repeat_themselves_to_the_bit(photos: oml.Manifest):
    def epochs(**options: Any) -> list[np.ndarray]:
        data = batches_of(photos, augment="standard", mosaic=0.5, copy_paste=0.5, **options)
        loader = data.loader("train", train=True)
        found = []
        for epoch in (0, 1):
            loader.order.set_epoch(epoch)
            found.append(np.concatenate([batch["image"].numpy() for batch in loader]))
        return found

    first, second = epochs()
    assert not np.array_equal(first, second)
    assert len({one.tobytes() for one in first}) == len(first)
    for again in (epochs(), epochs(num_workers=1), epochs(cache=False)):
        assert all(np.array_equal(one, other) for one, other in zip((first, second), again, strict=True))


def test_photos_are_evaluated_one_by_one_and_whole(photos: oml.Manifest):
    (batch,) = batches_of(photos, tile_size=128).loader("val")
    assert batch["image"].shape == (1, 3, 64, 96)  # at half their size
    assert batch["targets"][0]["boxes"].tolist() == [[v / 2 for v in box] for box in BOXES]
    assert [len(one["index"]) for one in batches_of(photos).loader_of(np.arange(3))] == [1, 1, 1]


def test_photos_are_stored_at_the_scale_of_the_tiles(photos: oml.Manifest):
    """Neither the cache of whole photos nor that of other tiles is taken for it."""
    found = []
    for tile_size in (None, 64, 128, 96, None, 64):
        loader = batches_of(photos, tile_size=tile_size).loader("val")
        first, again = (next(iter(loader))["image"].shape[2:] for _ in range(2))
        assert first == again
        found.append(tuple(first))
    # fitted into 64; all pixels; half of them; two thirds: 86 x 128, padded to multiples of 32
    assert found == [(64, 64), (128, 192), (64, 96), (96, 128), (64, 64), (128, 192)]


def test_what_is_no_tile_is_refused(photos: oml.Manifest):
    with pytest.raises(ConfigError, match="tile_size=4: expected"):
        batches_of(photos, tile_size=4)
    with pytest.raises(ConfigError, match="weights and repeats"):
        BatchOrder(np.arange(2), batch_size=1, weights=np.ones(2), repeats=np.ones(2, np.int64))


def test_draws_are_numbered_over_all_epochs():
    order = BatchOrder(np.array([5, 8]), batch_size=2, repeats=np.array([3, 1]), shuffle=True, seed=1)
    keys = []
    for epoch in range(3):
        order.set_epoch(epoch)
        keys += [key for batch in order for key in batch]
    assert sorted(keys) == sorted([*[(draw, 5) for draw in range(9)], *[(draw, 8) for draw in range(3)]])
    assert keys[:4] != sorted(keys[:4]) or keys[4:8] != sorted(keys[4:8])
    assert sorted(order.order().tolist()) == [5, 5, 5, 8]
