"""One peer's epoch, run by the peers' own Python: prints images per second of the epochs after the first."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

EPOCHS = 3


def fastai_epoch(rows: list[list[str]], backbone: str, size: int, batch: int) -> float:
    """fastai's vision_learner at its defaults: RandomResizedCrop, aug_transforms, one-cycle Adam, 2 workers."""
    import pandas as pd
    import torchvision
    from fastai.callback.core import Callback
    from fastai.learner import Learner
    from fastai.vision.augment import RandomResizedCrop, aug_transforms
    from fastai.vision.data import ImageDataLoaders

    importlib.import_module("fastai.vision.all")  # gives a learner no_bar and fit_one_cycle
    ends: list[float] = []

    class Watch(Callback):
        def before_epoch(self) -> None:
            ends.append(time.perf_counter())

        def after_epoch(self) -> None:
            ends.append(time.perf_counter())

    frame = pd.DataFrame(rows, columns=["name", "label"])
    loaders = ImageDataLoaders.from_df(
        frame, path="/", valid_pct=0.01, seed=0, item_tfms=RandomResizedCrop(size, min_scale=0.5),
        batch_tfms=aug_transforms(), bs=batch, num_workers=2,
    )  # fmt: skip
    network = torchvision.models.get_model(backbone, num_classes=frame["label"].nunique())
    learner = Learner(loaders, network, cbs=[Watch()])
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(EPOCHS, 2e-3)
    seconds = [ends[i + 1] - ends[i] for i in range(2, len(ends), 2)]
    return len(loaders.train) * batch / (sum(seconds) / len(seconds))


def torchvision_epoch(rows: list[list[str]], backbone: str, size: int, batch: int) -> float:
    """The way of torchvision's reference: PIL, RandomResizedCrop, flip, normalise in 2 workers; SGD, smoothing 0.1."""
    import torch
    import torchvision
    from PIL import Image
    from torchvision.transforms import v2

    classes = sorted({label for _, label in rows})
    transform = v2.Compose([
        v2.RandomResizedCrop(size, scale=(0.5, 1.0)), v2.RandomHorizontalFlip(), v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip

    class Photos(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return transform(Image.open(rows[i][0]).convert("RGB")), classes.index(rows[i][1])

    loader = torch.utils.data.DataLoader(
        Photos(), batch, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    network = torchvision.models.get_model(backbone, num_classes=len(classes)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    seconds = []
    for _ in range(EPOCHS):
        begin = time.perf_counter()
        for image, label in loader:
            loss = torch.nn.functional.cross_entropy(network(image), label, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return len(loader) * batch / (sum(seconds[1:]) / len(seconds[1:]))


def main() -> None:
    peer, listing, backbone, size, batch = sys.argv[1:]
    rows = json.loads(Path(listing).read_text(encoding="utf-8"))
    race = {"fastai": fastai_epoch, "torchvision": torchvision_epoch}[peer]
    print(race(rows, backbone, int(size), int(batch)))


if __name__ == "__main__":
    main()
