"""Race: `onlineml.fit` with default arguments against a logistic regression on frozen features, from the same weights.

On sign digits and rubbish, whole and cut to 20 and 100 photos a class, at equal seconds: test accuracy. The other side
takes the largest of some sizes at which all photos are seen once in the time, and chooses its penalty on the validation
photos. Both have the threads of the environment (``OMP_NUM_THREADS``), one after the other. fastai and torchvision's
recipe need a torch of their own, and are not raced.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _race import arguments, finish, manifest, photos
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import onlineml as oml

SECONDS = (30.0, 60.0, 120.0, 300.0)
CUTS = (20, 100, None)  # photos a class of the training and validation splits; None for all
SIZES = (224, 160, 128, 96)
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of scikit-learn
BATCH = 16


def cut_to(data: Any, n: int | None, seed: int) -> Any:
    """The manifest with at most ``n`` photos a class outside the test split."""
    if n is None:
        return data
    labels, test = data.label_ids(), np.array(data.column("split")) == "test"
    order = np.random.default_rng(seed).permutation(len(data))
    chosen = [row for c in range(len(data.class_names)) for row in order[(labels[order] == c) & ~test[order]][:n]]
    return data.take(sorted([*chosen, *np.flatnonzero(test)]))


def ours(data: Any, seconds: float, seed: int) -> float:
    model = oml.model_for(data, seed=seed)
    begin = time.monotonic()
    batches = oml.datamodule_for(data, model=model, budget_s=seconds, seed=seed)
    with tempfile.TemporaryDirectory() as run:
        left = seconds - (time.monotonic() - begin)
        oml.fit(model, batches, run=f"{run}/run", budget_s=left, progress="none")
    return float(oml.evaluate(model, data, split="test", n_bootstrap=1).accuracy)


def frozen(data: Any, seconds: float) -> float:
    """Test accuracy of a logistic regression on the features before the last layer."""
    begin = time.monotonic()
    model = oml.model_for(data)
    body = torch.nn.Sequential(*list(model.network.children())[:-1]).eval()
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (model.mean, model.std))

    def features(urls: list[str], side: int) -> Any:
        rows = []
        for first in range(0, len(urls), BATCH):
            pixels = []
            for url in urls[first : first + BATCH]:
                with Image.open(url) as image:
                    pixels.append(np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)))
            batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                rows.append(body((batch - mean) / std).flatten(1).numpy())
        return np.concatenate(rows)

    urls, splits, labels = np.array(data.urls()), np.array(data.column("split")), data.label_ids()
    train, val, test = ((splits == name) & (labels >= 0) for name in ("train", "val", "test"))
    side = SIZES[-1]
    for wanted in SIZES:
        features(list(urls[train][:BATCH]), wanted)
        measured = time.monotonic()
        features(list(urls[train][:BATCH]), wanted)
        image_s = (time.monotonic() - measured) / min(BATCH, int(train.sum()))
        if (train.sum() + val.sum()) * image_s < 0.8 * (seconds - (time.monotonic() - begin)):
            side = wanted
            break
    scale = StandardScaler().fit(seen := features(list(urls[train]), side))
    told = scale.transform(features(list(urls[val]), side)) if val.any() else None
    best: tuple[float, Any] = (-1.0, None)
    for penalty in PENALTIES if told is not None else (1e-2,):
        fitted = LogisticRegression(C=penalty, max_iter=300).fit(scale.transform(seen), labels[train])
        score = 0.0 if told is None else fitted.score(told, labels[val])
        best = max(best, (score, fitted), key=lambda pair: pair[0])
    spent = time.monotonic() - begin
    accuracy = float(best[1].score(scale.transform(features(list(urls[test]), side)), labels[test]))
    print(f"  frozen features at {side} px: {accuracy:.4f} after {spent:.1f} s", flush=True)
    return accuracy


def race(name: str, data: Any, n: int | None, seconds: float, seeds: int) -> dict[str, Any]:
    cuts = [cut_to(data, n, seed) for seed in range(seeds)]
    pairs = [(ours(cut, seconds, seed), frozen(cut, seconds)) for seed, cut in enumerate(cuts)]
    mine, theirs = (statistics.mean(side) for side in zip(*pairs, strict=True))
    n_test = int((np.array(data.column("split")) == "test").sum())
    half = 1.96 * (theirs * (1 - theirs) / n_test) ** 0.5
    title = f"{name}, {n or 'all'} a class, {seconds:g} s"
    print(f"{title}: ours {mine:.4f}, logistic regression {theirs:.4f} (+- {half:.3f})", flush=True)
    return {"race": title, "ours": mine, "peers": {"logistic regression on frozen features": theirs},
            "ratio": mine / theirs, "aim": 1.0 - half / theirs, "holds": mine >= theirs - half}  # fmt: skip


def main() -> None:
    given = arguments(__doc__ or "")
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        digits = photos(given.data, Path(scratch))
        others = digits.parent / "rubbish"
        for folder in [digits] if given.data or not others.is_dir() else [digits, others]:
            data = manifest(folder)
            data = data if (np.array(data.column("split")) == "test").any() else data.with_splits()
            for seconds in (given.seconds,) if given.seconds else SECONDS:
                results += [race(folder.name, data, n, seconds, given.seeds) for n in CUTS]
    finish(results, given.json)


if __name__ == "__main__":
    main()
