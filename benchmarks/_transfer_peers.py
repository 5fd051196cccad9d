"""One peer's fine-tuning of EfficientNet-Lite0 within a budget, run by the peers' own Python: prints test accuracy.

Called with: "fastai" or "torchvision", and a JSON file with the photos, the weights' file, the size and the seconds.
Both peers are told how many epochs fit: the time of a step is measured before their clock starts.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

ARCHITECTURE = "tf_efficientnet_lite0"
BATCH = 16
SHARE = 0.95  # of the budget that is planned for


def epochs_that_fit(seconds: float, *, head_s: float, whole_s: float) -> int:
    """Epochs of the whole network, after one of the head."""
    return int((SHARE * seconds - head_s) / whole_s)


def step_s(network: Any, side: int) -> float:
    """Seconds of a step of the whole network, on random pixels."""
    x, times = torch.rand(BATCH, 3, side, side), []
    network.train()
    for _ in range(4):
        begin = time.perf_counter()
        network(x).sum().backward()
        times.append(time.perf_counter() - begin)
    network.zero_grad(set_to_none=True)
    return min(times)


def fastai(told: dict[str, Any]) -> float:
    """fastai's `vision_learner` and `fine_tune`: aug_transforms, its own head, discriminative rates, one cycle."""
    import pandas as pd
    import timm
    from fastai.callback.core import Callback, CancelFitException
    from fastai.data.transforms import Normalize
    from fastai.metrics import accuracy
    from fastai.vision.augment import Resize, aug_transforms
    from fastai.vision.data import ImageDataLoaders
    from fastai.vision.learner import vision_learner

    importlib.import_module("fastai.vision.all")  # gives a learner no_bar, no_logging and fine_tune
    torch.manual_seed(told["seed"])
    side, seconds = told["side"], told["seconds"]
    frame = pd.DataFrame([row for row in told["rows"] if row[2] != "test"], columns=["name", "label", "split"])
    frame["held"] = frame["split"] == "val"
    spent = step_s(timm.create_model(ARCHITECTURE, num_classes=10), side)
    begin = time.perf_counter()
    loaders = ImageDataLoaders.from_df(
        frame, path="/", valid_col="held", item_tfms=Resize(side), bs=BATCH, num_workers=2,
        batch_tfms=[*aug_transforms(), Normalize.from_stats(told["mean"], told["std"], cuda=False)],
    )  # fmt: skip

    class Deadline(Callback):
        def after_batch(self) -> None:
            if self.training and time.perf_counter() - begin > seconds:
                raise CancelFitException

    learner = vision_learner(loaders, ARCHITECTURE, pretrained=False, metrics=accuracy, cbs=[Deadline()])
    weights = torch.load(told["weights"], weights_only=True)
    body = learner.model[0].model
    missing, _ = body.load_state_dict(weights, strict=False)
    if missing:
        raise RuntimeError(f"the weights lack {missing}")
    steps = len(loaders.train)
    n = epochs_that_fit(seconds, head_s=0.4 * steps * spent, whole_s=steps * spent)
    with learner.no_bar(), learner.no_logging():
        if n >= 1:
            learner.fine_tune(n)
        else:  # nothing but the head is affordable
            learner.freeze()
            learner.fit_one_cycle(1, 2e-3)
    test = [row for row in told["rows"] if row[2] == "test"]
    with learner.no_bar():
        scores, _ = learner.get_preds(dl=loaders.test_dl([row[0] for row in test], num_workers=0))
    found = [loaders.vocab[i] for i in scores.argmax(1).tolist()]
    print(f"  fastai: {n} epochs at {side} px", file=sys.stderr, flush=True)
    return sum(a == row[1] for a, row in zip(found, test, strict=True)) / len(test)


def torchvision(told: dict[str, Any]) -> float:
    """torchvision's reference: RandomResizedCrop, flip, SGD with momentum, label smoothing, cosine after a warm-up."""
    import timm
    from PIL import Image
    from torchvision.transforms import v2

    torch.manual_seed(told["seed"])
    side, seconds, classes = told["side"], told["seconds"], sorted({row[1] for row in told["rows"]})
    end = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(told["mean"], told["std"])]
    learn = v2.Compose([v2.RandomResizedCrop(side), v2.RandomHorizontalFlip(), *end])
    look = v2.Compose([v2.Resize(round(side / 0.875)), v2.CenterCrop(side), *end])

    class Photos(torch.utils.data.Dataset):
        def __init__(self, split: str, transform: Any) -> None:
            self.rows, self.transform = [row for row in told["rows"] if row[2] == split], transform

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            path, label, _ = self.rows[i]
            return self.transform(Image.open(path).convert("RGB")), classes.index(label)

    network = timm.create_model(ARCHITECTURE, num_classes=len(classes))
    spent = step_s(network, side)
    begin = time.perf_counter()
    weights = {k: v for k, v in torch.load(told["weights"], weights_only=True).items() if "classifier" not in k}
    network.load_state_dict(weights, strict=False)
    loader = torch.utils.data.DataLoader(
        Photos("train", learn), BATCH, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    n = max(1, epochs_that_fit(seconds, head_s=0.0, whole_s=len(loader) * spent))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    warm = max(1, len(loader) * n // 10)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [
        torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warm),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, len(loader) * n - warm)),
    ], [warm])  # fmt: skip
    network.train()
    for _ in range(n):
        for image, label in loader:
            loss = torch.nn.functional.cross_entropy(network(image), label, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if time.perf_counter() - begin > seconds:
                break
    network.eval()
    right = total = 0
    with torch.inference_mode():
        for image, label in torch.utils.data.DataLoader(Photos("test", look), BATCH):
            right += int((network(image).argmax(1) == label).sum())
            total += len(label)
    print(f"  torchvision: {n} epochs at {side} px", file=sys.stderr, flush=True)
    return right / total


def main() -> None:
    peer, listing = sys.argv[1:]
    told = json.loads(Path(listing).read_text(encoding="utf-8"))
    print(json.dumps({"fastai": fastai, "torchvision": torchvision}[peer](told)))


if __name__ == "__main__":
    main()
