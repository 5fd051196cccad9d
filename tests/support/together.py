"""Trainings in several processes, and what can happen to one of these."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

import onlineml as oml
from tiny_projects import FACTORY

if TYPE_CHECKING:
    from onlineml.runs.run import Run

EPOCHS = 6


class At(pl.Callback):
    """Something happens in one of the processes, once it has taken some steps."""

    def __init__(self, what: str, *, step: int, rank: int = 1) -> None:
        self.what, self.step, self.rank = what, step, rank

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step != self.step or trainer.global_rank != self.rank:
            return
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what in {"SIGINT", "SIGTERM"}:
            os.kill(os.getpid(), getattr(signal, self.what))
        else:
            raise ValueError(self.what)


class Workers(pl.Callback):
    """Notes how the processes that decode were started, in every process of a training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        kinds = {type(process).__name__ for process in multiprocessing.active_children() if process.daemon}
        (self.folder / f"workers-{trainer.global_rank}").write_text(" ".join(kinds))


def small_model(data: oml.Manifest) -> oml.ImageClassifier:
    return oml.ImageClassifier(class_names=data.class_names, backbone=FACTORY, lr=0.02, seed=3)


def small_batches(data: oml.Manifest, **options: Any) -> oml.ClassificationDataModule:
    return oml.ClassificationDataModule(data, size_hw=(32, 32), batch_size=16, balance=True, seed=3, **options)


def train_together(
    photos: Path, run: Path, n: int, *, max_bad: float = 0.0, num_workers: int = 0, **options: Any
) -> tuple[Any, Run]:
    """Train with steps of 16 images in ``n`` processes."""
    data = oml.Manifest.from_folders(str(photos))
    model = small_model(data)
    chosen = {"epochs": EPOCHS, "accelerator": "cpu", "devices": n, "progress": "none"} | options
    batches = small_batches(data, max_bad=max_bad, num_workers=num_workers)
    return model, oml.fit(model, batches, run=run, **chosen)


def main(photos: str, folder: str) -> None:
    """A script for torchrun: it trains twice, and each of its processes stores the weights that it has then."""
    torch.set_num_threads(1)
    for name in ("first", "second"):
        model, run = train_together(Path(photos), Path(folder) / name, "auto")  # type: ignore[arg-type]
        into = Path(folder) / f"{name}-{os.environ['RANK']}.pt"
        torch.save({"weights": model.state_dict(), "state": run.status()["state"], "run": run.url}, into)


if __name__ == "__main__":
    main(*sys.argv[1:])
