"""Trees of annotation files and empty pictures for the tests of formats, and what is read from them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from onlineml.data.manifest.manifest import Manifest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["lay", "read_boxes"]


def lay(folder: Path, files: dict[str, Any]) -> Path:
    """Write files: bytes and texts as they are, other objects as JSON, None as an empty file such as a picture's."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else b"" if content is None else content
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return folder


def read_boxes(folder: Path) -> dict[str, tuple[str | None, Any]]:
    """Split and boxes by path, without any argument."""
    rows = Manifest.from_any(folder).table.to_pylist()
    return {row["uri"]: (row["split"], row["boxes_xyxy"]) for row in rows}
