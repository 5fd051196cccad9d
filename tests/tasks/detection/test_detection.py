"""`ObjectDetector`: that it learns, always the same way, and that what was learned survives kills and publishing."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import onlineml as oml
from onlineml.errors import ConfigError, StoppedError, TrainingError
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.detection.thresholds import best_thresholds
from onlineml.models.compact_detector import CompactDetector
from onlineml.models.slim_resnet import SlimResNet
from onlineml.registry.versions import publish_to
from onlineml.runs.run import Run
from onlineml.tasks.loading import model_files
from onlineml.training import checkpoints, trainer, training
from onlineml.training.checkpoints import Checkpoints
from onlineml.training.trainer import precision_for
from tiny import same_weights, weights_of
from tiny_boxes import CLASSES, boxes_manifest, drawn, tiny_boxes, tiny_detector

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_boxes import Trained

STIRRED: dict[str, Any] = {"augment": "strong", "mosaic": 0.5, "copy_paste": 0.5, "flips": "all", "size_hw": (64, 64)}


def fit(model: oml.ObjectDetector, data: oml.DetectionDataModule, run: Any, **options: Any) -> Run:
    return oml.fit(model, data, run=run, **{"progress": "none", "accelerator": "cpu", **options})


def small(manifest: oml.Manifest, **options: Any) -> oml.DetectionDataModule:
    return tiny_boxes(manifest, **{"size_hw": (64, 64), **options})


def batch_of(data: oml.DetectionDataModule, split: str = "train") -> Any:
    return next(iter(data.loader(split)))


# ---- it learns ----


def test_drawn_rectangles_are_learned(trained: Trained) -> None:
    """Within 240 steps, and measured on others."""
    status = trained.run.status()
    assert status["state"] == "finished"
    assert status["step"] == 240
    rows = trained.run.metrics()
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    scores = oml.evaluate(trained.model, trained.manifest, split="test", n_bootstrap=10)
    assert scores.map_50 > 0.9
    assert scores.map_50_95 > 0.6


def test_figures_of_the_training_are_those_of_evaluate(trained: Trained) -> None:
    """The last row's, of the validation images; `evaluate` reads boxes and images by another way."""
    scores = oml.evaluate(trained.model, trained.manifest, split="val", n_bootstrap=10)
    assert trained.run.metrics()[-1]["val_map_50"] == pytest.approx(scores.map_50, abs=1e-6)
    assert trained.run.metrics()[-1]["val_map_50_95"] == pytest.approx(scores.map_50_95, abs=1e-3)
    assert trained.run.status()["val_map_50_95"] == trained.run.metrics()[-1]["val_map_50_95"]


def test_thresholds_have_the_best_f1_on_the_validation_images(trained: Trained) -> None:
    data = trained.manifest.select(split="val")
    rows = list(oml.predict(trained.model, data.urls(), threshold=0.0))
    objects = [(i, found) for i, row in enumerate(rows) for found in row]
    found = Detections(
        np.array([i for i, _ in objects]),
        np.array([one.box_xyxy for _, one in objects], float),
        np.array([CLASSES.index(one.label) for _, one in objects]),
        np.array([one.score for _, one in objects]),
        len(rows),
    )
    expected = best_thresholds(data.boxes(), found, CLASSES)
    assert trained.model.thresholds == pytest.approx(expected, abs=1e-6)
    assert all(0.05 < threshold < 0.95 for threshold in expected.values())


def test_thresholds_and_outputs_survive_publishing(trained: Trained, tmp_path: Path) -> None:
    project = oml.Project.create(tmp_path / "p", task="detection", class_names=CLASSES)
    version = project.publish(trained.model)
    loaded = oml.load_model(version, backbone=SlimResNet(2, width=8, depths=(1, 1, 1, 1)))
    assert isinstance(loaded, oml.ObjectDetector)
    assert loaded.thresholds == trained.model.thresholds
    assert version.descriptor()["thresholds"] == trained.model.thresholds
    urls = trained.manifest.select(split="test").urls()
    for threshold in (None, 0.0):
        told, again = (list(oml.predict(m, urls, threshold=threshold)) for m in (trained.model, loaded))
        assert [[(f.label, f.score, f.box_xyxy) for f in row] for row in told] == [
            [(f.label, f.score, f.box_xyxy) for f in row] for row in again
        ]


# ---- it learns the same way every time ----


def test_the_same_seed_gives_the_same_weights_with_any_workers(boxes: oml.Manifest, tmp_path: Path) -> None:
    found = []
    for workers in (0, 1, 2):
        torch.manual_seed(workers)  # whatever was drawn before
        model = tiny_detector()
        fit(model, small(boxes, num_workers=workers, **STIRRED), tmp_path / f"{workers}", epochs=2)
        found.append(weights_of(model))
    assert same_weights(found[0], found[1])
    assert same_weights(found[0], found[2])
    other = tiny_detector(seed=1)
    fit(other, small(boxes, **STIRRED), tmp_path / "other", epochs=2)
    assert not same_weights(found[0], weights_of(other))


def test_fresh_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    models = [oml.ObjectDetector(class_names=CLASSES, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(weights_of(models[0]), weights_of(models[1]))
    assert not same_weights(weights_of(models[0]), weights_of(models[2]))


class Break(pl.Callback):
    """Breaks in after a step and all that belongs to it; or asks a run to stop."""

    def __init__(self, at: int, *, stop: Run | None = None) -> None:
        self.at, self.run = at, stop

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step != self.at:
            return
        if self.run is None:
            raise RuntimeError("broken in")
        self.run.request_stop()


@pytest.mark.parametrize(("saved", "killed", "stops"), [({2}, 4, False), ({3}, 5, False), ({1, 5}, 6, True)])
def test_killed_or_stopped_and_resumed_is_as_if_nothing_had_been(
    *, boxes: oml.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: set[int], killed: int, stops: bool
) -> None:
    """In the middle of an epoch, at its end, and before images have grown; the average and thresholds too."""

    class Chosen(Checkpoints):
        def save(self, trainer) -> None:
            if trainer.global_step in saved:
                super().save(trainer)
                self._wait_for_upload()

    whole = tiny_detector()
    rows = fit(whole, small(boxes, **STIRRED), tmp_path / "whole", epochs=3).metrics()
    monkeypatch.setattr(checkpoints, "_SHARE", math.inf)
    monkeypatch.setattr(training, "Checkpoints", partial(Chosen, every_s=0.0))
    run = Run.create(tmp_path / "run")
    breaks = Break(killed, stop=run if stops else None)
    with pytest.raises(StoppedError if stops else RuntimeError, match=f"after step {killed + 1}|broken in"):
        fit(tiny_detector(), small(boxes, **STIRRED), run, epochs=3, callbacks=[breaks])
    torch.manual_seed(99)
    resumed = tiny_detector()
    fit(resumed, small(boxes, **STIRRED), run, epochs=3)

    assert same_weights(weights_of(resumed), weights_of(whole))
    assert resumed.thresholds == whole.thresholds
    told = ("epoch", "step", "train_loss", "val_map_50", "val_map_50_95", "lr")
    assert [[str(row[k]) for k in told] for row in run.metrics()] == [[str(row[k]) for k in told] for row in rows]


# ---- what a step sees ----


def test_images_grow_and_their_boxes_with_them(boxes: oml.Manifest, tmp_path: Path) -> None:
    seen: list[tuple[float, tuple[int, int], list[Any]]] = []

    class Spy(CompactDetector):
        def losses(self, image, targets, *, trust):
            seen.append((trust, tuple(image.shape[2:]), targets))
            return super().losses(image, targets, trust=trust)

    model = tiny_detector(start_scale=0.5)
    model.network.__class__ = Spy
    data = small(boxes, size_hw=(128, 128), augment="none")
    given = {tuple(batch["index"].tolist()): batch for epoch in range(5) for batch in data.loader("train", train=True)}
    fit(model, data, tmp_path, epochs=5)
    del seen[0]  # the dry run
    sizes = [size for _, size, _ in seen]
    # progress is step / 15; from 0.5 on to 1 at 0.6 of the run, in steps of 32 pixels
    assert sizes == [(max(32, round(128 * min(1, 0.5 + 0.5 * k / 15 / 0.6) / 32) * 32),) * 2 for k in range(15)]
    assert (sizes[0], sizes[-1]) == ((64, 64), (128, 128))
    assert [trust for trust, _, _ in seen] == pytest.approx([min(1.0, k / 15 / 0.15) for k in range(15)])
    assert given
    for _, size, targets in seen:
        for target in targets:
            assert (target["boxes"] >= 0).all()
            assert (target["boxes"] <= size[0]).all()
    largest = [
        max((t["boxes"][:, 2:].max().item() for t in targets if len(t["boxes"])), default=0) for *_, targets in seen
    ]
    assert max(largest[:3]) <= 64 < max(largest[-3:])


def test_a_shrunken_batch_has_the_same_objects(boxes: oml.Manifest) -> None:
    model, data = tiny_detector(start_scale=0.5), small(boxes, size_hw=(128, 128), augment="none")
    model.schedule = training.Schedule.of_length(10)
    model._trainer = _quiet()
    batch = batch_of(data)
    told: list[Any] = []
    model.network.losses = lambda image, targets, *, trust: told.append((image, targets)) or torch.zeros(len(targets))
    model.loss_of(batch)
    ((image, targets),) = told
    assert image.shape[2:] == (64, 64)
    for i, (small_target, target) in enumerate(zip(targets, batch["targets"], strict=True)):
        assert torch.allclose(small_target["boxes"] * 2, target["boxes"])
        assert torch.equal(small_target["labels"], target["labels"])
        for box, label in zip(small_target["boxes"], target["labels"], strict=True):
            x, y = ((box[:2] + box[2:]) / 2).long().tolist()
            strongest = image[i, :, y, x].argmax().item()
            assert CLASSES[label] == ("red", "green", "blue")[strongest]


def _quiet(**options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@pytest.mark.parametrize("annotated", [[], None])
def test_images_without_boxes_are_learned_from(tmp_path: Path, annotated: list[Any] | None) -> None:
    """A whole training without one object; with images that nobody annotated beside them."""
    empty = [("train" if i < 8 else "val", drawn((64, 64), [], seed=i), []) for i in range(10)]
    if annotated is None:
        empty += [("train", drawn((64, 64), [("red", (5, 5, 40, 40))], seed=20), None)]
    data, model = small(boxes_manifest(tmp_path / "images", empty)), tiny_detector()
    run = fit(model, data, tmp_path / "run", epochs=2)
    assert [row["step"] for row in run.metrics()] == [2, 4]
    assert all(math.isfinite(row["train_loss"]) for row in run.metrics())
    assert math.isnan(run.metrics()[-1]["val_map_50"])  # nothing to find: no figure, and no zero
    assert set(model.thresholds or {}) == set(CLASSES)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())


def test_a_split_of_bad_images_is_no_crash(boxes: oml.Manifest) -> None:
    model, data = tiny_detector().eval(), small(boxes)
    batch = batch_of(data, "val")
    nothing = batch | {"image": batch["image"][:0], "targets": [], "scale": batch["scale"][:0]}
    nothing |= {"size_hw": batch["size_hw"][:0], "image_id": batch["image_id"][:0]}
    assert model.detect(nothing["image"]) == []
    assert all(math.isnan(v) for v in model.validate([nothing]).values())
    assert model.validate([nothing, batch]) == model.validate([batch])
    model._trainer = _quiet()
    assert model.training_step(nothing, 0) is None


def test_an_image_whose_loss_is_not_finite_is_named(
    boxes: oml.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = CompactDetector.forward

    def poisoned(self: CompactDetector, image: torch.Tensor) -> Any:
        raw = forward(self, image)
        bright = image.amax((1, 2, 3)) > 2.4  # only what is white is so bright after normalisation
        return raw._replace(logits=torch.where(bright[:, None, None], torch.nan, raw.logits))

    monkeypatch.setattr(CompactDetector, "forward", poisoned)
    white = np.full((64, 64, 3), 255, np.uint8)
    images = [
        ("train", drawn((64, 64), [("red", (5, 5, 40, 40))], seed=i), [("red", (5, 5, 40, 40))]) for i in range(7)
    ]
    manifest = boxes_manifest(tmp_path / "images", [*images, ("train", white, [])])
    with pytest.raises(TrainingError, match="not finite for some images only: look at them") as caught:
        fit(tiny_detector(), small(manifest, augment="none"), tmp_path / "run", epochs=3)
    assert "image_id: ['image-7']" in str(caught.value)
    assert Run.open(tmp_path / "run").status()["state"] == "failed"


def test_weights_that_diverged_are_called_so(boxes: oml.Manifest, tmp_path: Path) -> None:
    model = tiny_detector(lr=1e30, optimizer="sgd", warmup_steps=0)
    with pytest.raises(TrainingError, match=r"weights have diverged: lower lr \(now 1e\+30\)"):
        fit(model, small(boxes), tmp_path / "run", epochs=3)


def test_regions_to_ignore_count_neither_way_in_validation(tmp_path: Path) -> None:
    """A crowd of one class is a region where nothing is missed and nothing found is wrong."""
    objects = [("red", (4, 4, 30, 30)), ("green", (34, 34, 60, 60))]
    manifest = boxes_manifest(tmp_path, [("val", drawn((64, 64), objects), objects)])
    crowd = manifest.with_column("crowd", pa.array([[False, True]], pa.list_(pa.bool_())))
    model = tiny_detector()
    box, other = torch.tensor([4.0, 4.0, 30.0, 30.0]), torch.tensor([36.0, 36.0, 44.0, 44.0])
    answer = {
        "boxes": torch.stack([other, box]),
        "labels": torch.tensor([2, 2]),  # a red one within the region, surer than the real one
        "scores": torch.tensor([0.9, 0.8]),
    }
    model.network.detect = lambda image: [answer] * len(image)
    model.size_hw = (64, 64)
    assert model.validate(small(manifest).loader("val"))["val_map_50"] == pytest.approx((0.5 + 0.0) / 2)
    assert model.validate(small(crowd).loader("val"))["val_map_50"] == pytest.approx(1.0)


# ---- precision ----


@pytest.mark.parametrize(
    ("options", "likes"),
    [
        ({}, True),
        ({"backbone": "mobilenet_v3_small"}, False),  # depthwise convolutions
        ({"architecture": "fasterrcnn_mobilenet_v3_large_320_fpn"}, False),
        ({"architecture": nn.Conv2d(3, 3, 3)}, False),  # the user's: not all of it need exist in bfloat16
    ],
)
@pytest.mark.parametrize("has", [True, False])
def test_half_precision_on_a_cpu_only_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], likes: bool, has: bool
) -> None:
    monkeypatch.setattr(trainer, "_cpu_has_bf16", lambda: has)
    model = oml.ObjectDetector(class_names=CLASSES, **options)
    assert precision_for(None, "cpu", model) == ("bf16-mixed" if likes and has else "32-true")
    assert precision_for("32-true", "cpu", model) == "32-true"


def test_half_precision_learns(boxes: oml.Manifest, tmp_path: Path) -> None:
    run = fit(tiny_detector(), small(boxes), tmp_path, epochs=1, precision="bf16-mixed")
    assert math.isfinite(run.status()["train_loss"])


# ---- anybody's trainer ----


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # torch 2.15 to Lightning 2.6.6
def test_the_users_own_trainer(trained: Trained, boxes: oml.Manifest, tmp_path: Path) -> None:
    model = tiny_detector()
    trainer = _quiet(max_epochs=2, default_root_dir=tmp_path, gradient_clip_val=5.0)
    trainer.fit(model, datamodule=small(boxes))
    assert trainer.global_step == 6
    assert model.size_hw == (64, 64)
    assert model.manifest_hash == boxes.hash
    assert set(trainer.callback_metrics) >= {"train_loss", "val_map_50", "val_map_50_95"}
    assert set(model.thresholds or {}) == set(CLASSES)

    good, data = trained.model, tiny_boxes(trained.manifest)
    status = trained.run.status()
    (validated,) = _quiet().validate(good, datamodule=data, verbose=False)
    assert validated["val_map_50"] == pytest.approx(status["val_map_50"], abs=1e-6)
    (tested,) = _quiet().test(good, datamodule=data, verbose=False)
    scores = oml.evaluate(good, trained.manifest, split="test", n_bootstrap=10)
    assert tested["test_map_50"] == pytest.approx(scores.map_50, abs=1e-6)
    predicted = [one for batch in _quiet().predict(good, data.test_dataloader()) for one in batch]
    direct = [one for batch in data.test_dataloader() for one in good.detect(batch["image"])]
    assert len(predicted) == 16
    assert all(torch.equal(a[name], b[name]) for a, b in zip(predicted, direct, strict=True) for name in a)

    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    again = oml.ObjectDetector.load_from_checkpoint(
        tmp_path / "mine.ckpt",
        class_names=CLASSES,
        backbone=SlimResNet(2, width=8, depths=(1, 1, 1, 1)),
        weights_only=True,
    )
    assert again.thresholds == model.thresholds
    assert same_weights(weights_of(again), weights_of(model))


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")
def test_a_training_without_an_end_has_full_images_from_the_start(boxes: oml.Manifest, tmp_path: Path) -> None:
    """Else they would never grow, and the network's own boxes never decide what is learned where."""
    model, seen = tiny_detector(start_scale=0.5), []

    class Spy(CompactDetector):
        def losses(self, image, targets, *, trust):
            seen.append((tuple(image.shape[2:]), trust))
            return super().losses(image, targets, trust=trust)

    model.network.__class__ = Spy
    trainer = _quiet(max_epochs=-1, callbacks=[Break(2)], default_root_dir=tmp_path)
    with pytest.raises(RuntimeError, match="broken in"):
        trainer.fit(model, datamodule=small(boxes))
    assert seen == [((64, 64), 1.0)] * 2


# ---- published and loaded ----


class OwnNet(nn.Module):
    """Of a user's, by torchvision's contract."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 5)

    def forward(self, images: list[torch.Tensor], targets: Any = None) -> Any:
        values = torch.stack([self.body(image).mean((1, 2)) for image in images])
        if targets is not None:
            return {"loss": values.square().mean()}
        return [
            {"boxes": v.cumsum(0)[None].abs() * 50, "labels": torch.tensor([2]), "scores": v[:1].sigmoid()}
            for v in values
        ]


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({}, None),
        ({"backbone": "mobilenet_v3_small"}, None),
        ({"architecture": "ssdlite320_mobilenet_v3_large"}, None),
        ({"architecture": OwnNet()}, OwnNet()),
        ({"backbone": SlimResNet(2, width=8)}, SlimResNet(2, width=8)),
    ],
)
def test_a_published_model_gives_the_same_bits(tmp_path: Path, options: dict[str, Any], own: Any) -> None:
    model = oml.ObjectDetector(class_names=CLASSES, seed=3, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator) * 0.02)
    model.size_hw, model.manifest_hash = (64, 96), "cd" * 32
    model.thresholds = {"blue": 0.25, "green": 0.5, "red": 1 / 3}
    publish_to(str(tmp_path / "model"), model_files(model.eval()))
    if own is not None:
        with pytest.raises(ConfigError, match="backbone="):
            oml.load_model(tmp_path / "model")
    loaded = oml.load_model(tmp_path / "model", backbone=own)
    assert isinstance(loaded, oml.ObjectDetector)
    assert (loaded.class_names, loaded.size_hw, loaded.manifest_hash) == (CLASSES, (64, 96), "cd" * 32)
    assert loaded.thresholds == model.thresholds
    assert not any(module.training for module in loaded.modules())
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 64, 96), dtype=np.uint8))
    for one, other in zip(model.detect(images), loaded.detect(images), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert len(one["scores"])


def test_a_published_model_of_transformers(tmp_path: Path) -> None:
    """Rebuilt from its descriptor alone: the folder that it came from is gone."""
    transformers = pytest.importorskip("transformers")
    sizes = dict.fromkeys(("d_model", "encoder_hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 32)
    config = transformers.AutoConfig.for_model(
        "rt_detr_v2",
        num_labels=3,
        **sizes,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        decoder_layers=2,
        num_queries=20,
        encoder_in_channels=[16, 32, 64],
        decoder_in_channels=[32, 32, 32],
        backbone_config={
            "model_type": "rt_detr_resnet",
            "embedding_size": 8,
            "hidden_sizes": [8, 16, 32, 64],
            "depths": [1, 1, 1, 1],
            "layer_type": "basic",
            "out_features": ["stage2", "stage3", "stage4"],
        },
    )
    config.save_pretrained(tmp_path / "config")
    model = oml.ObjectDetector(class_names=CLASSES, architecture=f"transformers:{tmp_path / 'config'}")
    (tmp_path / "config").rename(tmp_path / "gone")
    model.size_hw = (64, 64)
    publish_to(str(tmp_path / "model"), model_files(model.eval()))
    loaded = oml.load_model(tmp_path / "model")
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    (one,), (other,) = model.detect(images), loaded.detect(images)
    assert all(torch.equal(one[name], other[name]) for name in one)


# ---- refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": []}, "class_names: expected at least one"),
        ({"class_names": ["a", "a"]}, r"\['a'\] stand twice"),
        ({"class_names": "cat"}, "class_names: expected at least one"),
        ({"start_scale": 0.0}, "start_scale=0.0: expected a share of the images' size, 0.1..1"),
        ({"start_scale": 1.1}, "start_scale=1.1"),
        ({"optimizer": "adam"}, "optimizer='adam': expected one of adamw, sgd"),
        ({"lr": 0.0}, "lr=0.0: expected more than 0"),
        ({"architecture": "yolo"}, "architecture='yolo': expected 'auto'"),
        ({"backbone": "resnet19"}, "backbone='resnet19': expected 'auto'"),
    ],
)
def test_bad_arguments_are_refused_when_the_model_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        oml.ObjectDetector(**{"class_names": CLASSES, **options})


def test_one_class_is_enough(boxes: oml.Manifest) -> None:
    model = oml.ObjectDetector(class_names=["thing"])
    assert model.network.num_classes == 1
    assert model.detect(batch_of(small(boxes))["image"])[0]["labels"].unique().tolist() == [0]


def test_a_datamodule_of_the_other_task_is_refused(boxes: oml.Manifest, manifest: oml.Manifest, tmp_path: Path) -> None:
    labels = oml.ClassificationDataModule(manifest, size_hw=(32, 32), cache=False)
    with pytest.raises(ConfigError, match="ObjectDetector is for detection, a ClassificationDataModule for"):
        fit(tiny_detector(), labels, tmp_path)
    with pytest.raises(ConfigError, match="the model's classes"):
        fit(oml.ObjectDetector(class_names=["red", "green", "blue"]), small(boxes), tmp_path)
