"""The smallest real training of a detector: drawn rectangles whose places are known, and a narrow network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

import onlineml as oml
from once import shared_folder
from onlineml.models.slim_resnet import SlimResNet
from onlineml.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLASSES = ("blue", "green", "red")
COLOURS = {"red": (210, 60, 50), "green": (60, 190, 70), "blue": (50, 80, 200)}
SIZE = 96

Drawn = list[tuple[str, tuple[int, int, int, int]]]


def drawn(size_hw: tuple[int, int], objects: Drawn, *, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 RGB: filled rectangles (label, x1, y1, x2, y2) in whole pixels, on grey, with noise."""
    rng = np.random.default_rng(seed)
    pixels = np.full((*size_hw, 3), rng.integers(100, 150), dtype=np.uint8)
    for label, (x1, y1, x2, y2) in objects:
        pixels[y1:y2, x1:x2] = COLOURS[label]
    return np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)


def any_objects(size_hw: tuple[int, int], *, seed: int, sides: tuple[float, float] = (0.2, 0.45)) -> Drawn:
    """Up to three rectangles apart from each other; sides are shares of the image's shorter side."""
    rng = np.random.default_rng(1000 + seed)
    short = min(size_hw)
    objects: Drawn = []
    for _ in range(int(rng.integers(0, 4))):
        h, w = (round(side) for side in rng.uniform(*sides, size=2) * short)
        y, x = int(rng.integers(0, size_hw[0] - h + 1)), int(rng.integers(0, size_hw[1] - w + 1))
        box = (x, y, x + w, y + h)
        if all(box[2] < b[0] or b[2] < box[0] or box[3] < b[1] or b[3] < box[1] for _, b in objects):
            objects.append((CLASSES[int(rng.integers(3))], box))
    return objects


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()


def boxes_manifest(folder: Path, images: Sequence[tuple[str, np.ndarray, Drawn | None]]) -> oml.Manifest:
    """Store images with their splits and objects (None: nobody annotated it); the i-th has the id ``image-i``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for i, (split, pixels, objects) in enumerate(images):
        (folder / f"{i}.png").write_bytes(png(pixels))
        row = {"image_id": f"image-{i}", "uri": f"{i}.png", "split": split, "boxes_xyxy": None, "labels": None}
        if objects is not None:
            row |= {
                "boxes_xyxy": [list(map(float, box)) for _, box in objects],
                "labels": [name for name, _ in objects],
            }
        rows.append(row)
    schema = pa.schema(
        {
            **dict.fromkeys(("image_id", "uri", "split"), pa.string()),
            "boxes_xyxy": pa.list_(pa.list_(pa.float64())),
            "labels": pa.list_(pa.string()),
        }
    )
    return oml.Manifest(pa.Table.from_pylist(rows, schema=schema), CLASSES, root=str(folder), task="detection")


def drawn_manifest(folder: Path, *, counts: dict[str, int], size: int = SIZE) -> oml.Manifest:
    """Squares of ``size`` pixels, some of them without an object."""
    images = []
    for split, n in counts.items():
        for _ in range(n):
            objects = any_objects((size, size), seed=len(images))
            images.append((split, drawn((size, size), objects, seed=len(images)), objects))
    return boxes_manifest(folder, images)


def _narrow() -> SlimResNet:
    return SlimResNet(2, width=8, depths=(1, 1, 1, 1))


def tiny_detector(*, seed: int = 0, **options: Any) -> oml.ObjectDetector:
    torch.manual_seed(100 + seed)
    chosen = {"class_names": CLASSES, "backbone": _narrow(), "lr": 4e-3, "warmup_steps": 20, "seed": seed}
    return oml.ObjectDetector(**{**chosen, **options})


def tiny_boxes(manifest: oml.Manifest, **options: Any) -> oml.DetectionDataModule:
    return oml.DetectionDataModule(
        manifest, **{"size_hw": (SIZE, SIZE), "batch_size": 4, "augment": "light", **options}
    )


class Trained(NamedTuple):
    """A detector that has learned the rectangles of a manifest, and the run in which it did."""

    model: oml.ObjectDetector
    manifest: oml.Manifest
    run: Run


_trained: list[Trained] = []  # once for all folders of tests


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, decoded_photos: None) -> Trained:
    """Once for all processes of tests too: it takes longer than anything else that they share."""
    if not _trained:
        with shared_folder(tmp_path_factory, "trained") as folder:
            if not (folder / "run" / "model").exists():
                _train(folder)
            run = Run.open(folder / "run")
            model = oml.load_model(run.path("model"), backbone=_narrow())
            _trained.append(Trained(model, oml.Manifest.load(folder / "manifest"), run))
    return _trained[0]


def _train(folder: Path) -> None:
    # many pictures and large batches: the places become exact to a pixel within few steps
    manifest = drawn_manifest(folder / "images", counts={"train": 320, "val": 16, "test": 16})
    manifest.save(folder / "manifest")
    data = tiny_boxes(manifest, batch_size=16)
    run = str(folder / "run")
    oml.fit(tiny_detector(lr=8e-3), data, run=run, epochs=12, progress="none", accelerator="cpu")


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> oml.Manifest:
    """A few small pictures, for trainings of few steps."""
    return drawn_manifest(tmp_path_factory.mktemp("boxes"), counts={"train": 12, "val": 4, "test": 4}, size=64)
