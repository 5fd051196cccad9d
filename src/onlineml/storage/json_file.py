"""Files that hold one JSON object."""

from __future__ import annotations

import json
from typing import Any

from onlineml.errors import StorageError
from onlineml.storage.location import Location, Url
from onlineml.storage.reading import read_bytes

__all__ = ["read_json"]


def read_json(url: Url) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        NotFoundError: the file does not exist.
        StorageError: it is not JSON, or not an object.
    """
    file = Location.of(url)
    try:
        value = json.loads(read_bytes(file))
    except ValueError as err:
        raise StorageError(f"{file} is not JSON: {err}") from err
    if not isinstance(value, dict):
        raise StorageError(f"{file} must contain a JSON object; found a {type(value).__name__}")
    return value
