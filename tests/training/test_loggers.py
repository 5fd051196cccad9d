"""Lightning's own loggers in `fit`, and Optuna's pruner; `nox -s loggers` installs their packages."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytorch_lightning as pl

import onlineml as oml
from tiny import tiny_data, tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("default"),  # theirs
]
STEPS = [4, 8]  # of two epochs
NAMES = ("train_loss", "val_loss", "val_accuracy", "lr")


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The loggers' packages, after all others."""
    monkeypatch.setattr(sys, "path", [*sys.path, os.environ["ONLINEML_LOGGERS"]])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def tensorboard(folder: Path) -> tuple[Any, Callable[[], dict[str, list[tuple[int, float]]]]]:
    logger = pl.loggers.TensorBoardLogger(folder)

    def read() -> dict[str, list[tuple[int, float]]]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(logger.log_dir)
        events.Reload()
        return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}

    return logger, read


def mlflow(folder: Path) -> tuple[Any, Callable[[], dict[str, list[tuple[int, float]]]]]:
    logger = pl.loggers.MLFlowLogger("butterflies", tracking_uri=f"sqlite:///{folder}/mlflow.db")

    def read() -> dict[str, list[tuple[int, float]]]:
        client, run_id = logger.experiment, logger.run_id
        run = client.get_run(run_id)
        assert run.data.params["task"] == "classification"
        assert run.info.status == "FINISHED"
        return {name: [(m.step, m.value) for m in client.get_metric_history(run_id, name)] for name in run.data.metrics}

    return logger, read


@pytest.mark.parametrize("make", [tensorboard, mlflow])
def test_a_logger_has_every_row(manifest, tmp_path: Path, make: Callable[..., Any]) -> None:
    logger, read = make(tmp_path)
    run = oml.fit(
        tiny_model(), tiny_data(manifest), run=str(tmp_path / "run"), epochs=2, progress="none", logger=logger
    )

    logged = read()
    for name in NAMES:
        assert [step for step, _ in logged[name]] == STEPS
        assert [v for _, v in logged[name]] == pytest.approx([row[name] for row in run.metrics()], rel=1e-5)


def test_weights_and_biases_offline(manifest, tmp_path: Path) -> None:
    logger = pl.loggers.WandbLogger(project="butterflies", save_dir=tmp_path, offline=True)
    oml.fit(tiny_model(), tiny_data(manifest), run=str(tmp_path / "run"), epochs=1, progress="none", logger=logger)
    logger.experiment.finish()

    (stored,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert b"val_accuracy" in stored.read_bytes()
    assert b"manifest_hash" in stored.read_bytes()


def test_optunas_pruner(manifest, tmp_path: Path) -> None:
    import optuna
    from optuna_integration import PyTorchLightningPruningCallback

    def objective(trial: Any) -> float:
        pruner = PyTorchLightningPruningCallback(trial, monitor="val_loss")
        model = tiny_model(lr=trial.suggest_float("lr", 1e-6, 1e-5 if trial.number else 1e-1, log=True))
        run = oml.fit(
            model, tiny_data(manifest), run=f"{tmp_path}/{trial.number}", epochs=2, progress="none", callbacks=[pruner]
        )
        return run.metrics()[-1]["val_loss"]

    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=1))
    study.optimize(objective, n_trials=2)

    assert [trial.state.name for trial in study.trials] == ["PRUNED", "PRUNED"]
    assert [sorted(trial.intermediate_values) for trial in study.trials] == [[0, 1], [0, 1]]
    assert json.loads((tmp_path / "0" / "status.json").read_text())["state"] == "failed"
