"""`fit`: what it leaves in a run, what goes wrong, and that nothing depends on workers, kills or storage."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import nullcontext
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import pytorch_lightning as pl
import torch

import onlineml as oml
from made_up_time import MadeUpTime
from onlineml.errors import (
    AlreadyExistsError,
    ConfigError,
    DataError,
    DivergedError,
    StoppedError,
    StorageError,
    TooManyBadImagesError,
    TrainingError,
)
from onlineml.models.start.origin import Origin
from onlineml.runs.run import Run
from onlineml.storage import io
from onlineml.tasks.files import WithFiles
from onlineml.tasks.schedule import Knot, Schedule, lr_factor
from onlineml.training import budget, callbacks, checkpoints, training, warm_up
from onlineml.training.checkpoints import Checkpoints
from places import SUPPORT
from s3_server import SECRET
from tiny import (
    CLASSES,
    TinyNet,
    jpeg,
    make_photos,
    picture,
    same_weights,
    stirred,
    tiny_data,
    tiny_model,
    weights_of,
)
from tiny_labels import label_data, label_manifest, label_model

if TYPE_CHECKING:
    from stores import Store

TIMES = {"seconds", "epoch_s", "images_per_s"}
STEPS = 4  # of an epoch: 36 images in batches of 8, without the rest


class Watch(pl.Callback):
    """The learning rate of each step, and a chance to break in after one."""

    def __init__(self, *, at: int | None = None, then: Any = None) -> None:
        self.at, self.then = at, then
        self.lr: dict[int, float] = {}
        self.images: dict[int, list[str]] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.lr[trainer.global_step] = trainer.optimizers[0].param_groups[0]["lr"]
        self.images[trainer.global_step] = list(batch["image_id"])

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.break_in(trainer.global_step)

    def on_train_end(self, trainer, pl_module) -> None:
        self.break_in(trainer.global_step)

    def break_in(self, step: int) -> None:
        """After a step and all that belongs to it, and before the next."""
        if step == self.at:
            if isinstance(self.then, type):
                raise self.then("broken in")
            self.then()


class Arrived(Checkpoints):
    """Goes on once a checkpoint is where it belongs."""

    def _publish(self) -> None:
        super()._publish()
        self._wait_for_upload()


@pytest.fixture
def checkpoint_steps(monkeypatch: pytest.MonkeyPatch):
    """Choose the steps after which a checkpoint is written; by default every one."""

    def choose(steps: set[int] | None = None) -> None:
        class Chosen(Arrived):
            def save(self, trainer) -> None:
                if steps is None or trainer.global_step in steps:
                    super().save(trainer)

        monkeypatch.setattr(checkpoints, "_SHARE", math.inf)
        monkeypatch.setattr(training, "Checkpoints", partial(Chosen, every_s=0.0))

    choose()
    return choose


def fit(model: oml.ImageClassifier, data: oml.ClassificationDataModule, run: Any, **options: Any) -> Run:
    return oml.fit(model, data, run=run, **{"progress": "none", "accelerator": "cpu", **options})


def rows_of(run: Run) -> list[dict[str, Any]]:
    return [{k: str(v) for k, v in row.items() if k not in TIMES} for row in run.metrics()]


# ---- a run that goes well ----


def test_what_a_run_leaves(store: Store, manifest: oml.Manifest) -> None:
    if store.kind == "s3":
        assert SECRET in store.storage_options.values()
    model = tiny_model(lr=1e-2)
    fresh = weights_of(model)
    run = oml.fit(
        model,
        tiny_data(manifest),
        run=f"{store.url}/run",
        epochs=3,
        progress="none",
        accelerator="cpu",
        storage_options=store.storage_options,
    )

    assert store.raw_names() == [f"run/{n}" for n in RUN_FILES]
    for name in store.raw_names():
        assert SECRET.encode() not in store.raw_read(name)
    spec = json.loads(store.raw_read("run/spec.json"))
    assert spec["manifest_hash"] == manifest.hash
    assert spec["class_names"] == list(CLASSES)
    assert (spec["epochs"], spec["budget_s"], spec["size_hw"], spec["batch_size"]) == (3, None, [32, 32], 8)
    status = json.loads(store.raw_read("run/status.json"))
    rows = [json.loads(line) for line in store.raw_read("run/metrics.jsonl").splitlines()]
    assert status["state"] == "finished"
    assert status["step"] == 3 * STEPS
    assert status["val_accuracy"] == rows[-1]["val_accuracy"]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert [row["step"] for row in rows] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert [row["progress"] for row in rows] == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(math.isfinite(v) for row in rows for v in row.values())
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    for row in rows:
        assert row["images_per_s"] == pytest.approx(32 / row["epoch_s"])
    assert not torch.equal(model.head.weight, fresh["network.head.weight"])  # a run of few steps learns, too
    assert not model.training
    assert all(p.device.type == "cpu" for p in model.parameters())
    assert Run.open(run.url, storage_options=store.storage_options).metrics() == run.metrics()
    loaded = oml.load_model(
        f"{store.url}/run/model", backbone=tiny_model().network, storage_options=store.storage_options
    )
    assert same_weights(weights_of(loaded), weights_of(model))


RUN_FILES = ["metrics.jsonl", "model/model.json", "model/weights.safetensors", "spec.json", "status.json"]


def test_the_figures_of_the_last_row_are_those_of_the_model_that_is_kept(manifest, tmp_path: Path) -> None:
    model, data = tiny_model(lr=1e-2), tiny_data(manifest)
    run = fit(model, data, tmp_path / "run", epochs=2)

    batches = list(data.loader("val"))
    with torch.no_grad():
        logits = torch.cat([model(batch["image"]) for batch in batches])
    labels = torch.cat([batch["label"] for batch in batches])
    last = run.metrics()[-1]
    assert last["val_loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert last["val_accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_it_learns(manifest, tmp_path: Path) -> None:
    model = tiny_model(lr=2e-2)
    run = fit(model, tiny_data(manifest), tmp_path / "run", epochs=12)

    assert run.metrics()[-1]["val_accuracy"] >= 0.9
    assert run.metrics()[-1]["train_loss"] < run.metrics()[0]["train_loss"]


def test_without_a_validation_split_its_figures_are_nan(photos: Path, tmp_path: Path) -> None:
    only = oml.Manifest.from_folders(str(photos)).select(split="train")
    run = fit(tiny_model(), tiny_data(only), tmp_path / "run", epochs=2)

    assert len(run.metrics()) == 2
    assert all(math.isnan(row["val_loss"]) and math.isnan(row["val_accuracy"]) for row in run.metrics())
    assert run.status()["val_loss"] is None


def test_without_a_url_there_is_a_run_all_the_same(manifest, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = fit(tiny_model(), tiny_data(manifest), None, epochs=1)

    assert run.url.startswith(str(tmp_path))
    (folder,) = tmp_path.iterdir()  # nothing else is left lying about
    assert folder.stat().st_mode & 0o077 == 0


def test_a_projects_run(manifest, tmp_path: Path) -> None:
    project = oml.Project.create(str(tmp_path / "project"))
    run = fit(tiny_model(), tiny_data(manifest), project.runs.new(), epochs=1)

    assert [r.url for r in project.runs.list()] == [run.url]
    assert project.runs.list()[0].status()["state"] == "finished"


# ---- how it shows itself ----


def test_one_line_an_epoch(manifest, tmp_path: Path, capsys) -> None:
    fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=3, progress="lines")
    printed = capsys.readouterr()

    assert [line.split()[:2] for line in printed.out.splitlines()] == [["epoch", str(i)] for i in range(3)]
    assert printed.err == ""


def test_a_live_panel(manifest, tmp_path: Path, monkeypatch, capsys) -> None:
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda value, **_: shown.append(value))
    fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=2, progress="live")

    (panel,) = shown
    facts = panel.facts()
    assert facts.state == "finished"
    assert [row["epoch"] for row in facts.rows] == [0, 1]
    assert facts.samples[:4] == b"\x89PNG"
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("progress", "number"), [("live", signal.SIGINT), ("lines", signal.SIGINT), ("none", signal.SIGTERM)]
)
def test_an_interrupt_stores_a_checkpoint_and_the_same_run_goes_on_to_the_same_weights(
    manifest, tmp_path: Path, monkeypatch, progress, number
) -> None:
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    whole, model = tiny_model(), tiny_model()
    fit(whole, tiny_data(manifest), tmp_path / "whole", epochs=2)
    run = Run.create(tmp_path / "run")
    for at, step in ((1, 2), (3, 4)):  # twice, with the same object
        watch = Watch(at=at, then=lambda: signal.raise_signal(number))
        with pytest.raises(StoppedError, match=f"after step {step}; call fit.* again .*the run is {run.url}"):
            fit(model, tiny_data(manifest), run, epochs=2, progress=progress, callbacks=[watch])
        status = run.status()
        assert status["state"] == "stopped"
        assert status["remedy"].startswith("to continue, call fit(model, datamodule, run=…) with this run")
        assert not run.stop_requested
        model = tiny_model()
    fit(model, tiny_data(manifest), run, epochs=2, progress=progress)

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert run.status()["state"] == "finished"
    assert run.status()["remedy"] is None
    assert same_weights(weights_of(whole), weights_of(model))


# ---- what is refused ----


def test_patience_needs_validation(manifest, tmp_path: Path) -> None:
    data = tiny_data(manifest.select(split="train"))
    with pytest.raises(ConfigError, match="patience=2 needs validation, and the split 'val' has no annotated images"):
        fit(tiny_model(), data, tmp_path / "run", epochs=1, patience=2)

    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_are_numbers(manifest, tmp_path: Path) -> None:
    assert fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=np.int64(1)).spec["epochs"] == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"epochs": 1, "budget_s": 1.0}, "epochs=1 and budget_s=1.0: expected one of them"),
        ({"epochs": 0}, "epochs=0: expected at least 1"),
        ({"budget_s": 0}, "budget_s=0: expected more than 0 seconds"),
        ({"epochs": 1, "patience": 0}, "patience=0: expected at least 1"),
        ({"epochs": 1, "devices": 0}, "devices=0: expected their number"),
        ({"epochs": 1, "progress": "auto"}, "progress='auto': expected one of lines, live, none"),
        ({"epochs": "10"}, "epochs='10' is a str: expected a whole number, at least 1, or None"),
        ({"epochs": True}, "epochs=True is a bool: expected a whole number"),
        ({"budget_s": "10"}, "budget_s='10' is a str: expected more than 0 seconds"),
        ({"epochs": 1, "ema": "no"}, "ema='no' is a str: expected True or False"),
        ({"epochs": 1, "precision": "b16"}, "Precision 'b16' is invalid"),
        ({"epochs": 1, "accelerator": "gpuu"}, "You selected an invalid accelerator name"),
        ({"epochs": 1, "logger": "tensorboard"}, "logger contains 'tensorboard': expected a Lightning logger"),
        ({"epochs": 1, "callbacks": [pl.callbacks.EarlyStopping]}, "expected a Lightning callback, or a list"),
    ],
)
def test_contradictions_are_refused_before_there_is_a_run(manifest, tmp_path: Path, options, told: str) -> None:
    with pytest.raises(ConfigError) as found:
        fit(tiny_model(), tiny_data(manifest), tmp_path / "run", **options)

    assert told in str(found.value)
    assert not (tmp_path / "run").exists()


def test_loggers_get_the_spec_and_every_row(manifest, tmp_path: Path) -> None:
    class Noted(pl.loggers.CSVLogger):
        told: Any = None

        def log_hyperparams(self, params: Any = None) -> None:
            self.told = params

    loggers = [Noted(tmp_path / name) for name in "ab"]
    run = fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=2, logger=loggers, devices=1)

    rows = run.metrics()
    for logger in loggers:
        assert logger.told["manifest_hash"] == manifest.hash
        with (Path(logger.log_dir) / "metrics.csv").open(encoding="utf-8") as file:
            logged = list(csv.DictReader(file))
        assert [int(row["step"]) for row in logged] == [row["step"] for row in rows] == [STEPS, 2 * STEPS]
        for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
            assert [float(row[name]) for row in logged] == pytest.approx([row[name] for row in rows])


def test_one_logger_alone(manifest, tmp_path: Path) -> None:
    logger = pl.loggers.CSVLogger(tmp_path / "csv")
    fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=1, logger=logger)
    assert (Path(logger.log_dir) / "metrics.csv").is_file()


def test_a_csv_log_of_a_resumed_run_is_whole(manifest, tmp_path: Path, interruptible) -> None:
    run = Run.create(tmp_path / "run")
    watch = Watch(at=STEPS + 1, then=run.request_stop)
    for watching, ends in (([watch], pytest.raises(StoppedError)), ([], nullcontext())):
        logger = pl.loggers.CSVLogger(tmp_path, "csv", version=0)
        with ends, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's: the earlier file is deleted
            fit(tiny_model(), tiny_data(manifest), run, epochs=2, logger=logger, callbacks=watching)

    with (tmp_path / "csv/version_0/metrics.csv").open(encoding="utf-8") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [STEPS, 2 * STEPS]


def test_a_manifest_is_no_datamodule(manifest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"datamodule is a Manifest: expected one .*onlineml\.datamodule_for\(data\)"):
        fit(tiny_model(), manifest, tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()


def test_other_classes_are_refused(manifest, tmp_path: Path) -> None:
    for names in (["red", "green", "blue"], ["blue", "green"]):
        with pytest.raises(ConfigError, match=r"are not those of the manifest.*class_names=manifest\.class_names"):
            fit(tiny_model(class_names=names), tiny_data(manifest), tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_refused(manifest, tmp_path: Path) -> None:
    run = fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=1)
    before = run.metrics()
    for again in (run, run.url):
        with pytest.raises(AlreadyExistsError, match="is finished; pass a new"):
            fit(tiny_model(), tiny_data(manifest), again, epochs=1)

    assert Run.open(run.url).metrics() == before


def test_an_unfinished_run_of_another_kind_is_refused_with_what_changed(manifest, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken in"):
        fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=2, callbacks=[Watch(at=1, then=RuntimeError)])
    relabelled = manifest.with_labels({manifest.column("image_id")[0]: "red"})
    changes = [
        (tiny_model(lr=0.5), tiny_data(manifest), {}, "lr was 0.002, now 0.5"),
        (tiny_model(), tiny_data(manifest, batch_size=4), {}, "batch_size was 8, now 4"),
        (tiny_model(), tiny_data(manifest, seed=1), {}, "seed was 0, now 1"),
        (tiny_model(), tiny_data(manifest), {"epochs": 3}, "epochs was 2, now 3"),
        (tiny_model(), tiny_data(manifest), {"epochs": None, "budget_s": 5}, "budget_s was None, now 5"),
        (tiny_model(), tiny_data(relabelled), {}, "manifest_hash was"),
    ]
    for model, data, options, told in changes:
        with pytest.raises(ConfigError, match="has other settings") as found:
            fit(model, data, tmp_path / "run", **{"epochs": 2, **options})
        assert told in str(found.value)
    assert Run.open(tmp_path / "run").status()["state"] == "failed"


# ---- what goes wrong while it runs ----


class Poisoned(torch.nn.Module):
    """Gives nan for pictures that are black, or for all from a step on."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = inner, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.inner(x)
        black = (x.amax((1, 2, 3)) < -1.5).unsqueeze(1)  # nothing but black is so dark after normalisation
        return torch.where(black, torch.full_like(logits, math.nan), logits)


def test_an_image_that_gives_nan_is_named(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "images")
    black = folder / "train" / "red" / "black.jpg"
    black.write_bytes(jpeg(picture((0, 0, 0), seed=0) * 0))
    manifest = oml.Manifest.from_folders(str(folder))
    bad = next(i for i, uri in zip(manifest.column("image_id"), manifest.column("uri"), strict=True) if "black" in uri)
    model = oml.ImageClassifier(class_names=CLASSES, backbone=Poisoned(tiny_model().network))

    with pytest.raises(TrainingError, match="is not finite for some images only: look at them") as found:
        fit(model, tiny_data(manifest, augment="none"), tmp_path / "run", epochs=3)
    assert f"image_id: ['{bad}']" in str(found.value)
    status = Run.open(tmp_path / "run").status()
    assert status["state"] == "failed"
    assert bad in status["error"]
    assert status["error"].startswith("TrainingError: ")


def test_weights_that_diverged_are_called_so(manifest, tmp_path: Path) -> None:
    model = tiny_model(lr=1e30, optimizer="sgd", warmup_steps=0)
    model.gradient_clip = None

    before = weights_of(model)
    with pytest.raises(DivergedError, match=r"the weights have diverged: lower lr \(now 1e\+30\)"):
        fit(model, tiny_data(manifest), tmp_path / "run", epochs=3)
    assert Run.open(tmp_path / "run").status()["state"] == "failed"
    assert same_weights(weights_of(model), before)  # the last ones with a finite loss, as no checkpoint was due


class Explode(pl.Callback):
    """Spoils the weights after a step, and calls ``at_once``, or ``later`` before the next step."""

    def __init__(self, at_once=bool, later=bool) -> None:
        self.at_once, self.later = at_once, later

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_step == 7:
            with torch.no_grad():
                pl_module.network.head.weight.mul_(1e38).mul_(1e3)
            self.at_once()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step == 7:
            self.later()


@pytest.mark.usefixtures("checkpoint_steps")
def test_after_divergence_the_same_run_goes_on_from_the_last_good_weights(manifest, tmp_path: Path) -> None:
    model = tiny_model(lr=1e-2)
    with pytest.raises(DivergedError):
        fit(model, tiny_data(manifest), tmp_path / "run", epochs=3, ema=False, callbacks=[Explode()])
    saved = torch.load(tmp_path / "run/last.ckpt", weights_only=True)
    assert saved["global_step"] == 6
    assert same_weights(weights_of(model), saved["state_dict"])
    assert all(value.isfinite().all() for value in model.state_dict().values())

    with pytest.raises(ConfigError, match="has other settings"):
        fit(model, tiny_data(manifest), tmp_path / "run", epochs=4, ema=False)
    model.lr = 1e-3
    run = fit(model, tiny_data(manifest), tmp_path / "run", epochs=3, ema=False)
    assert run.status()["state"] == "finished"
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2]
    assert math.isfinite(run.metrics()[-1]["train_loss"])


@pytest.mark.usefixtures("checkpoint_steps")
def test_a_checkpoint_counts_only_rows_that_are_stored(manifest) -> None:
    run = Run.create("memory://stored/run")
    seen = []

    def look() -> None:
        if not io.exists(run.location / "last.ckpt"):
            return
        saved = torch.load(BytesIO(io.read_bytes(run.location / "last.ckpt")), weights_only=True)
        n_rows = next(state["n_rows"] for state in saved["callbacks"].values() if "n_rows" in state)
        stored = run.location / "metrics.jsonl"
        seen.append((n_rows, io.read_bytes(stored).count(b"\n") if io.exists(stored) else 0))

    fit(
        tiny_model(), tiny_data(manifest), run, epochs=3, callbacks=[Watch(at=step, then=look) for step in range(1, 15)]
    )
    assert max(n_rows for n_rows, _ in seen) == 2
    assert all(n_rows <= n_stored for n_rows, n_stored in seen), seen


@pytest.mark.usefixtures("checkpoint_steps")
def test_whoever_stops_at_the_step_that_diverges_keeps_the_last_good_weights(manifest, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stopped, broken = Run.create(tmp_path / "stopped"), Run.create(tmp_path / "broken")
    asks, breaks = Explode(at_once=stopped.request_stop), Explode(later=interrupt)
    for run, ends, error in ((stopped, asks, DivergedError), (broken, breaks, KeyboardInterrupt)):
        with pytest.raises(error):
            fit(tiny_model(lr=1e-2), tiny_data(manifest), run, epochs=3, ema=False, callbacks=[ends])
        saved = torch.load(tmp_path / run.id / "last.ckpt", weights_only=True)
        assert saved["global_step"] == 6
        assert all(value.isfinite().all() for value in saved["state_dict"].values())


@pytest.mark.parametrize("ending", [None, RuntimeError, KeyboardInterrupt])
def test_the_processes_of_the_loader_end_with_the_training(manifest, tmp_path: Path, ending) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    model, data = tiny_model(), tiny_data(manifest, num_workers=1)
    caught: Any = None
    try:
        fit(model, data, tmp_path / "run", epochs=1, callbacks=[Watch(at=2, then=ending)] if ending else [])
    except BaseException as error:  # noqa: BLE001 (kept, with its frames, as a notebook keeps the last one)
        caught = error
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    assert type(caught) is (ending or type(None))
    assert [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert not [one for one in threading.enumerate() if one.name == "onlineml-loader"]


@pytest.fixture
def interruptible():
    """Ctrl+C interrupts, also where these tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_ends_at_once(manifest, tmp_path: Path, interruptible) -> None:
    before = signal.getsignal(signal.SIGINT)

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=3, callbacks=[Watch(at=2, then=twice)])
    assert signal.getsignal(signal.SIGINT) is before
    assert Run.open(tmp_path / "run").status()["state"] == "stopped"
    with pytest.raises(SystemExit):  # nobody's interrupt
        fit(tiny_model(), tiny_data(manifest), tmp_path / "exit", epochs=3, callbacks=[Watch(at=2, then=SystemExit)])
    assert Run.open(tmp_path / "exit").status()["state"] == "stopped"
    watch = Watch(at=2, then=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model(), tiny_data(manifest), tmp_path / "other", epochs=3, callbacks=[watch])
    assert signal.getsignal(signal.SIGINT) is before
    assert Run.open(tmp_path / "other").status()["state"] == "stopped"


def test_bad_images_beyond_the_budget_stop_the_run_with_their_table(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "images")
    for i in range(3):
        (folder / "train" / "red" / f"broken{i}.jpg").write_bytes(b"no image at all")
    manifest = oml.Manifest.from_folders(str(folder))

    with pytest.raises(TooManyBadImagesError, match="in the split 'train', 1 of 39 images is bad") as found:
        fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=2)
    assert set(found.value.table["finding"]) == {"unreadable"}
    assert Run.open(tmp_path / "run").status()["state"] == "failed"
    run = fit(tiny_model(), tiny_data(manifest, max_bad=0.2), tmp_path / "other", epochs=2)
    assert run.status()["state"] == "finished"


def test_nothing_to_train_on_is_told_before_there_is_a_run(manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the split 'train' has no annotated images"):
        fit(tiny_model(), tiny_data(manifest.select(split="val")), tmp_path / "run", epochs=1)

    assert not (tmp_path / "run").exists()


def test_the_model_can_be_used_after_a_failure(manifest, tmp_path: Path) -> None:
    model = tiny_model()
    with pytest.raises(RuntimeError, match="broken in"):
        fit(model, tiny_data(manifest), tmp_path / "run", epochs=2, callbacks=[Watch(at=3, then=RuntimeError)])

    assert not model.training
    assert model.schedule is None
    fit(model, tiny_data(manifest), tmp_path / "other", epochs=1)


# ---- the same seed, the same result ----


def test_the_same_seed_gives_the_same_weights_with_any_workers(manifest, tmp_path: Path) -> None:
    found, rows = [], []
    for i, workers in enumerate((0, 0, 1, 4)):
        torch.manual_seed(i)  # whatever was drawn before
        model = tiny_model(lr=1e-2, norm=True, dropout=0.3, mix="cutmix")
        run = fit(model, tiny_data(manifest, num_workers=workers), tmp_path / f"run-{i}", epochs=2)
        found.append(weights_of(model))
        rows.append(rows_of(run))

    assert all(same_weights(found[0], other) for other in found[1:])
    assert all(rows[0] == other for other in rows[1:])
    other = tiny_model(lr=1e-2, norm=True, dropout=0.3, mix="cutmix")
    fit(other, tiny_data(manifest, seed=1), tmp_path / "other", epochs=2)
    assert not same_weights(found[0], weights_of(other))


# ---- killed and resumed ----


@pytest.fixture(scope="module")
def uninterrupted(manifest, tmp_path_factory) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]], Watch]:
    model, watch = stirred(), Watch()
    run = fit(model, tiny_data(manifest), tmp_path_factory.mktemp("whole") / "run", epochs=3, callbacks=[watch])
    return weights_of(model), rows_of(run), watch


@pytest.mark.parametrize("step", [1, 3, 4, 5, 8, 11, 12])
def test_killed_and_resumed_is_as_if_nothing_had_been(
    manifest, tmp_path: Path, uninterrupted, checkpoint_steps, step: int
) -> None:
    weights, rows, whole = uninterrupted
    with pytest.raises(RuntimeError, match="broken in"):
        fit(stirred(), tiny_data(manifest), tmp_path, epochs=3, callbacks=[Watch(at=step, then=RuntimeError)])
    assert Run.open(tmp_path).status()["state"] == "failed"
    assert (tmp_path / "last.ckpt").exists()
    assert not [*tmp_path.glob(".*")]
    (tmp_path / ".last.ckpt.0123456789abcdef.tmp").write_bytes(b"of a process that was killed while it wrote")

    model, watch = stirred(), Watch()
    run = fit(model, tiny_data(manifest), tmp_path, epochs=3, callbacks=[watch])

    assert sorted(watch.lr) == list(range(step + 1, 13))  # it went on, and did not begin again
    assert all(watch.images[s] == whole.images[s] for s in watch.images)
    assert all(watch.lr[s] == whole.lr[s] for s in watch.lr)
    assert same_weights(weights_of(model), weights)
    assert rows_of(run) == rows
    assert run.status()["state"] == "finished"
    assert run.status()["error"] is None
    assert not [*tmp_path.glob("*last.ckpt*"), *tmp_path.glob(".*")]


@pytest.mark.parametrize(("saved", "killed"), [(2, 3), (3, 6), (2, 11), (5, 9)])
def test_what_was_done_after_the_checkpoint_is_done_and_told_again(
    *, manifest, tmp_path: Path, uninterrupted, checkpoint_steps, saved: int, killed: int
) -> None:
    weights, rows, _ = uninterrupted
    checkpoint_steps({saved})
    with pytest.raises(RuntimeError, match="broken in"):
        fit(stirred(), tiny_data(manifest), tmp_path, epochs=3, callbacks=[Watch(at=killed, then=RuntimeError)])
    model = stirred()
    run = fit(model, tiny_data(manifest), tmp_path, epochs=3)

    assert same_weights(weights_of(model), weights)
    assert rows_of(run) == rows  # each epoch once


class Broken(pl.Callback):
    """Fails at the end of the second epoch, when its row is written already."""

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("broken in")


def test_killed_at_the_end_of_an_epoch(manifest, tmp_path: Path, uninterrupted, checkpoint_steps) -> None:
    weights, rows, _ = uninterrupted
    with pytest.raises(RuntimeError, match="broken in"):
        fit(stirred(), tiny_data(manifest), tmp_path, epochs=3, callbacks=[Broken()])
    assert len(Run.open(tmp_path).metrics()) == 2
    model = stirred()
    run = fit(model, tiny_data(manifest), tmp_path, epochs=3)

    assert same_weights(weights_of(model), weights)
    assert rows_of(run) == rows


def test_killed_before_the_first_checkpoint_begins_again(manifest, tmp_path: Path, uninterrupted) -> None:
    weights, rows, _ = uninterrupted
    with pytest.raises(RuntimeError, match="broken in"):
        fit(stirred(), tiny_data(manifest), tmp_path, epochs=3, callbacks=[Watch(at=6, then=RuntimeError)])
    assert not (tmp_path / "last.ckpt").exists()
    model = stirred()
    run = fit(model, tiny_data(manifest), tmp_path, epochs=3)

    assert same_weights(weights_of(model), weights)
    assert rows_of(run) == rows


def test_killed_after_its_model_was_written(
    manifest, tmp_path: Path, uninterrupted, checkpoint_steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, rows, _ = uninterrupted

    def save_and_break(model, url) -> None:
        WithFiles.save(model, url)
        raise RuntimeError("broken in")

    with monkeypatch.context() as patch:
        patch.setattr(oml.ImageClassifier, "save", save_and_break)
        with pytest.raises(RuntimeError, match="broken in"):
            fit(stirred(), tiny_data(manifest), tmp_path, epochs=3)
    assert (tmp_path / "model/model.json").exists()
    model = stirred()
    run = fit(model, tiny_data(manifest), tmp_path, epochs=3)

    assert same_weights(weights_of(model), weights)
    assert rows_of(run) == rows
    assert run.status()["state"] == "finished"


def test_a_damaged_checkpoint_says_how_to_go_on(manifest, tmp_path: Path, uninterrupted, checkpoint_steps) -> None:
    with pytest.raises(RuntimeError, match="broken in"):
        fit(stirred(), tiny_data(manifest), tmp_path, epochs=3, callbacks=[Watch(at=6, then=RuntimeError)])
    checkpoint = tmp_path / "last.ckpt"
    whole = checkpoint.read_bytes()
    tensor = torch.load(checkpoint, weights_only=True)["state_dict"]["network.head.weight"].numpy().tobytes()
    flipped = whole.replace(tensor, tensor[:-1] + bytes([tensor[-1] ^ 1]))
    assert sum(a != b for a, b in zip(whole, flipped, strict=True)) >= 1
    for damaged in (b"", b"no checkpoint", whole[: len(whole) // 2], flipped):
        checkpoint.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"last\.ckpt is damaged \(\w+\): .*delete it"):
            fit(stirred(), tiny_data(manifest), tmp_path, epochs=3)
    checkpoint.unlink()
    model = stirred()
    fit(model, tiny_data(manifest), tmp_path, epochs=3)
    assert same_weights(weights_of(model), uninterrupted[0])


def test_killed_twice_with_workers_and_patience(manifest, tmp_path: Path, checkpoint_steps) -> None:
    whole = stirred()
    expected = fit(whole, tiny_data(manifest), tmp_path / "whole", epochs=4, patience=2)
    for at, workers in ((3, 1), (10, 0)):
        with pytest.raises(RuntimeError, match="broken in"):
            fit(
                stirred(),
                tiny_data(manifest, num_workers=workers),
                tmp_path / "run",
                epochs=4,
                patience=2,
                callbacks=[Watch(at=at, then=RuntimeError)],
            )
    model = stirred()
    run = fit(model, tiny_data(manifest, num_workers=1), tmp_path / "run", epochs=4, patience=2)

    assert same_weights(weights_of(model), weights_of(whole))
    assert rows_of(run) == rows_of(expected)


def test_resumed_on_any_storage(store: Store, manifest, uninterrupted, checkpoint_steps) -> None:
    weights, rows, _ = uninterrupted
    url, options = f"{store.url}/run", {"epochs": 3, "storage_options": store.storage_options}
    with pytest.raises(RuntimeError, match="broken in"):
        fit(stirred(), tiny_data(manifest), url, callbacks=[Watch(at=6, then=RuntimeError)], **options)
    for name in store.raw_names():
        assert SECRET.encode() not in store.raw_read(name)
    model = stirred()
    run = fit(model, tiny_data(manifest), url, **options)

    assert same_weights(weights_of(model), weights)
    assert rows_of(run) == rows


@pytest.mark.slow  # a process that imports torch; jobs/test_jobs.py kills and resumes one in each run of the tests
def test_a_process_that_was_killed(manifest, photos: Path, tmp_path: Path, uninterrupted) -> None:
    code = f"""
import math, os, signal, sys
sys.path[:0] = [{str(SUPPORT)!r}, {str(Path(__file__).parent)!r}]
from functools import partial
from io import BytesIO
import onlineml as oml
from onlineml.training import checkpoints, training
from test_fit import Arrived, Watch, fit
from tiny import stirred, tiny_data
checkpoints._SHARE = math.inf
training.Checkpoints = partial(type("Checkpoints", (Arrived,), {{}}), every_s=0.0)
kill = Watch(at=6, then=partial(os.kill, os.getpid(), signal.SIGKILL))
manifest = oml.Manifest.from_folders({str(photos)!r})
fit(stirred(), tiny_data(manifest, cache=False), {str(tmp_path / "run")!r}, epochs=3, callbacks=[kill])
"""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as in this process: sums over two threads round otherwise
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=one_thread)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    killed = Run.open(tmp_path / "run")
    assert killed.status()["state"] == "running"  # nobody was left to say otherwise
    assert killed.status()["pid"] != os.getpid()

    weights, rows, _ = uninterrupted
    model, watch = stirred(), Watch()
    run = fit(model, tiny_data(manifest), tmp_path / "run", epochs=3, callbacks=[watch])

    assert min(watch.lr) == 6  # the checkpoint after step 6 waited for the loss of step 7
    assert same_weights(weights_of(model), weights)
    assert rows_of(run) == rows
    assert run.status()["state"] == "finished"


def test_a_batch_without_a_usable_image_changes_nothing(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos")
    (folder / "train" / "red" / "000.jpg").write_bytes(b"no image")
    data = tiny_data(oml.Manifest.from_folders(str(folder)), batch_size=1, max_bad=0.5)
    model = tiny_model()
    run = fit(model, data, tmp_path / "run", epochs=2)
    assert all(bool(torch.isfinite(t).all()) for t in model.state_dict().values())
    assert [math.isfinite(row["train_loss"]) for row in run.metrics()] == [True, True]
    assert len(data.findings) == 1


def test_a_checkpoint_callback_of_the_users_works(manifest, tmp_path: Path) -> None:
    own = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / "own", save_weights_only=True)
    fit(tiny_model(), tiny_data(manifest), tmp_path / "run", epochs=1, callbacks=[own])
    assert len(list((tmp_path / "own").glob("*.ckpt"))) == 1


# ---- a budget ----


class Costs(pl.Callback):
    """What a step and a validation cost in a made-up time; nothing else costs anything."""

    def __init__(self, now: MadeUpTime, *, step_s: float, validation_s: float) -> None:
        self.now, self.step_s, self.validation_s = now, step_s, validation_s

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.now.s += self.step_s

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0) -> None:
        if batch_idx == 0:
            self.now.s += self.validation_s


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Costs:
    """A step costs as much on every machine, 1/32 s: some 80 steps and 20 validations in 3 s."""
    now = MadeUpTime()
    for module in (budget, callbacks, checkpoints, warm_up):
        monkeypatch.setattr(module, "time", now)
    return Costs(now, step_s=1 / 32, validation_s=1 / 64)  # sums of such numbers are exact


def test_a_budget_ends_in_time_and_annealed(manifest, tmp_path: Path, costs: Costs) -> None:
    model, watch, begin = tiny_model(lr=1e-2), Watch(), costs.now.s
    run = fit(model, tiny_data(manifest), tmp_path, budget_s=3, callbacks=[watch, costs])

    assert costs.now.s - begin == pytest.approx(3, abs=0.15)
    assert watch.lr[max(watch.lr)] < 0.1 * 1e-2  # it ended on the floor of the cosine, not in the middle
    assert max(watch.lr.values()) > 2 * watch.lr[max(watch.lr)]  # and came down to it, from the warm-up or its end
    assert run.metrics()[-1]["progress"] == 1.0
    knots = [Knot(**knot) for knot in json.loads((tmp_path / "schedule.json").read_bytes())]
    assert knots
    schedule = Schedule(knots)
    for step, lr in watch.lr.items():  # after step n means: set by the schedule as it was before it
        planned = [k for k in knots if k.step < step]
        progress = Schedule(planned).progress(step - 1)
        assert lr == pytest.approx(1e-2 * lr_factor(progress, step=step - 1, warmup_steps=model.warmup_steps), rel=1e-9)
    assert schedule.total_steps == max(watch.lr)


def test_a_budgets_plan_is_replayed(manifest, tmp_path: Path, checkpoint_steps, costs: Costs) -> None:
    costs.step_s = costs.validation_s = 0.25  # 10 s are less than 40 steps: few epochs are validated
    first = Watch(at=24, then=RuntimeError)
    checkpoint_steps({12})
    with pytest.raises(RuntimeError, match="broken in"):
        fit(tiny_model(lr=1e-2), tiny_data(manifest), tmp_path, budget_s=10, callbacks=[first, costs])
    knots = json.loads((tmp_path / "schedule.json").read_bytes())
    assert max(knot["step"] for knot in knots) > 12

    second = Watch()
    run = fit(tiny_model(lr=1e-2), tiny_data(manifest), tmp_path, budget_s=10, callbacks=[second, costs])

    assert min(second.lr) == 13
    assert json.loads((tmp_path / "schedule.json").read_bytes())[: len(knots)] == knots
    last = knots[-1]["step"]
    assert all(second.lr[step] == first.lr[step] for step in range(13, min(last, 24) + 1))
    assert run.metrics()[-1]["progress"] == 1.0
    assert max(second.lr) == pytest.approx(38, abs=2)  # the first attempt's seconds count: without them 12 steps more
    assert run.status()["seconds"] == run.metrics()[-1]["seconds"] == pytest.approx(10, abs=0.5)


# ---- from weights that are there ----


def tuned(path: Path, **options: Any) -> oml.ImageClassifier:
    if not path.exists():
        torch.save(tiny_model(seed=5).network.state_dict(), path)
    return tiny_model(**{"weights": str(path), "warmup_steps": 0, **options})


def test_fine_tuning_starts_from_a_linear_probe(manifest, tmp_path: Path) -> None:
    model, watch = tuned(tmp_path / "weights.pth", lr=1e-5), Watch()
    run = fit(model, tiny_data(manifest), tmp_path / "run", epochs=4, callbacks=[watch])

    assert run.spec["plan"]["probe_images"] == 32  # an epoch's batches
    assert run.spec["plan"]["short"] is False
    assert run.metrics()[0]["val_accuracy"] >= 0.5  # with such a rate it is the probe that knows


def test_time_for_less_than_half_an_epoch_goes_into_the_last_layer(manifest, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(warm_up, "_WORTH_EPOCHS", 1e9)
    weights = tmp_path / "weights.pth"
    model, data = tuned(weights), tiny_data(manifest)
    run = fit(model, data, tmp_path / "run", budget_s=20)

    (row,) = run.metrics()
    start = tiny_model(seed=5).network.features.state_dict()
    assert all(torch.equal(v, start[k]) for k, v in model.network.features.state_dict().items())
    assert row["val_accuracy"] == pytest.approx(model.validate(data.loader("val"))["val_accuracy"])
    assert (row["step"], row["progress"], run.status()["state"]) == (0, 1.0, "finished")
    assert run.status()["seconds"] < 15  # the rest of the time is given back
    assert warm_up.NO_TIME in io.read_bytes(run.location / "log.txt").decode()
    assert (tmp_path / "run/model/model.json").exists()
    watch = Watch()
    fit(tuned(weights), data, tmp_path / "watched", budget_s=2, callbacks=[watch])
    assert watch.lr  # whoever brings a callback wants to see steps


def test_the_last_layer_alone_has_thresholds_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(warm_up, "_WORTH_EPOCHS", 1e9)
    data = label_manifest(tmp_path / "photos")
    torch.save(TinyNet(3).state_dict(), tmp_path / "weights.pth")
    model = label_model(weights=str(tmp_path / "weights.pth"))
    fit(model, label_data(data), tmp_path / "run", budget_s=20)

    assert model.thresholds is not None
    assert set(model.thresholds) == set(data.class_names)
    assert set(model.thresholds.values()) != {0.5}


class Forgets(pl.Callback):
    """Makes the head say nothing after each step, whatever the processor's rounding."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        for parameter in pl_module.linear_head().parameters():
            parameter.data.zero_()


def test_a_head_that_was_better_alone_is_kept(manifest, tmp_path: Path, checkpoint_steps) -> None:
    """Also when the run was killed between the probe and its end."""
    options = {"lr": 0.1, "optimizer": "sgd", "head_warmup": 0.0, "label_smoothing": 0.0}
    weights = tmp_path / "weights.pth"
    whole = tuned(weights, **options)
    run = fit(whole, tiny_data(manifest), tmp_path / "whole", epochs=2, callbacks=[Forgets()])
    with pytest.raises(RuntimeError, match="broken in"):
        fit(
            tuned(weights, **options),
            tiny_data(manifest),
            tmp_path / "run",
            epochs=2,
            callbacks=[Forgets(), Watch(at=3, then=RuntimeError)],
        )
    model = tuned(weights, **options)
    resumed = fit(model, tiny_data(manifest), tmp_path / "run", epochs=2, callbacks=[Forgets()])

    backbone = tiny_model(seed=5).network.features.state_dict()
    assert all(torch.equal(v, backbone[k]) for k, v in whole.network.features.state_dict().items())
    assert run.metrics()[-1]["val_loss"] < run.metrics()[0]["val_loss"]
    assert run.status()["val_loss"] == run.metrics()[-1]["val_loss"]
    assert same_weights(weights_of(model), weights_of(whole))
    assert rows_of(resumed) == rows_of(run)


def test_a_trained_model_trains_again_in_training_mode(manifest, tmp_path: Path) -> None:
    class Modes(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            self.training = {m.training for m in pl_module.modules()}

    model, modes = tiny_model(norm=True), Modes()
    fit(model, tiny_data(manifest), tmp_path / "first", epochs=1)
    assert not model.training
    fit(model, tiny_data(manifest), tmp_path / "second", epochs=1, callbacks=[modes])

    assert modes.training == {True}


# ---- patience ----


def test_patience_keeps_the_best_weights(manifest, tmp_path: Path, monkeypatch) -> None:
    losses = iter([3.0, 2.0, 1.0, 1.5, 1.6, 9.0])
    seen = []

    def metrics(module, logits, labels) -> dict[str, float]:
        seen.append((next(losses), weights_of(module)))
        return {"val_loss": seen[-1][0], "val_accuracy": 0.5}

    monkeypatch.setattr(oml.ImageClassifier, "metrics", metrics)
    model = tiny_model(lr=1e-2)
    run = fit(model, tiny_data(manifest), tmp_path / "run", epochs=20, patience=2)

    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2, 3, 4]  # two after the best, then enough
    assert [row["val_loss"] for row in run.metrics()] == [3.0, 2.0, 1.0, 1.5, 1.6]
    assert same_weights(weights_of(model), seen[2][1])
    assert run.status()["val_loss"] == 1.0  # of the weights that were kept
    assert run.status()["step"] == 3 * STEPS


@pytest.mark.parametrize(("last", "kept"), [(0.5, 3), (2.5, 1)])
def test_the_last_epoch_counts_too(manifest, tmp_path: Path, monkeypatch, last: float, kept: int) -> None:
    losses = iter([3.0, 1.0, 2.0, last])
    seen = []

    def metrics(module, logits, labels) -> dict[str, float]:
        seen.append((next(losses), weights_of(module)))
        return {"val_loss": seen[-1][0], "val_accuracy": 0.5}

    monkeypatch.setattr(oml.ImageClassifier, "metrics", metrics)
    model = tiny_model(lr=1e-2)
    run = fit(model, tiny_data(manifest), tmp_path / "run", epochs=4, patience=5)

    assert [row["val_loss"] for row in run.metrics()] == [3.0, 1.0, 2.0, last]
    assert same_weights(weights_of(model), seen[kept][1])
    assert run.status()["val_loss"] == min(1.0, last)


def test_without_the_average_the_last_weights_are_kept(manifest, tmp_path: Path) -> None:
    class Last(pl.Callback):
        def on_train_end(self, trainer, pl_module) -> None:
            self.weights = weights_of(pl_module)

    plain, averaged, seen = tiny_model(lr=1e-2), tiny_model(lr=1e-2), Last()
    fit(plain, tiny_data(manifest), tmp_path / "plain", epochs=3, ema=False, callbacks=[seen])
    fit(averaged, tiny_data(manifest), tmp_path / "averaged", epochs=3)

    assert same_weights(weights_of(plain), seen.weights)
    assert not same_weights(weights_of(plain), weights_of(averaged))


def test_where_the_weights_came_from_is_told_and_stays_with_the_model(
    manifest: oml.Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = tiny_model()
    model.origin = Origin("https://hub.example/w.pth", "MIT")
    run = oml.fit(model, tiny_data(manifest), run=str(tmp_path / "run"), epochs=1)
    assert capsys.readouterr().out.startswith("Starts from https://hub.example/w.pth, MIT.\n")
    assert (run.spec["weights_from"], run.spec["weights_licence"]) == ("https://hub.example/w.pth", "MIT")
    loaded = oml.load_model(str(tmp_path / "run/model"), backbone=TinyNet())
    assert loaded.origin == model.origin
    assert loaded.around(TinyNet(), CLASSES, pretrained=True).origin == model.origin
    card = loaded.export_files(oml.evaluate(loaded, manifest))["README.md"].decode()
    assert "started from weights of: `https://hub.example/w.pth`" in card
    assert "licence of those weights: `MIT`" in card
