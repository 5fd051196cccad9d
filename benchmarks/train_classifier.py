# /// script
# dependencies = ["fastai>=2.8", "torch", "torchvision", "opencv-python-headless"]
# ///
"""Race: training a classifier through `onlineml.fit` against a hand-written loop, fastai and torchvision's recipe.

Per step, against a hand-written torch loop on the same network, optimizer and memory layout whose batches are already
in memory, normalised (the median over neighbouring blocks of steps); per epoch, the first (which reads JPEG files)
against the following; and the same epoch under fastai and under torchvision's reference recipe, each in a process of
its own with peers' packages. After each few steps of ours come as many by hand, so that a machine whose speed drifts by
a tenth within seconds slows both sides.

The loop by hand runs in a process of its own, and every other time in that of `fit`.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from _hand_loop import ByHand
from _race import arguments, finish, manifest, photos

import onlineml as oml
from onlineml.data.loading.lightning import pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CASES = (("resnet18", 64), ("mobilenet_v3_small", 128))
BATCH = 32
ROUNDS = 5
BLOCK = 4  # steps of each side in turn


class Stopwatch(pl.Callback):
    """Notes when each step ended, epoch by epoch; between blocks of steps it lets somebody else run.

    Args:
        between: is called after each ``BLOCK`` steps, and returns its seconds a step; its time is left out.
    """

    def __init__(self, between: Callable[[], float] | None = None) -> None:
        self.between = between
        self.seconds: list[float] = []  # of each epoch
        self.pairs: list[list[tuple[float, float]]] = []  # of each epoch: seconds a step of a block, and by `between`
        self._begin = self._block_s = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.seconds.append(0.0)
        self.pairs.append([])
        self._block_s, self._begin = 0.0, time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.perf_counter()
        self.seconds[-1] += now - self._begin
        self._block_s += now - self._begin
        if self.between is not None and (batch_idx + 1) % BLOCK == 0:
            self.pairs[-1].append((self._block_s / BLOCK, self.between()))
            self._block_s = 0.0
        self._begin = time.perf_counter()


@contextmanager
def in_own_process(data: Any, backbone: str, batches: Path) -> Iterator[Callable[[], float]]:
    """`ByHand` in a process of its own."""
    script = str(Path(__file__).parent / "_hand_loop.py")
    command = [sys.executable, script, str(batches), backbone, ",".join(data.class_names), str(BLOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        to, answers = process.stdin, process.stdout
        if to is None or answers is None or answers.readline() != "ready\n":
            raise RuntimeError("the loop by hand did not start")

        def seconds_a_step() -> float:
            print(file=to, flush=True)
            return float(answers.readline())

        yield seconds_a_step


def model_for(data: Any, backbone: str) -> Any:
    return oml.ImageClassifier(class_names=data.class_names, backbone=backbone, weights=None, seed=0)


def train_ours(
    data: Any, backbone: str, size: int, *, cache_dir: Path, between: Callable[[], float] | None = None
) -> tuple[Stopwatch, int]:
    """The times of three epochs, and steps in one."""
    dm = oml.ClassificationDataModule(data, size_hw=(size, size), batch_size=BATCH, cache_dir=cache_dir)
    watch = Stopwatch(between)
    with tempfile.TemporaryDirectory() as run:
        oml.fit(model_for(data, backbone), dm, run=f"{run}/run", epochs=3, progress="none", callbacks=[watch])
    return watch, len(dm.train_dataloader())


def in_memory(data: Any, size: int, cache_dir: Path) -> list[tuple[Any, Any]]:
    """Normalised float batches of one epoch."""
    dm = oml.ClassificationDataModule(data, size_hw=(size, size), batch_size=BATCH, cache_dir=cache_dir)
    model = model_for(data, "auto")
    return [(model.normalize(b["image"]), b["label"]) for b in dm.train_dataloader()]


def race_steps(data: Any, backbone: str, size: int) -> list[dict[str, Any]]:
    pairs: dict[str, list[tuple[float, float]]] = {"own process": [], "fit's process": []}
    firsts = []
    with tempfile.TemporaryDirectory() as folder:
        batches = [b for b in in_memory(data, size, Path(folder) / "batches") if len(b[1]) == BATCH]
        torch.save(batches, Path(folder) / "batches.pt")
        for i in range(ROUNDS):
            here = ByHand(model_for(data, backbone).network, batches, steps=BLOCK)
            here()  # the first steps are not counted
            # anew each round: two processes of the same code differ by 3 % for as long as they live
            with in_own_process(data, backbone, Path(folder) / "batches.pt") as other:
                turns = itertools.cycle([other, here])
                watch, _ = train_ours(
                    data, backbone, size, cache_dir=Path(folder) / str(i), between=lambda t=turns: next(t)()
                )
            blocks = [block for of_epoch in watch.pairs for block in of_epoch]
            n = len(watch.pairs[0])  # of the first epoch, which reads JPEG files
            n += n % 2
            pairs["own process"] += blocks[n::2]
            pairs["fit's process"] += blocks[n + 1 :: 2]
            # whole epochs, each by the machine's speed in those minutes
            first = watch.seconds[0] / statistics.mean(own for _, own in blocks[:n:2])
            following = statistics.mean(watch.seconds[1:]) / statistics.mean(own for _, own in blocks[n::2])
            firsts.append(first / following)
            told = ", ".join(f"{name} {_ratio(blocks):.3f}" for name, blocks in pairs.items())
            print(f"{backbone} {size} px, step: {told}; first epoch {firsts[-1]:.3f}", flush=True)
    name, results = f"{backbone} {size} px", []
    for where, blocks in pairs.items():
        ours_ms, hand_ms = (1e3 * statistics.median(s) for s in zip(*blocks, strict=True))
        ratio = _ratio(blocks)
        results.append(
            {"race": f"step, {name}", "ours": ours_ms, "peers": {f"torch loop, batches in memory, {where}": hand_ms},
             "ratio": ratio, "aim": 1.05, "holds": ratio <= 1.05}
        )  # fmt: skip
    first_ratio = statistics.median(firsts)
    return [
        *results,
        {"race": f"epoch from JPEG files, {name}", "ours": first_ratio, "peers": {"the following epochs": 1.0},
         "ratio": first_ratio, "aim": 1.10, "holds": first_ratio <= 1.10},
    ]  # fmt: skip


def _ratio(blocks: list[tuple[float, float]]) -> float:
    return statistics.median(ours / by_hand for ours, by_hand in blocks)


def race_epochs(data: Any, backbone: str, size: int) -> dict[str, Any] | None:
    """Images per second of a cached epoch: ours, fastai's, torchvision's recipe's."""
    python = os.environ.get("ONLINEML_PEERS_PYTHON")
    if python is None:
        print("no ONLINEML_PEERS_PYTHON: run through nox -s benchmarks to race the peers too", flush=True)
        return None
    table = data.to_pandas()
    train = table[table["split"] == "train"]
    with tempfile.TemporaryDirectory() as scratch:
        listing = Path(scratch) / "train.json"
        urls = dict(zip(table["image_id"], data.urls(), strict=True))
        rows = [[urls[i], label] for i, label in zip(train["image_id"], train["label"], strict=True)]
        listing.write_text(json.dumps(rows), encoding="utf-8")
        watch, steps = train_ours(data, backbone, size, cache_dir=Path(scratch) / "cache")
        ours = steps * BATCH / statistics.mean(watch.seconds[1:])
        peers = {}
        for peer in ("fastai", "torchvision"):
            command = [python, str(Path(__file__).parent / "_classifier_peers.py"), peer, str(listing), backbone]
            done = subprocess.run([*command, str(size), str(BATCH)], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{peer} failed: {done.stderr[-2000:]}", flush=True)
                continue
            peers[peer] = float(done.stdout.splitlines()[-1])
    print(f"{backbone} {size} px, images/s: ours {ours:.0f}, {peers}", flush=True)
    ratio = ours / max(peers.values()) if peers else float("nan")
    return {"race": f"images/s, {backbone} {size} px", "ours": ours, "peers": peers, "ratio": ratio, "aim": 1.0,
            "holds": ratio >= 1.0}  # fmt: skip


def race_accuracy(data: Any, seconds: float, seeds: int) -> dict[str, Any]:
    """Test accuracy of the default classifier, from scratch at 64 px within a budget."""
    found = []
    for seed in range(seeds):
        dm = oml.ClassificationDataModule(data, size_hw=(64, 64), seed=seed)
        model = oml.ImageClassifier(class_names=data.class_names, backbone="auto", weights=None, seed=seed)
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as run:
            oml.fit(model, dm, run=f"{run}/run", budget_s=seconds, progress="none")
        spent = time.perf_counter() - begin
        found.append(oml.evaluate(model, data, split="test", n_bootstrap=1).accuracy)
        print(f"seed {seed}: test accuracy {found[-1]:.4f} after {spent:.1f} s", flush=True)
    mean = statistics.mean(found)
    return {"race": f"test accuracy from scratch, 64 px, {seconds:g} s", "ours": mean,
            "peers": {"yolo11n-cls on sign digits": 0.923}, "ratio": mean / 0.923, "aim": 0.97,
            "holds": mean >= 0.97}  # fmt: skip


def main() -> None:
    given = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as scratch:
        folder = photos(given.data, Path(scratch))
        data = manifest(folder)
        results = []
        for backbone, size in CASES:
            results += race_steps(data, backbone, size)
            results += [r for r in [race_epochs(data, backbone, size)] if r]
        results.append(race_accuracy(data, given.seconds or 120.0, given.seeds))
    finish(results, given.json)


if __name__ == "__main__":
    main()
