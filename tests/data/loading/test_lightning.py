"""Both packages of Lightning take our modules and datamodules, whatever was imported first."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from places import SUPPORT
from tiny import make_photos

if TYPE_CHECKING:
    from pathlib import Path

QUIET = "logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False"
OURS = """
from onlineml import ClassificationDataModule, ImageClassifier
from tiny import tiny_data, tiny_model
model = tiny_model()
"""
USE = """
class Watch(L.Callback):
    hooks = []
    def on_validation_end(self, trainer, pl_module):
        self.hooks.append(trainer.__class__.__module__.split(".")[0])

data = tiny_data(onlineml.Manifest.from_folders({photos!r}), cache=False)
trainer = L.Trainer(max_epochs=1, accelerator="cpu", default_root_dir={folder!r}, callbacks=[Watch()], {quiet})
trainer.fit(model, datamodule=data)
trainer.test(model, datamodule=data, verbose=False)
print(len(trainer.predict(model, datamodule=data)), trainer.global_step)
run = onlineml.fit(tiny_model(), data, run={folder!r} + "/run", epochs=1, progress="none", callbacks=[Watch()])
print(run.status()["state"], *sorted(set(Watch.hooks)))
"""


# Each case is a process that trains. Trainers of pytorch_lightning, which ours import themselves, are tried in
# tests/tasks and tests/training/test_hooks.py too.
QUICK = {("lightning", True)}


@pytest.mark.parametrize(
    ("package", "first"),
    [
        pytest.param(package, first, marks=() if (package, first) in QUICK else pytest.mark.slow)
        for package in ("lightning", "lightning.pytorch", "pytorch_lightning")
        for first in (True, False)
    ],
)
def test_either_package(tmp_path: Path, package: str, first: bool) -> None:
    photos = make_photos(tmp_path / "images")
    theirs = f"import {package} as L\n"
    use = USE.format(photos=str(photos), folder=str(tmp_path), quiet=QUIET)
    lines = [
        f"import sys, warnings\nsys.path.insert(0, {str(SUPPORT)!r})\nwarnings.simplefilter('error')",
        "warnings.filterwarnings('ignore', '.*LeafSpec', FutureWarning)",  # torch 2.15 to Lightning 2.6.6
        "import onlineml",
        *((theirs, OURS) if first else (OURS, theirs)),
        use,
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    predicted, state = done.stdout.splitlines()
    assert predicted.split() == ["2", "4"]
    assert state.split() == ["finished", package.split(".", maxsplit=1)[0]]
