"""`fit`: train a module on a datamodule, for a number of epochs or a time budget, in a resumable run."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onlineml.arguments.checks import flag, instance, seconds, whole
from onlineml.data.loading.datamodules import ImageDataModule
from onlineml.data.loading.loaders import BatchOrder
from onlineml.errors import AlreadyExistsError, ConfigError, DivergedError
from onlineml.runs.run import Run, new_run_id
from onlineml.storage.io import exists
from onlineml.storage.location import Location, Options
from onlineml.storage.patience import background
from onlineml.tasks.base import VisionModule
from onlineml.training.elsewhere import train_elsewhere
from onlineml.training.progress import check_progress, stopping_on_interrupt, tell
from onlineml.training.rehearsal import doubts, rehearse
from onlineml.training.team import Team, check_engine
from onlineml.training.training import Training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytorch_lightning.loggers import Logger

    from onlineml.data.loading.lightning import pl
    from onlineml.training.engine import Engine
    from onlineml.training.processes import Processes
    from onlineml.training.progress import Progress
    from onlineml.training.trainer import Strategy

__all__ = ["fit"]

_EPOCHS = 30  # default without epochs and budget


@background()
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
    devices: int | Sequence[int] | Literal["auto"] = "auto",
    num_nodes: int = 1,
    strategy: Strategy = "auto",
    engine: Engine | None = None,
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
            first interrupt (Ctrl+C, ■) in any mode, stores a checkpoint and raises StoppedError; a second interrupt
            stops immediately.
        precision: Lightning's; None is bfloat16 mixed on a GPU that supports it, and for networks without depthwise
            convolutions on a CPU that supports it if the task gains (1.7x for a detector), else 32 bits.
        accelerator: Lightning's.
        devices: their number, a list of GPUs, or -1 for all GPUs; ``"auto"`` is 1, or what torchrun or SLURM started.
            Several take a process each, which fit starts, also from a notebook; they share the images of each step, see
            ``docs/models/lightning.md``.
        num_nodes: machines; several take a script that torchrun or SLURM starts on each.
        strategy: ``"auto"`` or ``"ddp"``; Lightning's ``"ddp_find_unused_parameters_true"`` is for a network of your
            own that does not use all of its parameters in each step.
        engine: trains on other machines, such as `onlineml.ray.RayTrain`, which then decides devices, nodes and
            strategy; the model gets the weights at the end. None trains here.
        logger: a Lightning logger, or several; each gets the run's spec and every row of its metrics.
        callbacks: an additional Lightning callback, or several.
        storage_options: of the filesystem, if ``run`` is a URL.

    Returns:
        The finished run.

    Raises:
        ConfigError: arguments are invalid or contradict each other, the classes differ, the network cannot take the
            images, or an unfinished run had other settings.
        DataError: the split "train" has no annotated images.
        AlreadyExistsError: the run is finished.
        TrainingError: the loss is not finite for some images.
        DivergedError: it is for all: the model has the last good weights; call again with a lower `model.lr`.
        StoppedError: `Run.request_stop` was called; the run has a checkpoint, so call again to continue.
        TooManyBadImagesError: more images are bad than the datamodule allows.
    """
    if epochs is not None and budget_s is not None:
        raise ConfigError(f"epochs={epochs} and budget_s={budget_s}: expected one of them")
    epochs = whole("epochs", epochs, least=1, optional=True)
    patience = whole("patience", patience, least=1, optional=True)
    budget_s, ema = seconds("budget_s", budget_s, optional=True), flag("ema", ema)
    check_progress(progress)
    _check_task(model, datamodule)
    _check_classes(model, datamodule)
    loggers, callbacks = _listed("logger", logger, "log_metrics"), _listed("callbacks", callbacks, "on_train_start")
    check_engine(engine, given={"devices": devices, "num_nodes": num_nodes, "strategy": strategy})
    team = Team.of(
        precision=precision, accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy
    )
    _check_images(datamodule, patience=patience, n_processes=team.n if engine is None else engine.n)
    rehearse(model, datamodule)
    if epochs is None and budget_s is None:
        epochs = _EPOCHS
    trainer = {"precision": precision, "accelerator": accelerator, "devices": team.devices, "strategy": strategy}
    call = _Call(model, datamodule, epochs, budget_s, patience, ema, loggers, callbacks, trainer)

    def opened() -> Run:
        return _open_run(run, _spec(model, datamodule, epochs=epochs, budget_s=budget_s), storage_options)

    if engine is None:
        return team.run(call.train, opened=opened, progress=progress)
    return train_elsewhere(engine, call.train, opened(), model=model, datamodule=datamodule, progress=progress)


@dataclass(frozen=True)
class _Call:
    """The checked arguments of `fit`, which all of its processes get."""

    model: VisionModule
    datamodule: ImageDataModule
    epochs: int | None
    budget_s: float | None
    patience: int | None
    ema: bool
    loggers: list[Any]
    callbacks: list[Any]
    trainer: dict[str, Any]

    def train(self, record: Run, processes: Processes, progress: Progress, devices: Any = None) -> None:
        """Train in one of the processes.

        Args:
            record: the run in the first one, else one that nobody reads.
            processes: which of them this one is.
            progress: in the first one.
            devices: for Lightning, where an engine decides them.
        """
        model, datamodule = self.model, self.datamodule
        with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
            training = Training(
                model,
                datamodule,
                record,
                Path(folder),
                epochs=self.epochs,
                budget_s=self.budget_s,
                processes=processes,
            )
            with training.recorded(), record.stopping_in_time(), stopping_on_interrupt(record):
                told = filter(None, [datamodule.chosen, str(model.origin)])
                tell([*told, *doubts(model, datamodule, n_processes=processes.n)], record, progress)
                training.prepare(
                    patience=self.patience,
                    ema=self.ema,
                    progress=progress,
                    loggers=self.loggers,
                    callbacks=self.callbacks,
                )
                training.execute(**self.trainer | ({} if devices is None else {"devices": devices}))


def _listed(name: str, given: Any, method: str) -> list[Any]:
    """None, one object, or several, as a list; each must have a method of Lightning's."""
    listed = list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
    for one in listed:
        if isinstance(one, type) or not callable(getattr(one, method, None)):
            kind = "callback" if name == "callbacks" else "logger"
            raise ConfigError(f"{name} contains {one!r}: expected a Lightning {kind}, or a list of them")
    return listed


def _check_images(datamodule: ImageDataModule, *, patience: int | None, n_processes: int) -> None:
    """Refuse images that cannot be trained on as asked."""
    rows = datamodule.required_rows("train")
    BatchOrder(rows, batch_size=datamodule.batch_size, drop_last=True, n_ranks=n_processes)  # refuses what is too few
    if patience is not None and not len(datamodule.rows_of("val")):
        raise ConfigError(
            f"patience={patience} needs validation, and the split 'val' has no annotated images: assign some to it, as "
            "by Manifest.with_splits(), or use patience=None"
        )


def _check_task(model: VisionModule, datamodule: ImageDataModule) -> None:
    instance("model", model, VisionModule, "a model, such as that of onlineml.model_for(data)")
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
        **model.origin.record(),
        "class_names": list(model.class_names),
        "manifest_hash": datamodule.manifest.hash,
        "size_hw": list(datamodule.size_hw),
        "batch_size": datamodule.batch_size,
        "augment": datamodule.augment_name,
        "flips": datamodule.settings().get("flips"),
        "seed": datamodule.seed,
        "optimizer": model.optimizer_name,
        "lr": model.lr,
        "frozen_parameters": model.n_frozen_by_user(),
        "epochs": epochs,
        "budget_s": budget_s,
    }


def _open_run(run: Run | str | Path | None, spec: Mapping[str, Any], options: Options) -> Run:
    """Open the run; set the spec of a new one, and compare that of an unfinished one."""
    if run is None:
        run = Path(tempfile.mkdtemp(prefix="onlineml-run-")) / new_run_id()  # readable by this user only
    if not isinstance(run, Run):
        instance("run", run, (str, os.PathLike, Location), "a run, its URL, or None for one in a temporary folder")
        folder = Location.of(run, options).folder
        if not exists(folder / "spec.json"):
            return Run.create(folder, spec=spec)
        run = Run.open(folder)
    status = run.status()
    if status.get("state") == "finished":
        raise AlreadyExistsError(f"the run {run.url} is finished; pass a new run, or the URL of a new one")
    free = {"lr"} if str(status.get("error")).startswith(f"{DivergedError.__name__}:") else set()
    differ = {k: (run.spec[k], v) for k, v in spec.items() if k in run.spec and run.spec[k] != v and k not in free}
    if differ:
        listed = "; ".join(f"{k} was {a!r}, now {b!r}" for k, (a, b) in differ.items())
        raise ConfigError(f"the run {run.url} has other settings ({listed[:500]}): use the same, or a new run")
    run.update_spec(spec)
    return run
