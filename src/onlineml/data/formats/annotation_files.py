"""Files of annotations below a folder: found among other files, decoded, and matched with their images."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from onlineml.arguments.counted import count
from onlineml.data.formats.boxes import HASHED, refused_names, safe_name
from onlineml.data.formats.encodings import utf8
from onlineml.data.formats.locate import Located, fitting, locate, n_shared
from onlineml.data.formats.parts import with_slashes
from onlineml.data.manifest.splits import normalised_split, split_in_name
from onlineml.errors import DataError
from onlineml.storage import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from onlineml.data.formats.format import Place
    from onlineml.data.formats.sniff import JsonShape

    Fits = Callable[[Place, str], bool]  # told the place, and the path of a file below it

__all__ = [
    "ImagePaths",
    "decoded",
    "file_split",
    "files_of",
    "folder_split",
    "folder_splits",
    "json_fits",
    "resolve_names",
]

T = TypeVar("T")

_ENDINGS = (".json", ".csv")
_MOST_LOOKED_AT = 32  # files of one folder: some formats have one for each image
_MANY = 256  # files looked at, after which one of each further folder has to do
_MOST_NAMES = 500  # that are looked for to find the folder of a file's images


def decoded(data: bytes, kind: type[T], where: str) -> T:
    """Return a JSON document of people's own as an object of a type, see `onlineml.storage.documents.decoded`.

    Raises:
        DataError: the data is not JSON, or a value has another type than expected; the message names it.
    """
    return documents.decoded(utf8(data, where), kind, where, error=DataError, lenient=True)


def json_fits(check: Callable[[JsonShape], bool]) -> Fits:
    """Return a function that tells whether the file at a path below a place is JSON of some shape."""
    return lambda place, path: (path or place.url).lower().endswith(".json") and check(place.json(path))


def files_of(place: Place, fits: Fits) -> list[str]:
    """Return the paths of the files of a format below a folder; ``""`` for a place that is one itself.

    Of folders with very many files, the first ones speak for all.
    """
    if not place.files:
        return [""] if place.ending in _ENDINGS and fits(place, "") else []
    names = sorted(place.listing.ending_in(*_ENDINGS), key=posixpath.dirname)
    found: list[str] = []
    n_looked = 0
    for _, group in groupby(names, key=posixpath.dirname):
        own = list(group)
        first = own[: _MOST_LOOKED_AT if n_looked < _MANY else 1]
        n_looked += len(first)
        fitting = [path for path in first if fits(place, path)]
        found += own if len(fitting) == len(first) else fitting
    return found


def file_split(path: str) -> str | None:
    """Return the split that the name of an annotation file tells, or else its folders."""
    return split_in_name(posixpath.basename(path)) or folder_split(path)


def folder_split(path: str) -> str | None:
    """Return the split that a folder of a path is named as, the deepest first."""
    folders = reversed(path.split("/")[:-1])
    return next((split for folder in folders if (split := normalised_split(folder))), None)


def folder_splits(paths: Sequence[str]) -> list[str | None]:
    """Return the splits that the folders of images tell; `HASHED` for all unless they tell it of each."""
    by_folder = {folder: folder_split(f"{folder}/") for folder in {posixpath.dirname(path) for path in paths}}
    found = [by_folder[posixpath.dirname(path)] for path in paths]
    return [HASHED] * len(found) if None in found else found


class ImagePaths(NamedTuple):
    """Files of the images that an annotation file names.

    Attributes:
        uris: the path of each image; of one that is not there, the path that its name means.
        absent: the paths of images that are not there.
        problems: names that fit several files, or lead out of the folder.
    """

    uris: list[str]
    absent: list[str]
    problems: list[str]


def resolve_names(
    names: Sequence[Any], images: Sequence[str], *, beside: str, split: str | None, where: str
) -> ImagePaths:
    """Return the files that the names in an annotation file mean.

    Images of other splits are not looked at, if there are others: files of several splits often use the same names.

    Args:
        names: as in the file.
        images: the paths of the images below the root; empty if they cannot be listed.
        beside: the folder of that file below the root.
        split: of that file, if it has one.
        where: its URL, for messages.
    """
    plain = [with_slashes(name.strip()) if isinstance(name, str) else "" for name in names]
    own = [path for path in images if folder_split(path) in {split, None}] if split else images
    homes = _homes(plain, own, beside, split)
    if not homes and len(own) < len(images):
        own, homes = images, _homes(plain, images, beside, split)
    home = homes[0] if homes else beside
    known = frozenset(own)
    uris = [posixpath.normpath(posixpath.join(home, name)) if name else "" for name in plain]
    open_ = [row for row, uri in enumerate(uris) if uri not in known]
    wanted = [names[row] if plain[row] else "" for row in open_] if own else []
    located = locate(wanted, own, beside=home) if own else Located([None] * len(open_), {})
    parallel = _parallel_folders({*uris} & known, {posixpath.dirname(path) for path in located.paths if path}, known)
    absent, lost = [], []
    for row, path in zip(open_, located.paths, strict=True):
        inside = safe_name(plain[row])
        own_path = None if path is None or posixpath.dirname(path) in parallel else path
        uris[row] = own_path or (posixpath.join(home, inside) if inside else "")
        if own_path is None and uris[row]:
            absent.append(uris[row])
        elif own_path is None:
            lost.append(names[row])
    return ImagePaths(uris, absent, [*_problems(lost, located.ambiguous, homes[1:] and homes, where)])


def _parallel_folders(found: AbstractSet[str], folders: AbstractSet[str], known: AbstractSet[str]) -> frozenset[str]:
    """Return the folders with other images of the same names as those already found: another set of images."""
    names = {posixpath.basename(path) for path in found}
    others = {folder: (posixpath.join(folder, name) for name in names) for folder in folders}
    return frozenset(f for f, paths in others.items() if any(path in known and path not in found for path in paths))


def _problems(lost: Sequence[Any], ambiguous: dict[str, list[str]], rivals: Sequence[str], where: str) -> Iterable[str]:
    yield from refused_names(lost, where)
    if rivals:
        folders = " or ".join(map(repr, rivals[:3]))
        yield f"the images of {where} may be in {folders}: set images=<the folder of the images>"
    elif ambiguous:
        shown = fitting(ambiguous)
        yield (
            f"{count(len(ambiguous), f'file name in {where} fits', f'file names in {where} fit')} several "
            f"images: {shown}; set images=<their folder>"
        )


def _homes(names: Sequence[str], images: Sequence[str], beside: str, split: str | None) -> list[str]:
    """Return the folder that most names are relative to; several if nothing decides between them, none if none fits.

    Those come first that are named as the split of the file and have at least half of its names, then those nearest to
    the file, then those that have most names, then the file's own.
    """
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for path in images:
        by_name[posixpath.basename(path)].append(path)
    counts: Counter[str] = Counter()
    sample = names[:: max(1, len(names) // _MOST_NAMES)]
    for name in sample:
        inside = posixpath.normpath(name).lstrip("/") if name else name
        for path in by_name.get(posixpath.basename(inside), ()):
            if path == inside or path.endswith(f"/{inside}"):
                counts[path[: -len(inside)].rstrip("/")] += 1

    def rank(folder: str) -> tuple[bool, bool, int, int, bool]:
        named = split is not None and folder_split(f"{folder}/") == split
        return named, 2 * counts[folder] >= len(sample), n_shared(folder, beside), counts[folder], folder == beside

    best = max(map(rank, counts), default=None)
    return sorted(folder for folder in counts if rank(folder) == best)
