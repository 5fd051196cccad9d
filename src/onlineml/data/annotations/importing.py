"""Preparing an import: its addresses as a project writes them, its images under the ids that the project knows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.annotations.addresses import Reimported, reimported
from onlineml.data.annotations.admission import FOLDERS, INDIRECT, are_readers_own, note_folders
from onlineml.data.annotations.entries import mask_of, one_chunk
from onlineml.data.annotations.images import all_images
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.repeated import repeated_values
from onlineml.data.manifest.splits import assign_splits
from onlineml.errors import DataError
from onlineml.storage.location import Location
from onlineml.storage.urls import inside, is_url, redacted, storable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from onlineml.data.annotations.fold import Folded
    from onlineml.data.annotations.images import Images
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["absolute", "ids_of_contents", "known_images", "prepared", "recorded", "unsaid", "url_of"]

_COLUMNS = ["image_id", "uri", "version", "sha256", "split", "group"]


def prepared(
    manifest: Manifest,
    folded: Folded,
    *,
    project: Location,
    digests: Callable[[], pa.Table],
) -> Reimported:
    """Return the rows of an import as they are recorded, each with a split.

    Args:
        manifest: what is imported.
        folded: the state of the annotation log.
        project: addresses inside the folder are relative to it, so that a copied project finds its own files.
        digests: gives the columns image_id and sha256 of images whose content was read.

    Raises:
        DataError: an address occurs twice.
        StorageError: the store failed.
    """
    table = manifest.with_column("uri", recorded(manifest.urls(), project)).table
    _require_one_row_each(table["uri"])
    found = Reimported(table, [])
    if any(len(images.table) for images in (folded.images, folded.deleted, folded.lost)):
        found = reimported(
            table,
            known_images(folded, digests()),
            n_placed=len(folded.images.table) + len(folded.deleted.table),
            folder=absolute(manifest.root).removeprefix(f"{project.url}/") if manifest.root else "",
            url_of=partial(url_of, root=project.url),
            storage_options=manifest.storage_options or project.options,
        )
    splits = assign_splits(found.table["group"].to_pylist(), found.table["split"].to_pylist())
    place = table.column_names.index("split")
    return found._replace(table=found.table.set_column(place, "split", pa.array(splits, pa.string())))


def known_images(folded: Folded, digests: pa.Table) -> pa.Table:
    """The images of a project: those that are there, the deleted ones, and those that have lost their address.

    Args:
        folded: the state of the annotation log.
        digests: the columns image_id and sha256 of images whose content was read.

    Returns:
        The columns image_id, uri, version, sha256, split and group.
    """
    known = pa.concat_tables(images.table.select(_COLUMNS) for images in (folded.images, folded.deleted, folded.lost))
    read = digests["sha256"].take(pc.index_in(known["image_id"], value_set=digests["image_id"]))
    known = known.set_column(3, "sha256", pc.coalesce(known["sha256"], read))
    return known.set_column(2, "version", pc.fill_null(known["version"], "")).combine_chunks()


def unsaid(table: pa.Table, folded: Folded, read_file: Callable[[str], pa.Table]) -> pa.Table:
    """Return the rows of an import that tell news: of images, addresses, versions or annotations.

    So an import of a million images with a new one adds one row to the log, and not a million.

    Args:
        table: the rows as they would be recorded.
        folded: the state of the annotation log.
        read_file: gives the table of an earlier import.
    """
    entries, kind = folded.entries, folded.kind
    imports = [(int(row), read_file(entries.text_of(row, "file"))) for row in entries.rows("imported")]
    if not imports:
        return table
    placed = pa.concat_tables(images.table.select(["image_id", "uri", "version"]) for images in _placed(folded))
    images, lost = all_images(imports, imports[0][1].slice(0, 0), gone={}, kind=kind)
    said = pa.concat_tables([images.table, lost.table])
    at = pc.index_in(table["image_id"], value_set=one_chunk(placed["image_id"]))
    last = pc.index_in(table["image_id"], value_set=one_chunk(said["image_id"]))
    news = ~mask_of(pc.and_(at.is_valid(), last.is_valid()))
    rows = pa.array(np.flatnonzero(~news))
    own, at, last = table.take(rows), at.take(rows), last.take(rows)
    differ = ~_alike(own["uri"], placed["uri"].take(at))
    differ |= ~_alike(own["version"].fill_null(""), placed["version"].take(at).fill_null(""))
    annotated = kind.is_annotated(own)
    for name in kind.value_columns(own):
        before = said[name].take(last) if name in said.column_names else pa.nulls(len(own), own[name].type)
        differ |= annotated & ~_alike(own[name], before)
    news[rows.to_numpy()] = differ
    return table.filter(pa.array(news))


def _placed(folded: Folded) -> tuple[Images, Images]:
    """The images that have an address."""
    return folded.images, folded.deleted


def _alike(left: Any, right: Any) -> npt.NDArray[np.bool_]:
    """(N,) whether two columns have the same values; null is a value."""
    if left.type == right.type and not pa.types.is_nested(left.type):
        return mask_of(pc.equal(left, right)) | mask_of(pc.and_(left.is_null(), right.is_null()))
    pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
    return np.array([one == other for one, other in pairs], dtype=bool)


def ids_of_contents(wanted: Sequence[str], folded: Folded, digests: pa.Table) -> dict[str, str]:
    """By sha256, the id of the image with these bytes; that of an imported one, where its bytes were read."""
    values = pa.array(list(dict.fromkeys(wanted)), pa.string())
    tables = [folded.deleted.table, folded.images.table]
    found = {digest: digest for digest in values.to_pylist()}
    for table in (digests, *tables):
        same = table.filter(pc.is_in(table["sha256"], value_set=values)).select(["sha256", "image_id"])
        own = pc.or_(*(pc.is_in(same["image_id"], value_set=one["image_id"]) for one in tables))
        found |= {row["sha256"]: row["image_id"] for row in reversed(same.filter(own).to_pylist())}
    return found


def url_of(uri: str, *, root: str) -> str:
    """The URL of an address, which may be relative to the project's folder."""
    return uri if uri.startswith("/") or is_url(uri) else inside(root, uri)


def absolute(url: str | os.PathLike[str]) -> str:
    """The URL, or for a local path the absolute path, which outlasts a change of folder."""
    full = str(url)
    if full.startswith("/") and "//" not in full and "/." not in full and not full.endswith("/"):
        return full  # as nearly all are
    return Location.of(full).absolute.url


def recorded(urls: Sequence[str], project: Location) -> list[str]:
    """Return addresses as a project writes them, relative to its folder where they are inside.

    Raises:
        DataError: some contain credentials, which everybody who reads the project would see, or name files of this
            machine and the project is elsewhere, and it cannot be noted here that this user reads them, or are of a
            filesystem that opens other files.
    """
    own = f"{project.url}/"
    found = [absolute(url).removeprefix(own) for url in urls]
    texts = pa.array(found, pa.string())
    among = texts.filter(pc.match_substring(texts, ":")).to_pylist()  # a path tells nobody a secret
    shown = [redacted(one) for one in among if storable(one) != one]
    if shown:
        raise DataError(
            f"{count(len(shown), 'address contains', 'addresses contain')} a password, a token or a signature, "
            f"which a project does not record: {examples(shown)}; give credentials in the environment or in "
            "storage_options, or copy the images with project.images.upload_files"
        )
    if indirect := texts.filter(pc.match_substring_regex(texts, INDIRECT)).to_pylist():
        raise DataError(
            f"{count(len(indirect), 'address is', 'addresses are')} of a filesystem that opens other files: "
            f"{examples(indirect)}; copy the images with project.images.upload_files"
        )
    theirs = [one for one, is_own in zip(found, are_readers_own(found, project=project), strict=True) if is_own]
    try:
        if theirs:
            note_folders(theirs, project=project)
    except OSError as err:
        raise DataError(
            f"{count(len(theirs), 'image is')} on this machine, but {project} is not: {examples(theirs)}; copy them "
            f"with project.images.upload_files or, if everybody has them there, set {FOLDERS}=<their folder> everywhere"
        ) from err
    return found


def _require_one_row_each(uris: pa.ChunkedArray) -> None:
    if pc.count_distinct(uris).as_py() == len(uris):
        return
    repeated = repeated_values(uris).to_pylist()
    raise DataError(
        f"{count(len(repeated), 'address occurs', 'addresses occur')} more than once, but an address stands for one "
        f"image; leave one row each: {examples(repeated)}"
    )
