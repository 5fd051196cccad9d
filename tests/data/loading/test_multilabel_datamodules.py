"""Batches of images with sets of labels: what has a label, what has none, and what nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch

import onlineml as oml
from onlineml.errors import DataError
from picture_files import plain, pool

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a", "b", "c")
NAN = float("nan")


def sets(folder: Path, lists, *, pictures=None) -> oml.Manifest:
    """Grey or other images with sets of labels."""
    found = pool(folder, pictures or [plain(i) for i in range(len(lists))], split="train")
    table = found.table.drop_columns(["label"]).append_column("labels", pa.array(lists, pa.list_(pa.string())))
    return oml.Manifest(table, NAMES, root=found.root, task="multilabel")


def module(data: oml.Manifest, **options) -> oml.MultilabelDataModule:
    return oml.MultilabelDataModule(data, **{"size_hw": (12, 12), "batch_size": 2, **options})


def test_a_batch_has_a_row_of_ones_and_zeros_for_each_image(tmp_path: Path) -> None:
    data = sets(tmp_path, [["c", "a"], [], None, ["b"]])
    images = module(data)
    batches = list(images.loader("train"))

    labels = torch.cat([batch["label"] for batch in batches])
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [0, 1, 3]  # nobody annotated the third
    assert labels.dtype == torch.float32
    assert labels.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert len(next(iter(images.loader("train", train=True)))["label"]) == 2


def test_labels_of_an_image_that_nobody_annotated_are_unknown(tmp_path: Path) -> None:
    images = module(sets(tmp_path, [["a"], None]))
    (batch,) = images.loader_of(np.array([1, 0]))

    assert batch["label"].numpy() == pytest.approx(np.array([[NAN] * 3, [1, 0, 0]]), nan_ok=True)


def test_what_an_annotator_could_not_know_is_open(tmp_path: Path) -> None:
    lists = [["a"], ["a", "b"], [], [], ["b"], ["c"]]
    data = sets(tmp_path, lists).with_column("split", ["train"] * 5 + ["val"])
    images = module(data)
    unknown = np.zeros((6, 3), bool)
    unknown[[0, 1, 2], 0] = True  # of a: two have it, 3 and 4 are known to lack it, 2 may have it
    unknown[[0, 1, 2, 3], 1] = True  # of b: two have it, none but 0, 2 and 3 lack it, of which nothing is known
    unknown[5] = True  # another split
    images.leave_open(unknown)

    expected = np.array([[1, 0, 0], [1, 1, 0], [NAN, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert images.labels == pytest.approx(expected, nan_ok=True)
    assert images.labels.dtype == np.float32


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("size_hw", [(20, 120), (120, 20), (200, 300), (9, 10)])
def test_nothing_of_a_long_image_is_cut_off(tmp_path: Path, cache: bool, size_hw) -> None:
    height, width = size_hw
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 4, : width // 4, 0] = 255  # red at the upper left, green at the lower right
    pixels[-(height // 4) :, -(width // 4) :, 1] = 255
    images = module(sets(tmp_path / "p", [["a"]], pictures=[pixels]), cache=cache, cache_dir=tmp_path / "cache")
    for _ in range(2):  # decoded, then from the cache
        (batch,) = images.loader("train")
        shown = batch["image"][0].float() / 255
        assert shown.shape == (3, 12, 12)
        assert shown.mean((1, 2)).numpy() == pytest.approx([1 / 16, 1 / 16, 0], abs=0.04)
        assert float(shown[0, 0, 0]) > 0.9
        assert float(shown[1, -1, -1]) > 0.9


def test_labels_stay_true_when_images_are_augmented(tmp_path: Path) -> None:
    images = module(sets(tmp_path, [["a"], ["b"]]))

    assert images.augment_name == "auto"
    assert images.augmenter.transform.least_area == 0.8
    assert module(images.manifest, augment="standard").augmenter.transform.least_area == 0.5


def test_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a MultilabelDataModule is for manifests of the task 'multilabel'; found"):
        module(pool(tmp_path / "p", [b""], split="train"))
