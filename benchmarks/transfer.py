# /// script
# dependencies = ["fastai>=2.8", "timm", "torch", "torchvision"]
# ///
"""Race: `onlineml.fit` with default arguments against three other ways to use the same weights.

On sign digits and rubbish, whole and cut to 20 and 100 photos a class, at equal seconds: test accuracy. The others are
a logistic regression on frozen features, which takes the largest of some sizes at which all photos are seen once in
the time, and chooses its penalty on the validation photos; fastai's `fine_tune`; and torchvision's reference recipe.
The latter two train at the size that ours chooses, for as many epochs as fit, and their clock starts after the imports
and the measurement of a step. All have the threads of the environment (``OMP_NUM_THREADS``), one after the other.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
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
PEERS = ("fastai", "torchvision")


def cut_to(data: Any, n: int | None, seed: int) -> Any:
    """The manifest with at most ``n`` photos a class outside the test split."""
    if n is None:
        return data
    labels, test = data.label_ids(), np.array(data.column("split")) == "test"
    order = np.random.default_rng(seed).permutation(len(data))
    chosen = [row for c in range(len(data.class_names)) for row in order[(labels[order] == c) & ~test[order]][:n]]
    return data.take(sorted([*chosen, *np.flatnonzero(test)]))


def ours(data: Any, seconds: float, seed: int) -> tuple[float, int]:
    """Test accuracy, and the size that was chosen."""
    model = oml.model_for(data, seed=seed)
    begin = time.monotonic()
    batches = oml.datamodule_for(data, model=model, budget_s=seconds, seed=seed)
    with tempfile.TemporaryDirectory() as run:
        left = seconds - (time.monotonic() - begin)
        oml.fit(model, batches, run=f"{run}/run", budget_s=left, progress="none")
    print(f"  ours: {time.monotonic() - begin:.1f} s at {model.input_size_hw()[0]} px", flush=True)
    return float(oml.evaluate(model, data, split="test", n_bootstrap=1).accuracy), model.input_size_hw()[0]


def peer(name: str, data: Any, seconds: float, seed: int, side: int) -> float:
    """Test accuracy of fastai's or torchvision's way, in a process of the peers' own Python."""
    model = oml.model_for(data)
    names = data.class_names
    rows = [
        [url, names[label], split]
        for url, label, split in zip(data.urls(), data.label_ids(), data.column("split"), strict=True)
        if label >= 0
    ]
    with tempfile.TemporaryDirectory() as scratch:
        weights, listing = Path(scratch, "weights.pt"), Path(scratch, "told.json")
        torch.save(model.network.state_dict(), weights)
        told = {"rows": rows, "weights": str(weights), "seconds": seconds, "seed": seed, "side": side}
        stats = {"mean": list(model.mean), "std": list(model.std)}
        listing.write_text(json.dumps(told | stats), encoding="utf-8")
        script = Path(__file__).with_name("_transfer_peers.py")
        command = [os.environ["ONLINEML_PEERS_PYTHON"], str(script), name, str(listing)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(*done.stderr.splitlines()[-1:], sep="\n", flush=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


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
    title = f"{name}, {n or 'all'} a class, {seconds:g} s"
    sides: dict[str, list[float]] = {"ours": []}
    for seed in range(seeds):
        cut = cut_to(data, n, seed)
        score, size = ours(cut, seconds, seed)
        sides["ours"].append(score)
        sides.setdefault("logistic regression on frozen features", []).append(frozen(cut, seconds))
        for other in PEERS if "ONLINEML_PEERS_PYTHON" in os.environ else ():
            sides.setdefault(other, []).append(peer(other, cut, seconds, seed, size))
    means = {side: statistics.mean(scores) for side, scores in sides.items()}
    mine, best = means.pop("ours"), max(means.values())
    n_test = int((np.array(data.column("split")) == "test").sum())
    half = 1.96 * (best * (1 - best) / n_test) ** 0.5
    others = ", ".join(f"{name} {score:.4f}" for name, score in means.items())
    print(f"{title}: ours {mine:.4f}, {others} (+- {half:.3f})", flush=True)
    return {"race": title, "ours": mine, "peers": means, "ratio": mine / best,
            "aim": 1.0 - half / best, "holds": mine >= best - half}  # fmt: skip


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
