"""A package that is installed beside ours brings a format and a task: they are used like our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = ROOT / "tests" / "support" / "toy_plugin"

DATA = """
import json, sys
import onlineml as oml
from onlineml.tasks import task_names
data = oml.Manifest.from_any(sys.argv[1], task="toy")
data.export(sys.argv[2], format="toy")
again = oml.Manifest.from_any(sys.argv[2], task="toy", format="toy")
plain = oml.Manifest.from_any(sys.argv[1], task="classification")
print(json.dumps({
    "tasks": task_names(), "counts": data.counts(), "task": data.task, "same": again == data,
    "plain": plain.table["label"].to_pylist(), "torch": "torch" in sys.modules,
}))
"""


LEARNING = """
import json, sys
import onlineml as oml
import onlineml.tasks
from tiny import TinyNet
data = oml.Manifest.from_any(sys.argv[1], task="toy")
module = oml.tasks.task_of(data).load("module")
model = module(class_names=data.class_names, backbone=TinyNet(2), lr=0.05, warmup_steps=0, label_smoothing=0)
run = oml.fit(model, oml.datamodule_for(data, size=24, batch_size=4), epochs=12, progress="none", accelerator="cpu")
scores = oml.evaluate(model, data, split="test")
model = oml.load_model(run.path("model"), backbone=TinyNet(2))
found = oml.predict(model, data.select(split="test").urls())
labels = [one.label for one in found]
print(json.dumps({"type": type(model).__name__, "accuracy": scores.accuracy, "labels": labels}))
"""


def in_a_process_with_the_plugin(code: str, *arguments: Path | str) -> dict:
    path = os.pathsep.join([str(PLUGIN), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Red and blue discs in one folder, and the index of the toy format."""
    from tiny import COLOURS, jpeg, picture

    lines = []
    for number in range(24):
        label, split = ("red", "blue")[number % 2], "train" if number < 14 else "val" if number < 18 else "test"
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(picture(COLOURS[label], seed=number)))
        lines.append(f"{number}.jpg {split} {label}\n")
    (tmp_path / "shapes.toy").write_text("".join(lines))
    return tmp_path


def test_a_format_of_another_package(shapes: Path):
    (shapes / "copy").mkdir()
    found = in_a_process_with_the_plugin(DATA, shapes, shapes / "copy")
    assert "toy" in found["tasks"]
    assert (found["task"], found["same"], found["torch"]) == ("toy", True, False)
    assert found["counts"] == {name: {"train": 7, "val": 2, "test": 3} for name in ("blue", "red")}
    assert found["plain"] == ["red", "blue"] * 12


def test_a_task_of_another_package(shapes: Path):
    found = in_a_process_with_the_plugin(LEARNING, shapes)
    assert found["type"] == "ToyClassifier"
    assert found["labels"] == ["red", "blue"] * 3
    assert found["accuracy"] == 1.0
