"""The ranking of images to check next: several rankings of the same pool, merged into one queue.

The scores come from `onlineml.improving.review.label_errors`, `box_errors` and `uncertainty`; `rank` merges them
without repetition. A share of the queue is sampled at random
from the whole pool: only the errors that people find there show how good the labels and the model are overall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError, DataError
from onlineml.improving.review.duplicates import first_of_alike
from onlineml.improving.review.result import ReviewItem, ReviewQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.types import Floats, Ints
    from onlineml.improving.review.candidates import Candidates
    from onlineml.improving.review.duplicates import Chosen
    from onlineml.improving.review.result import Why

__all__ = ["rank"]


def rank(
    candidates: Sequence[Candidates],
    image_ids: Sequence[str],
    *,
    limit: int,
    random_share: float = 0.2,
    chosen: Chosen | None = None,
    drawn_from: Ints | None = None,
    done: Sequence[str] = (),
    seed: int = 0,
) -> ReviewQueue:
    """Merge rankings into one queue.

    First, `random_share` of the queue is sampled uniformly from the pool. The rest is taken from the lists in turn, in
    proportion to their shares, urgent ones first; an image with several reasons appears once, with all of them, and
    near-duplicates of earlier images are left out. Random images are spread evenly over the queue, so that a person who
    stops half-way has reviewed half of them.

    Args:
        candidates: lists of images of the pool, by index.
        image_ids: (N) the pool.
        limit: length of the queue; it is shorter if there are fewer candidates and random images.
        random_share: in [0, 1]; 0.2 as recommended for active learning (arXiv 2403.14800).
        chosen: detects near-duplicates, see `onlineml.improving.review.duplicates.Chosen`, made for this pool; queued
            images are added to it. None keeps near-duplicates.
        drawn_from: (k,) indices of images that the random share is sampled from; None for the whole pool.
        done: ids that were reviewed already; they are left out.
        seed: of the random share.

    Raises:
        DataError: an id is repeated in the pool, or an index is outside it.
        ConfigError: the limit is negative, or the share is outside [0, 1].
    """
    _refuse(candidates, image_ids, chosen)
    if limit < 0 or not 0 <= random_share <= 1:
        msg = f"limit={limit}, random_share={random_share}: expected limit >= 0 and random_share in [0, 1]"
        raise ConfigError(msg)
    over = set(done)
    open_ = np.array([i for i, image_id in enumerate(image_ids) if image_id not in over], np.int64)
    urn = open_ if drawn_from is None else np.intersect1d(open_, drawn_from)
    n_random = min(round(random_share * limit), len(urn))
    drawn = np.random.default_rng(seed).permutation(urn)[:n_random].tolist()
    reasons = _reasons(candidates)
    wanted = _in_turn(candidates, set(drawn) | (set(range(len(image_ids))) - set(open_.tolist())))
    picked, n_alike = wanted[: limit - n_random], 0
    if chosen is not None:
        for row in drawn:
            chosen.add(row)
        picked, n_alike = first_of_alike(wanted, chosen, limit=limit - n_random)
    items = [
        ReviewItem(str(image_ids[row]), row, tuple(reasons.get(row, ())), is_random)
        for row, is_random in _spread(picked, drawn)
    ]
    return ReviewQueue(tuple(items), n_pool=len(image_ids), n_open=len(open_), n_alike=n_alike, seed=seed)


def _refuse(candidates: Sequence[Candidates], image_ids: Sequence[str], chosen: Chosen | None) -> None:
    n = len(image_ids)
    if len(set(image_ids)) < n:
        msg = "image_ids contains an id more than once; expected each image of the pool once"
        raise DataError(msg)
    for one in candidates:
        beyond = [why.row for why in one.whys if not 0 <= why.row < n]
        if beyond:
            msg = (
                f"{count(len(beyond), f'row for {one.reason!r} is', f'rows for {one.reason!r} are')} outside the "
                f"pool of {n:,} images, such as {beyond[0]}"
            )
            raise DataError(msg)
    if chosen is not None and chosen.n_images != n:
        msg = (
            f"the likeness was made for {count(chosen.n_images, 'image')}, and the pool holds {n:,}; give "
            "one row an image"
        )
        raise DataError(msg)


def _reasons(candidates: Sequence[Candidates]) -> dict[int, list[Why]]:
    """All reasons for each image, in the order of the lists."""
    reasons: dict[int, list[Why]] = {}
    for one in candidates:
        for why in one.whys:
            reasons.setdefault(why.row, []).append(why)
    return reasons


class _Turn(NamedTuple):
    rows: list[int]
    share: float
    taken: int = 0


def _in_turn(candidates: Sequence[Candidates], left_out: set[int]) -> list[int]:
    """Indices, each once: all urgent lists first, then always from the list furthest below its share."""
    order: list[int] = []
    seen = set(left_out)
    for urgent in (True, False):
        turns = [_Turn([why.row for why in c.whys][::-1], c.share) for c in candidates if c.urgent is urgent]
        while turns:
            least = min(range(len(turns)), key=lambda k: (turns[k].taken + 1) / turns[k].share)
            rows, share, taken = turns[least]
            while rows and rows[-1] in seen:
                rows.pop()
            if not rows:
                del turns[least]
                continue
            row = rows.pop()
            seen.add(row)
            order.append(row)
            turns[least] = _Turn(rows, share, taken + 1)
    return order


def _spread(picked: list[int], drawn: list[int]) -> list[tuple[int, bool]]:
    """Both lists in their order, the drawn ones spread evenly among the picked ones."""
    places: Floats = np.concatenate([
        (np.arange(len(picked)) + 0.5) / max(len(picked), 1),
        (np.arange(len(drawn)) + 0.5) / max(len(drawn), 1),
    ])  # fmt: skip
    everything = [(row, False) for row in picked] + [(row, True) for row in drawn]
    return [everything[i] for i in np.argsort(places, kind="stable")]
