"""Resolution of several people's entries about one thing: which entry prevails, and whether they conflict.

An entry's base lists the entries that its writer had seen. An entry supersedes those that its writer had seen directly
or through others; entries that are not superseded are heads. Different heads are a conflict, in which the one with the
greatest id prevails until somebody who has seen them all resolves it. The result depends only on the set of entries,
not on their order of arrival.
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
    """The content of one entry.

    Attributes:
        entry: its id.
        meaning: equal for two entries with the same content.
    """

    entry: str
    meaning: Any


@dataclass(frozen=True)
class Resolution:
    """The claims in effect.

    Attributes:
        heads: the claims that are not superseded, in the order of ids; the last one prevails.
    """

    heads: tuple[Claim, ...]

    @property
    def revision(self) -> str:
        """The revision for an author who has seen this state."""
        return " ".join(claim.entry for claim in self.heads)

    @property
    def rivals(self) -> tuple[str, ...]:
        """The heads' ids if they conflict; else none."""
        agree = all(claim.meaning == self.heads[0].meaning for claim in self.heads)
        return () if agree else tuple(claim.entry for claim in self.heads)

    @property
    def prevailing(self) -> frozenset[str]:
        """The ids of the rivals that are in effect until the conflict is resolved."""
        return frozenset(self.rivals[-1:])

    @property
    def disputed(self) -> tuple[str, ...]:
        """The conflicting labels, for kinds that resolve each label separately."""
        return ()


def resolve_claims(claims: Sequence[Claim], expected_revisions: Mapping[str, str | None]) -> Resolution:
    """Resolve the claims about one thing.

    Args:
        claims: at least one, in the order of ids.
        expected_revisions: the revision that the author had seen, for all entries about it, including undone ones,
            since an author who has seen an entry has also seen its base.
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
    return Resolution(
        heads if own - seen else tuple(claims)
    )  # a damaged log, in which all entries have seen each other


def _ids(revision: str | None) -> list[str]:
    return revision.split() if revision else []


# ---- many images at once ----


@dataclass(frozen=True)
class Latest:
    """The last entries about many things.

    Attributes:
        codes: (N,) each thing once.
        places: (N,) position in the log of the last entry about it.
        unclear: by thing, the positions of its entries if they are not a plain chain and need `resolve_claims`.
    """

    codes: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    unclear: Mapping[int, npt.NDArray[np.int64]]


def latest(codes: npt.NDArray[Any], entries: Any, expected_revisions: Any, places: npt.NDArray[np.int64]) -> Latest:
    """Find the last entry about each thing, and the things whose entries are not a plain chain.

    Args:
        codes: (M,) the thing that each entry is about, in the order of the entries' ids.
        entries: (M,) Arrow texts, their ids.
        expected_revisions: (M,) Arrow texts, the revision that each author had seen.
        places: (M,) positions of the entries in the log.
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
