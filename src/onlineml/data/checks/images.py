"""The check: opening every image once, with findings and their outcomes."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onlineml.arguments.checks import share
from onlineml.arguments.counted import part_of
from onlineml.data.checks.table import CheckTable, Finding, findings_table
from onlineml.data.images.budget import MAX_PIXELS
from onlineml.data.images.decode import POLICIES, decode, may_need_much_memory
from onlineml.data.manifest.repeated import rows_of_repeated
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import BadImageError, NotFoundError, TooManyBadImagesError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["CheckTable", "check", "finalize"]

_MIN_SIDE = 32  # images are only decoded to see whether they can be
_CHUNK_BYTES = 64_000_000  # one chunk is decoded while the next is read
_CHUNK_IMAGES = (8, 256)
_PROGRESS_S = 5.0


@dataclass(frozen=True, slots=True)
class _Look:
    """The result of opening one image; size 0 if it cannot be decoded."""

    sha256: str = ""
    height: int = 0
    width: int = 0
    findings: tuple[tuple[str, str], ...] = ()  # codes with details
    denied: bool = False


def check(
    manifest: Manifest, *, max_bad: float = 0.01, progress: bool = False, max_pixels: int = MAX_PIXELS
) -> CheckTable:
    """Open every image once, and validate every box; files are not changed.

    Reads and decodes concurrently with bounded memory, plus 200 bytes per image.

    Args:
        manifest: the images.
        max_bad: allowed share of quarantined or refused images, and of bad boxes, 0..1.
        progress: write a line to stderr every few seconds.
        max_pixels: images that declare more are refused; see `onlineml.data.images.budget` for other limits.

    Returns:
        The findings; `manifest` in it holds the usable images, with sha256, width and height, and their usable boxes,
        cut at the edges of the image.

    Raises:
        TooManyBadImagesError: more than that are bad; its `table` is the result.
        StorageError: the store failed; only a missing object, or one that may not be read, is an image's own fault.
        PermissionError: none of the images may be read.
        ConfigError: max_bad is not a share.
    """
    max_bad = share("max_bad", max_bad)
    looks = list(_looks(manifest, progress=progress, max_pixels=max_pixels))
    if len(looks) > 1 and all(look.denied for look in looks):  # not a fault of the images
        raise PermissionError(looks[0].findings[0][1])
    found = [[Finding(code, POLICIES[code].outcome, detail) for code, detail in look.findings] for look in looks]
    _add_changed(found, looks, manifest)
    usable = [look if look.width else _Look() for look in looks]
    filled = manifest.with_column("sha256", pa.array([look.sha256 or None for look in usable], pa.string()))
    filled = filled.with_column("width", pa.array([look.width or None for look in usable], pa.int32()))
    filled = filled.with_column("height", pa.array([look.height or None for look in usable], pa.int32()))
    return finalize(filled, found, max_bad=max_bad)


def finalize(
    manifest: Manifest, found: list[list[Finding]], *, max_bad: float, told: pa.Table | None = None
) -> CheckTable:
    """Add what is known only from all images together (which have the same bytes) and of boxes, and draw the line.

    Args:
        manifest: the images, with sha256, width and height of those that can be decoded.
        found: what each image alone told, in the order of the manifest; duplicates and boxes are added to it.
        max_bad: the share of images, and of their boxes, 0..1, that may be bad.
        told: the findings of an earlier check; what was left out then does not count again.

    Raises:
        TooManyBadImagesError: more than that are bad; its `table` is the result.
    """
    manifest.kind.note_mismatches(found, manifest)
    _add_duplicates(found, manifest)
    _add_divided_groups(found, manifest)
    rows = [row for row, findings in enumerate(found) if all(finding.outcome == "usable" for finding in findings)]
    judged = manifest.kind.judge(manifest.take(rows))
    for row, findings in zip(rows, judged.findings, strict=True):
        found[row] += findings
    result = CheckTable(
        findings_table(manifest, found),
        judged.manifest,
        len(manifest),
        len(manifest) - len(rows),
        judged.n,
        judged.n_bad,
    )
    known_images, known_boxes = (0, 0) if told is None else _known(result.table, told)
    for n_bad, n_known, n, what in (
        (result.n_bad, known_images, len(manifest), "image is"),
        (judged.n_bad, known_boxes, judged.n, "box is"),
    ):
        if n_bad - n_known > max_bad * n:
            raise TooManyBadImagesError(
                f"{part_of(n_bad, n, what)} bad, more than max_bad={max_bad:g} allows; fix or "
                f"remove them, or exclude them with a larger max_bad\n{result}",
                result,
            )
    return result


def _known(table: pa.Table, told: pa.Table) -> tuple[int, int]:
    """The numbers of images, and of boxes, that are left out now and were left out before."""
    (images, boxes), (images_before, boxes_before) = _left_out(table), _left_out(told)
    return len(images & images_before), len(boxes & boxes_before)


def _left_out(table: pa.Table) -> tuple[set[str], set[tuple[str, str]]]:
    """The images that findings leave out; and the boxes, each by its image and what is said of it."""
    rows = [row for row in table.to_pylist() if row["outcome"] != "usable"]
    of_box = [row["finding"].startswith("box_") for row in rows]
    return (
        {row["image_id"] for row, boxes in zip(rows, of_box, strict=True) if not boxes},
        {(row["image_id"], row["detail"]) for row, boxes in zip(rows, of_box, strict=True) if boxes},
    )


def _looks(manifest: Manifest, *, progress: bool, max_pixels: int) -> Iterator[_Look]:
    """Open every image, in order: one thread reads the next chunk while the others decode this one."""
    names = manifest.urls()
    # images that were read before are read from the store, not the cache: they may have been overwritten
    opened = manifest.table["sha256"].is_valid().to_pylist()
    versions = ["" if known else version for version, known in zip(manifest.versions(), opened, strict=True)]
    large = threading.Lock()  # one very large image at a time
    started = shown = time.monotonic()
    size = done = 0
    with ThreadPoolExecutor(_n_decoders()) as decoders, ThreadPoolExecutor(1) as reader:

        def read(start: int, count: int) -> list[bytes | OSError]:
            part = slice(start, start + count)
            return io.read_many(names[part], versions=versions[part], storage_options=manifest.storage_options)

        count = _CHUNK_IMAGES[0]
        next_chunk = reader.submit(read, 0, count)
        while done < len(names):
            contents = next_chunk.result()
            begin, done = done, done + len(contents)
            size += sum(len(content) for content in contents if isinstance(content, bytes))
            count = _chunk_images(size / done)
            next_chunk = reader.submit(read, done, count)
            jobs = [
                decoders.submit(_look, content, name, large, max_pixels)
                for content, name in zip(contents, names[begin:done], strict=True)
            ]
            del contents
            yield from (job.result() for job in jobs)
            if progress and time.monotonic() - shown > _PROGRESS_S:
                shown = time.monotonic()
                rate = done / (shown - started)
                sys.stderr.write(f"checked {done:,} of {len(names):,} images, {rate:,.0f}/s\n")


def _n_decoders() -> int:
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)


def _chunk_images(mean_bytes: float) -> int:
    least, most = _CHUNK_IMAGES
    return int(min(max(_CHUNK_BYTES / max(mean_bytes, 1.0), least), most))


def _look(content: bytes | OSError, name: str, large: threading.Lock, max_pixels: int) -> _Look:
    if isinstance(content, NotFoundError | PermissionError):
        return _Look(findings=(("missing", str(content)),), denied=isinstance(content, PermissionError))
    if isinstance(content, OSError):
        raise content
    digest = sha256(content).hexdigest()
    try:
        if may_need_much_memory(content, min_side=_MIN_SIDE):
            with large:
                decoded = decode(content, min_side=_MIN_SIDE, name=name, max_pixels=max_pixels)
        else:
            decoded = decode(content, min_side=_MIN_SIDE, name=name, max_pixels=max_pixels)
    except BadImageError as error:
        return _Look(digest, findings=((error.finding, error.detail),))
    return _Look(digest, *decoded.size_hw, tuple((code, POLICIES[code].text) for code in decoded.findings))


def _add_changed(found: list[list[Finding]], looks: Sequence[_Look], manifest: Manifest) -> None:
    for findings, look, known in zip(found, looks, manifest.table["sha256"].to_pylist(), strict=True):
        if known is not None and look.sha256 and known != look.sha256:
            findings.append(Finding("changed", POLICIES["changed"].outcome, f"sha256 {look.sha256}, not {known}"))


def _add_duplicates(found: list[list[Finding]], manifest: Manifest) -> None:
    among = rows_of_repeated(manifest.table["sha256"])
    if not len(among):
        return
    names = ("sha256", "uri", "split")
    digests, uris, splits = (_by_row(manifest.table[name], among) for name in names)
    copies: dict[str, list[int]] = {}
    for row, digest in digests.items():
        copies.setdefault(digest, []).append(row)
    contradiction = manifest.kind.contradiction(manifest)
    for rows in copies.values():
        for row, finding in _duplicate_findings(rows, uris, splits, contradiction(rows)):
            found[row].append(finding)


def _add_divided_groups(found: list[list[Finding]], manifest: Manifest) -> None:
    """Report the images of groups in several splits that are not in the split with most of the group."""
    among = rows_of_repeated(manifest.table["group"])
    groups, splits = (_by_row(manifest.table[name], among) for name in ("group", "split"))
    splits_of: dict[str, dict[str, int]] = {}
    for row, split in splits.items():
        if split is not None:
            own = splits_of.setdefault(groups[row], {})
            own[split] = own.get(split, 0) + 1
    for row, split in splits.items():
        group = groups[row]
        own = splits_of.get(group, {})
        if len(own) > 1 and split is not None and split != max(own, key=own.__getitem__):
            counts = ", ".join(f"{own[name]:,} in {name}" for name in SPLITS if name in own)
            text = f"images of the group {group!r}: {counts}"
            found[row].append(Finding("group_across_splits", POLICIES["group_across_splits"].outcome, text))


def _by_row(column: Any, rows: NDArray[np.int64]) -> dict[int, Any]:
    """The values of some rows."""
    return dict(zip(rows.tolist(), column.take(pa.array(rows)).to_pylist(), strict=True))


def _duplicate_findings(
    rows: list[int], all_uris: Mapping[int, str], all_splits: Mapping[int, str | None], contradiction: str
) -> Iterator[tuple[int, Finding]]:
    uris, splits = ({row: values[row] for row in rows} for values in (all_uris, all_splits))
    others = {row: next(uris[other] for other in rows if other != row) for row in rows}
    in_splits = [split for split in reversed(SPLITS) if split in splits.values()]  # test first
    if contradiction:
        for row in rows:
            text = f"same bytes as {others[row]}; {contradiction}"
            yield row, Finding("duplicate_label_conflict", "quarantined", text)
    if len(in_splits) > 1:
        for row in rows:
            leaks = splits[row] not in {in_splits[0], None}
            text = f"same bytes as {others[row]}; in {', '.join(reversed(in_splits))}, kept in {in_splits[0]}"
            yield row, Finding("duplicate_across_splits", "quarantined" if leaks else "usable", text)
    if not contradiction and len(in_splits) <= 1:
        for row in rows[1:]:
            yield row, Finding("duplicate", "usable", f"same bytes as {uris[rows[0]]}")
