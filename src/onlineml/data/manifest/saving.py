"""A manifest as files: a Parquet table, and a small descriptor that is written last."""

from __future__ import annotations

import io as _io
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq

from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.documents import checked, decoded, parquet_table
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    import pyarrow as pa

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["DESCRIPTOR", "TABLE", "Facts", "read_saved", "require_hash", "saved_files"]

DESCRIPTOR = "dataset.json"
TABLE = "manifest.parquet"
_SCHEMA_VERSION = 1


def saved_files(manifest: Manifest) -> dict[str, bytes]:
    """See `Manifest.files`."""
    sink = _io.BytesIO()
    pq.write_table(manifest.table, sink, compression="zstd")
    facts = {
        "schema_version": _SCHEMA_VERSION,
        "hash": manifest.hash,
        "task": manifest.task,
        "class_names": list(manifest.class_names),
        **({"class_ids": list(manifest.class_ids)} if manifest.class_ids else {}),
        **({"source": manifest.source} if manifest.source else {}),
        **({"notes": list(manifest.notes)} if manifest.notes else {}),
        "root": storable(manifest.root),
        "n_images": len(manifest),
        "n_ignored": manifest.n_ignored,
        "counts": manifest.counts(),
    }
    return {TABLE: sink.getvalue(), DESCRIPTOR: json.dumps(facts, indent=1, ensure_ascii=False).encode()}


class Facts(msgspec.Struct):
    """The facts of a descriptor that a manifest is made of; see `onlineml.Manifest`."""

    hash: str
    task: str
    class_names: tuple[str, ...]
    root: str
    n_ignored: int
    class_ids: tuple[int, ...] = ()
    source: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


def read_saved(folder: Location) -> tuple[pa.Table, Facts]:
    """The table and the descriptor's facts.

    Raises:
        NotFoundError: no manifest was saved there.
        DataError: it was saved by a later release, or is damaged.
    """
    file = folder / DESCRIPTOR
    facts = decoded(io.read_bytes(file), dict[str, Any], file, error=DataError)
    if (found := facts.get("schema_version")) != _SCHEMA_VERSION:
        raise DataError(f"the manifest in {folder} has schema {found!r}, not {_SCHEMA_VERSION}; update onlineml")
    table = parquet_table(io.read_bytes(folder / TABLE), folder / TABLE, error=DataError)
    return table.replace_schema_metadata(None), checked(facts, Facts, file, error=DataError)


def require_hash(loaded: Manifest, expected: str, folder: Location) -> Manifest:
    """Return a manifest; refuse one that is not the one that was saved."""
    if loaded.hash != expected:
        raise DataError(
            f"the manifest in {folder} has the hash {loaded.hash}; it was saved with {expected}; its files were "
            "changed, so take a copy that was not"
        )
    return loaded
