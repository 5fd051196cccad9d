# /// script
# dependencies = [
#   "ultralytics>=8.3", "onnx", "onnxruntime", "onnxslim", "torch", "torchvision", "opencv-python-headless",
# ]
# ///
"""Race: `onlineml.predict` from JPEG files by its engines, against runtimes on tensors and Ultralytics' own export.

A classifier (MobileNetV3-small at 224 px), in batches of 32 and one by one: `predict` with each engine on JPEG files,
beside the same network on tensors that are ready: torch, torch.compile, ONNX Runtime and OpenVINO (where installed) on
a plain export, floats in, logits out, and timm's own export of timm's network of that name. A detector (our compact one
at 320 px, NMS included) on JPEG files, beside yolo11n through Ultralytics' export, whose random weights leave its NMS
nothing to do. Sides take turns for --seconds in all (default 60 a setting), with the threads of the environment;
--data is a folder with photos. Weights are random: they do not change the time.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import statistics
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from _race import arguments, finish, photos

import onlineml as oml
from onlineml.inference.engines import installed_runtimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Side = Callable[[float], float]  # seconds to images per second

ROUNDS = 5
SIDE, BACKBONE, TIMM = 224, "mobilenet_v3_small", "mobilenetv3_small_100"
DETECTOR_SIDE = 320
SECONDS = 60.0


def repeated(step: Callable[[], int]) -> Side:
    """A side that repeats a step, which returns its number of images."""

    def run(seconds: float) -> float:
        n, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            n += step()
        return n / (time.perf_counter() - begin)

    return run


def raced(sides: dict[str, Side], seconds: float) -> dict[str, float]:
    """Median images per second of each, in turn."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side(0.0)
    for _ in range(ROUNDS):
        for name, side in sides.items():
            rates[name].append(side(seconds / ROUNDS / len(sides)))
    return {name: statistics.median(found) for name, found in rates.items()}


def jpegs(folder: Path, scratch: Path, n: int) -> list[str]:
    """Real photos as JPEG files of their own size, spread over the folder."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    scratch.mkdir()
    files = []
    for i, path in enumerate(found[:: max(1, len(found) // n)][:n]):
        (scratch / f"{i:04}.jpg").write_bytes(path.read_bytes())
        files.append(str(scratch / f"{i:04}.jpg"))
    return files


def predicting(model: Any, files: list[str], *, engine: str, batch_size: int) -> Side:
    """`predict` on the files over and over, as one stream."""
    state: list[Iterator[Any]] = []

    def endless() -> Iterator[str]:
        while True:
            yield from files

    def step() -> int:
        if not state:
            state.append(iter(oml.predict(model, endless(), engine=engine, batch_size=batch_size)))
        for _ in range(batch_size):
            next(state[0])
        return batch_size

    def run(seconds: float) -> float:
        rate = repeated(step)(seconds)
        state.clear()  # no other side competes with its threads
        return rate

    return run


def plain_export(network: torch.nn.Module, size: int) -> bytes:
    """What torch's exporter makes of a network: normalised floats in, logits out."""
    with contextlib.redirect_stdout(io.StringIO()):
        program = torch.onnx.export(
            network, (torch.zeros(2, 3, size, size),), dynamo=True, verbose=False, external_data=False,
            input_names=["x"], dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )  # fmt: skip
    return program.model_proto.SerializeToString()


def by_onnxruntime(content: bytes, image: np.ndarray) -> Side:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return repeated(lambda: len(session.run(None, {name: image})[0]))


def by_openvino(content: bytes, image: np.ndarray) -> Side:
    import openvino

    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(core.read_model(content), "CPU", {"PERFORMANCE_HINT": "LATENCY", **exact})
    request = compiled.create_infer_request()
    return repeated(lambda: len(request.infer([image], share_inputs=True)[0]))


def by_torch(network: Any, image: torch.Tensor) -> Side:
    def step() -> int:
        with torch.inference_mode():
            return len(network(image))

    return repeated(step)


def on_tensors(network: torch.nn.Module, content: bytes, batch_size: int, compiled: Any) -> dict[str, Side]:
    image = torch.randn(batch_size, 3, SIDE, SIDE)
    last = image.contiguous(memory_format=torch.channels_last)
    first = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    sides = {
        "tensors: torch, channels last": by_torch(network, last),
        "tensors: torch, channels first": by_torch(first, image),
        "tensors: onnxruntime": by_onnxruntime(content, image.numpy()),
    }
    if compiled is not None:
        sides["tensors: torch.compile"] = by_torch(compiled, last)
    if find_spec("openvino"):
        sides["tensors: openvino"] = by_openvino(content, image.numpy())
    return sides


def compiled_network(network: torch.nn.Module) -> Any:
    """torch.compile's, and the time that its first answers take; None where it has no compiler."""
    compiled = torch.compile(network, dynamic=False)
    try:
        for batch_size in (32, 1):
            begin = time.perf_counter()
            with torch.inference_mode():
                compiled(torch.zeros(batch_size, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last))
            print(f"torch.compile: {time.perf_counter() - begin:.1f} s for batches of {batch_size}", flush=True)
    except Exception as error:  # noqa: BLE001 - without a compiler, or with another one
        print(f"torch.compile: none, {type(error).__name__}", flush=True)
        return None
    return compiled


def classifiers(files: list[str], seconds: float) -> list[dict[str, Any]]:
    results = []
    model = oml.ImageClassifier(class_names=["a", "b", "c", "d", "e", "f"], backbone=BACKBONE, weights="random").eval()
    model.size_hw = (SIDE, SIDE)
    compiled, content = compiled_network(model.network), plain_export(model.network, SIDE)
    for batch_size in (32, 1):
        sides = {f"files: {engine}": predicting(model, files, engine=engine, batch_size=batch_size)
                 for engine in ("eager", *installed_runtimes())}  # fmt: skip
        sides |= on_tensors(model.network, content, batch_size, compiled)
        rates = raced(sides, seconds)
        best = max(rate for name, rate in rates.items() if name.startswith("files"))
        peers = {name: rate for name, rate in rates.items() if name.startswith("tensors")}
        results.append(told(f"{BACKBONE} at {SIDE} px, batches of {batch_size}", best, peers, rates, aim=0.9,
                            against="tensors: onnxruntime"))  # fmt: skip
    return results


def timms(files: list[str], seconds: float) -> list[dict[str, Any]]:
    """timm's network of nearly the same name, beside timm's own export of it."""
    import timm

    model = oml.ImageClassifier(class_names=["a", "b", "c"], backbone=f"timm:{TIMM}", weights="random").eval()
    model.size_hw = (SIDE, SIDE)
    network = timm.create_model(TIMM, num_classes=3, exportable=True).eval()
    content = plain_export(network, SIDE)
    results = []
    for batch_size in (32, 1):
        image = np.random.default_rng(0).normal(size=(batch_size, 3, SIDE, SIDE)).astype(np.float32)
        sides = {"files: onnxruntime": predicting(model, files, engine="onnxruntime", batch_size=batch_size),
                 "tensors: timm's export": by_onnxruntime(content, image)}  # fmt: skip
        rates = raced(sides, seconds / 3)
        peers = {"tensors: timm's export": rates["tensors: timm's export"]}
        title = f"timm's {TIMM} at {SIDE} px, batches of {batch_size}"
        results.append(
            told(title, rates["files: onnxruntime"], peers, rates, aim=0.9, against="tensors: timm's export")
        )
    return results


@contextlib.contextmanager
def ultralytics(folder: Path, batch_size: int) -> Iterator[Side | None]:
    """yolo11n in the peers' Python; None where there is none."""
    python = os.environ.get("ONLINEML_PEERS_PYTHON")
    if not python:
        print("no peers: run this race by nox", flush=True)
        yield None
        return
    command = [python, str(Path(__file__).with_name("_inference_peers.py")), str(folder), str(DETECTOR_SIDE)]
    command += [str(batch_size), str(torch.get_num_threads())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asked, told = process.stdin, process.stdout
        if asked is None or told is None:
            raise RuntimeError("no pipes")
        next(line for line in told if line.strip() == "ready")

        def run(seconds: float) -> float:
            asked.write(f"{seconds}\n")
            asked.flush()
            return float(told.readline())

        yield run
        asked.close()


def detectors(files: list[str], seconds: float) -> list[dict[str, Any]]:
    model = oml.ObjectDetector(class_names=["a", "b", "c"], weights="random").eval()
    model.size_hw = (DETECTOR_SIDE, DETECTOR_SIDE)
    results = []
    for batch_size in (8, 1):
        with ultralytics(Path(files[0]).parent, batch_size) as theirs:
            sides = {f"files: {engine}": predicting(model, files, engine=engine, batch_size=batch_size)
                     for engine in ("eager", *installed_runtimes())}  # fmt: skip
            if theirs is not None:
                sides["files: yolo11n, Ultralytics' export"] = theirs
            rates = raced(sides, seconds)
        best = max(rate for name, rate in rates.items() if "yolo" not in name)
        peers = {name: rate for name, rate in rates.items() if "yolo" in name}
        title = f"detector ({model.backbone_name}) at {DETECTOR_SIDE} px, batches of {batch_size}"
        results.append(told(title, best, peers, rates, aim=1.5, against="files: yolo11n, Ultralytics' export"))
    return results


def told(
    title: str, ours: float, peers: dict[str, float], rates: dict[str, float], *, aim: float, against: str
) -> dict[str, Any]:
    ratio = ours / peers[against] if against in peers else None
    print(f"{title}:", flush=True)
    for name, rate in rates.items():
        print(f"  {rate:8.1f} images/s  {name}", flush=True)
    print(f"  ratio to {against}: {'-' if ratio is None else f'{ratio:.2f}'} (aim {aim})", flush=True)
    return {"race": title, "ours": ours, "peers": peers, "ratio": ratio, "aim": aim,
            "holds": ratio is not None and ratio >= aim, "rates": rates, "load": os.getloadavg()}  # fmt: skip


def main() -> None:
    given = arguments(__doc__ or "")
    seconds = given.seconds or SECONDS
    with tempfile.TemporaryDirectory() as scratch:
        root = photos(given.data, Path(scratch))
        print(f"load {os.getloadavg()}, {torch.get_num_threads()} threads", flush=True)
        small = jpegs(root, Path(scratch) / "small", 256)
        boxes = root.parents[1] / "detection" / "bccd" / "JPEGImages"
        large = jpegs(boxes if given.data is None and boxes.is_dir() else root, Path(scratch) / "large", 64)
        sizes = [cv2.imread(files[0]).shape[:2] for files in (small, large)]
        print(f"photos of {sizes[0]} and {sizes[1]} pixels", flush=True)
        results = classifiers(small, seconds) + timms(small, seconds) + detectors(large, seconds)
        print(f"load {os.getloadavg()}", flush=True)
    finish(results, given.json)


if __name__ == "__main__":
    main()
