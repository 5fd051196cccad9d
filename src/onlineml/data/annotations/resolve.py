"""Human annotations of the images of a project, and the conflicts among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of, taken
from onlineml.data.annotations.heads import Claim, latest, resolve_claims

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.annotations.classes import Classes
    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.heads import Resolution
    from onlineml.data.annotations.images import Images
    from onlineml.data.kinds.base import AnnotationKind

__all__ = ["HumanAnnotations", "deleted_unseen", "human_annotations", "with_human_annotations"]


@dataclass(frozen=True, eq=False)
class HumanAnnotations:
    """The annotations by people.

    Attributes:
        places: (N,) for each image, the log position of the prevailing entry; -1 if not annotated.
        resolutions: by image id, unless it is just the last of a chain of entries.
        unclear: (k,) the images of these resolutions among the N, ascending.
        images: (M,) for every claim in the order of ids, the index of its image among the N.
        claims: (M,) the log positions of these claims.
    """

    places: npt.NDArray[np.int64]
    resolutions: Mapping[str, Resolution]
    unclear: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    claims: Rows

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """(n,) the images that people annotated."""
        return np.flatnonzero(self.places >= 0)

    @property
    def prevailing(self) -> Rows:
        """(n,) the log positions of the prevailing entries of these images."""
        return self.places[self.rows]


def human_annotations(
    entries: Entries, silent: Rows, images: Images, classes: Classes, *, kind: AnnotationKind
) -> HumanAnnotations:
    """Resolve the annotations by people.

    Args:
        entries: of the log.
        silent: uploads without an annotation.
        images: all existing images.
        classes: for present names; annotations that differ only in former names do not conflict.
        kind: the kind of annotation.
    """
    rows = np.setdiff1d(entries.claims(), silent, assume_unique=True)
    kind.require_claims(entries, rows)
    known = pc.index_in(entries.needed("image_id", rows), value_set=images.table["image_id"])
    there = np.flatnonzero(mask_of(known.is_valid()))
    rows, codes = _selected(rows, there), known.drop_null().to_numpy()
    found = latest(codes, entries.ids(rows), entries.texts("base", rows), rows)
    places = np.full(len(images.table), -1)
    places[found.codes] = found.places
    if not found.unclear:
        return HumanAnnotations(places, {}, np.empty(0, np.int64), codes, rows)
    names = dict(
        zip(found.unclear, taken(images.table["image_id"], np.array(list(found.unclear))).to_pylist(), strict=True)
    )
    listed = np.concatenate(list(found.unclear.values()))
    meanings = kind.meanings(entries, listed, classes.present)
    claims = (Claim(*pair) for pair in zip(entries.ids(listed).to_pylist(), meanings, strict=True))
    expected_revisions = _expected_revisions(entries, list(names.values()))
    resolutions = {}
    for code, own in found.unclear.items():
        about = [next(claims) for _ in own]
        resolutions[names[code]] = kind.resolve(about, expected_revisions)
        last = resolutions[names[code]].heads[-1]
        places[code] = own[about.index(last)]
    return HumanAnnotations(places, resolutions, np.array(list(found.unclear)), codes, rows)


def _selected(rows: Rows, there: Rows) -> Rows:
    """Some of the rows; all of them without a copy."""
    return rows if len(rows) == len(there) else rows[there]


def _expected_revisions(entries: Entries, image_ids: Sequence[str]) -> dict[str, str | None]:
    """Return the revision that each entry about these images had seen, including entries that were undone."""
    rows = entries.claims(live=False)
    rows = rows[mask_of(pc.is_in(entries.texts("image_id", rows), value_set=pa.array(image_ids, pa.string())))]
    return dict(zip(entries.ids(rows).to_pylist(), entries.texts("base", rows).to_pylist(), strict=True))


def with_human_annotations(
    images: Images, human: HumanAnnotations, entries: Entries, classes: Classes, *, kind: AnnotationKind
) -> Images:
    """The images with human annotations in place of imported ones."""
    if not len(human.rows):
        return images
    values = kind.resolved(entries, human, images.table, classes.present)
    return images.replaced(human.rows, values, human.prevailing)


def deleted_unseen(
    entries: Entries, deletions: Mapping[str, int], images: Images, human: HumanAnnotations
) -> dict[str, tuple[str, ...]]:
    """By deleted image, the deletion and the annotations that its author had not seen."""
    if not deletions:
        return {}
    at = pc.index_in(pa.array(list(deletions), pa.string()), value_set=images.table["image_id"])
    there = mask_of(at.is_valid())
    rows, last = np.array(list(deletions.values()))[there], human.places[at.drop_null().to_numpy()]
    rows, last = rows[last >= 0], last[last >= 0]
    doubtful = ~mask_of(pc.equal(entries.texts("base", rows), entries.ids(last)))
    rows, last = rows[doubtful], last[doubtful]
    names = entries.texts("image_id", rows).to_pylist()
    expected_revisions = {
        **_expected_revisions(entries, names),
        **dict(zip(entries.ids(rows).to_pylist(), entries.texts("base", rows).to_pylist(), strict=True)),
    }
    found = {}
    for image_id, row, place in zip(names, rows, last, strict=True):
        one = human.resolutions.get(image_id)
        heads = one.heads if one else (Claim(entries.entry(place), None),)
        unseen = resolve_claims([*heads, Claim(entries.entry(row), "deleted")], expected_revisions).heads
        if len(unseen) > 1:
            found[image_id] = tuple(sorted(claim.entry for claim in unseen))
    return found
