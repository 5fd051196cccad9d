"""The contents of images of which somebody speaks, so that the words can follow the picture to another address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.images.digests import content_digests
from onlineml.storage.versions import current_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.entries import Entries
    from onlineml.storage.location import Options

__all__ = ["with_known_digests", "witnessed"]

_CONTENT_TAGS = ("s3://", "s3a://")  # stores that give the same content the same tag
_FEW = 64  # images that are rather read again than looked up among all that were read


def witnessed(
    facts: Sequence[Facts],
    events: Sequence[str],
    images: pa.Table,
    *,
    digests: Callable[[], pa.Table],
    url_of: Callable[[str], str],
    storage_options: Options,
) -> list[Facts]:
    """Add the sha256 of the images to what somebody says of them.

    Only where an image may never have been read, and its version is not a tag of the content: nothing else tells later
    which picture it was. One that cannot be read now, or is not what was imported, has none.

    Args:
        facts: see `onlineml.data.annotations.edits`.
        events: by which people say what images show, or delete them.
        images: with image_id, uri, version and sha256.
        digests: gives the columns image_id and sha256 of images that were read before.
        url_of: gives the URL of an address.
        storage_options: of the images.

    Raises:
        StorageError: the store failed.
    """
    ids = {fields["image_id"] for event, fields in facts if event in events and "image_id" in fields}
    named = pc.is_in(images["image_id"], value_set=pa.array(sorted(ids), pa.string()))
    rows = images.filter(pc.and_(named, images["sha256"].is_null())).to_pylist()
    rows = [row for row in rows if row["version"] and not row["uri"].startswith(_CONTENT_TAGS)]
    known = set(digests()["image_id"].to_pylist()) if len(rows) > _FEW else set()
    rows = [row for row in rows if row["image_id"] not in known]
    urls = [url_of(row["uri"]) for row in rows]
    now = current_versions(urls, storage_options=storage_options)
    found = content_digests(urls, storage_options=storage_options)
    told = {
        row["image_id"]: digest
        for row, version, digest in zip(rows, now, found, strict=True)
        if version == row["version"] and digest is not None
    }
    return [
        (event, {**fields, "sha256": told[fields["image_id"]]} if fields.get("image_id") in told else fields)
        for event, fields in facts
    ]


def with_known_digests(table: pa.Table, entries: Entries) -> pa.Table:
    """The same images with the sha256 that entries about them tell, also entries that were undone."""
    rows = entries.rows(*entries.claim_events, "deleted", live=False)
    digests = entries.texts("sha256", rows)
    told = digests.is_valid()
    if "sha256" not in table.column_names or not pc.any(told).as_py():
        return table
    ids = entries.texts("image_id", rows).filter(told)
    own = digests.filter(told).take(pc.index_in(table["image_id"], value_set=ids))
    place = table.column_names.index("sha256")
    return table.set_column(place, "sha256", pc.coalesce(table["sha256"], own))
