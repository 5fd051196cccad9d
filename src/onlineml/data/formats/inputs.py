"""Files of annotations that an import reads, each with its split and the folder of its images, and what they say."""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from onlineml.arguments.counted import count, tally
from onlineml.data.formats.annotated import AnnotatedImage, annotated_parts
from onlineml.data.formats.annotation_files import ImagePaths, file_split, files_of, folder_splits, resolve_names
from onlineml.data.formats.boxes import require_no_problems
from onlineml.data.formats.format import Place, Source
from onlineml.data.formats.parts import Listing, Parts, absolute, list_folder
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from onlineml.data.formats.annotation_files import Fits
    from onlineml.storage.location import Location

    Parse = Callable[[bytes, str, Counter[str]], Sequence[AnnotatedImage]]
    Rescue = Callable[[Sequence[str], Sequence[str]], Mapping[str, str]]

__all__ = [
    "OLDER",
    "Input",
    "contents",
    "detect_files",
    "inputs",
    "paths_of",
    "read_files",
    "remarks",
    "single_input",
    "united",
]

Url = str | os.PathLike[str]

OLDER = "annotations of images that several people annotated were left out: the ground truth or the newest counts"
_TOGETHER = 32  # files in memory at a time; those of LabelMe may hold their images
_APART = frozenset({"annotations", "annotation", "anns", "ann", "annots", "labels", "label", "json", "coco"})


class Input(NamedTuple):
    """A file to read: its split, its location, the folder that its images are below, and the files there."""

    split: str | None
    at: Location
    root: str
    listing: Listing

    @property
    def beside(self) -> str:
        """The file's own folder below the root; ``""`` if it is elsewhere."""
        own = io.parent(self.at.url)
        return own.removeprefix(f"{self.root}/") if own.startswith(f"{self.root}/") else ""


def paths_of(wanted: Sequence[Input], names: Sequence[Sequence[str | None]]) -> list[ImagePaths]:
    """Return the files of the images that each input names; inputs of one folder and split are looked at together."""
    groups = defaultdict[tuple[str, str, str | None], list[int]](list)
    for place, one in enumerate(wanted):
        groups[one.root, one.beside, one.split].append(place)
    found = [ImagePaths([], [], [])] * len(wanted)
    for own in groups.values():
        one = wanted[own[0]]
        images = one.listing.images
        together = [name for place in own for name in names[place]]
        paths = resolve_names(together, images, beside=one.beside, split=one.split, where=one.at.url)
        uris, absent, problems = iter(paths.uris), frozenset(paths.absent), paths.problems
        for place in own:
            mine = [*itertools.islice(uris, len(names[place]))]
            found[place] = ImagePaths(mine, [uri for uri in mine if uri in absent], problems)
            problems = []
    return found


def detect_files(place: Place, fits: Fits, *, holds: str | None = None) -> Source | None:
    """Detect a file that fits, or a folder that has some."""
    files = place.listing if place.files else None
    return Source(place.url, options=place.options, files=files, holds=holds) if files_of(place, fits) else None


def inputs(source: Source, fits: Fits, *, name: str) -> tuple[list[Input], list[str]]:
    """Return the files to read, below a folder or a single one, and notes for people.

    Args:
        source: the input.
        fits: tells whether a file below a place is of the format.
        name: of the format.

    Raises:
        ConfigError: an argument is not understood.
        DataError: the folder has no such files.
    """
    if source.split is not None and not normalised_split(source.split):
        raise ConfigError(f"expected split= train, val or test; found {source.split!r}")
    if isinstance(source.images, Mapping):
        raise ConfigError('images= may be one folder per split only if url is one file per split: {"train": ...}')
    at = source.at
    if source.files is None and at.url.lower().endswith((".json", ".csv")):
        return [single_input(at, source.images, source.split)], []
    listing = list_folder(at.url, at.options) if source.files is None else source.files
    if not listing.files:
        return [single_input(at, source.images, source.split)], []
    place = Place(at, listing)
    paths = files_of(place, fits)
    if not paths:
        raise DataError(f"{at} has no files of the format {name!r}; it holds {place.content}")
    root, files = at.url, listing
    if source.images is not None:
        root = absolute(source.images)
        files = list_folder(root, at.options)
    split = None if source.split is None else normalised_split(source.split)
    found = [Input(split or file_split(path), at / path, root, files) for path in paths]
    endings = tuple({path[path.rfind(".") :].lower() for path in paths})
    read = {*paths}
    others = [path for path in place.others if path.lower().endswith(endings) and path not in read]
    what = tally(len(others), f"other {' and '.join(endings)} files were left out")
    notes = [f"{what}: {examples(others)}"] if others else []
    return found, [f"read as {name} from {examples(paths)}", *notes]


def single_input(at: Location, images: Url | None, split: str | None) -> Input:
    """Return a file whose images are below a folder: the given one, else the file's own, or its parent's."""
    named = None if split is None else normalised_split(split)
    if images is not None:
        folder = absolute(images)
        return Input(named, at, folder, list_folder(folder, at.options))
    folder = io.parent(at.url)
    listing = list_folder(folder, at.options)
    if io.name(folder).lower() in _APART and not listing.images:
        folder = io.parent(folder)
        listing = list_folder(folder, at.options)
    return Input(named, at, folder, listing)


def united(wanted: Sequence[Input], root: str) -> Listing:
    """Return all files below a folder that contains the folders of all inputs."""
    listings = {one.root: one.listing for one in wanted}
    if [*listings] == [root]:
        return listings[root]
    prefixes = {own: own.removeprefix(root).lstrip("/") for own in listings}
    files = {
        f"{prefixes[own]}/{info.path}".lstrip("/"): info for own, listing in listings.items() for info in listing.files
    }
    moved = tuple(replace(info, path=path) for path, info in files.items())
    return Listing(moved, sum(listing.n_junk for listing in listings.values()))


def contents(wanted: Sequence[Input]) -> Iterator[tuple[Input, bytes]]:
    """Yield files with their contents, a few in memory at a time.

    Raises:
        StorageError: a file cannot be read.
    """
    for start in range(0, len(wanted), _TOGETHER):
        chunk = wanted[start : start + _TOGETHER]
        found = io.read_many([one.at.url for one in chunk], storage_options=chunk[0].at.options)
        for one, content in zip(chunk, found, strict=True):
            if isinstance(content, OSError):
                raise content
            yield one, content


def remarks(counts: Counter[str]) -> list[str]:
    """Return sentences that begin with a number, from their counts."""
    return [tally(n, text) for text, n in counts.items() if n]


def read_files(
    source: Source, fits: Fits, parse: Parse, *, name: str, holds: str, rescue: Rescue = lambda _names, _paths: {}
) -> Parts:
    """Read files that each annotate several images.

    Args:
        source: the input.
        fits: tells whether a file below a place is of the format.
        parse: returns the images of a file from its content and URL, and counts what it leaves out.
        name: of the format.
        holds: see `Format`.
        rescue: returns files for names that no file fits, from the names and the paths of images.
    """
    wanted, notes = inputs(source, fits, name=name)
    counts = Counter[str]()
    read = [parse(content, one.at.url, counts) for one, content in contents(wanted)]
    found = paths_of(wanted, [[image.name for image in own] for own in read])
    problems = [problem for paths in found for problem in paths.problems]
    missing = [frozenset(paths.absent) for paths in found]
    lost = [
        image.name
        for own, paths, gone in zip(read, found, missing, strict=True)
        for image, uri in zip(own, paths.uris, strict=True)
        if uri in gone
    ]
    rescued = rescue(lost, wanted[0].listing.images) if lost else {}
    images, owners = list[AnnotatedImage](), list[str]()
    for one, own, paths, gone in zip(wanted, read, found, missing, strict=True):
        uris = [rescued.get(i.name, uri) if uri in gone else uri for i, uri in zip(own, paths.uris, strict=True)]
        splits = [one.split] * len(own) if one.split else folder_splits(uris)
        rows = zip(own, uris, splits, strict=True)
        images += [image._replace(name=uri, split=split, beside=None) for image, uri, split in rows]
        owners += [one.at.url] * len(own)
    images = _once(images, owners, counts, problems)
    require_no_problems(source.where, problems)
    source = source._replace(files=wanted[0].listing)
    return annotated_parts(images, source, holds=holds, folder=wanted[0].root, notes=[*notes, *remarks(counts)])


def _once(
    images: Sequence[AnnotatedImage], owners: Sequence[str], counts: Counter[str], problems: list[str]
) -> list[AnnotatedImage]:
    """Return each image once: described alike several times, as in a project and its export, or with its best rank."""
    found: dict[str, tuple[AnnotatedImage, str]] = {}
    differing = list[str]()
    for image, owner in zip(images, owners, strict=True):
        first, other = found.setdefault(image.name, (image, owner))
        if first is image:
            continue
        if first._replace(rank=image.rank) == image:
            counts["images are described several times, alike"] += 1
        elif first.rank is not None and image.rank is not None and first.rank != image.rank:
            counts[OLDER] += 1
            found[image.name] = (first, other) if first.rank > image.rank else (image, owner)
        else:
            differing.append(f"{image.name} ({io.name(other)}, {io.name(owner)})")
    if differing:
        problems.append(
            f"{count(len(differing), 'image is')} described several times, differently: {examples(differing)}; "
            "import one of the files, or remove the entries that do not count"
        )
    return [image for image, _ in found.values()]
