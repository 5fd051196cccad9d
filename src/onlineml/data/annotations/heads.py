"""Resolution of several people's entries about one thing: which entry prevails, and whether they contradict each other.

An entry's base, the revision that its writer expected, names the entries that its writer saw. An entry answers those
that its writer saw directly or through others; entries that nobody answered are heads. If the heads say different
things they are a conflict, and the one with the greatest id prevails until somebody who has seen them all has decided.
All that depends on the set of entries alone, not on the order in which they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of, taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["Claim", "Latest", "Resolution", "latest", "resolve_claims"]


class Claim(NamedTuple):
    """One thing that somebody said.

    Attributes:
        entry: its id.
        meaning: equal where two say the same.
    """

    entry: str
    meaning: Any


@dataclass(frozen=True)
class Resolution:
    """The claims that hold.

    Attributes:
        heads: the claims that nobody answered, in the order of ids; the last one prevails.
    """

    heads: tuple[Claim, ...]

    @property
    def revision(self) -> str:
        """The revision that the next author has seen."""
        return " ".join(claim.entry for claim in self.heads)

    @property
    def rivals(self) -> tuple[str, ...]:
        """The heads' ids where they contradict each other; else none."""
        agree = all(claim.meaning == self.heads[0].meaning for claim in self.heads)
        return () if agree else tuple(claim.entry for claim in self.heads)

    @property
    def prevailing(self) -> frozenset[str]:
        """Of the rivals' ids, those of the claims that hold until somebody decides."""
        return frozenset(self.rivals[-1:])

    @property
    def disputed(self) -> tuple[str, ...]:
        """The labels of which the rivals say different things, where a kind decides each label for itself."""
        return ()


def resolve_claims(claims: Sequence[Claim], expected_revisions: Mapping[str, str | None]) -> Resolution:
    """Resolve the claims about one thing.

    Args:
        claims: at least one, in the order of ids.
        expected_revisions: the revision that the author had seen, for all entries about it, including those that were
            undone: an author who has seen an entry has also seen the entries on which it is based.
    """
    own = {one.entry for one in claims}
    seen: set[str] = set()
    pending = [entry for one in claims for entry in _ids(expected_revisions.get(one.entry))]
    while pending:
        entry = pending.pop()
        if entry not in seen:
            seen.add(entry)
            pending += _ids(expected_revisions.get(entry))
    heads = tuple(one for one in claims if one.entry not in seen)
    return Resolution(heads if own - seen else tuple(claims))  # entries that all claim to have seen each other: damaged


def _ids(revision: str | None) -> list[str]:
    return revision.split() if revision else []


# ---- of many images at once ----


@dataclass(frozen=True)
class Latest:
    """The entries that hold about many things.

    Attributes:
        codes: (N,) each thing once.
        places: (N,) in the log, of the last entry about it.
        unclear: by thing, the places of its entries where not each one follows the one before: these need
            `resolve_claims`.
    """

    codes: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    unclear: Mapping[int, npt.NDArray[np.int64]]


def latest(codes: npt.NDArray[Any], entries: Any, expected_revisions: Any, places: npt.NDArray[np.int64]) -> Latest:
    """The last entry about each thing, and which things have more than a plain chain of them.

    Args:
        codes: (M,) which thing each entry is about, in the order of the entries' ids.
        entries: (M,) Arrow texts, their ids.
        expected_revisions: (M,) Arrow texts, what each had seen.
        places: (M,) of the entries in the log.
    """
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    same = ordered[1:] == ordered[:-1]
    last = np.flatnonzero(np.append(~same, [True] * bool(len(order))))
    previous, following = order[:-1][same], order[1:][same]
    follows = mask_of(pc.equal(taken(expected_revisions, following), taken(entries, previous)))
    loose = np.unique(codes[following[~follows]])
    starts, ends = (np.searchsorted(ordered, loose, side=side) for side in ("left", "right"))
    unclear = {int(code): places[order[start:end]] for code, start, end in zip(loose, starts, ends, strict=True)}
    return Latest(ordered[last], places[order[last]], unclear)
