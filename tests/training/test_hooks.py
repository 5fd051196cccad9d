"""Callbacks of Lightning's and of the user's in `fit`, against a plain trainer on the same batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytorch_lightning as pl
import torch

import onlineml as oml
from onlineml.runs.run import Run
from tiny import same_weights, tiny_data, tiny_model, weights_of
from tiny_boxes import tiny_boxes, tiny_detector
from tiny_labels import label_data, label_manifest, label_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    "ignore:`isinstance:FutureWarning",  # torch 2.15 to Lightning 2.6.6
    "ignore:The number of training batches",
)

CHECKPOINTING = {"on_save_checkpoint", "state_dict"}  # when is a matter of time
HOOKS = ({n for n in dir(pl.Callback) if n.startswith("on_")} | {"setup", "teardown"}) - CHECKPOINTING


def _noted(name: str) -> Callable[..., None]:
    def hook(self: Any, trainer: Any, *arguments: Any, **named: Any) -> None:
        del arguments, named
        self.seen.append((name, trainer.current_epoch, trainer.global_step, trainer.state.stage))
        if name in {"on_validation_end", "on_train_epoch_end"}:
            self.metrics.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    return hook


class Noted(pl.Callback):
    """Every hook of a callback, in the order of the calls, and the metrics after validations and epochs."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.metrics: list[dict[str, float]] = []


for _name in HOOKS:
    setattr(Noted, _name, _noted(_name))


class Case(NamedTuple):
    """A model and its batches."""

    model: Any
    data: Any


@pytest.fixture(params=["classification", "multilabel", "detection"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Case]:
    """Equal models on equal batches."""
    if request.param == "classification":
        manifest = request.getfixturevalue("manifest")
        return lambda: Case(tiny_model(lr=1e-2), tiny_data(manifest))
    if request.param == "multilabel":
        labelled = label_manifest(tmp_path / "labelled")
        return lambda: Case(label_model(lr=1e-2), label_data(labelled))
    boxes = request.getfixturevalue("boxes")
    return lambda: Case(tiny_detector(), tiny_boxes(boxes, size_hw=(64, 64)))


def fit(case: Case, folder: Path, callbacks: list[pl.Callback], **options: Any) -> Run:
    options = {"epochs": 2, "ema": False, "progress": "none", "precision": "32-true", "accelerator": "cpu", **options}
    return oml.fit(case.model, case.data, run=str(folder / "run"), callbacks=callbacks, **options)


def plain(case: Case, folder: Path, callbacks: list[pl.Callback], **options: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=callbacks,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        gradient_clip_val=case.model.gradient_clip,
        enable_checkpointing=any(isinstance(c, pl.callbacks.ModelCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"logger": False, **options},
    )
    trainer.fit(case.model, datamodule=case.data)
    return trainer


def test_hooks_and_metrics_are_those_of_a_plain_trainer(make, tmp_path: Path) -> None:
    ours, theirs = Noted(), Noted()
    run = fit(make(), tmp_path, [ours])
    plain(make(), tmp_path, [theirs])

    assert [name for name, *_ in ours.seen] == [name for name, *_ in theirs.seen]
    assert ours.seen == theirs.seen  # at the same step, in the same stage
    assert {name for name, *_ in ours.seen} >= {"on_validation_start", "on_validation_batch_end", "on_validation_end"}
    assert len(ours.metrics) == 4
    for found, expected in zip(ours.metrics, theirs.metrics, strict=True):
        assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)
    last = run.metrics()[-1]
    assert {k: last[k] for k in ours.metrics[-1]} == pytest.approx(ours.metrics[-1], rel=1e-6, nan_ok=True)


class Pruner(pl.Callback):
    """Reports as Optuna's pruner does."""

    def __init__(self, *, prunes_at: int = 9) -> None:
        self.reported: list[float] = []
        self.prunes_at = prunes_at

    def on_validation_end(self, trainer, pl_module) -> None:
        if trainer.sanity_checking:
            return
        self.reported.append(trainer.callback_metrics["val_loss"].item())
        if trainer.current_epoch == self.prunes_at:
            raise RuntimeError("pruned")


def usual(folder: Path) -> list[pl.Callback]:
    return [
        pl.callbacks.ModelCheckpoint(folder, monitor="val_loss", filename="{epoch}-{val_loss:.4f}", save_last=True),
        pl.callbacks.EarlyStopping("val_accuracy", mode="max", min_delta=2.0, patience=1),
        pl.callbacks.LearningRateMonitor(),
        pl.callbacks.GradientAccumulationScheduler({0: 1, 1: 2}),
        Pruner(),
    ]


def test_the_usual_callbacks_do_as_in_a_plain_trainer(manifest, tmp_path: Path) -> None:
    outcomes = []
    for name in ("fit", "plain"):
        folder = tmp_path / name
        folder.mkdir()
        saved, stopping, rates, accumulation, pruner = callbacks = usual(folder / "saved")
        logger = pl.loggers.CSVLogger(folder, name="csv")
        case = Case(tiny_model(lr=1e-2), tiny_data(manifest))
        if name == "fit":
            steps = fit(case, folder, callbacks, logger=logger).metrics()[-1]["step"]
        else:
            steps = plain(case, folder, callbacks, logger=logger, log_every_n_steps=1).global_step
        best = torch.load(saved.best_model_path, weights_only=True)["state_dict"]
        outcomes.append(
            {
                "steps": steps,
                "files": sorted(p.name for p in (folder / "saved").iterdir()),
                "best": float(saved.best_model_score),
                "stopped": (stopping.stopped_epoch, stopping.wait_count, float(stopping.best_score)),
                "rates": rates.lrs,
                "reported": pruner.reported,
            }
        )
        assert best.keys() == case.model.state_dict().keys()
        assert accumulation.scheduling == {0: 1, 1: 2}

    ours, theirs = outcomes
    assert ours["steps"] == 4 + 2
    assert ours["rates"]
    assert ours == theirs


def test_a_pruned_training_raises_and_its_record_says_so(manifest, tmp_path: Path) -> None:
    pruner = Pruner(prunes_at=0)
    with pytest.raises(RuntimeError, match="pruned"):
        fit(Case(tiny_model(), tiny_data(manifest)), tmp_path, [pruner], epochs=3)

    assert len(pruner.reported) == 1
    assert Run.open(str(tmp_path / "run")).status()["state"] == "failed"


def test_a_checkpoint_of_the_users_holds_the_average_that_was_validated(manifest, tmp_path: Path) -> None:
    case = Case(tiny_model(lr=1e-2, norm=True), tiny_data(manifest))
    saved = pl.callbacks.ModelCheckpoint(tmp_path / "saved", monitor="val_loss", save_top_k=-1, filename="{epoch}")
    run = fit(case, tmp_path, [saved], ema=True)

    loss = {}
    for row in run.metrics():
        checkpoint = torch.load(tmp_path / "saved" / f"epoch={row['epoch']}.ckpt", weights_only=True)
        loaded = tiny_model(norm=True)
        loaded.load_state_dict(checkpoint["state_dict"])
        loss[row["epoch"]] = loaded.validate(case.data.val_dataloader())["val_loss"]
        assert loss[row["epoch"]] == pytest.approx(row["val_loss"], rel=1e-5)
        assert any(not torch.equal(v, checkpoint["trained_state_dict"][k]) for k, v in checkpoint["state_dict"].items())
    assert same_weights(weights_of(loaded), weights_of(case.model))
    assert float(saved.best_model_score) == pytest.approx(min(loss.values()), rel=1e-5)


def test_a_budget_validates_as_time_permits_and_monitors_see_fresh_figures(manifest, tmp_path: Path) -> None:
    saved = pl.callbacks.ModelCheckpoint(tmp_path / "saved", monitor="val_loss", save_top_k=-1, filename="{epoch}")
    noted = Noted()
    run = fit(Case(tiny_model(), tiny_data(manifest)), tmp_path, [saved, noted], epochs=None, budget_s=3.0)

    validated = [row["epoch"] for row in run.metrics() if not math.isnan(row["val_loss"])]
    assert [epoch for name, epoch, *_ in noted.seen if name == "on_validation_end"] == validated
    assert validated[-1] == run.metrics()[-1]["epoch"]
    assert {p.name for p in (tmp_path / "saved").iterdir()} == {f"epoch={epoch}.ckpt" for epoch in validated}
