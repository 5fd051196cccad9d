"""Freezing a project's images: new ones are checked, bad ones are left out.

The results of opening images are stored beside the log, in immutable small Parquet files, so that a freeze after
corrections opens no image, and a killed one resumes. Unusable images are opened again each time: they are few, and the
cause may have been the network.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.comparing import compared
from onlineml.data.annotations.copies import propagate_to_duplicates
from onlineml.data.annotations.entries import mask_of
from onlineml.data.annotations.seen import SEEN, read_seen, write_seen
from onlineml.data.annotations.state import parquet_bytes
from onlineml.data.checks.images import check, finalize
from onlineml.data.checks.table import CheckTable, Finding
from onlineml.data.images.policies import POLICIES
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.saving import DESCRIPTOR, TABLE, read_saved
from onlineml.data.manifest.summary import FINDINGS_LISTED
from onlineml.errors import AlreadyExistsError, NotFoundError
from onlineml.storage import io
from onlineml.storage.documents import parquet_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from onlineml.data.annotations.entries import Entries
    from onlineml.storage.location import Location

__all__ = ["allowed_bad", "check_new", "publish_dataset", "read_findings", "read_provenance", "told_findings"]

_PROVENANCE, _FINDINGS = "provenance.parquet", "findings.parquet"

_MAX_BAD = 0.01  # of a project where nobody said otherwise
_BATCH = 4096  # images per file; a killed freeze loses at most as many checks
_ALONE = ["image_id", "uri", "version", "sha256", "width", "height"]


def check_new(
    manifest: Manifest,
    *,
    human_annotated: npt.NDArray[np.bool_],
    seen_folder: Location,
    max_bad: float = 0.01,
    told: pa.Table | None = None,
    progress: bool = False,
) -> CheckTable:
    """Check a manifest like `onlineml.data.checks.check`, but open only new images.

    Args:
        manifest: all images.
        human_annotated: (N,) where a person said what an image shows; that holds for all copies of its bytes.
        seen_folder: the folder in which is kept what opening them told.
        max_bad: the share of images, and of boxes, 0..1, that may be bad.
        told: findings of the last dataset; what it left out does not count again.
        progress: write a line to stderr now and then.

    Raises:
        TooManyBadImagesError: more are bad; its `table` is the result.
    """
    hashed = read_seen(seen_folder)
    seen = hashed.filter(hashed["width"].is_valid())
    read = pc.index_in(manifest.table["image_id"], value_set=hashed["image_id"])
    digests = pc.coalesce(manifest.table["sha256"], hashed["sha256"].take(read))
    now = compared(manifest.with_column("sha256", digests), hashed)
    write_seen(now.noted, seen_folder)
    manifest, problems = now.manifest, now.problems
    wrong = pa.array(list(problems), pa.string())
    seen = seen.filter(pc.invert(pc.is_in(seen["image_id"], value_set=wrong)))
    places = pc.index_in(manifest.table["image_id"], value_set=seen["image_id"])
    opened = manifest.table["sha256"].is_valid().to_numpy() & manifest.table["width"].is_valid().to_numpy()
    left = pc.invert(pc.is_in(manifest.table["image_id"], value_set=wrong))
    new = np.flatnonzero(~opened & places.is_null().to_numpy() & mask_of(left))
    fresh = [seen]
    for start in range(0, len(new), _BATCH):
        batch = manifest.take(new[start : start + _BATCH])
        opened_now, bad = _check_alone(batch, progress=progress)
        write_seen(opened_now, seen_folder)
        fresh.append(opened_now)
        problems.update(bad)
        if progress:
            sys.stderr.write(f"checked {start + len(batch):,} of {len(new):,} new images\n")
    return _check_table(manifest, human_annotated, pa.concat_tables(fresh), problems, max_bad=max_bad, told=told)


def allowed_bad(entries: Entries) -> float:
    """Return the share of bad images that somebody allowed last, 0..1."""
    records = entries.records(entries.rows("frozen"))
    return next((float(one["max_bad"]) for one in reversed(records) if one.get("max_bad") is not None), _MAX_BAD)


def told_findings(entries: Entries, datasets: Location) -> pa.Table | None:
    """Return the findings of the dataset that was frozen last, from the folder of datasets; None where it is gone."""
    rows = entries.rows("frozen")
    if not len(rows):
        return None
    file = datasets / entries.text_of(rows[-1], "dataset") / _FINDINGS
    with contextlib.suppress(NotFoundError):
        return parquet_table(io.read_bytes(file), file)
    return None


def _check_alone(batch: Manifest, *, progress: bool) -> tuple[pa.Table, dict[str, list[Finding]]]:
    """Open images; return facts of the usable ones and the findings of the others."""
    # without annotations and splits, which may change, no image is left out because of another one; those checks are
    # made over all images
    alone = Manifest(batch.table.select(_ALONE), root=batch.root, storage_options=batch.storage_options)
    result = check(alone, max_bad=1.0, progress=progress)
    found: dict[str, list[Finding]] = {}
    for row in result.table.to_pylist():
        if not row["finding"].startswith("duplicate"):
            found.setdefault(row["image_id"], []).append(Finding(row["finding"], row["outcome"], row["detail"]))
    usable = result.manifest.table
    codes = [[finding.code for finding in found.pop(image_id, ())] for image_id in usable["image_id"].to_pylist()]
    told = usable.select(["image_id", "sha256", "width", "height"])
    told = told.append_column(SEEN.field("findings"), pa.array(codes, SEEN.field("findings").type))
    return told.append_column(SEEN.field("version"), pa.nulls(len(told), pa.string())).cast(SEEN), found


def _check_table(
    manifest: Manifest,
    human_annotated: npt.NDArray[np.bool_],
    seen: pa.Table,
    problems: Mapping[str, list[Finding]],
    *,
    max_bad: float,
    told: pa.Table | None,
) -> CheckTable:
    places = pc.index_in(manifest.table["image_id"], value_set=seen["image_id"])
    filled = manifest
    for name in ("sha256", "width", "height"):
        filled = filled.with_column(name, pc.coalesce(manifest.table[name], seen[name].take(places)))
    filled = propagate_to_duplicates(filled, human_annotated)
    codes = seen["findings"].take(places)
    some = pc.greater(pc.coalesce(pc.list_value_length(codes), 0), 0)
    some = pc.or_(some, pc.is_in(filled.table["image_id"], value_set=pa.array(list(problems), pa.string())))
    found: list[list[Finding]] = [[] for _ in range(len(filled))]
    for row in np.flatnonzero(mask_of(some)).tolist():
        found[row] += problems.get(filled.table["image_id"][row].as_py(), ())
        told_of = codes[row].as_py() or ()
        found[row] += [Finding(code, POLICIES[code].outcome, POLICIES[code].text) for code in told_of]
    result = finalize(filled, found, max_bad=max_bad, told=told)
    notes = tuple(f"{text}; {FINDINGS_LISTED}" for text in result.left_out())
    return replace(result, manifest=replace(result.manifest, notes=notes))


def publish_dataset(folder: Location, result: CheckTable, provenance: pa.Table) -> None:
    """Write a frozen dataset, or where it is there already, what is left out and where its images are now."""
    if not io.exists(folder / DESCRIPTOR):
        with contextlib.suppress(AlreadyExistsError):  # another process froze the same state
            io.publish(folder, _dataset_files(result, provenance), descriptor=DESCRIPTOR)
        return
    with contextlib.suppress(PermissionError):
        if parquet_table(io.read_bytes(folder / _FINDINGS), folder / _FINDINGS) != result.table:
            io.write_bytes(folder / _FINDINGS, parquet_bytes(result.table))
    before, _ = read_saved(folder)
    addresses = [table.sort_by("image_id").select(["uri", "version"]) for table in (before, result.manifest.table)]
    if not addresses[0].equals(addresses[1]):
        with contextlib.suppress(PermissionError):
            io.write_bytes(folder / TABLE, result.manifest.files()[TABLE])


def _dataset_files(result: CheckTable, provenance: pa.Table) -> dict[str, bytes]:
    """The files of a frozen dataset: the manifest's, ``findings.parquet`` and ``provenance.parquet``."""
    at = pc.index_in(result.manifest.table["image_id"], value_set=provenance["image_id"])
    return {
        _FINDINGS: parquet_bytes(result.table),
        _PROVENANCE: parquet_bytes(provenance.take(at)),
        **result.manifest.files(),
    }


def read_provenance(folder: Location) -> pa.Table:
    """Read the provenance of the labels of the dataset in a folder.

    Raises:
        NotFoundError: there is no dataset.
    """
    return parquet_table(io.read_bytes(folder / _PROVENANCE), folder / _PROVENANCE)


def read_findings(folder: Location, manifest: Manifest) -> CheckTable:
    """Read the findings recorded when the dataset in a folder was frozen.

    Raises:
        NotFoundError: there is no dataset.
    """
    file = folder / _FINDINGS
    table = parquet_table(io.read_bytes(file), file)
    left_out = table.filter(pc.not_equal(table["outcome"], "usable"))
    of_box = pc.starts_with(left_out["finding"], "box_")
    n_bad = len(pc.unique(left_out.filter(pc.invert(of_box))["image_id"]))
    bad_boxes = left_out.filter(of_box)["finding"]
    n_dropped = int(pc.sum(pc.not_equal(bad_boxes, "box_unknown_class")).as_py() or 0)  # kept as a crowd
    n_dropped += int(pc.sum(pc.equal(table["finding"], "box_duplicate")).as_py() or 0)
    n_boxes = manifest.kind.n_judged(manifest.table) + n_dropped
    return CheckTable(table, manifest, len(manifest) + n_bad, n_bad, n_boxes, len(bad_boxes))
