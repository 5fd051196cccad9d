"""Race: from no label to a classifier. Photos of the train split are asked for, and answered by their true labels.

The photos are embedded once by the network that comes by pip (EfficientNet-Lite0 at 160 px), as `review_queue` does
in a project without a model. Every 20 answers a linear head is fitted; the last one, at 15 % of the train split, is
scored on the test split. *Full* is the same head with all labels of the train split; fine-tuning on all of sign digits
comes to about .98.

- *ours*: photos that represent the others, weighted by the head's doubt about them.
- *random order*.
- *k-center only*: always the photo that is farthest from those that are answered (Sener and Savarese, ICLR 2018).
- *uncertainty only*: 20 at random, then those about which the head is most in doubt.

Seeds: random order and the first photos; of ours, an eighth of the photos that is not asked for. Three by default.
Features are kept in the folder for temporary files between runs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _race import arguments, finish, manifest, photos

from onlineml.improving.review.diversity import representatives
from onlineml.improving.review.few_labels import judge
from onlineml.storage.location import Location
from onlineml.training.embedding import embedder, unannotated
from onlineml.training.features import features_of, project_store

SHARE = 0.15
AIM = 0.95  # of the accuracy with all labels
ROUND = 20
SEEDS = 3


class Pool:
    """The train and test photos of a dataset, their features, and their true labels."""

    def __init__(self, data: Any, folder: str) -> None:
        model = embedder()
        print(model.origin, flush=True)
        rows = np.flatnonzero(np.isin(np.asarray(data.column("split"), dtype=object), ["train", "test"]))
        store = project_store(Location.of(folder), model)
        begin = time.process_time()
        features = features_of(model, unannotated(data), rows, store=store, max_bad=0.05)
        self.embedding_s = time.process_time() - begin
        self.data, self.values = data.take(features.rows), features.values
        self.truth = self.data.label_ids()
        split = np.asarray(self.data.column("split"), dtype=object)
        self.train, self.test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
        spread = np.maximum(self.values[self.train].std(axis=0), 1e-6)
        table = (self.values - self.values[self.train].mean(axis=0)) / spread
        self.units = table / np.linalg.norm(table, axis=1, keepdims=True)

    def open(self, answered: list[int]) -> Any:
        """The photos of train without an answer."""
        return np.setdiff1d(self.train, answered)

    def judged(self, answered: Any) -> Any:
        """What a head of the answers says of all photos; None if it cannot be fitted yet."""
        mask = np.zeros(len(self.truth), bool)
        mask[answered] = True
        return judge(self.data, self.values, mask)

    def accuracy(self, answered: Any) -> float:
        judged = self.judged(answered)
        names = np.array(self.data.class_names)[self.truth[self.test]]
        return float((np.array(judged.names)[self.test] == names).mean())


def ours(pool: Pool, answered: list[int], judged: Any, n: int, draws: Any) -> list[int]:
    weights, open_ = np.zeros(len(pool.truth)), pool.open(answered)
    weights[open_] = 1.0 if judged is None else judged.doubts[open_]
    weights[draws.choice(pool.train, len(pool.train) // 8, replace=False)] = 0.0
    known = np.isin(np.arange(len(weights)), answered)
    rows = representatives(pool.values[pool.train], weights[pool.train], n=n, known=known[pool.train]).rows
    return pool.train[rows].tolist()


def random_order(pool: Pool, answered: list[int], judged: Any, n: int, draws: Any) -> list[int]:  # noqa: ARG001
    return draws.choice(pool.open(answered), n, replace=False).tolist()


def k_center(pool: Pool, answered: list[int], judged: Any, n: int, draws: Any) -> list[int]:  # noqa: ARG001
    asked = [] if answered else [int(draws.choice(pool.train))]
    far = 1 - (pool.units[pool.train] @ pool.units[answered or asked].T).max(axis=1)
    while len(asked) < n:
        asked.append(int(pool.train[far.argmax()]))
        far = np.minimum(far, 1 - pool.units[pool.train] @ pool.units[asked[-1]])
    return asked


def uncertainty(pool: Pool, answered: list[int], judged: Any, n: int, draws: Any) -> list[int]:
    open_ = pool.open(answered)
    if judged is None:
        return draws.choice(open_, n, replace=False).tolist()
    return open_[np.argsort(-judged.doubts[open_])[:n]].tolist()


SIDES = {"ours": ours, "random order": random_order, "k-center only": k_center, "uncertainty only": uncertainty}


def answered_by(pool: Pool, side: Any, *, seed: int) -> tuple[list[int], float, float]:
    """The photos that were answered, the accuracy after 40 answers, and the seconds of the machine."""
    draws, answered, judged, early = np.random.default_rng(seed), [], None, float("nan")
    begin = time.process_time()
    budget = int(SHARE * len(pool.train))
    while len(answered) < budget:
        asked = side(pool, answered, judged, min(ROUND, budget - len(answered)), draws)
        if not asked:
            break
        answered += asked
        judged = pool.judged(answered)
        if len(answered) == 2 * ROUND:
            early = pool.accuracy(answered)
    return answered, early, time.process_time() - begin


def race(pool: Pool, name: str, seeds: int) -> dict[str, Any]:
    full = pool.accuracy(pool.train)
    print(f"{name}: all {len(pool.train):,} labels {full:.4f}; embedded in {pool.embedding_s:.0f} s of CPU", flush=True)
    means, early_means, spent = {}, {}, 0.0
    for side_name, side in SIDES.items():
        found = []
        for seed in range(seeds):
            answered, early, seconds = answered_by(pool, side, seed=seed)
            found.append((pool.accuracy(answered), early, seconds))
            print(f"  {side_name}, seed {seed}: {len(answered)} answers {found[-1][0]:.4f}, 40 answers {early:.4f}, "
                  f"{seconds:.1f} s", flush=True)  # fmt: skip
        last, first, seconds = (statistics.mean(column) for column in zip(*found, strict=True))
        means[side_name], early_means[side_name] = last, first
        spent = seconds if side is ours else spent
    mine = means.pop("ours")
    return {"race": f"{name}: share of full-label accuracy with {SHARE:.0%} of the labels", "ours": mine / full,
            "peers": {key: value / full for key, value in means.items()}, "ratio": mine / full / AIM, "aim": AIM,
            "holds": mine / full >= AIM, "accuracy": mine, "full": full, "accuracy_at_40": early_means,
            "embedding_s": pool.embedding_s, "seconds": spent}  # fmt: skip


def main() -> None:
    given = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as scratch:
        folder = photos(given.data, Path(scratch))
        kept = Path(tempfile.gettempdir()) / "onlineml-few-labels" / folder.name
        pool = Pool(manifest(folder), str(kept))
        finish([race(pool, folder.name, given.seeds if given.seeds > 1 else SEEDS)], given.json)


if __name__ == "__main__":
    sys.exit(main())
