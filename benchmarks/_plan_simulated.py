"""What no formula tells, simulated: how well shards mix, which parts of them a batch asks for, a day of labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onlineml.storage.log import log
from onlineml.storage.shards import spans

LOOSE = 512  # objects of the log, as far as a writer knows, from which on it merges them
SEED = 0


# ---- shuffling ----


@dataclass(frozen=True)
class Mixing:
    """How the classes of a batch are mixed, where photos of a class arrived together.

    Attributes:
        classes: in a batch, on average.
        worth: how many images chosen at random from all would tell as much as the batch does of its classes.
    """

    classes: float
    worth: float


def mixing(
    *, images: int, n_classes: int, per_shard: int, mixed_shards: int, batch: int, n_batches: int = 300
) -> Mixing:
    """Draw batches from ``mixed_shards`` shards that are shuffled together, each shard any of all.

    Args:
        images: of the dataset, in the order of their classes.
        n_classes: of equal size.
        per_shard: images in a shard; the shards follow each other in the dataset.
        mixed_shards: whose images are in memory at the same time; 0: the whole dataset is shuffled.
        batch: images.
        n_batches: that are drawn, for the means.
    """
    rng = np.random.default_rng(SEED)
    n_shards = -(-images // per_shard)
    classes, same = [], []
    for _ in range(n_batches):
        if mixed_shards:
            firsts = rng.choice(n_shards, min(mixed_shards, n_shards), replace=False) * per_shard
            rows = rng.choice(len(firsts) * per_shard, min(batch, len(firsts) * per_shard), replace=False)
            rows = firsts[rows // per_shard] + rows % per_shard
        else:
            rows = rng.integers(0, images, batch)
        counts = np.bincount(np.minimum(rows, images - 1) * n_classes // images)
        classes.append(np.count_nonzero(counts))
        same.append((counts * (counts - 1)).sum() / (len(rows) * (len(rows) - 1)))
    chance = 1 / n_classes
    alike = max(0.0, (float(np.mean(same)) - chance) / (1 - chance))
    return Mixing(float(np.mean(classes)), batch / (1 + (batch - 1) * alike))


def requests_of_a_batch(*, images: int, image_bytes: int, per_shard: int, batch: int, n_batches: int = 20) -> float:
    """Requests for an image of a shuffled batch from shards: images of one shard that lie close are one request."""
    rng = np.random.default_rng(SEED)
    n = 0
    for _ in range(n_batches):
        rows = rng.choice(images, batch, replace=False)
        for shard in np.unique(rows // per_shard):
            starts = (rows[rows // per_shard == shard] % per_shard) * image_bytes
            n += len(spans([(int(start), int(start) + image_bytes) for start in starts]))
    return n / (batch * n_batches)


# ---- the log ----


@dataclass(frozen=True)
class Day:
    """A day on which people label.

    Attributes:
        most: objects of the log that nobody has merged, at their highest number.
        read: objects that people read, all of them together.
        merges: by people and by the job that merges.
    """

    most: int
    read: int
    merges: int


def day(*, people: int, labels: int, page: int, merged_every: int | None) -> Day:
    """A day of labels, in turn, by people who read the log when they begin, and again with each page of photos.

    A writer counts what was there when it read the log last, and what it has written since.

    Args:
        people: who label at the same time.
        labels: by all of them together; each is an object.
        page: photos that a person answers between two readings.
        merged_every: labels after which a job merges; None: only who writes does.
    """
    loose = most = read = merges = 0
    known, own, seen = [0] * people, [0] * people, [0] * people
    for number in range(labels):
        who = number % people
        if (number // people) % page == 0:
            read += min(loose, number - seen[who])
            known[who], own[who], seen[who] = loose, 0, number
        loose, own[who] = loose + 1, own[who] + 1
        most = max(most, loose)
        if known[who] + own[who] >= LOOSE:
            known[who] = own[who] = loose = 0
            merges += 1
        elif merged_every and loose >= merged_every:
            loose, merges = 0, merges + 1
    return Day(most, read, merges)


def rewritten(*, labels: int, merged: int) -> float:
    """How often an entry is written, the first time included, if ``merged`` entries are merged at a time."""
    held: dict[str, int] = {}
    written = labels
    for number in range(labels // merged):
        there = held | {"new": merged // 2, "more": merged - merged // 2}  # for as many of one entry, as quickly
        chosen = log._worth_merging(there)  # noqa: SLF001 (what is simulated)
        assert {"new", "more"} <= set(chosen)  # noqa: S101 (as those of one entry would be)
        total = sum(there.pop(name) for name in chosen)
        held = there | {f"checkpoint {number}": total}
        written += total
    return written / labels
