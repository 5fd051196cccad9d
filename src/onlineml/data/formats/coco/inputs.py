"""The COCO files that an import reads, each with its split and the folder of its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from onlineml.data.formats.annotation_files import ImagePaths, file_split, resolve_names
from onlineml.data.formats.coco.find import coco_files
from onlineml.data.formats.format import Place
from onlineml.data.formats.parts import Listing, absolute, common_folder, list_folder
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.coco.file import CocoFile
    from onlineml.data.formats.format import Source

__all__ = ["Input", "inputs", "united"]

Url = str | os.PathLike[str]

_APART = frozenset({"annotations", "annotation", "anns", "ann", "annots", "labels", "label", "json", "coco"})


class Input(NamedTuple):
    """A file to read: its split, its location, the folder that its images are below, and the files there."""

    split: str | None
    at: Location
    root: str
    listing: Listing

    def names(self, file: CocoFile) -> ImagePaths:
        """Return the files of its images."""
        own = io.parent(self.at.url)
        beside = own.removeprefix(f"{self.root}/") if own.startswith(f"{self.root}/") else ""
        images = [info.path for info in self.listing.files if is_image_name(info.path)]
        return resolve_names(file.names(), images, beside=beside, split=self.split, where=self.at.url)


def inputs(source: Source) -> tuple[list[Input], list[str]]:
    """Return the files to read, and notes about others.

    Raises:
        ConfigError: the arguments contradict each other.
        DataError: the folder has no COCO files.
    """
    if isinstance(source.url, Mapping):
        return _by_split(source, source.url), []
    if source.split is not None and not normalised_split(source.split):
        raise ConfigError(f"expected split= train, val or test; found {source.split!r}")
    if isinstance(source.images, Mapping):
        raise ConfigError('images= may be one folder per split only if url is one file per split: {"train": ...}')
    at = source.at
    if source.files is None and at.url.lower().endswith(".json"):
        return [_single(at, source.images, source.split)], []
    listing = list_folder(at.url, at.options) if source.files is None else source.files
    if not listing.files:
        return [_single(at, source.images, source.split)], []
    return _below(source, listing)


def _by_split(source: Source, urls: Mapping[str, Url]) -> list[Input]:
    if source.split is not None:
        raise ConfigError("split= is for a single file; for several files, the keys of url are the splits")
    wrong = [name for name in urls if not normalised_split(name)]
    if wrong or not urls:
        raise ConfigError(f"expected files for the splits train, val and test; found {examples(wrong) or 'none'}")
    given = source.images
    folders: Mapping[str, Url | None] = given if isinstance(given, Mapping) else dict.fromkeys(urls, given)
    lacking = [name for name in urls if name not in folders]
    if lacking:
        raise ConfigError(f"images= has no folder for {examples(lacking)}")
    if any(folders.values()) and not common_folder([absolute(folder) for folder in folders.values() if folder]):
        unlisted = Listing(())  # on several stores, of which the options can open one
        places = [(name, absolute(url), folders[name] or io.parent(absolute(url))) for name, url in urls.items()]
        return [
            Input(normalised_split(name), Location(url, source.options), absolute(folder), unlisted)
            for name, url, folder in places
        ]
    return [_single(Location(absolute(url), source.options), folders[name], name) for name, url in urls.items()]


def _single(at: Location, images: Url | None, split: str | None) -> Input:
    """Return a file whose images are below a folder: the given one, else the file's own, or its parent's."""
    named = None if split is None else normalised_split(split)
    if images is not None:
        folder = absolute(images)
        return Input(named, at, folder, list_folder(folder, at.options))
    folder = io.parent(at.url)
    listing = list_folder(folder, at.options)
    if io.name(folder).lower() in _APART and not any(is_image_name(info.path) for info in listing.files):
        folder = io.parent(folder)
        listing = list_folder(folder, at.options)
    return Input(named, at, folder, listing)


def _below(source: Source, listing: Listing) -> tuple[list[Input], list[str]]:
    """Return the files below a folder, with the splits that their names, or their folders, tell."""
    place = Place(source.at)
    place.listing = listing
    paths, others = coco_files(place)
    if not paths:
        raise DataError(
            f"{place.url} has no COCO files: expected .json files with the lists 'images', 'annotations' and "
            f"'categories'; found {examples(place.others) or 'only images'}"
        )
    root, files = place.url, listing
    if source.images is not None and not isinstance(source.images, Mapping):
        root = absolute(source.images)
        files = list_folder(root, source.options)
    notes = [f"read as COCO from {examples(paths)}"]
    notes += [f"left out: {examples(others)}, beside files of boxes"] if others else []
    own = None if source.split is None else normalised_split(source.split)
    found = [Input(own or file_split(path), place.at / path, root, files) for path in paths]
    return found, notes


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
