"""Splits that are decided once: by a hash of an image's group, never by chance, order or label.

Adding images, or correcting labels, moves no image from one split to another, and all images of a group (the frames
of a video, the crops of a photo) stay together.
"""

from __future__ import annotations

import re
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = [
    "DEFAULT_FRACTIONS",
    "SPLITS",
    "assign_folds",
    "assign_splits",
    "normalised_split",
    "split_in_name",
    "stable_split",
]

SPLITS = ("train", "val", "test")
DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
_BUCKETS = 10_000  # fractions are kept to a hundredth of a per cent
_SYNONYMS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev", "devel", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}
_DECORATION = re.compile(
    r"[\s_-]*(?:set|data|dataset|split|images?|imgs?|photos|\d{4})$"
)  # as in 'test_set', 'val2017'
_WORD = re.compile(r"[a-z]+")


def normalised_split(name: str) -> str | None:
    """``"train"``, ``"val"`` or ``"test"`` for one of their common names in any case; None for any other word.

    Understood are, for instance, ``training``, ``valid``, ``validation``, ``dev``, ``eval`` and ``testing``, also
    followed by ``set``, ``data``, ``images``, ``split`` or a year: ``Training_Set``, ``val2017``.
    """
    word = name.strip().lower()
    return _SYNONYMS.get(word) or _SYNONYMS.get(_DECORATION.sub("", word))


def split_in_name(name: str) -> str | None:
    """The split that a file's name mentions, as ``train_labels`` does; None if it mentions none or several."""
    found = {_SYNONYMS[word] for word in _WORD.findall(name.lower()) if word in _SYNONYMS}
    return found.pop() if len(found) == 1 else None


def stable_split(
    groups: Sequence[str], *, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, salt: str = ""
) -> npt.NDArray[np.object_]:
    """Decide a split for each group name by its hash alone.

    Args:
        groups: N group names; equal names get equal splits.
        fractions: what share of the groups each split gets; they sum to 1.
        salt: another text gives another, independent division.

    Returns:
        (N,) object array of split names.

    Raises:
        ConfigError: an unknown split name, a negative fraction, or a sum that is not 1.
    """
    bounds = _bounds(fractions)
    names = np.array(list(fractions), dtype=object)
    prefix = blake2b(salt.encode(), digest_size=8)
    buckets = np.fromiter((_bucket(prefix, group) for group in groups), np.int64, count=len(groups))
    return names[np.searchsorted(bounds, buckets, side="right")]


def _bucket(prefix: blake2b, group: str) -> int:
    digest = prefix.copy()
    digest.update(b"\0" + group.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "big") % _BUCKETS


def _bounds(fractions: Mapping[str, float]) -> npt.NDArray[np.int64]:
    unknown = [name for name in fractions if name not in SPLITS]
    values = np.array(list(fractions.values()), dtype=float)
    if unknown or not fractions or not (values >= 0).all() or abs(values.sum() - 1) > 1e-6:
        msg = (
            f"fractions must give shares of {', '.join(SPLITS)} that are not negative and sum to 1, "
            f"such as {dict(DEFAULT_FRACTIONS)}; found {dict(fractions)}"
        )
        raise ConfigError(msg)
    bounds = np.round(np.cumsum(values) * _BUCKETS).astype(np.int64)
    return bounds[:-1]


def assign_splits(
    groups: Sequence[str],
    given: Sequence[str | None],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    salt: str = "",
) -> npt.NDArray[np.object_]:
    """Give a split to every image that has none, and leave the others as they are.

    An image without a split joins the split that its group already has (where a group is in several, the first of
    test, val, train); other groups are divided by `stable_split`.

    Args:
        groups: N group names.
        given: N split names, or None where it is to be decided.
        fractions: see `stable_split`.
        salt: see `stable_split`.

    Returns:
        (N,) object array of split names.
    """
    splits = np.array(given, dtype=object)
    missing = np.array([split is None for split in given], dtype=bool)
    if not missing.any():
        return splits
    names = np.array(groups, dtype=object)
    splits[missing] = stable_split(names[missing].tolist(), fractions=fractions, salt=salt)
    if missing.all():
        return splits
    taken: dict[str, str] = {}
    for wanted in SPLITS:  # test last, so that it wins
        taken.update(dict.fromkeys(names[~missing & (splits == wanted)].tolist(), wanted))
    for i in np.flatnonzero(missing):
        splits[i] = taken.get(names[i], splits[i])
    return splits


def assign_folds(
    groups: Sequence[str], labels: Sequence[str], *, n_folds: int, salt: str = ""
) -> npt.NDArray[np.int64]:
    """Divide images into folds of about equal size, in which each label is about equally frequent.

    Groups, the largest first and then in the order of their hash, go to the fold that has the fewest images of the
    group's most frequent label, and of those to the one with the fewest images.

    Args:
        groups: N group names; images of a group come into one fold.
        labels: N labels; ``""`` for none.
        n_folds: number of folds, at most that of the groups.
        salt: another text gives another division.

    Returns:
        (N,) int64 in [0, n_folds).

    Raises:
        ConfigError: there are fewer groups than folds.
    """
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    if len(members) < n_folds:
        raise ConfigError(f"{n_folds} folds of {len(members)} groups of images: expected at least as many groups")
    prefix = blake2b(salt.encode(), digest_size=8)
    order = sorted(members, key=lambda group: (-len(members[group]), _bucket(prefix, group), group))
    totals, of_label = [0] * n_folds, Counter[tuple[int, str]]()
    folds = np.zeros(len(groups), np.int64)
    for group in order:
        rows = members[group]
        counts = Counter(labels[i] for i in rows)
        label = max(counts, key=lambda name: (counts[name], name))
        fold = min(range(n_folds), key=lambda f: (of_label[f, label], totals[f], f))
        folds[rows] = fold
        totals[fold] += len(rows)
        of_label.update({(fold, name): n for name, n in counts.items()})
    return folds
