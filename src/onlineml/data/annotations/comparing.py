"""Comparing the images of a project with what their addresses hold now, before they are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.seen import SEEN
from onlineml.data.checks.table import Finding
from onlineml.data.images.digests import content_digests
from onlineml.data.images.policies import POLICIES
from onlineml.storage.versions import current_versions, size_of_version

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["Compared", "compared"]


@dataclass(frozen=True)
class Compared:
    """The result of comparing images with what their addresses hold now.

    Attributes:
        manifest: the images, with the versions that their files have now; without the sha256 of those with a problem.
        noted: records, as `onlineml.data.annotations.seen` keeps them, of these versions where they are new.
        problems: by image id, what is wrong.
    """

    manifest: Manifest
    noted: pa.Table
    problems: dict[str, list[Finding]]


def compared(manifest: Manifest, seen: pa.Table) -> Compared:
    """List what is at the images' addresses, and read those that are not what was imported by time or tag.

    Args:
        manifest: with the versions that were imported, and with the sha256 of all images that were ever read.
        seen: records of what reading them told.

    Raises:
        StorageError: the store failed.
    """
    told = manifest.table["version"].to_pylist()
    listed = np.flatnonzero(np.array([bool(version) for version in told], dtype=bool)).tolist()
    urls = manifest.urls()
    found = current_versions([urls[row] for row in listed], storage_options=manifest.storage_options)
    now = dict(zip(listed, found, strict=True))
    other = [row for row in listed if _differs(told[row], now[row])]
    if not other:
        return Compared(manifest, SEEN.empty_table(), {})
    ids, digests = manifest.table["image_id"].to_pylist(), manifest.digests()
    ours = seen.filter(pc.is_in(seen["image_id"], value_set=pa.array([ids[row] for row in other], pa.string())))
    noted = {(row["image_id"], row["version"], row["sha256"]) for row in ours.to_pylist()}
    read = [row for row in other if now[row] is None or (ids[row], now[row], digests[row]) not in noted]
    contents = content_digests([urls[row] for row in read], storage_options=manifest.storage_options)
    problems = {
        ids[row]: [_problem(content)]
        for row, content in zip(read, contents, strict=True)
        if content is None or content != digests[row]
    }
    fresh = [
        {"image_id": ids[row], "sha256": digests[row], "version": now[row]}
        for row in read
        if ids[row] not in problems and now[row]
    ]
    for row in other:
        if ids[row] not in problems:
            told[row] = now[row] or told[row]
        else:
            digests[row] = ""
    current = manifest.with_column("version", pa.array(told, pa.string()))
    current = current.with_column("sha256", pa.array([digest or None for digest in digests], pa.string()))
    return Compared(current, pa.Table.from_pylist(fresh, schema=SEEN), problems)


def _differs(version: str, now: str | None) -> bool:
    """Return whether a file is not what it was, as far as two versions of the same kind can tell."""
    if not now:
        return now is None
    return version != now and (size_of_version(version) is None) == (size_of_version(now) is None)


def _problem(content: str | None) -> Finding:
    if content is None:
        return Finding("missing", POLICIES["missing"].outcome, "nothing is there any more, or access is denied")
    return Finding(
        "changed", POLICIES["changed"].outcome, f"sha256 {content}: overwritten since it was imported; import it again"
    )
