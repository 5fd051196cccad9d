"""The multi-label classifier: its loss, its figures, its thresholds, and what a run and a file keep of them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import pytorch_lightning as pl
import torch

import onlineml as oml
from late import Late
from onlineml.errors import ConfigError, StoppedError
from onlineml.runs.run import Run
from onlineml.tasks.mixing import mix_batch
from onlineml.tasks.schedule import Schedule
from onlineml.training import checkpoints, training
from onlineml.training.checkpoints import Checkpoints
from onlineml.training.probe import fit_linear_head
from tiny import CLASSES, TinyNet, same_weights, weights_of
from tiny_labels import FACTORY, label_data, label_manifest, label_model

if TYPE_CHECKING:
    from pathlib import Path

linear_model = Late("sklearn.linear_model")
metrics = Late("sklearn.metrics")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, decoded_photos) -> oml.Manifest:
    return label_manifest(tmp_path_factory.mktemp("labels") / "photos")


def images(n: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8))


def targets(n: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 2, (n, 3)).astype(np.float32))


def loss_of(model: oml.MultilabelClassifier, labels: torch.Tensor) -> torch.Tensor:
    model.schedule = Schedule()  # as within fit(): nothing is logged
    return model.loss_of({"image": images(len(labels)), "label": labels}).detach()


def by_hand(logits: torch.Tensor, labels: np.ndarray, weights: list[float]) -> np.ndarray:
    """(B,) mean over the classes of weight * t * -log p - (1 - t) * log(1 - p); nothing where t is nan."""
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    pairs = -np.array(weights) * labels * np.log(p) - (1 - labels) * np.log(1 - p)
    return np.where(np.isnan(labels), 0.0, pairs).mean(axis=1)


@pytest.mark.parametrize("smoothing", [None, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 4.0], {"red": 4.0, "blue": 1.0, "green": 0.5}])
def test_the_loss_by_hand(smoothing, weights) -> None:
    model, labels = label_model(class_weights=weights, label_smoothing=smoothing), targets()
    labels[1, 2] = labels[4, 0] = math.nan  # nobody said anything
    with torch.no_grad():
        logits = model(images())
    soft = labels.double().numpy() * (1 - (smoothing or 0)) + (smoothing or 0) / 2
    expected = by_hand(logits, soft, [1.0] * 3 if weights is None else [1.0, 0.5, 4.0])

    assert loss_of(model, labels).numpy() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_the_loss_of_mixed_images_by_hand(mix: str) -> None:
    model, labels = label_model(mix=mix, class_weights=[1.0, 2.0, 3.0]), targets()
    found = loss_of(model, labels)
    generator = np.random.default_rng([model.seed, 0])
    mixed, table = mix_batch(model.normalize(images()), labels, how=mix, generator=generator)
    with torch.no_grad():
        expected = by_hand(model.network(mixed), table.double().numpy(), [1.0, 2.0, 3.0])

    assert found.numpy() == pytest.approx(expected, rel=1e-4)


def test_classes_are_weighed_by_the_training_images() -> None:
    lists = [["often"]] * 300 + [["often", "some"]] * 75 + [["one"]] + [[]] * 24 + [None] * 50 + [["some"]] * 100
    splits = ["train"] * 450 + ["test"] * 100
    table = pa.table({"image_id": [*map(str, range(550))], "uri": [*map(str, range(550))], "split": splits,
                      "labels": pa.array(lists, pa.list_(pa.string()))})  # fmt: skip
    data = oml.Manifest(table, ("often", "some", "one", "none"), root="/", task="multilabel")
    images = oml.MultilabelDataModule(data, cache=False)
    model = label_model(class_names=data.class_names)
    model.before_training(images)
    # of 400 annotated training images: 375 show the first, which is not weighed down; 75 the second; 1 the third
    assert model.class_weights.tolist() == pytest.approx([1.0, math.sqrt(325 / 75), 10.0, 10.0])

    told = label_model(class_names=data.class_names, class_weights=[1.0, 2.0, 3.0, 4.0])
    told.before_training(images)
    assert told.class_weights.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_the_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    truth = rng.random((200, 3)) < [0.5, 0.1, 0.0]
    logits = torch.from_numpy((truth + rng.normal(0, 1, truth.shape)).astype(np.float32))
    found = label_model().metrics(logits, torch.from_numpy(truth.astype(np.float32)))
    p = torch.sigmoid(logits).double().numpy()

    expected = [metrics.average_precision_score(truth[:, k], p[:, k]) for k in range(2)]  # no image shows the third
    assert found["val_map"] == pytest.approx(np.mean(expected))
    losses = [metrics.log_loss(truth[:, k], p[:, k], labels=[False, True]) for k in range(3)]
    assert found["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_thresholds_have_the_highest_f1_on_validation(labelled) -> None:
    model, data = label_model(), label_data(labelled)
    assert model.thresholds is None
    model.validate(data.val_dataloader())
    model.eval()
    with torch.no_grad():
        batches = [(model.predict_step(batch, 0), batch["label"]) for batch in data.val_dataloader()]
    p, truth = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))

    assert set(model.thresholds) == set(CLASSES)
    for k, name in enumerate(CLASSES):
        tried = [metrics.f1_score(truth[:, k], p[:, k] >= least) for least in p[:, k]]
        own = metrics.f1_score(truth[:, k], p[:, k] >= model.thresholds[name])
        assert own == pytest.approx(max(tried))


def test_one_class_is_enough_and_none_is_not() -> None:
    assert label_model(class_names=["defect"])(images()).shape == (6, 1)
    with pytest.raises(ConfigError, match="class_names: expected at least one different, non-empty name"):
        oml.MultilabelClassifier(class_names=[], backbone=TinyNet())


def test_a_linear_probe_is_a_logistic_regression_of_each_class() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(300, 5)).astype(np.float32)
    truth = (features @ rng.normal(size=(5, 3)) + rng.normal(size=(300, 3)) > [0, 1, -1]).astype(np.float32)
    loss = label_model().head_loss
    weight, bias = fit_linear_head(
        torch.from_numpy(features), torch.from_numpy(truth), num_classes=3, penalty=1e-2, loss=loss
    )
    for k in range(3):
        # scikit-learn minimises C * sum of losses + half the squared weights; ours, for a class, the mean + penalty
        expected = linear_model.LogisticRegression(C=1 / (2 * 1e-2 * 300), tol=1e-9).fit(features, truth[:, k])
        assert weight[k].numpy() == pytest.approx(expected.coef_[0], abs=1e-2)
        assert float(bias[k]) == pytest.approx(expected.intercept_[0], abs=1e-2)


# ---- runs and files ----


def fit(model, data, run, **options):
    return oml.fit(model, data, run=run, **{"progress": "none", "accelerator": "cpu", **options})


def test_it_learns_and_keeps_what_it_chose(labelled, tmp_path: Path) -> None:
    model = label_model(backbone=FACTORY, lr=0.3)
    run = fit(model, label_data(labelled, augment="none"), tmp_path / "run", epochs=20)

    assert run.metrics()[-1]["val_map"] >= 0.95
    assert run.status()["val_map"] == run.metrics()[-1]["val_map"]
    content = json.loads((tmp_path / "run/model/model.json").read_text())
    assert (content["task"], content["thresholds"]) == ("multilabel", model.thresholds)
    loaded = oml.load_model(str(tmp_path / "run/model"), backbone=FACTORY)
    assert isinstance(loaded, oml.MultilabelClassifier)
    assert loaded.thresholds == model.thresholds
    with torch.no_grad():
        assert torch.equal(loaded(images()), model(images()))


class Breaks(pl.Callback):
    """Breaks in at the end of a step, or asks a run to stop."""

    def __init__(self, stop: Run | None = None) -> None:
        self.run = stop

    def on_train_batch_end(self, trainer, *_) -> None:
        if self.run is None and trainer.global_step == 7:
            raise RuntimeError("broken in")
        if self.run is not None and trainer.global_step == 9:
            self.run.request_stop()


def test_killed_then_stopped_and_resumed_is_as_if_nothing_had_been(labelled, tmp_path: Path, monkeypatch) -> None:
    class Every(Checkpoints):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, every_s=0.0, **options)

        def save(self, trainer) -> None:
            super().save(trainer)
            self._wait_for_upload()

    monkeypatch.setattr(checkpoints, "_SHARE", math.inf)
    monkeypatch.setattr(training, "Checkpoints", Every)
    options = {"norm": True, "dropout": 0.3, "mix": "mixup", "warmup_steps": 3, "lr": 1e-2}
    whole = label_model(**options)
    expected = fit(whole, label_data(labelled), tmp_path / "whole", epochs=3)
    with pytest.raises(RuntimeError, match="broken in"):
        fit(label_model(**options), label_data(labelled), tmp_path / "run", epochs=3, callbacks=[Breaks()])
    run = Run.open(tmp_path / "run")
    with pytest.raises(StoppedError, match="after step"):
        fit(label_model(**options), label_data(labelled), run, epochs=3, callbacks=[Breaks(stop=run)])

    model = label_model(**options)
    fit(model, label_data(labelled), run, epochs=3)

    assert same_weights(weights_of(model), weights_of(whole))
    assert model.thresholds == whole.thresholds
    assert [row["val_map"] for row in run.metrics()] == [row["val_map"] for row in expected.metrics()]


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")
def test_the_users_own_trainer(labelled, tmp_path: Path) -> None:
    model, data = label_model(lr=1e-2), label_data(labelled)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, datamodule=data)

    told = dict(trainer.callback_metrics)
    assert set(told) >= {"train_loss", "val_loss", "val_map"}
    assert float(model.class_weights[0]) == pytest.approx(math.sqrt(24 / 18))  # 18 of 42 training photos show blue
    chosen = dict(model.thresholds)
    assert {name: float(told[name]) for name in model.metric_names} == pytest.approx(
        model.validate(data.val_dataloader())
    )
    assert model.thresholds == chosen
    tested = trainer.test(model, datamodule=data, verbose=False)[0]
    assert tested["test_map"] == pytest.approx(oml.evaluate(model, labelled, n_bootstrap=0).map)
    assert model.thresholds == chosen  # by validation, not by the test
