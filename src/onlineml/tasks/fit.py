"""`fit`: train a module on a datamodule, within a number of epochs or a time budget, into a run that can go on."""

from __future__ import annotations

import io
import json
import logging
import signal
import tempfile
import threading
import warnings
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onlineml._lightning import pl
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError
from onlineml.runs import Run, new_run_id
from onlineml.storage.io import exists, read_bytes, upload_file, write_bytes
from onlineml.tasks.budget import Budget, Clock
from onlineml.tasks.callbacks import Checkpoints, EpochRecord
from onlineml.tasks.ema import Ema
from onlineml.tasks.loading import write_model
from onlineml.tasks.progress import Progress, make_reporter
from onlineml.tasks.schedule import Knot, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from onlineml.data.datamodules import ClassificationDataModule
    from onlineml.tasks.classification import ImageClassifier

__all__ = ["fit"]

_EPOCHS = 30  # where neither epochs nor a budget is given


def fit(
    model: ImageClassifier,
    datamodule: ClassificationDataModule,
    *,
    run: Run | str | Path | None = None,
    epochs: int | None = None,
    budget_s: float | None = None,
    patience: int | None = None,
    ema: bool = True,
    progress: Progress = "lines",
    precision: str | None = None,
    accelerator: str = "auto",
    callbacks: Sequence[pl.Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> Run:
    """Train ``model`` in place, and record everything in a run.

    The run holds ``spec.json``, ``status.json``, ``metrics.jsonl`` (a row an epoch), ``schedule.json`` (the planned
    number of steps and its corrections), ``last.ckpt`` while it goes on, and the trained ``model/`` in the end.
    Calling `fit` again with a run that did not finish goes on from its last checkpoint to the weights that the
    uninterrupted run would have reached.

    Args:
        model: has its weights changed; ends with their moving average, in evaluation mode, on the CPU.
        datamodule: its split "train" is learned, its split "val", where there is one, is only looked at.
        run: a run (`Project.new_run()`), or the URL of a new or unfinished one; None makes one in a temporary folder.
        epochs: passes over the training images; 30 if neither this nor ``budget_s`` is given.
        budget_s: seconds that the whole call may take; the learning rate has come down when they are over.
        patience: stop after so many validations without a lower loss, and keep the best weights; None trains to the
            end and keeps the last.
        ema: keep a moving average of the weights, see `onlineml.tasks.ema.Ema`.
        progress: ``"lines"``, ``"live"`` (in a notebook) or ``"none"``.
        precision: Lightning's; None is bfloat16 mixed on a GPU that has it, else 32 bits.
        accelerator: Lightning's.
        callbacks: Lightning callbacks of yours.
        storage_options: opens the run's URL, where ``run`` is one.

    Returns:
        The run, finished.

    Raises:
        ConfigError: arguments contradict each other, the classes differ, or an unfinished run was of another kind.
        AlreadyExistsError: the run is finished.
        TrainingError: the loss is not finite.
        TooManyBadImagesError: the datamodule's budget for bad images is spent.
    """
    if epochs is not None and budget_s is not None:
        raise ConfigError(f"epochs={epochs} and budget_s={budget_s}: expected one of them")
    if epochs is not None and epochs < 1:
        raise ConfigError(f"epochs={epochs}: expected at least 1")
    _check_classes(model, datamodule)
    if epochs is None and budget_s is None:
        epochs = _EPOCHS
    spec = _spec(model, datamodule, epochs=epochs, budget_s=budget_s)
    record = _open_run(run, spec, storage_options)
    with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
        training = _Training(model, datamodule, record, Path(folder), epochs=epochs, budget_s=budget_s)
        training.prepare(patience=patience, ema=ema, progress=progress)
        training.execute(precision=precision, accelerator=accelerator, callbacks=callbacks)
    return record


class _Training:
    """One call of `fit`."""

    def __init__(
        self,
        model: ImageClassifier,
        datamodule: ClassificationDataModule,
        run: Run,
        folder: Path,
        *,
        epochs: int | None,
        budget_s: float | None,
    ) -> None:
        self.model, self.datamodule, self.run, self.folder = model, datamodule, run, folder
        self.epochs, self.budget_s = epochs, budget_s
        self.checkpoint = _fetch_checkpoint(run, folder)
        self.clock = Clock(spent_s=_spent(self.checkpoint))

    def prepare(self, *, patience: int | None, ema: bool, progress: Progress) -> None:
        self.loader = self.datamodule.train_dataloader()
        if self.epochs is not None:
            schedule = Schedule.of_length(self.epochs * len(self.loader))
        else:
            schedule = Schedule(_read_knots(self.run))
        self.model.schedule = schedule
        val = self.datamodule.val_dataloader()
        self.ema = Ema() if ema else None
        kept = [] if self.checkpoint is None else self.run.metrics()
        self.record = EpochRecord(
            val if len(val) else None,
            ema=self.ema,
            clock=self.clock,
            record=self.run.log_metrics,
            show=make_reporter(progress),
            patience=patience,
            saves_time=self.budget_s is not None,
            rows=kept,
        )
        self.callbacks: list[pl.Callback] = [] if self.ema is None else [self.ema]
        if self.budget_s is not None:
            budget = Budget(
                schedule,
                budget_s=self.budget_s,
                clock=self.clock,
                reserve_s=self._reserve_s,
                record=lambda _: _write_knots(self.run, schedule),
            )
            self.callbacks.append(budget)
        checkpoints = Checkpoints(
            self.folder,
            publish=lambda path: upload_file(
                path, self.run.path("last.ckpt"), storage_options=self.run.storage_options
            ),
            clock=self.clock,
        )
        self.callbacks += [self.record, checkpoints]

    def _reserve_s(self, step_s: float) -> float:
        """Seconds that the last validation and writing the model will take."""
        n_val = 0 if self.record.val_batches is None else len(self.datamodule.rows_of("val"))
        forward_s = step_s * n_val / self.datamodule.batch_size / 3  # a step costs three forward passes
        validation_s: float = forward_s if self.record.validation_s is None else self.record.validation_s
        size = sum(int(t.numel()) * t.element_size() for t in self.model.state_dict().values())
        return validation_s + size / 200e6 + 0.1  # 200 MB/s: serialise, hash and write

    def execute(self, *, precision: str | None, accelerator: str, callbacks: Sequence[pl.Callback]) -> None:
        self.run.set_status("running")
        try:
            with _quiet(), _interruptible():
                trainer = pl.Trainer(
                    max_epochs=-1 if self.epochs is None else self.epochs,
                    accelerator=accelerator,
                    devices=1,
                    precision=_precision(precision, accelerator),  # type: ignore[arg-type]
                    callbacks=[*self.callbacks, *callbacks],
                    default_root_dir=self.folder,
                    limit_val_batches=0,  # EpochRecord validates: the averaged weights, when it is worth the time
                    logger=False,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                    gradient_clip_val=self.model.gradient_clip,
                )
                trainer.fit(self.model, datamodule=self.datamodule, ckpt_path=self.checkpoint, weights_only=True)
            self._finish()
        except KeyboardInterrupt:
            self.run.set_status("stopped", facts={"by": "interrupt"})
            raise
        except Exception as error:
            self.run.set_status("failed", facts={"error": f"{type(error).__name__}: {error}"[:2000]})
            raise
        finally:
            self.model.schedule = None
            self.model.eval()

    def _finish(self) -> None:
        if self.record.best is not None:
            self.model.load_state_dict(self.record.best[1])
        elif self.ema is not None:
            self.ema.keep(self.model)
        self.record.ema = None
        last = self.record.last_row | self.record.validate(self.model)
        self.record.keep(last)
        write_model(self.model, self.run)
        facts = {k: last[k] for k in ("step", "train_loss", "val_loss", "val_accuracy")}
        self.run.set_status("finished", facts=facts | {"seconds": round(self.clock.spent(), 2)})


def _check_classes(model: ImageClassifier, datamodule: ClassificationDataModule) -> None:
    if tuple(model.class_names) != tuple(datamodule.manifest.class_names):
        raise ConfigError(
            f"the model's classes {list(model.class_names)[:20]} are not those of the manifest, "
            f"{list(datamodule.manifest.class_names)[:20]}, in the same order: build the model with "
            "class_names=manifest.class_names"
        )


def _spec(
    model: ImageClassifier, datamodule: ClassificationDataModule, *, epochs: int | None, budget_s: float | None
) -> dict[str, Any]:
    return {
        "task": "classification",
        "backbone": model.backbone_name or type(model.network).__name__,
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


def _open_run(run: Run | str | Path | None, spec: Mapping[str, Any], options: Mapping[str, Any] | None) -> Run:
    """The run to write to; its spec is set when it is new and compared when it goes on."""
    if run is None:
        run = Path(tempfile.gettempdir()) / "onlineml-runs" / new_run_id()
    if not isinstance(run, Run):
        url = str(run)
        if not exists(f"{url.rstrip('/')}/spec.json", storage_options=options):
            return Run.create(url, spec=spec, storage_options=options)
        run = Run.open(url, storage_options=options)
    if run.status().get("state") == "finished":
        raise AlreadyExistsError(f"the run {run.url} is finished; give fit() a new run, or the URL of a new one")
    differ = {k: (run.spec[k], v) for k, v in spec.items() if k in run.spec and run.spec[k] != v}
    if differ:
        told = "; ".join(f"{k} was {a!r}, now {b!r}" for k, (a, b) in differ.items())
        raise ConfigError(f"the run {run.url} was started otherwise ({told[:500]}): go on as it was, or use a new run")
    run.update_spec(spec)
    return run


def _fetch_checkpoint(run: Run, folder: Path) -> Path | None:
    try:
        data = read_bytes(run.path("last.ckpt"), storage_options=run.storage_options)
    except NotFoundError:
        return None
    path = folder / "resume.ckpt"
    path.write_bytes(data)
    return path


def _spent(checkpoint: Path | None) -> float:
    if checkpoint is None:
        return 0.0
    states = torch.load(io.BytesIO(checkpoint.read_bytes()), map_location="cpu", weights_only=True)["callbacks"]
    return float(next(state["spent_s"] for state in states.values() if "spent_s" in state))


def _read_knots(run: Run) -> list[Knot]:
    try:
        data = read_bytes(run.path("schedule.json"), storage_options=run.storage_options)
    except NotFoundError:
        return []
    return [Knot(**knot) for knot in json.loads(data)]


def _write_knots(run: Run, schedule: Schedule) -> None:
    data = json.dumps([asdict(knot) for knot in schedule.knots]).encode()
    write_bytes(run.path("schedule.json"), data, storage_options=run.storage_options)


def _precision(precision: str | None, accelerator: str) -> str:
    if precision is not None:
        return precision
    if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bf16-mixed"
    return "32-true"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's notes on what hardware it found, and what torch says to Lightning about its own calls."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6.6 with torch 2.15
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """An interrupt stays a KeyboardInterrupt: Lightning makes it an exit and leaves the signal ignored."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
