"""Results of two models on the same images, with chosen numbers of fixed and broken ones."""

from __future__ import annotations

import numpy as np

from onlineml.evaluation import classification_scores

NAMES = ("cat", "dog")


def models(n, *, fixed=0, broken=0, wrong=0, names=NAMES, extra=0, **options):
    """Two results on n images of the first class but for the last quarter, of the second.

    The first images are fixed, the next broken, the last wrong with both; `extra` more show a third class.
    """
    truth = np.zeros(n, np.int64)
    truth[3 * n // 4 :] = 1
    right_a, right_b = np.ones((2, n), bool)
    right_a[:fixed] = False
    right_b[fixed : fixed + broken] = False
    if wrong:
        right_a[-wrong:] = right_b[-wrong:] = False
    options = {"n_bootstrap": 0, "image_ids": [f"i{k}" for k in range(n)], **options}
    a, b = (np.where(right, truth, 1 - truth) for right in (right_a, right_b))
    champion = classification_scores(np.eye(2)[a], truth, NAMES, **options)
    if extra:
        truth, b = np.concatenate([truth, np.full(extra, 2)]), np.concatenate([b, np.full(extra, 2)])
        options["image_ids"] += [f"new{k}" for k in range(extra)]
    return champion, classification_scores(np.eye(len(names))[b], truth, names, **options)
