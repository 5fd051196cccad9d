"""Size, memory and time of a model and its export, measured side by side."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from onlineml.tasks.eval_mode import eval_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onlineml.exporting.exported import ExportedModel
    from onlineml.tasks.base import VisionModule

__all__ = ["Costs", "Speed", "measured_costs", "measured_memory", "measured_speed"]

_MOST_S = 1.0  # of each measurement of time
_LEAST_RUNS = 3
_BATCHES = (1, 32)
_LONGEST_S = 120.0  # of each measurement of memory
# the peak of this program alone: that of `resource` would count the process that started it
_TELL = "\nprint([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
_ORIGINAL = """
import sys, torch
network = torch.load(sys.argv[1], weights_only=False, map_location="cpu").eval()
torch.set_num_threads(int(sys.argv[2]))
with torch.inference_mode():
    for _ in range(2):
        getattr(network, "detect", network)(torch.zeros(1, 3, int(sys.argv[3]), int(sys.argv[4])))
"""
_ONNX = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(2):
    session.run(None, {"image": numpy.zeros((1, int(sys.argv[3]), int(sys.argv[4]), 3), numpy.uint8)})
"""
_OPENVINO = """
import sys, numpy, openvino
options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": int(sys.argv[2])}
model = openvino.Core().compile_model(sys.argv[1], "CPU", options)
for _ in range(2):
    model({"image": numpy.zeros((1, int(sys.argv[3]), int(sys.argv[4]), 3), numpy.uint8)})
"""


@dataclass(frozen=True)
class Speed:
    """Milliseconds a photo of both models on the same machine, from uint8 pixels to answers; the median of some runs.

    Attributes:
        batch_size: photos in one run.
        original_ms: of the original, in torch.
        exported_ms: of the export.
    """

    batch_size: int
    original_ms: float
    exported_ms: float


@dataclass(frozen=True)
class Costs:
    """Size, memory and time of both models.

    Attributes:
        original_bytes: size of the original's weights.
        exported_bytes: size of the graph and its weights.
        original_memory: peak memory in bytes of a process that only predicts, one photo after the other, with the
            original; interpreter and libraries included. nan where it cannot be measured: outside of Linux, and of a
            network whose classes another process cannot import, as those of a notebook.
        exported_memory: the same of the export.
        speed: by batch size.
    """

    original_bytes: int
    exported_bytes: int
    original_memory: float
    exported_memory: float
    speed: tuple[Speed, ...]

    def __str__(self) -> str:
        times = [f"batch {s.batch_size}: {s.original_ms:.1f} -> {s.exported_ms:.1f} ms a photo" for s in self.speed]
        return (
            f"{', '.join(times)}; {self.original_bytes / 1e6:.1f} -> {self.exported_bytes / 1e6:.1f} MB; "
            f"process {self.original_memory / 1e6:.0f} -> {self.exported_memory / 1e6:.0f} MB"
        )


def measured_costs(model: VisionModule, exported: ExportedModel, files: Mapping[str, bytes]) -> Costs:
    """Measure both on this machine.

    Args:
        model: the original.
        exported: the export.
        files: of its graph, by name.
    """
    memory = measured_memory(model, exported, files)
    with eval_mode(model):
        speed = measured_speed(model, exported)
    original = sum(value.nbytes for value in model.network.state_dict().values())
    return Costs(original, sum(map(len, files.values())), *memory, speed)


def measured_memory(model: VisionModule, exported: ExportedModel, files: Mapping[str, bytes]) -> tuple[float, float]:
    """Measure the memory of both, see `Costs`."""
    with tempfile.TemporaryDirectory(prefix="onlineml-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        graph = folder / next(iter(files))
        try:
            torch.save(model.network, folder / "network.pt")
        except Exception:  # noqa: BLE001 - pickle raises almost any for a user's own classes
            (folder / "network.pt").write_bytes(b"")
        size_hw = exported.input_size_hw()
        program = _OPENVINO if graph.suffix == ".xml" else _ONNX
        return _peak(_ORIGINAL, folder / "network.pt", size_hw), _peak(program, graph, size_hw)


def _peak(program: str, file: Path, size_hw: Sequence[int]) -> float:
    sizes = [str(number) for number in (torch.get_num_threads(), *size_hw)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", program + _TELL, str(file), *sizes]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command, env=environment, capture_output=True, text=True, check=False, timeout=_LONGEST_S
        )
        return 1024 * float(done.stdout.split()[-1]) if not done.returncode else math.nan
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        return math.nan


def measured_speed(model: VisionModule, exported: ExportedModel) -> tuple[Speed, ...]:
    """Measure both on random pixels, in turn, after one run of each.

    Args:
        model: the original, in evaluation mode.
        exported: the export.
    """
    found = []
    for size in _BATCHES:
        pixels = torch.randint(0, 256, (size, *exported.input_size_hw(), 3), dtype=torch.uint8)
        image, rows = pixels.permute(0, 3, 1, 2), pixels.numpy()
        with torch.inference_mode():
            times = _in_turn((partial(model, image), partial(exported.run, rows)))
        found.append(Speed(size, *(1000 * statistics.median(of) / size for of in times)))
    return tuple(found)


def _in_turn(sides: tuple[Callable[[], object], ...]) -> list[list[float]]:
    for side in sides:
        side()
    times: list[list[float]] = [[] for _ in sides]
    end = time.perf_counter() + _MOST_S * len(sides)
    while len(times[0]) < _LEAST_RUNS or time.perf_counter() < end:
        for side, seconds in zip(sides, times, strict=True):
            begin = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - begin)
    return times
