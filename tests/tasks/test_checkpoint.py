"""Lightning's checkpoints: what they rebuild, and what they cannot make a reader do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import pytest
import pytorch_lightning as pl
import torch

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.models.slim_resnet import SlimResNet
from tiny import CLASSES, TinyNet, same_weights, tiny_data, tiny_model, weights_of
from tiny_boxes import tiny_boxes, tiny_detector
from tiny_labels import label_data, label_manifest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # torch 2.15 to Lightning 2.6.6


def trained(model: Any, data: Any, path: Path) -> Path:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", default_root_dir=path.parent, **quiet)
    trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(path)
    return path


def same(loaded: Any, model: Any) -> None:
    assert type(loaded) is type(model)
    assert same_weights(weights_of(loaded), weights_of(model))
    assert loaded.settings() == model.settings()
    for name in ("class_names", "size_hw", "mean", "std", "manifest_hash", "pretrained", "thresholds"):
        assert getattr(loaded, name) == getattr(model, name), name
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        first, second = (m.eval()(pixels) for m in (loaded, model))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_network_of_a_name_is_rebuilt(manifest, tmp_path: Path) -> None:
    model = oml.ImageClassifier(
        class_names=CLASSES,
        backbone="auto",
        lr=3e-3,
        mix="cutmix",
        label_smoothing=0.2,
        class_weights=[1, 2, 3],
        seed=7,
    )
    model.set_normalization(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    path = trained(model, tiny_data(manifest), tmp_path / "mine.ckpt")

    same(oml.ImageClassifier.load_from_checkpoint(path), model)
    assert oml.ImageClassifier.load_from_checkpoint(str(path), lr=0.5).lr == 0.5
    with path.open("rb") as file:
        same(oml.ImageClassifier.load_from_checkpoint(file), model)
    with fsspec.open("memory://checkpoints/mine.ckpt", "wb") as file:
        file.write(path.read_bytes())
    same(oml.ImageClassifier.load_from_checkpoint("memory://checkpoints/mine.ckpt"), model)


def test_labels_and_boxes_too(boxes, tmp_path: Path) -> None:
    labels = label_data(label_manifest(tmp_path / "labelled"))
    several = oml.MultilabelClassifier(class_names=labels.manifest.class_names, backbone="auto")
    same(oml.MultilabelClassifier.load_from_checkpoint(trained(several, labels, tmp_path / "several.ckpt")), several)
    detector = oml.ObjectDetector(class_names=CLASSES, start_scale=0.5)
    path = trained(detector, tiny_boxes(boxes, size_hw=(64, 64)), tmp_path / "boxes.ckpt")
    same(oml.ObjectDetector.load_from_checkpoint(path), detector)

    with pytest.raises(ConfigError, match="is of detection: expected classification; load it with the class of its"):
        oml.ImageClassifier.load_from_checkpoint(path)


def test_the_users_own_network_is_given_again(manifest, boxes, tmp_path: Path) -> None:
    model = tiny_model()
    path = trained(model, tiny_data(manifest), tmp_path / "own.ckpt")
    same(oml.ImageClassifier.load_from_checkpoint(path, backbone=TinyNet(3)), model)
    with pytest.raises(ConfigError, match=r"own\.ckpt was built by a module of its author's, 'TinyNet'.*backbone="):
        oml.ImageClassifier.load_from_checkpoint(path)
    detector = tiny_detector()
    path = trained(detector, tiny_boxes(boxes, size_hw=(64, 64)), tmp_path / "boxes.ckpt")
    same(oml.ObjectDetector.load_from_checkpoint(path, backbone=SlimResNet(2, width=8, depths=(1, 1, 1, 1))), detector)


@pytest.mark.parametrize(
    "poison",
    [{"backbone": "os:system"}, {"backbone": "tiny:tiny_net"}],
)
def test_a_checkpoint_imports_nothing(manifest, tmp_path: Path, poison: dict[str, Any]) -> None:
    path = trained(tiny_model(), tiny_data(manifest), tmp_path / "own.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {"hyper_parameters": checkpoint["hyper_parameters"] | poison}, path)
    with pytest.raises(ConfigError, match=r"was built by the factory .* which is not loaded from storage"):
        oml.ImageClassifier.load_from_checkpoint(path)


def test_a_checkpoint_fetches_and_unpickles_nothing(manifest, tmp_path: Path) -> None:
    path = trained(tiny_model(), tiny_data(manifest), tmp_path / "own.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    elsewhere = {"weights": "memory://elsewhere/absent.pth", "storage_options": {"anon": True}}
    torch.save(checkpoint | {"hyper_parameters": checkpoint["hyper_parameters"] | elsewhere}, path)
    oml.ImageClassifier.load_from_checkpoint(path, backbone=TinyNet(3))  # it would have been an error to read it
    torch.save(checkpoint | {"extra": tmp_path}, path)
    with pytest.raises(Exception, match="Weights only load failed"):
        oml.ImageClassifier.load_from_checkpoint(path, backbone=TinyNet(3))
    with pytest.raises(ConfigError, match="weights_only=False: expected True or None"):
        oml.ImageClassifier.load_from_checkpoint(path, weights_only=False)
