"""Reader of YOLO: a text file of relative boxes per image, in any arrangement of folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.data.formats.boxes import (
    HASHED,
    boxes_table,
    identified,
    parts_holding,
    require_no_problems,
    safe_name,
)
from onlineml.data.formats.format import Format, Place, Source
from onlineml.data.formats.lists import split_lists, splits_by_folder, splits_by_list
from onlineml.data.formats.pairs import Pairs, folder_of, pair, shown_images, stem, without_masks
from onlineml.data.formats.parts import Listing, Parts, absolute, list_folder, places_of
from onlineml.data.formats.yolo.description import CLASS_LISTS, YAML, Description, described, describes, names_by_number
from onlineml.data.formats.yolo.labels import box_rows, read_labels, row_notes, unlabelled
from onlineml.data.formats.yolo.splits import Splits
from onlineml.data.formats.yolo.write import write_yolo
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split
from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from onlineml.storage.location import Location

ClassNames = Sequence[str] | Mapping[int, str]

__all__ = ["YOLO", "may_be_labels", "read_yolo", "write_yolo"]

_LOOKED_AT = 4  # text files whose beginnings are read to tell labels from other texts
# possessive, so that thousands of digits are not tried in all divisions
_ROW = re.compile(rb"\s*+\d++(\.0*+)?([\s,]++-?(\d++(\.\d*+)?|\.\d++)(e-?\d++)?){4,}\s*?(\n|\r|$)", re.IGNORECASE)
_MARKS = b"\xff\xfe\xef\xbb\xbf"  # at the beginning of UTF-16 and of UTF-8
_TEXTS = re.compile(r"(readme|licen[cs]e|requirements|predefined_classes)\b|notes\.")
_RESULTS = frozenset(
    {"runs", "predict", "predictions", "detection-results", "detections"}
)  # what Ultralytics and others write, not people


@dataclass(frozen=True)
class _Dataset:
    """A dataset: its folder, the files there, and its description."""

    at: Location
    listing: Listing
    about: Description

    @cached_property
    def paths(self) -> list[str]:
        """The paths of all files."""
        return [info.path for info in self.listing.files]

    @property
    def images(self) -> list[str]:
        """The paths of the images."""
        return without_masks(self.listing.images)


def read_yolo(
    source: Source, *, holds: str, names: ClassNames | None = None, kpt_shape: tuple[int, int] | None = None
) -> Parts:
    """Read YOLO, see `Manifest.from_yolo`."""
    where, problems = source.where, list[str]()
    dataset = _dataset(source, names, kpt_shape)
    about, images = dataset.about, dataset.images
    splits = Splits(about, dataset.at, dataset.listing.others, images)
    splits.find(problems)
    files = [path for path in dataset.listing.ending_in(".txt") if may_be_labels(path) and path not in splits.lists]
    pairs = pair(images, files, kind="labels")
    notes = list(about.notes)
    split_of = splits.split_of or _undescribed(dataset, images, pairs, problems, notes)
    label_of = {image: path for path, image in pairs.image_of.items() if image in split_of}
    notes += [*splits.notes, *pairs.notes("label files"), *_without(images, split_of, label_of)]
    problems += pairs.untold()
    if not about.names:
        raise DataError(
            f"expected a data.yaml in {where}, found none, nor a classes.txt or obj.names: set names= to the classes "
            "in the order of their numbers (from_yolo; class_names= of from_any)"
        )
    if not split_of or (files and not label_of):
        problems.append(_no_labels(sorted(split_of), files))
    labels = read_labels(dataset.at, label_of, problems, n_keypoints=about.n_keypoints)
    require_no_problems(where, problems + notes if problems else [])
    rows = box_rows(split_of, label_of, labels, about.names)
    at, listing = dataset.at, dataset.listing
    table = identified(boxes_table(rows), at.url, where=where, storage_options=at.options, listing=listing)
    origin = f"read as YOLO from {places_of(label_of.values(), '*.txt')}" + f" and {about.path}" * bool(about.path)
    told = (origin, *notes, *row_notes(labels, about.names, n_keypoints=about.n_keypoints))
    n_used = len(split_of) + len(label_of) + len(splits.lists) + bool(about.path)
    numbers = tuple(about.names) if list(about.names) != list(range(len(about.names))) else ()
    n_ignored = max(len(listing.files) - n_used, 0) + listing.n_junk
    parts = Parts(table, tuple(about.names.values()), at.url, n_ignored, class_ids=numbers, notes=told)
    return parts_holding(parts, holds)


# ---- what there is ----


def _dataset(source: Source, names: ClassNames | None, kpt_shape: tuple[int, int] | None) -> _Dataset:
    """Return the dataset at a folder, or of a description."""
    at, file = source.at, ""
    if at.url.lower().endswith((*YAML, ".data")):
        at, file = at.parent, at.name
    root = at.to(absolute(source.root)) if source.root is not None else at
    if file and source.root is not None and source.where.startswith(f"{root.url}/"):
        at, file = root, source.where[len(root.url) + 1 :]
    listing = source.listing(root.url)
    own = listing if at.url == root.url else list_folder(at.url, at.options)
    about = described(at, [info.path for info in own.files], file=file, with_names=names is None)
    names = names or (None if about.names else source.class_names)
    if names is not None:
        about = replace(about, names=_given(names))
    if kpt_shape is not None:
        about = replace(about, n_keypoints=kpt_shape[0] * kpt_shape[1])
    if at.url != root.url:
        return _Dataset(root, listing, replace(about, path="", inside=""))
    inside = safe_name(about.inside) if source.root is None else None
    below = tuple(
        replace(info, path=info.path[len(inside) + 1 :])
        for info in listing.files
        if inside and info.path.startswith(f"{inside}/")
    )
    if inside and below:
        return _Dataset(root / inside, Listing(below, listing.n_junk), replace(about, path="", inside=""))
    return _Dataset(root, listing, about)


def _given(names: ClassNames) -> dict[int, str]:
    try:
        found = names_by_number(dict(names) if isinstance(names, Mapping) else list(names))
    except ValueError:
        found = {}
    if not found or len(found) != len(names):
        raise ConfigError(f"expected names as a list, or a mapping of numbers to names; found {names!r:.100}")
    return found


def may_be_labels(path: str) -> bool:
    """Return whether a file's name and folder are those of labels, not of lists or of texts for people."""
    folder, _, name = path.rpartition("/")
    if name[-4:].lower() != ".txt" or _is_of_results(folder):
        return False
    if name[0].isdigit():  # as most are called; no list and no text for people is
        return True
    name = name.lower()
    return not (name in CLASS_LISTS or _TEXTS.match(name) or normalised_split(stem(name)))


@lru_cache(maxsize=1024)
def _is_of_results(folder: str) -> bool:
    return not _RESULTS.isdisjoint(folder.lower().split("/"))


def _undescribed(
    dataset: _Dataset, images: Sequence[str], pairs: Pairs, problems: list[str], notes: list[str]
) -> dict[str, str | None]:
    """Return the split of each image where the description names no folder that is there."""
    if dataset.about.splits:
        notes.append(f"no folder that {dataset.about.path} names is there, so the splits are those of the folders")
    shown = shown_images(images, pairs, notes)
    lists = split_lists(dataset.paths)
    found = splits_by_list(lists, shown, dataset.at, problems, notes) if lists else {}
    splits = [found.get(image) for image in shown] if found else None
    splits = splits or splits_by_folder(shown, {*pairs.image_of.values()}, notes)
    return dict(zip(shown, splits or [HASHED] * len(shown), strict=True))


def _without(images: Sequence[str], split_of: Mapping[str, str | None], label_of: Mapping[str, str]) -> list[str]:
    """Return notes about images without a split or a label file."""
    notes = []
    others = [image for image in images if image not in split_of]
    if others and split_of:
        notes.append(f"{count(len(others), 'image is')} in no split, and left out: {examples(others)}")
    empty = unlabelled(split_of, label_of)
    notes += [f"{split}: none of the images has a label file, so nobody annotated them" for split in empty]
    bare = [image for image, split in split_of.items() if image not in label_of and split not in empty]
    if bare:
        notes.append(f"{count(len(bare), 'image has')} no label file, so no objects: {examples(bare)}")
    return notes


def _no_labels(images: Sequence[str], files: Sequence[str]) -> str:
    if not images:
        return "there are no images; set root= of Manifest.from_yolo to the folder of the dataset"
    image = images[0]
    folder = "/".join("labels" if part.lower() == "images" else part for part in folder_of(image).split("/"))
    return (
        f"none of the {len(images):,} images has a label file, so there is nothing to learn: expected, for {image!r}, "
        f"{f'{folder}/{stem(image)}.txt'.lstrip('/')!r}, or one of its name in another folder; found {len(files):,} "
        f"other text files{': ' * bool(files)}{examples(files)}; set root= of from_yolo to the folder that has both"
    )


# ---- recognised ----


def _detect(place: Place) -> Source | None:
    """Recognise a description, or text files of numbers that are called like images."""
    if place.ending in {*YAML, ".data"}:
        return place.source()
    described_by = place.listing.ending_in(*YAML, ".data")[:_LOOKED_AT]
    if any(describes(path, place.head(path)) for path in described_by):
        return place.listed_source()
    texts = place.listing.ending_in(".txt")
    names = {stem(path) for path in place.images} if texts else set()
    labels = [path for path in texts if may_be_labels(path) and stem(path) in names][:_LOOKED_AT]
    rows = any(_ROW.match(place.head(path).replace(b"\0", b"").lstrip(_MARKS)) for path in labels)
    return place.listed_source() if rows else None


YOLO = Format(
    "yolo",
    holds=("boxes_xyxy", "labels"),
    expected="data.yaml, or its folder; obj.data, or classes.txt with a text file per image",
    detect=_detect,
    read=read_yolo,
    write=write_yolo,
)
