"""Long work in a process of its own: ``python flat_memory.py WORK FOLDER`` prints its use of the machine as JSON lines.

Each line has ``rss`` (bytes), ``descriptors`` and ``threads``: the first after the warm-up, the last at the end.
"""

from __future__ import annotations

import gc
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytorch_lightning as pl
import torch

import onlineml as oml
from onlineml.training import training
from onlineml.training.checkpoints import Checkpoints
from tiny import jpeg, make_photos, picture, tiny_data, tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

_N_PREDICTIONS, _N_STEPS, _N_ROUNDS = 50_000, 500, 30


def tell() -> None:
    """Print what this process takes now."""
    gc.collect()
    me = psutil.Process()
    used = {"rss": me.memory_info().rss, "descriptors": me.num_fds(), "threads": me.num_threads()}
    sys.stdout.write(json.dumps(used) + "\n")
    sys.stdout.flush()


class Told(pl.Callback):
    """Tells every fifth of the steps."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step % (_N_STEPS // 5) == 0:
            tell()


def steps(folder: Path) -> None:
    """500 steps of one training, whose checkpoints begin at once: they have a thread."""
    training.Checkpoints = partial(Checkpoints, every_s=0.1)  # type: ignore[misc, assignment]
    data = tiny_data(oml.Manifest.from_folders(str(make_photos(folder / "photos"))))
    n_epochs = _N_STEPS // len(data.train_dataloader())
    oml.fit(tiny_model(), data, run=folder / "run", epochs=n_epochs, progress="none", callbacks=[Told()])


def predictions(folder: Path) -> None:
    """50,000 predictions of encoded images, none of which is kept."""
    del folder
    contents = [jpeg(picture((200, 60, 40), seed=seed)) for seed in range(50)]

    def images() -> Iterator[bytes]:
        for number in range(_N_PREDICTIONS):
            if number % (_N_PREDICTIONS // 5) == _N_PREDICTIONS // 10:
                tell()
            yield contents[number % 50]

    model = tiny_model()
    model.size_hw = (32, 32)
    done = sum(1 for row in oml.predict(model.eval(), images(), batch_size=64) if row.label)
    assert done == _N_PREDICTIONS, done
    tell()


def rounds(folder: Path) -> None:
    """30 trainings of two steps, each followed by predictions."""
    data = tiny_data(oml.Manifest.from_folders(str(make_photos(folder / "photos", counts={"train": 5, "val": 2}))))
    images = [jpeg(picture((200, 60, 40), seed=seed)) for seed in range(8)]
    for number in range(1, _N_ROUNDS + 1):
        model = tiny_model()
        oml.fit(model, data, run=folder / f"run-{number}", epochs=1, progress="none")
        assert len(list(oml.predict(model, images))) == len(images)
        if number % (_N_ROUNDS // 5) == 0:
            tell()


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"steps": steps, "predictions": predictions, "rounds": rounds}[sys.argv[1]](Path(sys.argv[2]))
