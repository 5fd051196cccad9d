"""Race: corrections in, a better model out. Peers are models that learned from clean labels, and from wrong ones.

- *Recovery*: 5 % and 20 % of the training labels are flipped. In rounds, `review_queue` tells whom to ask about, the
  true label is the answer, and an image is asked about once. Nobody knows the number of flips: the review ends when
  fewer than one answer in ten of a round changes anything, when nothing is suspect any more, or at 1.25 answers a flip,
  which is the budget. Then the model is retrained. Recovered is what part of the accuracy lost to the flips came back.
- *Seconds path*: 20 corrections among 2,000 images at 224 px, to a new head with its scores.
- *No forgetting*: two classes added to a classifier of the others, against training on all classes at once.
- *Boxes* (BCCD): some are removed, given another class, or shifted; `review_queue` finds them with detectors that were
  trained on the other half of the images.

The classifier is MobileNetV2 with ImageNet weights, frozen. With --seeds, so many seeds of flips, 3 by default; with
--seconds, the time for each of the two detectors (0: no boxes).
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _improve_boxes import race_boxes
from _race import arguments, finish, manifest, photos

import onlineml as oml
from onlineml.evaluation import classification_scores
from onlineml.improving.challenger.new_head import fit_new_head, fit_new_rows
from onlineml.improving.challenger.successor import from_champion
from onlineml.improving.review.queue import review_queue
from onlineml.training.features import features_of, linear_head, project_store

SIZE = 224
SHARES = (0.05, 0.2)
SEEDS = 3
ANSWERS = 1.25  # at most, for each flip
ROUND = 30  # answers
LEAST = 0.1  # of the answers of a round that change a label; below it a person stops
DETECTOR_S = 120.0


def pretrained(class_names: Any) -> oml.ImageClassifier:
    """MobileNetV2 with the shared weights; torchvision's where those are not there."""
    root = Path(os.environ.get("ONLINEML_DATA", Path(__file__).parents[2] / "shared" / "data"))
    file = root / "weights" / "mobilenet_v2.pth"
    weights = str(file) if file.is_file() else "DEFAULT"
    model = oml.ImageClassifier(class_names=class_names, backbone="mobilenet_v2", weights=weights)
    model.size_hw = (SIZE, SIZE)
    return model.eval()


def flipped(data: Any, share: float, seed: int) -> dict[str, str]:
    """Wrong labels by image id, of so many of the training images: any other class."""
    draws = np.random.default_rng(seed)
    rows = np.flatnonzero(data.column("split") == "train")
    chosen = draws.choice(rows, round(share * len(rows)), replace=False)
    n_classes = len(data.class_names)
    wrong = (data.label_ids()[chosen] + draws.integers(1, n_classes, len(chosen))) % n_classes
    ids = data.column("image_id")[chosen].tolist()
    return {image_id: data.class_names[k] for image_id, k in zip(ids, wrong, strict=True)}


@dataclass
class Bench:
    """A place for projects, each of which begins with the features that another one computed."""

    folder: Path

    def project(self, data: Any, name: str) -> oml.Project:
        project = oml.Project.create(str(self.folder / name))
        project.add(data)
        if (known := self.folder / "features").is_dir():
            shutil.copytree(known, self.folder / name / "features")
        return project

    def keep_features(self, project: oml.Project) -> None:
        shutil.copytree(Path(project.url) / "features", self.folder / "features", dirs_exist_ok=True)


def retrained(project: oml.Project, data: Any) -> oml.ImageClassifier:
    """The seconds path, as `improve` goes it: a head for the labels as they are."""
    model = pretrained(data.class_names)
    images = oml.ClassificationDataModule(data, size_hw=(SIZE, SIZE))
    fit_new_head(model, images, store=project_store(project.location, model))
    return model


def scores_of(project: oml.Project, data: Any, model: oml.ImageClassifier, *, n_bootstrap: int = 0) -> Any:
    """The scores on the test split, from kept features."""
    rows = np.flatnonzero(data.column("split") == "test")
    features = features_of(model, data, rows, store=project_store(project.location, model))
    with torch.inference_mode():
        table = torch.softmax(linear_head(model)(torch.from_numpy(features.values)).double(), dim=1).numpy()
    return classification_scores(
        table, data.label_ids()[features.rows], data.class_names, n_bootstrap=n_bootstrap, n_mistakes=0
    )


def review(project: oml.Project, model: oml.ImageClassifier, truth: dict[str, str], budget: int) -> list[str]:
    """Ask in rounds, answer truthfully; the ids of the images that were asked about."""
    asked: list[str] = []
    while len(asked) < budget:
        queue = review_queue(
            project, n=min(ROUND, budget - len(asked)), model=model, splits=["train"], random_share=0, seed=len(asked)
        )
        items = [item for item in queue if item.reason in {"label error", "doubtful label"}]
        if not items:
            break
        given = dict(zip(*(project.labels.state().table[c].to_pylist() for c in ("image_id", "label")), strict=True))
        changed = sum(given[item.image_id] != truth[item.image_id] for item in items)
        project.labels.set({item.image_id: truth[item.image_id] for item in items})
        asked += [item.image_id for item in items]
        print(f"  {len(items)} asked, {changed} were wrong; first reasons: {queue.counts()}", flush=True)
        if changed < LEAST * len(items):
            break
    return asked


def race_recovery(bench: Bench, data: Any, seeds: int) -> list[dict[str, Any]]:
    clean_project = bench.project(data, "clean")
    frozen = clean_project.freeze()
    clean = scores_of(clean_project, frozen, retrained(clean_project, frozen)).accuracy
    bench.keep_features(clean_project)
    print(f"clean labels: test accuracy {clean:.4f}", flush=True)
    truth = dict(zip(frozen.column("image_id").tolist(), frozen.column("label").tolist(), strict=True))
    results = []
    for share in SHARES:
        rows = []
        for seed in range(seeds):
            flips = flipped(frozen, share, seed)
            project = bench.project(frozen.with_labels(flips), f"flips-{share}-{seed}")
            before = project.freeze()
            model = retrained(project, before)
            noisy = scores_of(project, before, model).accuracy
            asked = review(project, model, truth, int(ANSWERS * len(flips)))
            after = project.freeze()
            own = scores_of(project, after, retrained(project, after)).accuracy
            found = len(flips.keys() & set(asked)) / len(flips)
            back = (own - noisy) / (clean - noisy) if clean > noisy else float("nan")
            rows.append((noisy, own, back, found, len(asked) / len(flips)))
            print(f"{share:.0%} flipped, seed {seed}: accuracy {noisy:.4f} -> {own:.4f}, recovered {back:.3f}; flips "
                  f"found {found:.3f} with {rows[-1][4]:.2f} answers a flip", flush=True)  # fmt: skip
        noisy, own, back, found, answers = (statistics.mean(column) for column in zip(*rows, strict=True))
        results.append({"race": f"recovery, {share:.0%} of labels flipped", "ours": back,
                        "peers": {"accuracy, clean labels": clean, "accuracy, flipped labels": noisy},
                        "ratio": back, "aim": 0.9, "holds": back >= 0.9 and answers <= ANSWERS, "accuracy": own,
                        "flips_found": found, "answers_a_flip": answers})  # fmt: skip
    return results


def race_seconds(bench: Bench, data: Any) -> dict[str, Any]:
    """From 20 corrections in the log to the scores of a new head; features are there."""
    project = bench.project(data, "seconds")
    truth = project.freeze()
    flips = flipped(truth, 1.0, 0)
    chosen = dict(list(flips.items())[:20])
    project.labels.set(chosen)
    project.freeze()
    retrained(project, truth)
    true = dict(zip(truth.column("image_id").tolist(), truth.column("label").tolist(), strict=True))
    begin = time.perf_counter()
    project.labels.set({image_id: true[image_id] for image_id in chosen})
    frozen = project.freeze()
    scores = scores_of(project, frozen, retrained(project, frozen), n_bootstrap=1000)
    spent = time.perf_counter() - begin
    print(f"20 corrections to accuracy {scores.accuracy:.4f} in {spent:.2f} s", flush=True)
    return {"race": f"20 corrections on {len(frozen)} images at {SIZE} px to a new evaluated head, seconds",
            "ours": spent, "peers": {}, "ratio": spent / 10, "aim": 10.0, "holds": spent < 10}  # fmt: skip


def race_forgetting(bench: Bench, data: Any) -> list[dict[str, Any]]:
    """Two classes are added; what of the others?"""
    project = bench.project(data, "forgetting")
    frozen = project.freeze()
    old = frozen.class_names[:-2]
    ids, labels = frozen.column("image_id"), frozen.label_ids()
    later = {str(ids[row]): None for row in np.flatnonzero(labels >= len(old))}
    start = frozen.with_labels(later).with_class_names(old)
    champion = retrained(project, start)
    joint = retrained(project, frozen)
    grown = from_champion(champion, frozen.class_names, lineage={})
    images = oml.ClassificationDataModule(frozen, size_hw=(SIZE, SIZE))
    fit_new_rows(grown, images, store=project_store(project.location, grown), old_names=old)
    tests = np.flatnonzero((frozen.column("split") == "test") & (labels >= 0) & (labels < len(old)))
    features = features_of(champion, frozen, tests, store=project_store(project.location, champion))
    table, truth = torch.from_numpy(features.values), torch.from_numpy(labels[features.rows])
    with torch.inference_mode():
        logits = {name: linear_head(m)(table) for name, m in (("old", champion), ("joint", joint), ("grown", grown))}
    apart = float((logits["grown"][:, : len(old)] - logits["old"]).abs().max())
    of_old = {name: float((own.argmax(1) == truth).float().mean()) for name, own in logits.items()}
    everything = {name: scores_of(project, frozen, m).accuracy for name, m in (("joint", joint), ("grown", grown))}
    drop = of_old["joint"] - of_old["grown"]
    print(f"old classes: {of_old}; all classes: {everything}; old logits differ by {apart:.2g} at most", flush=True)
    return [
        {"race": "two classes added: accuracy on old classes", "ours": of_old["grown"],
         "peers": {"joint training": of_old["joint"], "before": of_old["old"]},
         "ratio": of_old["grown"] / of_old["joint"], "aim": "at most 0.01 below joint", "holds": drop <= 0.01},
        {"race": "two classes added: accuracy on all classes", "ours": everything["grown"],
         "peers": {"joint training": everything["joint"]}, "ratio": everything["grown"] / everything["joint"],
         "aim": None, "holds": None},
        {"race": "two classes added: largest change of an old logit", "ours": apart, "peers": {}, "ratio": apart,
         "aim": 1e-5, "holds": apart <= 1e-5},
    ]  # fmt: skip


def main() -> None:
    given = arguments(__doc__ or "")
    seeds = SEEDS if given.seeds == 1 else given.seeds
    seconds = DETECTOR_S if given.seconds is None else given.seconds
    with tempfile.TemporaryDirectory() as scratch:
        data = manifest(photos(given.data, Path(scratch)))
        bench = Bench(Path(scratch) / "projects")
        results = race_recovery(bench, data, seeds)
        results.append(race_seconds(bench, data))
        results += race_forgetting(bench, data)
        if seconds > 0:
            results += race_boxes(Path(scratch), seconds)
    finish(results, given.json)


if __name__ == "__main__":
    main()
