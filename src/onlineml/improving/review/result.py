"""The review queue: a frozen value that prints itself and converts to a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.improving.review.reasons import first_few, sentence
from onlineml.improving.review.table import queue_frame, queue_html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["RANDOM", "ReviewItem", "ReviewQueue", "Why"]

RANDOM = "random"
_N_PRINTED = 10


@dataclass(frozen=True)
class Why:
    """One reason to review an image.

    Attributes:
        reason: its name.
        row: index of the image in the pool.
        score: priority; comparable only within one reason.
        suggestion: a class more likely than the label, or ``with`` and ``without`` a label; "" for none.
        box_xyxy: in pixels; None for the whole image.
        object_row: index of the annotated box among all boxes; -1 for none. In a queue of
            `onlineml.improving.review.queue.review_queue`, among those of its image.
        confidence: probability of the suggestion by the model, in [0, 1]; nan if unknown.
        label: present label of the suspect box or image; "" for none, None if unknown.
        n_answers: number of answers that what suggests was fitted to, in a project without a model; 0 for a model.
    """

    reason: str
    row: int
    score: float
    suggestion: str = ""
    box_xyxy: tuple[float, float, float, float] | None = None
    object_row: int = -1
    confidence: float = math.nan
    label: str | None = None
    n_answers: int = 0

    __str__ = sentence  # "labelled lemon, model says apple, 93 %"


@dataclass(frozen=True)
class ReviewItem:
    """An image to review.

    Attributes:
        image_id: of the pool.
        row: its index in the pool.
        whys: all reasons for it; empty for a random image without other reasons.
        is_random: whether it was sampled at random; only these give an unbiased estimate of the pool's quality.
    """

    image_id: str
    row: int
    whys: tuple[Why, ...]
    is_random: bool

    @property
    def reason(self) -> str:
        """The first reason."""
        return self.whys[0].reason if self.whys else RANDOM

    @property
    def suggestion(self) -> str:
        """The first suggested class; "" if there is none."""
        return next((why.suggestion for why in self.whys if why.suggestion), "")

    def __str__(self) -> str:
        reasons = [*first_few(map(str, self.whys)), *([RANDOM] if self.is_random else [])]
        return f"{self.image_id}: {'; '.join(reasons)}"


@dataclass(frozen=True, repr=False)
class ReviewQueue:
    """Images in the order of review.

    Attributes:
        items: the images.
        n_pool: number of images in the pool.
        n_open: number of images that were not reviewed before.
        n_alike: number of candidates left out as near-duplicates.
        seed: of the random share.
        data: the images, in the same order; None for a queue of a pool without images.
        remark: a sentence for people; empty if there is nothing to say.
    """

    items: tuple[ReviewItem, ...]
    n_pool: int
    n_open: int
    n_alike: int
    seed: int
    data: Manifest | None = field(default=None, compare=False)
    remark: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ReviewItem]:
        return iter(self.items)

    def __getitem__(self, place: int) -> ReviewItem:
        return self.items[place]

    @property
    def n_random(self) -> int:
        """Number of random images."""
        return sum(item.is_random for item in self.items)

    def counts(self) -> dict[str, int]:
        """Return the number of images for each first reason."""
        counts: dict[str, int] = {}
        for item in self.items:
            counts[item.reason] = counts.get(item.reason, 0) + 1
        return counts

    def __repr__(self) -> str:
        return f"<ReviewQueue: {len(self.items)} of {count(self.n_pool, 'image')}>"

    def __str__(self) -> str:
        counts = ", ".join(f"{reason} {n:,}" for reason, n in self.counts().items())
        head = f"{len(self.items):,} of {count(self.n_pool, 'image')} to review" + (f": {counts}" if counts else "")
        notes = [f"{self.n_random:,} sampled at random"] if self.n_random else []
        notes += [f"{self.n_alike:,} near-duplicates left out"] if self.n_alike else []
        notes += [self.remark] if self.remark else []
        lines = [head, *(["; ".join(notes)] if notes else [])]
        lines += [f"  {item}" for item in self.items[:_N_PRINTED]]
        lines += [f"  and {len(self.items) - _N_PRINTED:,} more"] if len(self.items) > _N_PRINTED else []
        return "\n".join(lines)

    to_frame = queue_frame
    _repr_html_ = queue_html
