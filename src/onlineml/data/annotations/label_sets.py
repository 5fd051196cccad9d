"""Annotations of an image's set of labels: whole sets, and added or removed labels.

Each label is resolved separately, by the entries about it, including whole sets. Two people who add different labels do
not conflict, but adding a label conflicts with removing it, or with a set without it, if neither author had seen the
other's entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of, one_chunk
from onlineml.data.annotations.heads import Claim, Resolution, resolve_claims
from onlineml.data.manifest.boxes import lists_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.resolve import HumanAnnotations

__all__ = ["ADDED", "LISTS", "REMOVED", "as_sets", "label_lists", "meanings", "resolve_labels", "resolved_labels"]

ADDED, REMOVED = "added", "removed"  # the events about some labels; all others give the whole set
LISTS = pa.list_(pa.string())
_SCHEMA = pa.schema([("labels", LISTS)])


def as_sets(lists: pa.Array) -> pa.Array:
    """Lists with unique, sorted texts; without a copy if they are already."""
    names = pc.list_flatten(lists).dictionary_encode()
    order = pc.sort_indices(names.dictionary)
    rank = np.argsort(order.to_numpy())
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    codes = np.repeat(np.arange(len(lists)), lengths) * len(rank) + rank[names.indices.to_numpy()]
    if (np.diff(codes) > 0).all():
        return lists
    rows, ranks = np.divmod(np.unique(codes), len(rank))
    texts = names.dictionary.take(order).take(pa.array(ranks))
    return lists_of(texts, np.bincount(rows, minlength=len(lists)), mask_of(lists.is_null()))


# ---- entries ----


class LabelsClaim(NamedTuple):
    """The content of one entry, by the present names of classes.

    Attributes:
        event: `ADDED` or `REMOVED`; anything else gives the whole set.
        labels: None if not annotated.
    """

    event: str
    labels: frozenset[str] | None

    @property
    def is_whole(self) -> bool:
        """True if it gives the whole set."""
        return self.event not in {ADDED, REMOVED}

    def is_about(self, label: str) -> bool:
        """Return whether it determines if a label applies."""
        return self.is_whole or label in (self.labels or ())

    def applies(self, label: str) -> bool:
        """Return whether a label that it is about applies."""
        return self.event != REMOVED and label in (self.labels or ())


def label_lists(entries: Entries, rows: Rows) -> pa.Array:
    """The lists of labels in entries; null if missing.

    Raises:
        StorageError: a list contains null, or an added or removed entry has no labels; the message names it.
    """
    lists = one_chunk(entries.parsed(rows, _SCHEMA)["labels"])
    wrong = np.zeros(len(rows), dtype=bool)
    if pc.list_flatten(lists).null_count:
        wrong[pc.list_parent_indices(lists).filter(pc.list_flatten(lists).is_null()).to_numpy()] = True
    wrong |= np.isin(rows, entries.rows(ADDED, REMOVED, live=False)) & mask_of(lists.is_null())
    if wrong.any():
        entries.damaged(rows[np.flatnonzero(wrong)[0]], "must have a list of texts as 'labels'")
    return lists


def meanings(entries: Entries, rows: Rows, present: Callable[[str], str | None]) -> list[LabelsClaim]:
    """Return the content of entries; `present` returns the present name of a class."""
    lists = label_lists(entries, rows).to_pylist()
    return [
        LabelsClaim(entries.event(row), None if one is None else frozenset(present(name) or name for name in one))
        for row, one in zip(rows, lists, strict=True)
    ]


# ---- one image ----


@dataclass(frozen=True)
class LabelsResolution(Resolution):
    """The resolution of the claims about the labels of an image.

    Attributes:
        of_label: for each mentioned label, whether it applies.
        of_whole: whether the image is annotated, by entries with whole sets; None if there are none.
    """

    of_label: Mapping[str, Resolution]
    of_whole: Resolution | None

    @property
    def disputed(self) -> tuple[str, ...]:
        """The conflicting labels."""
        return tuple(label for label, one in self.of_label.items() if one.rivals)

    @property
    def _contradictions(self) -> list[Resolution]:
        every = [*self.of_label.values(), *([self.of_whole] if self.of_whole else [])]
        return [one for one in every if one.rivals]

    @property
    def rivals(self) -> tuple[str, ...]:
        """The ids of the entries that conflict about some label; else none."""
        return tuple(sorted({entry for one in self._contradictions for entry in one.rivals}))

    @property
    def prevailing(self) -> frozenset[str]:
        """The last of these for each label."""
        return frozenset(one.heads[-1].entry for one in self._contradictions)

    def value(self, before: Sequence[str] | None) -> list[str] | None:
        """The labels that apply, given the imported ones; None if not annotated."""
        own = {label for label, one in self.of_label.items() if one.heads[-1].meaning}
        kept = () if self.of_whole else {*(before or ())} - set(self.of_label)
        annotated = before is not None if self.of_whole is None else self.of_whole.heads[-1].meaning
        return sorted({*own, *kept}) if own or annotated else None


def resolve_labels(claims: Sequence[Claim], expected_revisions: Mapping[str, str | None]) -> LabelsResolution:
    """Resolve the `LabelsClaim` objects about one image, label by label; see `resolve_claims`."""
    of_label = {}
    for label in sorted({label for claim in claims for label in claim.meaning.labels or ()}):
        about = [Claim(one.entry, one.meaning.applies(label)) for one in claims if one.meaning.is_about(label)]
        of_label[label] = resolve_claims(about, expected_revisions)
    whole = [Claim(one.entry, one.meaning.labels is not None) for one in claims if one.meaning.is_whole]
    of_whole = resolve_claims(whole, expected_revisions) if whole else None
    return LabelsResolution(resolve_claims(claims, expected_revisions).heads, of_label, of_whole)


# ---- all images ----


def resolved_labels(
    entries: Entries, human: HumanAnnotations, before: pa.Array, present: Callable[[str], str | None]
) -> pa.Array:
    """The sets of the images that people annotated.

    Args:
        entries: of the log.
        human: the annotations by people.
        before: (N,) lists of all images, as imported or uploaded.
        present: returns the present name of a class.
    """
    rows, places = human.rows, human.prevailing
    unclear = np.flatnonzero(np.isin(rows, human.unclear))
    changed = np.flatnonzero(np.isin(places, entries.rows(ADDED, REMOVED)) & ~np.isin(rows, human.unclear))
    lists = label_lists(entries, places)
    if len(unclear) or len(changed):
        were = before.take(pa.array(human.unclear)).to_pylist()
        resolutions = cast("Mapping[str, LabelsResolution]", human.resolutions).values()  # `resolve_labels` made them
        resolved = [one.value(_present(was, present)) for one, was in zip(resolutions, were, strict=True)]
        source = np.arange(len(rows))
        source[unclear] = len(rows) + np.arange(len(unclear))
        source[changed] = len(rows) + len(unclear) + np.arange(len(changed))
        after = _after_changes(entries, human, before, rows[changed], present)
        lists = pa.concat_arrays([lists, pa.array(resolved, LISTS), after]).take(pa.array(source))
    return as_sets(lists)


def _present(labels: Sequence[str] | None, present: Callable[[str], str | None]) -> list[str] | None:
    return None if labels is None else [present(label) or label for label in labels]


def _after_changes(
    entries: Entries,
    human: HumanAnnotations,
    before: pa.Array,
    rows: npt.NDArray[np.int64],
    present: Callable[[str], str | None],
) -> pa.Array:
    """The sets of images (`rows`) whose entries are a plain chain."""
    mine = np.isin(human.images, rows)
    image, places = np.searchsorted(rows, human.images[mine]), human.claims[mine]
    whole = ~np.isin(places, entries.rows(ADDED, REMOVED))
    base = np.full(len(rows), -1)  # the last whole set of each image; -1 for the imported one
    base[image[whole]] = np.flatnonzero(whole)
    kept = np.flatnonzero(np.arange(len(image)) >= base[image])
    imported = np.flatnonzero(base < 0)
    lists = pa.concat_arrays([before.take(pa.array(rows[imported])), label_lists(entries, places[kept])])
    owner, lengths = (
        np.concatenate([imported, image[kept]]),
        pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False),
    )
    removed = np.concatenate([np.zeros(len(imported), bool), np.isin(places[kept], entries.rows(REMOVED))])
    names = pc.list_flatten(lists).dictionary_encode()
    now = pa.array([present(name) or name for name in names.dictionary.to_pylist()], pa.string()).dictionary_encode()
    n = max(len(now.dictionary), 1)
    keys = np.repeat(owner, lengths) * n + now.indices.to_numpy()[names.indices.to_numpy()]
    keys, last = np.unique(keys[::-1], return_index=True)  # the last entry for each label of an image
    keys = keys[~np.repeat(removed, lengths)[::-1][last]]
    counts = np.bincount(keys // n, minlength=len(rows))
    unannotated = np.zeros(len(rows), dtype=bool)
    from_whole = np.isin(kept, base)
    foundations = np.concatenate([np.arange(len(imported)), len(imported) + np.flatnonzero(from_whole)])
    unannotated[owner[foundations]] = mask_of(lists.is_null())[foundations]
    return lists_of(now.dictionary.take(pa.array(keys % n)), counts, unannotated & (counts == 0))
