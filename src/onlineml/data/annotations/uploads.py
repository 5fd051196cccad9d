"""Storing uploaded images under the hash of their bytes, after checking that they can be decoded."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from onlineml.arguments.checks import one_of
from onlineml.arguments.counted import part_of
from onlineml.data.images.policies import FORMAT_OF
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import BadImageError
from onlineml.storage import io
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from onlineml.storage.location import Location


__all__ = ["Blob", "Source", "checked_split", "listed", "names_of", "store"]

Source = str | os.PathLike[str] | bytes

_CHUNK = 32  # sources in memory at once
_WRITERS = 16  # objects written at once
_SHOWN = 10
_MIN_SIDE = 32  # images are only decoded to see whether they can be


@dataclass(frozen=True)
class Blob:
    """A stored image: its path, the hash of its bytes, and its upright size in pixels."""

    uri: str
    sha256: str
    width: int
    height: int

    def facts(self) -> dict[str, Any]:
        """The facts for an annotation record."""
        return {
            "image_id": self.sha256,
            "uri": self.uri,
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
        }


def store(sources: Source | Sequence[Source], *, blobs: Location) -> list[Blob]:
    """Store images; existing ones are not written again.

    Args:
        sources: paths, URLs or bytes; one or several.
        blobs: the folder; an image goes to ``<ab>/<sha256>.<ext>``, with the extension of its actual format. Sources
            on the same kind of storage are opened with its options.

    Raises:
        BadImageError: images are unusable; all are named.
        StorageError: a source cannot be read.
    """
    given = listed(sources)
    bad: list[tuple[str, BadImageError]] = []
    stored: list[Blob] = []
    with ThreadPoolExecutor(_WRITERS) as pool:
        for start in range(0, len(given), _CHUNK):
            names, contents = _read(given[start : start + _CHUNK], blobs)
            fine: list[tuple[Blob, bytes]] = []
            for name, content in zip(names, contents, strict=True):
                try:
                    fine.append((_blob(content, name, blobs.name), content))
                except BadImageError as err:
                    bad.append((name, err))
            if not bad:
                list(pool.map(lambda pair: _write(blobs.parent / pair[0].uri, pair[1]), fine))
            stored += [blob for blob, _ in fine]
    if bad:
        shown = "\n".join(f"  {name}: {err}" for name, err in bad[:_SHOWN])
        more = f"\n  and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
        detail = (
            f"{part_of(len(bad), len(given), 'file is')} unusable, so none was added; leave them out:\n{shown}{more}"
        )
        raise BadImageError(bad[0][1].finding, detail)
    return stored


def listed(sources: Source | Iterable[Source]) -> list[Source]:
    """Return one source, or several, as a list."""
    return [sources] if isinstance(sources, str | bytes | os.PathLike) else list(sources)


def names_of(sources: Sequence[Source]) -> list[str]:
    """Return the names by which messages refer to sources."""
    return [f"image {n}" if isinstance(source, bytes) else redacted(str(source)) for n, source in enumerate(sources)]


def checked_split(split: str | None) -> str | None:
    """Return a split.

    Raises:
        ConfigError: it is unknown.
    """
    return split if split is None else one_of("split", split, SPLITS, other="None to assign it by a hash")


def _read(sources: Sequence[Source], blobs: Location) -> tuple[list[str], list[bytes]]:
    """Names for messages, and contents. The project's credentials are not passed to other stores."""
    found = iter(io.read_many([blobs.to(source) for source in sources if not isinstance(source, bytes)]))
    contents = []
    for source in sources:
        content = source if isinstance(source, bytes) else next(found)
        if isinstance(content, OSError):
            raise content
        contents.append(content)
    return names_of(sources), contents


def _blob(content: bytes, name: str, folder: str) -> Blob:
    from onlineml.data.images.decode import decode, sniff  # noqa: PLC0415 (decoders are loaded only to decode)

    height, width = decode(content, min_side=_MIN_SIDE, name=name).size_hw
    digest = sha256(content).hexdigest()
    kind = sniff(content)
    ending = next((ending for ending, format_name in FORMAT_OF.items() if format_name == kind), "")
    return Blob(f"{folder}/{digest[:2]}/{digest}{ending}", digest, width, height)


def _write(file: Location, content: bytes) -> None:
    if not io.exists(file):
        io.write_bytes(file, content)
