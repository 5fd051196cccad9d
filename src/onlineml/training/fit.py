"""`fit`: train a module on a datamodule, for a number of epochs or a time budget, in a resumable run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onlineml.data.loading.datamodules import ImageDataModule
from onlineml.errors import AlreadyExistsError, ConfigError
from onlineml.runs.run import Run, new_run_id
from onlineml.storage.io import exists
from onlineml.storage.location import Location, Options
from onlineml.training.progress import check_progress, stopping_on_interrupt
from onlineml.training.training import Training

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytorch_lightning.loggers import Logger

    from onlineml.data.loading.lightning import pl
    from onlineml.tasks.base import VisionModule
    from onlineml.training.progress import Progress

__all__ = ["fit"]

_EPOCHS = 30  # default without epochs and budget


def fit(
    model: VisionModule,
    datamodule: ImageDataModule,
    *,
    run: Run | str | Path | None = None,
    epochs: int | None = None,
    budget_s: float | None = None,
    patience: int | None = None,
    ema: bool = True,
    progress: Progress = "lines",
    precision: str | None = None,
    accelerator: str = "auto",
    devices: int | Literal["auto"] = "auto",
    logger: Logger | Sequence[Logger] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    storage_options: Options = None,
) -> Run:
    """Train ``model`` in place, and record everything in a run.

    The run contains ``spec.json``, ``status.json``, ``metrics.jsonl`` (a row per epoch), ``schedule.json`` (the planned
    number of steps and its corrections), ``last.ckpt`` during training, and the trained ``model/`` at the end. Calling
    `fit` again with an unfinished run resumes it from its last checkpoint, to the same weights as an uninterrupted run.

    Args:
        model: its weights are changed; it ends with their moving average, in evaluation mode, on the CPU.
        datamodule: with the split "train" and optionally "val".
        run: a run (`Project.runs.new()`), or the URL of a new or unfinished one; None for one in a temporary folder.
        epochs: passes over the training images; 30 if neither this nor ``budget_s`` is given.
        budget_s: time limit of the whole call in seconds; the learning rate is annealed by then.
        patience: stop after this many validations without improvement (in the loss of a classifier, the mAP of a
            detector), and keep the best weights; None trains to the end and keeps the last.
        ema: keep a moving average of the weights, see `onlineml.training.ema.Ema`.
        progress: ``"lines"``, ``"live"`` or ``"none"``. Live is a panel in a notebook with a stop button, which, like a
            first interrupt, stores a checkpoint and raises StoppedError; a second interrupt stops immediately.
        precision: Lightning's; None is bfloat16 mixed on a GPU that supports it, and for networks without depthwise
            convolutions on a CPU that supports it if the task gains (1.7x for a detector), else 32 bits.
        accelerator: Lightning's.
        devices: 1 or ``"auto"``, which is 1: distributed training is not supported yet.
        logger: a Lightning logger, or several; each gets the run's spec and every row of its metrics.
        callbacks: additional Lightning callbacks.
        storage_options: of the filesystem, if ``run`` is a URL.

    Returns:
        The finished run.

    Raises:
        ConfigError: arguments contradict each other, the classes differ, or an unfinished run had other settings.
        AlreadyExistsError: the run is finished.
        TrainingError: the loss is not finite.
        StoppedError: `Run.request_stop` was called; the run has a checkpoint, so call again to continue.
        TooManyBadImagesError: more images are bad than the datamodule allows.
    """
    if epochs is not None and budget_s is not None:
        raise ConfigError(f"epochs={epochs} and budget_s={budget_s}: expected one of them")
    _check_limits(epochs=epochs, budget_s=budget_s, patience=patience)
    _check_devices(devices)
    check_progress(progress)
    _check_task(model, datamodule)
    _check_classes(model, datamodule)
    if epochs is None and budget_s is None:
        epochs = _EPOCHS
    spec = _spec(model, datamodule, epochs=epochs, budget_s=budget_s)
    record = _open_run(run, spec, storage_options)
    with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
        training = Training(model, datamodule, record, Path(folder), epochs=epochs, budget_s=budget_s)
        with training.recorded(), record.stopping_in_time(), stopping_on_interrupt(record, progress):
            training.prepare(patience=patience, ema=ema, progress=progress, loggers=_listed(logger))
            training.execute(precision=precision, accelerator=accelerator, callbacks=callbacks)
    return record


def _check_limits(*, epochs: int | None, budget_s: float | None, patience: int | None) -> None:
    if epochs is not None and epochs < 1:
        raise ConfigError(f"epochs={epochs}: expected at least 1")
    if budget_s is not None and not budget_s > 0:
        raise ConfigError(f"budget_s={budget_s}: expected more than 0 seconds")
    if patience is not None and patience < 1:
        raise ConfigError(f"patience={patience}: expected at least 1")


def _check_devices(devices: int | str) -> None:
    if devices not in {1, "auto"}:
        raise ConfigError(
            f"devices={devices!r}: expected 1 or 'auto': distributed training is not supported yet. Choose the device "
            "by accelerator= and a GPU by the environment variable CUDA_VISIBLE_DEVICES"
        )


def _listed(logger: Logger | Sequence[Logger] | None) -> list[Logger]:
    if logger is None:
        return []
    return list(logger) if isinstance(logger, Sequence) else [logger]


def _check_task(model: VisionModule, datamodule: ImageDataModule) -> None:
    if not isinstance(datamodule, ImageDataModule):
        raise ConfigError(
            f"datamodule is a {type(datamodule).__name__}: expected one of images, such as that of "
            "onlineml.datamodule_for(data)"
        )
    if model.task != datamodule.task:
        raise ConfigError(
            f"a {type(model).__name__} is for {model.task}, a {type(datamodule).__name__} for {datamodule.task}: use "
            "the datamodule of the model's task"
        )


def _check_classes(model: VisionModule, datamodule: ImageDataModule) -> None:
    if tuple(model.class_names) != tuple(datamodule.manifest.class_names):
        raise ConfigError(
            f"the model's classes {list(model.class_names)[:20]} are not those of the manifest, "
            f"{list(datamodule.manifest.class_names)[:20]}, in the same order: build the model with "
            "class_names=manifest.class_names"
        )


def _spec(
    model: VisionModule, datamodule: ImageDataModule, *, epochs: int | None, budget_s: float | None
) -> dict[str, Any]:
    return {
        "task": model.task,
        **model.run_config(),
        "class_names": list(model.class_names),
        "manifest_hash": datamodule.manifest.hash,
        "size_hw": list(datamodule.size_hw),
        "batch_size": datamodule.batch_size,
        "augment": datamodule.augment_name,
        "seed": datamodule.seed,
        "optimizer": model.optimizer_name,
        "lr": model.lr,
        "epochs": epochs,
        "budget_s": budget_s,
    }


def _open_run(run: Run | str | Path | None, spec: Mapping[str, Any], options: Options) -> Run:
    """Open the run; set the spec of a new one, and compare that of an unfinished one."""
    if run is None:
        run = Path(tempfile.mkdtemp(prefix="onlineml-run-")) / new_run_id()  # readable by this user only
    if not isinstance(run, Run):
        folder = Location.of(run, options).folder
        if not exists(folder / "spec.json"):
            return Run.create(folder, spec=spec)
        run = Run.open(folder)
    if run.status().get("state") == "finished":
        raise AlreadyExistsError(f"the run {run.url} is finished; pass a new run, or the URL of a new one")
    differ = {k: (run.spec[k], v) for k, v in spec.items() if k in run.spec and run.spec[k] != v}
    if differ:
        listed = "; ".join(f"{k} was {a!r}, now {b!r}" for k, (a, b) in differ.items())
        raise ConfigError(f"the run {run.url} has other settings ({listed[:500]}): use the same, or a new run")
    run.update_spec(spec)
    return run
