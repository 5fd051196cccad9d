"""New addresses of images whose folder was moved, after a comparison of what is there with what was imported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count, part_of
from onlineml.data.annotations.importing import known_images, recorded, url_of
from onlineml.data.images.digests import content_digests
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.schema import COLUMNS
from onlineml.errors import DataError
from onlineml.storage.location import Location
from onlineml.storage.urls import inside
from onlineml.storage.versions import current_versions, size_of_version

if TYPE_CHECKING:
    from typing import Any

    from onlineml.data.annotations.fold import Folded
    from onlineml.data.kinds.base import AnnotationKind
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Url

__all__ = ["readdressed", "with_present_addresses"]


def readdressed(
    folded: Folded,
    digests: pa.Table,
    old_folder: Url,
    new_folder: Url,
    *,
    project: Location,
    kind: AnnotationKind,
) -> pa.Table:
    """Return rows of an import with new addresses and without annotations, which stay as they are.

    Args:
        folded: the state of the annotation log.
        digests: the columns image_id and sha256 of images whose content was read.
        old_folder: the folder in which the images were.
        new_folder: the folder in which they are, under the same names.
        project: addresses inside the folder are relative to it; its options open the images.
        kind: of annotation.

    Raises:
        DataError: no image of the project was in the old folder, none is in the new one, or some have another content
            there.
    """
    old, new = Location.of(old_folder).absolute, Location.of(new_folder).absolute
    known = known_images(folded, digests).slice(0, len(folded.images.table) + len(folded.deleted.table)).to_pylist()
    rows = [row for row in known if url_of(row["uri"], root=project.url).startswith(f"{old.url}/")]
    urls = [inside(new.url, url_of(row["uri"], root=project.url).removeprefix(f"{old.url}/")) for row in rows]
    now = current_versions(urls, storage_options=project.options)
    pairs = [
        (row, {"uri": uri, "version": version})
        for row, uri, version in zip(rows, recorded(urls, project), now, strict=True)
        if version is not None
    ]
    if not pairs:
        found = f"none of its {count(len(rows), 'image')} is there" if rows else "no image of the project was there"
        raise DataError(f"images moved from {old} to {new}: {found}; check both folders")
    _require_same([row for row, _ in pairs], [place for _, place in pairs], project)
    schema = pa.schema(list({**COLUMNS, **kind.columns}.items()))
    return pa.Table.from_pylist([{**row, **place} for row, place in pairs], schema=schema)


def with_present_addresses(manifest: Manifest, folded: Folded) -> Manifest:
    """The images of a dataset at the addresses that they have now; those that have none stay where they were."""
    table = manifest.table
    for images in (folded.images, folded.deleted):
        at = pc.index_in(table["image_id"], value_set=images.table["image_id"])
        uri = pc.coalesce(images.table["uri"].take(at), table["uri"])
        moved = pc.not_equal(uri, table["uri"])
        if pc.any(moved).as_py():
            version = pc.if_else(moved, pc.coalesce(images.table["version"].take(at), ""), table["version"])
            for name, column in (("uri", uri), ("version", version)):
                table = table.set_column(table.column_names.index(name), name, column)
    return manifest if table is manifest.table else replace(manifest, table=table)


def _require_same(rows: list[dict[str, Any]], places: list[dict[str, Any]], project: Location) -> None:
    """Refuse new addresses that hold other pictures; where nobody has read the old one, sizes and tags decide."""
    pairs = list(zip(rows, places, strict=True))
    other = [(row, place) for row, place in pairs if row["version"] != place["version"]]
    read = [place["uri"] for row, place in other if row["sha256"]]
    found = content_digests([url_of(uri, root=project.url) for uri in read], storage_options=project.options)
    contents = dict(zip(read, found, strict=True))
    wrong = [
        place["uri"]
        for row, place in other
        if (contents[place["uri"]] != row["sha256"] if row["sha256"] else _contradict(row["version"], place["version"]))
    ]
    if wrong:
        raise DataError(
            f"{part_of(len(wrong), len(rows), 'image has')} another content than those that were imported, so none was "
            f"given its new address; import the new folder instead: {examples(wrong)}"
        )


def _contradict(version: str, other: str) -> bool:
    """Return whether two versions of files that nobody has read are of different contents, as far as they tell."""
    sizes = size_of_version(version), size_of_version(other)
    both_tags = bool(version and other) and sizes == (None, None)
    return both_tags or (None not in sizes and sizes[0] != sizes[1])
