"""Race: learning classes as they come, in one pass: online replay, ER-ACE, and our recipe.

Five tasks of two classes (a fifth of the classes each), in an order drawn by the seed; each image of the train split
comes once, ten at a time, in its task. Slim ResNet-18 of width 20 at 32 px, from scratch. The memory holds 1,000
images, or a tenth of the data if that is less. All classes of the test split are told apart in the end.

- *replay* (Chaudhry et al. 2019): reservoir memory, ten of its images beside the ten new ones, one cross-entropy.
- *ER-ACE* (Caccia et al., ICLR 2022): new images compete among their own classes only, replayed ones among all seen.
- *ours*: memory and replay balanced over classes (Prabhu et al., GDumb, ECCV 2020), softmax adjusted by how often each
  class is shown (Huang et al., Logit Adjusted Softmax, TMLR 2024), AdamW, an average of the weights; at the end, batch
  norms measured on the memory, and the class of the nearest mean of its features (Rebuffi et al., iCaRL, CVPR 2017).

*Same compute* counts images forward and backward through the same network: ten new and ten replayed a step for the
first two. Ours replays nine, and spends less than what that leaves on two passes forward over the memory, at a third
of an image each. All three see the same images in the same order, with the same augmentation. The learning rate of each
is the best of a grid on the val split, in the order of classes of a seed that is not raced; the baselines may take SGD,
as in their papers, or AdamW, as ours does.

With ``--data cifar10``, torchvision fetches CIFAR-10 where it can.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _race import arguments, finish, manifest, photos
from torch import nn
from torch.nn import functional

import onlineml as oml
from onlineml.models.slim_resnet import SlimResNet

SIZE = 32
WIDTH = 20
TASKS = 5
INCOMING = 10
MEMORY = 1000
SEEDS = 5
HORIZON = 100.0  # steps that the average spans, at most
TUNING_SEED = 1000
_BASELINES = (("sgd", 0.01), ("sgd", 0.03), ("sgd", 0.1), ("adamw", 1e-3), ("adamw", 3e-3))
SETTINGS = {  # optimizer and learning rate that each may choose from
    "replay": _BASELINES,
    "ER-ACE": _BASELINES,
    "ours": (("adamw", 1e-3), ("adamw", 3e-3), ("adamw", 6e-3), ("adamw", 1e-2)),
}


@dataclass
class Images:
    """(N, 3, 32, 32) uint8 and their (N,) labels."""

    pixels: torch.Tensor
    labels: torch.Tensor

    def of(self, rows: Any) -> Images:
        return Images(self.pixels[rows], self.labels[rows])


def read(data: Any, split: str) -> Images:
    dm = oml.ClassificationDataModule(data, size_hw=(SIZE, SIZE), batch_size=64)
    batches = list(dm.loader(split))
    return Images(torch.cat([b["image"] for b in batches]), torch.cat([b["label"] for b in batches]))


def cifar10(folder: Path) -> dict[str, Images]:
    """CIFAR-10 by torchvision; every fifth hundred of the training images tunes."""
    from torchvision.datasets import CIFAR10

    found = {}
    for split, train in (("train", True), ("test", False)):
        images = CIFAR10(folder, train=train, download=True)
        pixels = torch.from_numpy(images.data).permute(0, 3, 1, 2).contiguous()
        found[split] = Images(pixels, torch.tensor(images.targets))
    held = torch.arange(len(found["train"].labels)) % 10 == 0
    return {"train": found["train"].of(~held), "val": found["train"].of(held), "test": found["test"]}


def slim_resnet18(n_classes: int, seed: int) -> nn.Module:
    """The network of this race: no stride and no pooling in the stem, since images are small."""
    torch.manual_seed(seed)
    network = SlimResNet(n_classes, width=WIDTH)
    network.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True))
    return network


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels.float() / 255 - 0.45) / 0.25


def augmented(pixels: torch.Tensor, draws: np.random.Generator) -> torch.Tensor:
    """A crop of the image padded by four pixels, mirrored or not."""
    padded = functional.pad(normalised(pixels), (4, 4, 4, 4), mode="reflect")
    rows = []
    for image, (top, left, mirrored) in zip(padded, draws.integers((9, 9, 2), size=(len(pixels), 3)), strict=True):
        crop = image[:, top : top + SIZE, left : left + SIZE]
        rows.append(crop.flip(2) if mirrored else crop)
    return torch.stack(rows)


@dataclass
class Reservoir:
    """Any image that was seen is in it with the same chance (Vitter 1985)."""

    size: int
    draws: np.random.Generator
    rows: list[int] = field(default_factory=list)
    n_seen: int = 0

    def add(self, row: int, label: int) -> None:
        del label
        self.n_seen += 1
        if len(self.rows) < self.size:
            self.rows.append(row)
        elif (place := int(self.draws.integers(self.n_seen))) < self.size:
            self.rows[place] = row

    def draw(self, n: int) -> list[int]:
        return list(self.draws.choice(self.rows, min(n, len(self.rows)), replace=False))


@dataclass
class Balanced:
    """A reservoir for each class; the fullest class gives way to a new image of another one."""

    size: int
    draws: np.random.Generator
    by_class: dict[int, list[int]] = field(default_factory=dict)
    n_seen: dict[int, int] = field(default_factory=dict)

    @property
    def rows(self) -> list[int]:
        return [row for own in self.by_class.values() for row in own]

    def add(self, row: int, label: int) -> None:
        own = self.by_class.setdefault(label, [])
        self.n_seen[label] = self.n_seen.get(label, 0) + 1
        if len(self.rows) < self.size:
            own.append(row)
            return
        fullest = max(self.by_class.values(), key=len)
        if len(own) < len(fullest):
            fullest.pop(int(self.draws.integers(len(fullest))))
            own.append(row)
        elif (place := int(self.draws.integers(self.n_seen[label]))) < len(own):
            own[place] = row

    def draw(self, n: int) -> list[int]:
        """So many, each class as often as any other."""
        lists = [list(self.draws.permutation(own)) for own in self.by_class.values() if own]
        order = self.draws.permutation(len(lists))
        turns = [lists[k][turn] for turn in range(n) for k in order if turn < len(lists[k])]
        return turns[:n]


def stream(labels: torch.Tensor, n_classes: int, draws: np.random.Generator) -> list[np.ndarray]:
    """The rows of each step: tasks one after the other, each shuffled."""
    steps = []
    for classes in np.array_split(draws.permutation(n_classes), TASKS):
        rows = draws.permutation(np.flatnonzero(np.isin(labels.numpy(), classes)))
        steps += [rows[i : i + INCOMING] for i in range(0, len(rows), INCOMING)]
    return steps


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Sum over images, whose classes compete among some classes only."""
    outside = torch.ones(logits.shape[1], dtype=torch.bool)
    outside[classes] = False
    return functional.cross_entropy(logits.masked_fill(outside, -1e9), labels, reduction="sum")


def optimizer_of(network: nn.Module, setting: tuple[str, float]) -> torch.optim.Optimizer:
    name, lr = setting
    if name == "sgd":
        return torch.optim.SGD(network.parameters(), lr=lr)
    return torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.01)


def baseline(
    train: Images, n_classes: int, *, seed: int, setting: tuple[str, float], memory: int, asymmetric: bool
) -> nn.Module:
    """Online replay, or ER-ACE."""
    draws = np.random.default_rng([seed, 1])
    network = slim_resnet18(n_classes, seed).train()
    optimizer = optimizer_of(network, setting)
    kept = Reservoir(memory, draws)
    seen: set[int] = set()
    for rows in stream(train.labels, n_classes, np.random.default_rng([seed, 0])):
        old = kept.draw(INCOMING) if kept.rows else []
        batch = train.of([*rows, *old])
        seen |= set(batch.labels.tolist())
        logits = network(augmented(batch.pixels, draws))
        new, labels = len(rows), batch.labels
        if asymmetric:
            loss = cross_entropy(logits[:new], labels[:new], labels[:new].unique()) / new
            if old:
                loss = loss + cross_entropy(logits[new:], labels[new:], torch.tensor(sorted(seen))) / len(old)
        else:
            loss = functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for row, label in zip(rows, labels.tolist(), strict=False):
            kept.add(int(row), label)
    return network.eval()


def ours(train: Images, n_classes: int, *, seed: int, setting: tuple[str, float], memory: int) -> nn.Module:
    """Balanced memory, adjusted softmax, averaged weights, nearest mean; see the top."""
    draws = np.random.default_rng([seed, 1])
    network = slim_resnet18(n_classes, seed).train()
    optimizer = optimizer_of(network, setting)
    average = [p.detach().clone() for p in network.parameters()]
    kept = Balanced(memory, draws)
    for step, rows in enumerate(stream(train.labels, n_classes, np.random.default_rng([seed, 0]))):
        old = kept.draw(INCOMING - 1)
        batch = train.of([*rows, *old])
        labels = batch.labels
        shown = torch.bincount(labels[: len(rows)], minlength=n_classes).float()
        for known in kept.by_class:
            shown[known] += len(old) / len(kept.by_class)
        logits = network(augmented(batch.pixels, draws)) + shown.clamp_min(1e-9).log()
        loss = functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            span = min(HORIZON, (10 + step) / 9)
            torch._foreach_lerp_(average, list(network.parameters()), 1 / span)
        for row, label in zip(rows, labels.tolist(), strict=False):
            kept.add(int(row), label)
    with torch.no_grad():
        torch._foreach_copy_(list(network.parameters()), average)
    return nearest_mean(network, train.of(kept.rows))


def nearest_mean(network: nn.Module, memory: Images) -> nn.Module:
    """The network with norms measured on the memory, and a last layer that names the class of the nearest mean."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    head, network.head = network.head, nn.Identity()
    with torch.no_grad():
        network(normalised(memory.pixels))
        features = functional.normalize(network.eval()(normalised(memory.pixels)))
        means = torch.zeros(head.out_features, features.shape[1])
        means.index_add_(0, memory.labels, features)
        network.head = nn.Sequential(Units(), nn.Linear(features.shape[1], head.out_features, bias=False))
        network.head[1].weight.copy_(functional.normalize(means))
    return network


class Units(nn.Module):
    """Features of length 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(x)


def accuracy(network: nn.Module, images: Images) -> float:
    with torch.inference_mode():
        found = [network(normalised(part)).argmax(1) for part in images.pixels.split(256)]
    return float((torch.cat(found) == images.labels).float().mean())


def run(side: str, train: Images, n_classes: int, *, seed: int, setting: tuple[str, float], memory: int) -> nn.Module:
    if side == "ours":
        return ours(train, n_classes, seed=seed, setting=setting, memory=memory)
    return baseline(train, n_classes, seed=seed, setting=setting, memory=memory, asymmetric=side == "ER-ACE")


def best_setting(side: str, images: dict[str, Images], n_classes: int, memory: int) -> tuple[str, float]:
    """That with the highest accuracy on val."""
    found = {}
    for setting in SETTINGS[side]:
        network = run(side, images["train"], n_classes, seed=TUNING_SEED, setting=setting, memory=memory)
        found[setting] = accuracy(network, images["val"])
    print(f"{side}: accuracy on val {found}", flush=True)
    return max(found, key=lambda setting: found[setting])


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of Student's 95 % interval."""
    quantile = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
    if len(values) < 2:
        return values[0], float("nan")
    return statistics.mean(values), quantile.get(len(values), 2.2) * statistics.stdev(values) / len(values) ** 0.5


def images_of(given: Path | None, scratch: Path) -> dict[str, Images]:
    """Train, val and test images of the data that was asked for."""
    if given is not None and given.name == "cifar10" and not given.is_dir():
        return cifar10(scratch)
    data = manifest(photos(given, scratch))
    if not len(data.select(split="val")):
        data = data.with_splits(keep=False)
    return {split: read(data, split) for split in ("train", "val", "test")}


def main() -> None:
    given = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as scratch:
        images = images_of(given.data, Path(scratch))
    n_classes = 1 + max(int(part.labels.max()) for part in images.values())
    n = len(images["train"].labels)
    memory = min(MEMORY, n // 10)
    settings = {side: best_setting(side, images, n_classes, memory) for side in SETTINGS}
    found: dict[str, list[float]] = {side: [] for side in SETTINGS}
    for seed in range(SEEDS if given.seeds == 1 else given.seeds):
        for side, setting in settings.items():
            begin = time.perf_counter()
            network = run(side, images["train"], n_classes, seed=seed, setting=setting, memory=memory)
            found[side].append(accuracy(network, images["test"]))
            print(f"seed {seed}, {side}: {found[side][-1]:.4f} ({time.perf_counter() - begin:.1f} s)", flush=True)
    ahead = {side: interval([a - b for a, b in zip(found["ours"], own, strict=True)])
             for side, own in found.items() if side != "ours"}  # fmt: skip
    mean = {side: statistics.mean(own) for side, own in found.items()}
    own = mean.pop("ours")
    for side, (gain, half) in ahead.items():
        print(f"ours is ahead of {side} by {gain:.4f} +- {half:.4f} (95 % interval of the paired difference)")
    finish([{"race": f"online class-incremental, {n} images, memory {memory}, test accuracy", "ours": own,
             "peers": mean, "ratio": own / max(mean.values()), "aim": 1.0,
             "holds": all(gain > half for gain, half in ahead.values()),
             "ahead": {side: {"by": gain, "half_interval": half} for side, (gain, half) in ahead.items()},
             "by_seed": found}], given.json)  # fmt: skip


if __name__ == "__main__":
    main()
