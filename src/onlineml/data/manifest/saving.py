"""A manifest as files: a Parquet table, and a small descriptor that is written last."""

from __future__ import annotations

import io as _io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["DESCRIPTOR", "TABLE", "read_saved", "require_hash", "saved_files"]

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


def read_saved(folder: Location) -> tuple[pa.Table, dict[str, Any]]:
    """The table and the descriptor's facts.

    Raises:
        NotFoundError: no manifest was saved there.
        DataError: it was saved by a later release, or is damaged.
    """
    descriptor = io.read_bytes(folder / DESCRIPTOR)
    try:
        facts: dict[str, Any] = json.loads(descriptor)
        if facts["schema_version"] != _SCHEMA_VERSION:
            found = facts["schema_version"]
            raise DataError(f"the manifest in {folder} has schema {found}, not {_SCHEMA_VERSION}; update onlineml")
        data = io.read_bytes(folder / TABLE)
        table = pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)
    except (KeyError, json.JSONDecodeError, pa.ArrowInvalid) as error:
        raise DataError(f"the manifest in {folder} is damaged: {error}") from error
    return table, facts


def require_hash(found: str, expected: str, folder: Location) -> None:
    """Refuse a table that is not the one that was saved."""
    if found != expected:
        raise DataError(
            f"the manifest in {folder} has the hash {found}; it was saved with {expected}; its files were "
            "changed, so take a copy that was not"
        )
