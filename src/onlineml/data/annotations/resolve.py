"""What people said of the images of a project, and which of them contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.boxes import boxes_columns, boxes_meant, require_boxes
from onlineml.data.annotations.entries import CLAIM_EVENTS, mask_of, taken
from onlineml.data.annotations.heads import Claim, latest, resolve_claims
from onlineml.data.manifest.boxes import per_box_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data.annotations.classes import Classes
    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.heads import Resolution
    from onlineml.data.annotations.images import Images

__all__ = ["HumanAnnotations", "deleted_unseen", "human_annotations", "with_human_annotations"]


@dataclass(frozen=True, eq=False)
class HumanAnnotations:
    """What people said.

    Attributes:
        places: (N,) for each image, in the log, that of the entry that prevails; -1 where nobody said anything.
        resolutions: by image id what stands, where it is not just the last of a chain of entries.
    """

    places: npt.NDArray[np.int64]
    resolutions: Mapping[str, Resolution]


def human_annotations(
    entries: Entries, silent: Rows, images: Images, classes: Classes, *, boxes: bool
) -> HumanAnnotations:
    """What stands of what people said.

    Args:
        entries: of the log.
        silent: uploads that say nothing of what an image shows.
        images: all that there are.
        classes: under their present names; who says the same in other words does not contradict.
        boxes: whether images have boxes, or else a label.
    """
    rows = np.setdiff1d(entries.rows(*CLAIM_EVENTS), silent, assume_unique=True)
    require_boxes(entries, rows) if boxes else entries.nullable("label", rows)
    known = pc.index_in(entries.needed("image_id", rows), value_set=images.table["image_id"])
    there = np.flatnonzero(mask_of(known.is_valid()))
    rows, codes = _selected(rows, there), known.drop_null().to_numpy()
    found = latest(codes, entries.ids(rows), entries.texts("base", rows), rows)
    places = np.full(len(images.table), -1)
    places[found.codes] = found.places
    if not found.unclear:
        return HumanAnnotations(places, {})
    names = dict(
        zip(found.unclear, taken(images.table["image_id"], np.array(list(found.unclear))).to_pylist(), strict=True)
    )
    claims = iter(_claims(entries, np.concatenate(list(found.unclear.values())), classes, boxes=boxes))
    expected_revisions = _expected_revisions(entries, list(names.values()))
    resolutions = {}
    for code, own in found.unclear.items():
        listed = [next(claims) for _ in own]
        resolutions[names[code]] = resolve_claims(listed, expected_revisions)
        last = resolutions[names[code]].heads[-1]
        places[code] = own[listed.index(last)]
    return HumanAnnotations(places, resolutions)


def _selected(rows: Rows, there: Rows) -> Rows:
    """Some of the rows; all of them without a copy."""
    return rows if len(rows) == len(there) else rows[there]


def _expected_revisions(entries: Entries, image_ids: Sequence[str]) -> dict[str, str | None]:
    """What each entry about these images had seen, also of those that were undone."""
    rows = entries.rows(*CLAIM_EVENTS, live=False)
    rows = rows[mask_of(pc.is_in(entries.texts("image_id", rows), value_set=pa.array(image_ids, pa.string())))]
    return dict(zip(entries.ids(rows).to_pylist(), entries.texts("base", rows).to_pylist(), strict=True))


def _claims(entries: Entries, rows: Rows, classes: Classes, *, boxes: bool) -> list[Claim]:
    """What entries say, equal where it is the same."""
    present = classes.present
    if boxes:
        columns = boxes_columns(entries, rows)
        names = ([present(label) or label for label in one or ()] for one in columns["labels"].to_pylist())
        pairs = zip(columns["boxes_xyxy"].to_pylist(), names, strict=True)
        meanings: list[Any] = [boxes_meant(one, own) for one, own in pairs]
    else:
        labels = entries.nullable("label", rows).to_pylist()
        meanings = [None if label is None else present(label) or label for label in labels]
    return [Claim(entry, meaning) for entry, meaning in zip(entries.ids(rows).to_pylist(), meanings, strict=True)]


def with_human_annotations(images: Images, human: HumanAnnotations, entries: Entries, *, boxes: bool) -> Images:
    """The images with what people said of them in place of what was imported."""
    rows = np.flatnonzero(human.places >= 0)
    if not len(rows):
        return images
    chosen = human.places[rows]
    if boxes:
        values = boxes_columns(entries, chosen)
        further = _further(entries, chosen)
        names = [name for name in per_box_columns(images.table) if name not in values]
        values |= {name: [one.get(name) for one in further] for name in names}
    else:
        values = {"label": entries.nullable("label", chosen)}
    return images.replaced(rows, values, chosen)


def _further(entries: Entries, rows: Rows) -> list[dict[str, Any]]:
    """By entry, what it keeps of further columns that have a value a box."""
    found: list[dict[str, Any]] = [{}] * len(rows)
    some = np.flatnonzero(entries.mentions("further", rows))
    for number, record in zip(some.tolist(), entries.records(rows[some]), strict=True):
        found[number] = record.get("further") or {}
    return found


def deleted_unseen(
    entries: Entries, deletions: Mapping[str, int], images: Images, human: HumanAnnotations
) -> dict[str, tuple[str, ...]]:
    """By deleted image, the deletion and what people said of the image that whoever deleted it had not seen."""
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
