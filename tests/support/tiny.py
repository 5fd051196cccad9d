"""The smallest real training: a few dozen coloured photos and a network of two convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import onlineml as oml

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ("blue", "green", "red")
COLOURS = {"red": (210, 60, 50), "green": (60, 190, 70), "blue": (50, 80, 200)}
COUNTS = {"train": 12, "val": 4, "test": 5}  # of each class


class TinyNet(nn.Module):
    """Two convolutions and a linear head; batch norm only where asked for, so that images stay apart."""

    def __init__(self, num_classes: int = 3, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.features(x).mean((2, 3))))


def tiny_net(*, num_classes: int) -> nn.Module:
    """A factory, as a user's package would have."""
    return TinyNet(num_classes)


def picture(colour: tuple[int, int, int], *, seed: int, size_hw: tuple[int, int] = (40, 44)) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a noisy disc of a colour on grey."""
    rng = np.random.default_rng(seed)
    pixels = np.full((*size_hw, 3), rng.integers(90, 160), dtype=np.uint8)
    centre = (int(rng.integers(15, 29)), int(rng.integers(15, 25)))
    cv2.circle(pixels, centre, int(rng.integers(8, 15)), colour, -1)
    return np.clip(pixels + rng.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels[:, :, ::-1])[1].tobytes()


def make_photos(folder: Path, *, counts: dict[str, int] = COUNTS, classes: tuple[str, ...] = CLASSES) -> Path:
    """<folder>/{train,val,test}/<class>/*.jpg."""
    for s, (split, n) in enumerate(counts.items()):
        for c, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                data = jpeg(picture(COLOURS[name], seed=1000 * s + 100 * c + i))
                (folder / split / name / f"{i:03}.jpg").write_bytes(data)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos") / "images")


@pytest.fixture(scope="session")
def manifest(photos: Path) -> oml.Manifest:
    return oml.Manifest.from_folders(str(photos))


@pytest.fixture(scope="session", autouse=True)
def decoded_photos(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Nothing of the tests lands in the user's cache; and nets this small are slower, not faster, on two threads."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLINEML_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def tiny_model(*, seed: int = 0, norm: bool = False, dropout: float = 0.0, **options: Any) -> oml.ImageClassifier:
    torch.manual_seed(100 + seed)
    network = TinyNet(len(options.get("class_names", CLASSES)), norm=norm, dropout=dropout)
    return oml.ImageClassifier(**{"class_names": CLASSES, "backbone": network, "seed": seed, **options})


def tiny_data(manifest: oml.Manifest, **options: Any) -> oml.ClassificationDataModule:
    return oml.ClassificationDataModule(manifest, **{"size_hw": (32, 32), "batch_size": 8, **options})


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def stirred(**options: Any) -> oml.ImageClassifier:
    """With everything that a resume could forget: dropout, batch norm, mixing, momentum."""
    return tiny_model(**{"lr": 1e-2, "norm": True, "dropout": 0.3, "mix": "mixup", "warmup_steps": 3, **options})
