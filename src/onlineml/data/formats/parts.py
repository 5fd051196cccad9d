"""Result of every format's reader for `Manifest`, and the rules that the formats share."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.images.policies import is_image_name, is_junk
from onlineml.data.manifest.examples import examples
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io
from onlineml.storage.urls import is_listable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    import pyarrow as pa

    from onlineml.storage.io import FileInfo
    from onlineml.storage.location import Options

__all__ = [
    "Listing",
    "Parts",
    "absolute",
    "common_folder",
    "image_id",
    "list_folder",
    "listed_versions",
    "naturally_sorted",
    "places_of",
    "plain_decimal",
    "unnamed",
    "valid_names",
    "with_slashes",
]

_NUMBER = re.compile(r"(\d+)")
_AT_ONCE = 65_536  # names looked at together
_LONGEST_NUMBER = 300  # digits; Python refuses to convert thousands


@dataclass(frozen=True)
class Parts:
    """An import: the rows (columns of a manifest), the class names, and further arguments of `Manifest`.

    Its `notes` are sentences about how it was read and what was left out, for people.
    """

    table: pa.Table
    class_names: tuple[str, ...]
    root: str
    n_ignored: int = 0
    class_ids: tuple[int, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The files below a folder, sorted by path, and how many others were left out as junk."""

    files: tuple[FileInfo, ...]
    n_junk: int = 0

    @property
    def images(self) -> tuple[str, ...]:
        """The paths with the extension of an image."""
        return self._parted[0]

    @property
    def others(self) -> tuple[str, ...]:
        """The paths of other files, such as annotations."""
        return self._parted[1]

    @cached_property
    def _parted(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        parted: tuple[list[str], list[str]] = ([], [])
        for info in self.files:
            parted[not is_image_name(info.path)].append(info.path)
        return tuple(parted[0]), tuple(parted[1])

    @cached_property
    def _by_ending(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in self.others:
            found.setdefault(path[path.rfind(".") :].lower(), []).append(path)
        return found

    def ending_in(self, *endings: str) -> list[str]:
        """Return those of the others with one of these extensions, such as ``".json"``, sorted."""
        own = [self._by_ending[ending] for ending in endings if ending in self._by_ending]
        return own[0] if len(own) == 1 else sorted(path for paths in own for path in paths)


def list_folder(url: str, options: Options) -> Listing:
    """List the files below a folder without those that systems leave there, see `is_junk`; none if it cannot be listed.

    Raises:
        DataError: file names are not text, or the folder is inside an archive.
    """
    if not is_listable(url):
        return Listing(())
    found = io.list_files(url, storage_options=options)
    files = tuple(info for info in found if not is_junk(info.path))
    valid_names([info.path for info in files], url)
    return Listing(files, len(found) - len(files))


def unnamed(listing: Listing, uris: Iterable[str]) -> list[str]:
    """Return a sentence on the images of a listing that no annotation file names, if there are any."""
    named = frozenset(uris)
    others = [path for path in listing.images if path not in named]
    return [f"{count(len(others), 'image is')} named in no file, and left out: {examples(others)}"] if others else []


def image_id(uri: str, version: str) -> str:
    """Return 32 hex digits that identify an image that was listed but not read: its path and its content's version.

    Args:
        uri: relative to the import's root, so that a moved folder keeps its ids if the store's tags stay the same.
        version: the store's tag of the content; an overwritten object is another image.
    """
    return blake2b(f"{uri}\0{version}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def absolute(url: str | os.PathLike[str]) -> str:
    """Return the URL without a trailing slash; a local path becomes absolute, to be valid in any working directory."""
    if not isinstance(url, str | os.PathLike):
        raise ConfigError(
            f"expected the URL or path of a file or folder, found a {type(url).__name__}; for a table in memory use "
            "Manifest.from_pandas"
        )
    text = os.fspath(url)
    if not text:
        raise ConfigError("expected a folder or file, found ''; use '.' for the working directory")
    if not io.is_url(text):
        return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 (Path would not keep '//')
    return text.rstrip("/") if not text.endswith("://") else text


def common_folder(folders: Sequence[str]) -> str:
    """Return the deepest folder that contains all the folders; ``""`` if they have none in common."""
    common = folders[0].split("/")
    for folder in folders[1:]:
        pairs = zip(common, folder.split("/"), strict=False)
        common = [a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]
    text = "/".join(common)
    return "" if text.endswith((":", ":/")) else text  # only a scheme


def plain_decimal(value: Decimal) -> str:
    """Format a number without an exponent or trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_slashes(name: str) -> str:
    """Return a name from an annotation file or a table with ``/`` for the separators that Windows writes."""
    return name if io.is_url(name) else name.replace("\\", "/")


def valid_names(paths: list[str], root: str) -> list[str]:
    """Return the paths of a listing unchanged.

    Raises:
        DataError: some paths are not valid text.
    """
    chunks = ("".join(paths[start : start + _AT_ONCE]) for start in range(0, len(paths), _AT_ONCE))
    if all(chunk.isascii() and "\0" not in chunk for chunk in chunks):  # as nearly always
        return paths
    bad = [path for path in paths if "\0" in path or not _is_unicode(path)]
    if bad:
        raise DataError(
            f"{count(len(bad), f'file name in {root} is', f'file names in {root} are')} not UTF-8 text; "
            f"rename them: {examples(bad)}"
        )
    return paths


def _is_unicode(path: str) -> bool:
    return path.isascii() or not any("\ud800" <= character <= "\udfff" for character in path)


def places_of(paths: Iterable[str], pattern: str) -> str:
    """Return the folders of files for people, such as ``annots/*.xml``.

    Args:
        paths: of the files.
        pattern: stands for the files of a folder, such as ``"*.xml"``.
    """
    folders = dict.fromkeys(path.rpartition("/")[0] for path in paths)
    return examples((f"{folder}/{pattern}".lstrip("/") for folder in folders), text=str)


def naturally_sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names naturally: numbers by value, so 2 before 10; the rest as text."""
    return tuple(sorted(names, key=_natural_key))


def _natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = [part for part in _NUMBER.split(name) if part]
    numbers = [part.isdecimal() and len(part) <= _LONGEST_NUMBER for part in parts]
    # the name itself at the end, so that the order of '1' and '01' does not depend on the input's
    return [(0, int(p), "") if n else (1, 0, p.casefold()) for p, n in zip(parts, numbers, strict=True)], name


def listed_versions(
    uris: Sequence[str],
    folder: str,
    where: str,
    storage_options: Mapping[str, Any] | None,
    *,
    listing: Listing | None = None,
) -> list[str]:
    """Return the store's tag of each image from one listing; ``""`` for missing images, or if listing is impossible.

    Raises:
        DataError: none of the images exists.
    """
    if not uris or not folder or not is_listable(folder):
        return [""] * len(uris)
    if listing is None:
        common = common_folder([uri.rpartition("/")[0] for uri in (min(uris), max(uris))])  # others sort between them
        listed = io.list_files(io.join(folder, common) if common else folder, storage_options=storage_options)
        prefix = f"{common}/" if common else ""
        found = {prefix + info.path: info.version for info in listed}
    else:
        found = {info.path: info.version for info in listing.files}
    versions = [found.get(uri) for uri in uris]
    if not any(version is not None for version in versions):
        raise DataError(
            f"none of the {len(uris):,} images of {where} is in {folder}: expected, for instance, "
            f"{folder}/{uris[0]}; set the folder that the paths are relative to (root=, or for COCO images=)"
        )
    return [version or "" for version in versions]
