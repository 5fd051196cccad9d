"""The smallest real multi-label training: photos of discs of any of three colours, and a tiny network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
import torch

import onlineml as oml
from tiny import CLASSES, COLOURS, TinyNet, jpeg
from tiny_projects import FACTORY, image_of

if TYPE_CHECKING:
    from pathlib import Path

SUBSETS = ((), ("blue",), ("green",), ("red",), ("blue", "red"), ("green", "red"), ("blue", "green", "red"))
SPLITS = {"train": 42, "val": 21, "test": 21}


def scene(labels: tuple[str, ...], *, seed: int) -> np.ndarray:
    """(40, 44, 3) uint8 RGB: a noisy disc of each colour on grey, side by side."""
    rng = np.random.default_rng(seed)
    pixels = np.full((40, 44, 3), rng.integers(90, 160), dtype=np.uint8)
    for place, name in enumerate(rng.permutation(np.array(labels, dtype=object))):
        centre = (8 + 14 * place + int(rng.integers(-1, 2)), int(rng.integers(12, 28)))
        cv2.circle(pixels, centre, int(rng.integers(5, 7)), COLOURS[name], -1)
    return np.clip(pixels + rng.normal(0, 10, pixels.shape), 0, 255).astype(np.uint8)


def label_manifest(
    folder: Path, *, splits: dict[str, int] = SPLITS, labels: dict[int, list[str] | None] | None = None
) -> oml.Manifest:
    """Photos written to a folder, with what is on them as labels; those of some images, by number, may be others."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [split for split, n in splits.items() for _ in range(n)]
    subsets = [SUBSETS[i % len(SUBSETS)] for i in range(len(names))]
    for i, subset in enumerate(subsets):
        (folder / f"{i:03}.jpg").write_bytes(jpeg(scene(subset, seed=i)))
    given = [(labels or {}).get(i, list(subset)) for i, subset in enumerate(subsets)]
    table = pa.table(
        {
            "image_id": [f"image-{i:03}" for i in range(len(names))],
            "uri": [f"{i:03}.jpg" for i in range(len(names))],
            "split": names,
            "labels": pa.array(given, pa.list_(pa.string())),
        }
    )
    return oml.Manifest(table, CLASSES, root=str(folder), task="multilabel")


def label_model(*, seed: int = 0, norm: bool = False, dropout: float = 0.0, **options: Any) -> oml.MultilabelClassifier:
    torch.manual_seed(100 + seed)
    network = TinyNet(len(options.get("class_names", CLASSES)), norm=norm, dropout=dropout)
    return oml.MultilabelClassifier(**{"class_names": CLASSES, "backbone": network, "seed": seed, **options})


def label_data(manifest: oml.Manifest, **options: Any) -> oml.MultilabelDataModule:
    return oml.MultilabelDataModule(manifest, **{"size_hw": (32, 32), "batch_size": 8, **options})


def knowing_model(data: oml.Manifest) -> oml.MultilabelClassifier:
    """A model whose features are colours, with a head and thresholds that were fitted to the photos' labels."""
    from onlineml.improving.challenger.new_head import fit_new_head

    model = oml.MultilabelClassifier(class_names=data.class_names, backbone=FACTORY)
    images = label_data(data)
    model.before_training(images)
    fit_new_head(model.eval(), images, store=None)
    model.after_training(images.val_dataloader())
    return model


def label_project(folder: Path, **options: Any) -> oml.Project:
    """A project of imported photos; options as of `label_manifest`."""
    project = oml.Project.create(str(folder / "project"), task="multilabel")
    project.add(label_manifest(folder / "photos", **options))
    return project


def with_label_champion(project: oml.Project) -> oml.Project:
    """The project with a champion that knows its labels of now."""
    data = project.freeze()
    model = knowing_model(data)
    project.promote(project.publish(model, oml.evaluate(model, data)), reason="the first")
    return project


def photo_of(project: oml.Project, number: int) -> str:
    """The id of the image of a number."""
    return image_of(project, f"{number:03}.jpg")
