"""Adding up an annotation log: the images that there are, what people say of them, and where they disagree.

Everything is done for all images at once in Arrow, so that a million entries take seconds; only images about which
people spoke without having seen each other, or took something back, are looked at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.classes import Classes, classes_of
from onlineml.data.annotations.entries import Entries
from onlineml.data.annotations.heads import Claim, resolve_claims
from onlineml.data.annotations.images import Images, all_images
from onlineml.data.annotations.resolve import deleted_unseen, human_annotations, with_human_annotations
from onlineml.data.annotations.witnesses import with_known_digests
from onlineml.data.manifest.edits import NO_SPLIT
from onlineml.data.manifest.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onlineml.data.annotations.heads import Resolution
    from onlineml.data.kinds.base import AnnotationKind

__all__ = ["Folded", "folded"]


@dataclass(frozen=True, eq=False)
class Folded:
    """The state that results from an annotation log; see `onlineml.data.annotations.Annotations`, which shows it.

    Attributes:
        kind: the kind of annotation.
        entries: the log.
        classes: those of the project.
        images: those that are not deleted.
        deleted: the deleted images.
        lost: images of which another one has taken the address, or whose address an import found empty.
        revisions: by image id, the revision that the next author has seen, where it is not the entry that prevails.
        conflicts: by image id, ids of entries that contradict each other.
        rivalries: by image id, the resolution of these conflicts, where nobody deleted the image.
        split_conflicts: the same by group, of images that were moved to different splits.
        split_revisions: by group that was moved, the revision that the next person who moves it has seen.
        skipped: by image id, the place of the last entry by which somebody skipped the image.
        frozen: by dataset hash, the id of the entry that says so.
    """

    kind: AnnotationKind
    entries: Entries
    classes: Classes
    images: Images
    deleted: Images
    lost: Images
    revisions: Mapping[str, str]
    conflicts: Mapping[str, tuple[str, ...]]
    rivalries: Mapping[str, Resolution]
    split_conflicts: Mapping[str, tuple[str, ...]]
    split_revisions: Mapping[str, str]
    skipped: Mapping[str, int]
    frozen: Mapping[str, str]


def folded(
    log: pa.Table, *, class_names: Sequence[str], read_file: Callable[[str], pa.Table], kind: AnnotationKind
) -> Folded:
    """Add up a log; see `onlineml.data.annotations.fold`."""
    entries = Entries(log, claim_events=kind.claim_events)
    uploads = _uploads(entries, kind)
    classes = classes_of(entries, first=class_names, uploaded=_first_named(uploads, entries, kind))
    rows = entries.rows("imported")
    imports = [(int(row), read_file(entries.text_of(row, "file"))) for row in rows]
    live = uploads.filter(pa.array(entries.live[uploads["place"].to_numpy()]))
    images, lost = all_images(imports, live, gone=_gone(entries, read_file), kind=kind)
    images, lost = (one.with_table(with_known_digests(one.table, entries)) for one in (images, lost))
    silent = uploads["place"].to_numpy()[~kind.is_annotated(uploads)]
    human = human_annotations(entries, silent, images, classes, kind=kind)
    images = with_human_annotations(images, human, entries, classes, kind=kind)
    images = images.with_table(kind.renamed(images.table, classes.lineage))
    moved = _moved(entries)
    images = images.with_table(_with_splits(images.table, moved))
    deletions = _last_of(entries, ("deleted", "restored", "uploaded"), of="deleted")
    there, gone = images.divided(deletions)
    rivalries = {name: one for name, one in human.resolutions.items() if one.rivals and name not in deletions}
    conflicts = {name: one.rivals for name, one in rivalries.items()}
    return Folded(
        kind=kind,
        entries=entries,
        classes=classes,
        images=there,
        deleted=gone,
        lost=lost,
        revisions={name: one.revision for name, one in human.resolutions.items()},
        conflicts=conflicts | deleted_unseen(entries, deletions, images, human),
        rivalries=rivalries,
        split_conflicts={group: one.rivals for group, one in moved.items() if one and one.rivals},
        split_revisions={group: one.revision for group, one in moved.items() if one},
        skipped=_last_of(entries, ("skipped", *kind.claim_events), of="skipped"),
        frozen={entries.text_of(row, "dataset"): entries.entry(row) for row in reversed(entries.rows("frozen"))},
    )


# ---- what was uploaded ----


def _uploads(entries: Entries, kind: AnnotationKind) -> pa.Table:
    """A row for each upload, undone or not, with the columns of a manifest; ``place`` in the log."""
    rows = entries.rows("uploaded", live=False)
    numbers = entries.parsed(rows, pa.schema([(name, COLUMNS[name]) for name in ("width", "height")]))
    columns = {name: numbers[name] if name in numbers.column_names else entries.texts(name, rows) for name in COLUMNS}
    columns["image_id"], columns["uri"] = entries.needed("image_id", rows), entries.needed("uri", rows)
    columns["label"] = pa.nulls(len(rows), pa.string())  # of who has something else to say than a label
    return pa.table({**columns, **kind.uploaded(entries, rows), "place": pa.array(rows)})


def _first_named(uploads: pa.Table, entries: Entries, kind: AnnotationKind) -> dict[int, list[str]]:
    """By place in the log, the classes that an upload is the first to name, or the first in effect."""
    labels, rows = kind.names_by_row(uploads)
    places = uploads["place"].to_numpy()[rows]
    found: dict[int, list[str]] = {}
    for mask in (np.ones(len(places), dtype=bool), entries.live[places]):
        named = labels.filter(pa.array(mask)).dictionary_encode()
        _, first = np.unique(named.indices.to_numpy(), return_index=True)  # in the order of appearance, as the codes
        for place, name in zip(places[mask][first], named.dictionary.to_pylist(), strict=True):
            found.setdefault(int(place), []).append(name)
    return found


# ---- what was deleted, skipped and moved ----


def _gone(entries: Entries, read_file: Callable[[str], pa.Table]) -> dict[str, int]:
    """The images that were not at their address any more when something was imported, with the import's last place."""
    rows = entries.rows("imported")
    files = entries.texts("gone", rows).to_pylist()
    return {
        image_id: int(row)
        for row, file in zip(rows, files, strict=True)
        if file
        for image_id in read_file(file)["image_id"].to_pylist()
    }


def _last_of(entries: Entries, events: Sequence[str], *, of: str) -> dict[str, int]:
    """The images whose last entry among those of some events is one `of`, with its place in the log."""
    some = entries.rows(of)
    if not len(some):
        return {}
    names = pc.unique(entries.needed("image_id", some))
    rows = entries.rows(*events)
    at = pc.index_in(entries.needed("image_id", rows), value_set=names)
    about = np.flatnonzero(at.is_valid().to_numpy())
    last = np.full(len(names), -1)
    last[at.drop_null().to_numpy()] = rows[about]  # of several writes to one place the last one stays
    return {name: int(row) for name, row in zip(names.to_pylist(), last, strict=True) if entries.event(row) == of}


def _moved(entries: Entries) -> dict[str, Resolution | None]:
    """By group, what stands of the splits to which people moved it; None where all that was undone."""
    claims: dict[str, list[Claim]] = {}
    expected_revisions: dict[str, str | None] = {}
    for row in entries.rows("moved", live=False):
        group, split, entry = entries.text_of(row, "group"), entries.text_of(row, "split"), entries.entry(row)
        expected_revisions[entry] = entries.texts("base")[int(row)].as_py()
        claims.setdefault(group, [])
        if entries.live[row]:
            claims[group].append(Claim(entry, split))
    return {group: resolve_claims(one, expected_revisions) if one else None for group, one in claims.items()}


def _with_splits(table: pa.Table, moved: Mapping[str, Resolution | None]) -> pa.Table:
    """Each image in the split of its group, or in none; where moving it was undone, in that of its first image."""
    if not moved:
        return table
    groups = pa.array(list(moved), pa.string())
    first = pc.index_in(groups, value_set=table["group"])
    own = table["split"].take(first).to_pylist()
    splits = [one.heads[-1].meaning if one else split for one, split in zip(moved.values(), own, strict=True)]
    at = pc.index_in(table["group"], value_set=groups)
    column = pc.coalesce(pa.array(splits, pa.string()).take(at), table["split"])
    column = pc.if_else(pc.equal(column, NO_SPLIT), None, column)
    return table.set_column(table.column_names.index("split"), "split", column)
