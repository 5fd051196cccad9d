"""Race: miss rates of calibrated answers over 200 random splits of photos that a model was not trained on.

Sign digits (EfficientNet-Lite0 where it is installed, 96 px) and blood cells (the compact detector, 320 px). A model is
trained once on 30 % of the photos; its answers to the others are kept in the folder for temporary files. Each split
calibrates on half of the others, in whole groups, and counts what is missed in the other half, at rates of 0.05 and
0.1: in all photos and by class, as means over groups. A group of sign digits is one person, ten consecutive files.

- *ours*: `onlineml.calibrate`, with thresholds on probabilities (LAC).
- *adaptive sets*: the same with cumulated probabilities (APS, Romano, Sesia and Candès 2020), randomised.

The aim: mean miss rates within one point of the rate asked for. `--seeds` is the number of splits, 200 by default.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _race import arguments, finish, photos

import onlineml as oml
from onlineml.evaluation.calibration.calibration import calibration_of
from onlineml.evaluation.calibration.evidence import Evidence, of_probabilities
from onlineml.evaluation.calibration.temperature import fit_temperature, with_temperature
from onlineml.inference.evaluate_classifier import logits_in
from onlineml.inference.evaluation import EvaluateOptions
from onlineml.inference.evidence import object_evidence

RATES = (0.05, 0.1)
HIGH_RATE = 0.5  # for what a short training seldom finds
AIM = 0.01
SPLITS = 200
KEPT = Path(tempfile.gettempdir()) / "onlineml-calibration-race"


def options(batch_size: int) -> EvaluateOptions:
    return EvaluateOptions("test", (), batch_size, num_workers=0, n_bootstrap=0, seed=0, max_bad=0.05)


def two_splits(data: Any, units: Any, share: float) -> Any:
    """The data with a share of its groups in train, and the others in test."""
    chosen = np.random.default_rng(0).random(int(units.max()) + 1) < share
    return data.with_column("split", np.where(chosen[units], "train", "test").tolist())


def digits(folder: Path | None) -> dict[str, Any]:
    """Logits, labels and people of the photos that a classifier was not trained on."""
    file = KEPT / "digits.npz"
    if not file.exists():
        data = oml.Manifest.from_folders(str(photos(folder, KEPT))).check(max_bad=0.1).manifest
        people = np.array([int(re.sub(r"\D", "", Path(uri).stem) or 0) // 10 for uri in data.urls()])
        data = two_splits(data, np.unique(people, return_inverse=True)[1], 0.3)
        model = oml.model_for(data)
        batches = oml.ClassificationDataModule(data, size_hw=(96, 96), batch_size=32)
        oml.fit(model, batches, epochs=4, progress="lines", accelerator="cpu")
        rows, logits = logits_in(model, data, options(64))
        strange = strange_logits(model, photos(None, KEPT).parent / "rubbish")
        np.savez(file, logits=logits.numpy(), labels=data.label_ids()[rows], people=people[rows], strange=strange)
    return dict(np.load(file))


def strange_logits(model: Any, folder: Path) -> Any:
    """Logits of 200 photos that show no hand; none where there are no such photos."""
    if not folder.is_dir():
        return np.zeros((0, len(model.class_names)), np.float32)
    chosen = sorted(str(path) for path in folder.rglob("*.jpg"))
    rows = [
        row
        for row in oml.predict(model, chosen[:: max(1, len(chosen) // 200)], top_k=len(model.class_names))
        if not row.error
    ]
    table = [[dict(row.top)[name] for name in model.class_names] for row in rows]
    return np.log(np.clip(np.array(table), 1e-30, 1))


def cells() -> dict[str, Any] | None:
    """What a detector found of the cells in the photos that it was not trained on."""
    file = KEPT / "cells.npz"
    if not file.exists():
        folder = photos(None, KEPT).parents[1] / "detection" / "bccd"
        if not folder.is_dir():
            return None
        data = oml.Manifest.from_any(str(folder)).check(max_bad=0.1).manifest
        data = two_splits(data, np.arange(len(data)), 0.3)
        model = oml.ObjectDetector(class_names=data.class_names, weights="random")
        batches = oml.DetectionDataModule(data, size_hw=(320, 320), batch_size=8, max_bad=0.05)
        oml.fit(model, batches, epochs=18, progress="lines", accelerator="cpu")
        print(oml.evaluate(model, data, split="test", n_bootstrap=0, max_bad=0.05), flush=True)
        _, found = object_evidence(model, data, options(8), fit=False)
        answers = [found.answers(i) for i in range(len(data.class_names))]
        np.savez(
            file,
            names=np.array(data.class_names),
            **{name: getattr(found, name) for name in ("label_ids", "scores", "photos", "units")},
            answer_ids=np.repeat(np.arange(len(answers)), [len(scores) for scores, _ in answers]),
            answer_scores=np.concatenate([scores for scores, _ in answers]),
            answer_photos=np.concatenate([places for _, places in answers]),
        )
    return dict(np.load(file))


def part(whole: Evidence, mask: Any) -> Evidence:
    """The evidence of some of the photos."""
    place = np.cumsum(mask) - 1
    kept = mask[whole.photos]

    def answers(class_id: int) -> tuple[Any, Any]:
        scores, found = whole.answers(class_id)
        return scores[mask[found]], place[found[mask[found]]]

    shown = whole.label_ids[kept], whole.scores[kept], place[whole.photos[kept]]
    return Evidence(*shown, whole.units[mask], answers, whole.exclusive)


def of_cells(found: dict[str, Any]) -> Evidence:
    def answers(class_id: int) -> tuple[Any, Any]:
        own = found["answer_ids"] == class_id
        return found["answer_scores"][own], found["answer_photos"][own]

    return Evidence(found["label_ids"], found["scores"], found["photos"], found["units"], answers, exclusive=False)


def cumulated(probabilities: Any, seed: int) -> Any:
    """(N, C): 1 less the probability of all classes that are at least as likely, with the class's own share drawn."""
    drawn = np.random.default_rng(seed).random((len(probabilities), 1))
    order = np.argsort(-probabilities, axis=1)
    sums = np.take_along_axis(np.cumsum(np.take_along_axis(probabilities, order, 1), 1), np.argsort(order, axis=1), 1)
    return np.clip(1 - sums + drawn * probabilities, 0, 1)


def halves(units: Any, split: int) -> Any:
    """(N,) bool: the photos of half of the groups."""
    names = np.unique(units)
    return np.isin(units, np.random.default_rng(split).permutation(names)[: len(names) // 2])


def measured(
    calibrating: Evidence, testing: Evidence, names: list[str], *, split: int, rate: float, without: Any = ()
) -> dict[str, float]:
    """Miss rates of one split at one rate, as means over groups, and the sizes of sets."""
    least = thresholds(calibrating, names, split, rate, without=without)
    missed = testing.scores < least[testing.label_ids]
    units = testing.units[testing.photos]
    in_photo, _ = testing.counts(least.tolist())
    right = np.bincount(testing.photos[~missed], minlength=testing.n_photos)
    own = {name: testing.label_ids == i for i, name in enumerate(names) if name not in without}
    shares_of = {name: by_group(missed[rows], units[rows]) for name, rows in own.items() if rows.any()}
    rates = {"all": np.concatenate([*shares_of.values()]).mean()} | {k: v.mean() for k, v in shares_of.items()}
    shares = {"size": in_photo.mean(), "one": (in_photo == 1).mean(), "none": (in_photo == 0).mean()}
    return rates | shares | {"false": (in_photo - right).mean()}


def thresholds(calibrating: Evidence, names: list[str], split: int, rate: float, *, without: Any = ()) -> Any:
    """(C,) thresholds of a split; another split draws other numbers where a rate falls between two photos."""
    found = calibration_of(calibrating, names, model="", split="val", manifest_hash=str(split))
    chosen = found.thresholds(rate, without=without)
    return np.array([chosen.get(name, 0.25) for name in names])


def by_group(missed: Any, units: Any) -> Any:
    """The share missed in each group."""
    codes = np.unique(units, return_inverse=True)[1]
    return np.bincount(codes, weights=missed) / np.bincount(codes)


def table(name: str, draws: list[dict[str, float]], names: list[str], rate: float) -> dict[str, Any]:
    """Print the mean of each number over splits, and return the result of the race."""
    mean = {key: float(np.mean([one[key] for one in draws if key in one])) for key in draws[0]}
    spread = float(np.std([one["all"] for one in draws]))
    print(f"\n{name}, miss_rate={rate}, {len(draws)} splits (all: one split varies by {spread:.4f})")
    for key, value in mean.items():
        print(f"  {key:12} {value:.4f}")
    worst = max((mean[key] for key in ["all", *names] if key in mean), key=lambda value: abs(value - rate))
    ends = {"race": f"calibration: {name}, miss_rate={rate}", "ours": worst, "peers": {}, "ratio": worst / rate}
    return ends | {"aim": AIM, "holds": abs(worst - rate) <= AIM, "all": mean["all"]}


def race_digits(found: dict[str, Any], n_splits: int, *, grouped: bool, adaptive: bool) -> list[dict[str, Any]]:
    logits, labels = found["logits"].astype(np.float64), found["labels"]
    people = np.unique(found["people"], return_inverse=True)[1]
    units = people if grouped else np.arange(len(labels))
    names = [str(i) for i in range(logits.shape[1])]
    draws: dict[float, list[dict[str, float]]] = {rate: [] for rate in RATES}
    for split in range(n_splits):
        own = halves(units, split)
        fitted = fit_temperature(logits[own], labels[own], units[own])
        scores = with_temperature(logits, fitted.value)
        if adaptive:
            scores = cumulated(scores, split)
        whole = of_probabilities(scores, labels, units)
        for rate in RATES:
            draws[rate].append(measured(part(whole, own), part(whole, ~own), names, split=split, rate=rate))
            draws[rate][-1]["temperature"] = fitted.value
            if not adaptive and len(found["strange"]):
                least = thresholds(part(whole, own), names, split, rate)
                counts = (with_temperature(found["strange"], fitted.value) >= least).sum(1)
                draws[rate][-1] |= {f"strange {n}": (counts == n).mean() for n in (0, 1)}
    kind = f"sign digits{', whole people' * grouped}{', adaptive sets' * adaptive}"
    return [table(kind, draws[rate], names, rate) for rate in RATES]


def race_cells(found: dict[str, Any], n_splits: int) -> list[dict[str, Any]]:
    whole, names, results = of_cells(found), found["names"].tolist(), []
    lowest = {name: whole.curve(i).lowest_rate for i, name in enumerate(names)}
    for rate in (*RATES, HIGH_RATE):
        without = [name for name in names if lowest[name] > 0.9 * rate]
        for name in without:
            print(f"\n{name}: no rate below {lowest[name]:.3f} can be had, since the others are never found")
        draws = []
        for split in range(n_splits):
            own = halves(whole.units, split)
            draws.append(measured(part(whole, own), part(whole, ~own), names, split=split, rate=rate, without=without))
        results.append(table("blood cells", draws, names, rate))
    return results


def main() -> int:
    chosen = arguments(__doc__ or "")
    torch.set_num_threads(1)
    KEPT.mkdir(exist_ok=True)
    n_splits = chosen.seeds if chosen.seeds > 1 else SPLITS
    found, results = digits(chosen.data), []
    right = (found["logits"].argmax(1) == found["labels"]).mean()
    print(f"sign digits: {len(found['labels'])} photos that it was not trained on, accuracy {right:.4f}")
    for grouped, adaptive in ((False, False), (True, False), (False, True)):
        results += race_digits(found, n_splits, grouped=grouped, adaptive=adaptive)
    if (boxes := cells()) is not None:
        results += race_cells(boxes, n_splits)
    finish(results, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
