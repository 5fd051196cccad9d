"""What every format hands to `Manifest`, and the rules that the formats share."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from onlineml.errors import ConfigError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

__all__ = ["Parts", "absolute", "image_id", "naturally_sorted"]

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Parts:
    """An import: the rows (columns of a manifest), the class names, the folder of the uris, the files passed over."""

    table: pa.Table
    class_names: tuple[str, ...]
    root: str
    n_ignored: int = 0


def image_id(uri: str, version: str) -> str:
    """32 hex digits for an image that was listed and not read: where it is, and which content it has there.

    Args:
        uri: relative to the import's root, so that a moved folder keeps its ids where the store's tags are the same.
        version: the store's tag of the content; an overwritten object is another image.
    """
    return blake2b(f"{uri}\0{version}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def absolute(url: str | os.PathLike[str]) -> str:
    """The URL without a slash at its end; a local path made absolute, so that it holds in any working directory."""
    text = os.fspath(url)
    if not text:
        raise ConfigError("expected a folder or file on storage, found ''; '.' is the working directory")
    if not io.is_url(text):
        return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 (Path would not keep '//')
    return text.rstrip("/") if not text.endswith("://") else text


def naturally_sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order that a person expects: digits by their value, so 2 before 10; else by text."""
    return tuple(sorted(names, key=_natural_key))


def _natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    # the name itself at the end, so that '1' and '01' have one order whatever the input's
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in _NUMBER.split(name) if p], name
