"""Pairs of images and annotation files of one name, whatever the folders are called that keep the two apart."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from onlineml.arguments.counted import count, tally
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import normalised_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    _Keys = tuple[Callable[[str], str | None], Callable[[str], str]]  # of a file, and of an image

__all__ = [
    "KINDS",
    "Pairs",
    "folder_of",
    "pair",
    "shown_images",
    "split_of_folder",
    "stem",
    "without_kind",
    "without_masks",
    "words",
]

# words in the names of folders that say what kind of file is there, not which of them
KINDS = frozenset(
    word + plural
    for plural in ("", "s")
    for word in (
        *("image", "img", "jpg", "jpeg", "png", "jpegimage", "jpgimage", "photo", "picture", "pic"),
        *("annotation", "annot", "ann", "label", "labeltxt", "bbox", "boxe", "box", "xml", "txt", "gt"),
        *("voc", "pascalvoc", "yolo", "folder", "dir", "file"),
    )
)
_MASKS = frozenset({"segmentationclass", "segmentationobject", "segmentation", "mask", "masks", "trimaps"})
_BETWEEN = re.compile(r"[\s_.\-]+")
_BY_FOLDER, _BY_CASE, _BY_STEM, _BY_CONTENT = (
    "by name and folder",
    "by name in other letters",
    "by name in another folder",
    "by the name that the file says",
)


@dataclass
class Pairs:
    """Annotation files with their images.

    Attributes:
        image_of: the image of each annotation file that has one.
        rules: how many were found by each rule.
        alone: annotation files without an image.
        contested: by image, the annotation files that fit it equally well.
        several: by annotation file, the images that it fits equally well.
    """

    image_of: dict[str, str] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    alone: list[str] = field(default_factory=list)
    contested: dict[str, list[str]] = field(default_factory=dict)
    several: dict[str, list[str]] = field(default_factory=dict)

    @property
    def how(self) -> str:
        """The rules by which they were found, such as ``"200 by name and folder"``."""
        return ", ".join(f"{n:,} {rule}" for rule, n in self.rules.items())

    def notes(self, what: str) -> list[str]:
        """Return sentences for people about pairs that are not of one name, and about what has no image.

        Args:
            what: the annotation files are called, in the plural.
        """
        found = [] if self.rules.keys() <= {_BY_FOLDER} else [f"{what} were matched to images: {self.how}"]
        if self.alone:
            found.append(f"{tally(len(self.alone), f'{what} match no image')} (left out): {examples(self.alone)}")
        return found

    def untold(self) -> list[str]:
        """Return the problem of files that fit several others, if there are any."""
        shown = [f"{path}: {' or '.join(own)}" for path, own in (self.several | self.contested).items()]
        remedy = "give each image a label file of its own name"
        return (
            [f"{count(len(shown), 'file fits', 'files fit')} several others: {examples(shown)}; {remedy}"]
            if shown
            else []
        )


def folder_of(path: str) -> str:
    """Return the folder of a path, ``""`` for the top."""
    return path.rpartition("/")[0]


def stem(path: str) -> str:
    """Return the last part of a path without its extension; of ``a.jpg.txt``, ``a``."""
    name = path[path.rfind("/") + 1 :]
    first = name.rpartition(".")[0] or name
    return first.rpartition(".")[0] if "." in first and is_image_name(first) else first


def without_kind(folder: str) -> str:
    """Return a folder in lower case without the words that say what kind of file is there.

    Images in ``train/JPEGImages``, ``images/train`` and ``train_images`` share ``train`` with their annotations in
    ``train/Annots``, ``Labels/train`` and ``train_labels``.
    """
    parts = (" ".join(w for w in _BETWEEN.split(part) if w not in KINDS) for part in folder.casefold().split("/"))
    return "/".join(part for part in parts if part)


def split_of_folder(folder: str) -> str | None:
    """Return the split that the outermost folder named as one says; None if there is no such folder."""
    return next(filter(None, map(normalised_split, without_kind(folder).split("/"))), None)


def without_masks(images: Sequence[str]) -> list[str]:
    """Return the images that are not in folders such as ``SegmentationClass``; all, if there are no others."""
    masks = {folder for folder in {folder_of(image) for image in images} if not _MASKS.isdisjoint(words(folder))}
    return [image for image in images if folder_of(image) not in masks] or list(images) if masks else list(images)


def shown_images(images: Sequence[str], pairs: Pairs, notes: list[str]) -> list[str]:
    """Return the images of a dataset: those of folders with annotated ones, or with a name for images or a split.

    Args:
        images: paths.
        pairs: with their annotation files.
        notes: a list to which one about the others is added.
    """
    homes = {folder_of(image) for image in pairs.image_of.values()}
    for folder in {folder_of(image) for image in images} - homes:
        if not KINDS.isdisjoint(words(folder)) or split_of_folder(folder):
            homes.add(folder)
    others = [image for image in images if folder_of(image) not in homes]
    if others:
        notes.append(
            f"{count(len(others), 'picture is', 'pictures are')} left out, in folders without "
            f"annotations: {examples(others)}"
        )
    return [image for image in images if folder_of(image) in homes] if others else list(images)


def pair(
    images: Iterable[str],
    files: Sequence[str],
    *,
    kind: str,
    said: Callable[[str], Sequence[str]] = lambda _: (),
) -> Pairs:
    """Find the image of each annotation file.

    Rules, in this order: the same name without extension in the same folder, or in folders that differ only in words
    such as ``images`` and ``labels``; the same in other letters, blanks or Unicode forms; the only image of this name
    anywhere; the image that the file itself names. An image has one annotation file.

    Args:
        images: paths.
        files: paths of annotation files.
        kind: the folder that is preferred where an image has files in several, such as ``"labels"``.
        said: returns the names of images that are written in an annotation file, the likeliest first.
    """
    return _Pairing(images, files, kind, said).pairs


class _Pairing:
    """The search, rule by rule; each looks only at what earlier ones have left."""

    def __init__(
        self, images: Iterable[str], files: Sequence[str], kind: str, said: Callable[[str], Sequence[str]]
    ) -> None:
        self._kind, self._said = kind, said
        self._keys: dict[str, str] = {}
        self.pairs = Pairs()
        left_images, left = list(images), list(files)
        for rule, key in ((_BY_FOLDER, self._by_folder), (_BY_CASE, self._by_case), (_BY_STEM, _loose_stem)):
            if left:
                left, left_images = self._match(rule, left, left_images, (key, key))
        for number in range(max((len(said(file)) for file in left), default=0)):
            named = partial(self._by_content, number=number)
            left, left_images = self._match(_BY_CONTENT, left, left_images, (named, _loose_stem))
        self.pairs.alone = left

    def _by_folder(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if (key := self._keys.get(folder)) is None:
            key = self._keys[folder] = without_kind(folder)
        return f"{key}/{stem(name)}"

    def _by_case(self, path: str) -> str:
        return f"{folder_of(self._by_folder(path))}/{_loose_stem(path)}"

    def _by_content(self, path: str, *, number: int) -> str | None:
        names = self._said(path)[number : number + 1]
        return next((_loose(stem(n) if is_image_name(n) or n.lower().endswith(".xml") else n) for n in names), None)

    def _match(self, rule: str, files: list[str], images: list[str], keys: _Keys) -> tuple[list[str], list[str]]:
        """Take the pairs with equal keys; return the other files and images."""
        image_of_key = dict(zip(map(keys[1], images), images, strict=True))
        file_of_key = dict(zip(map(keys[0], files), files, strict=True))
        every = len(image_of_key) == len(images) and len(file_of_key) == len(files)
        if every and rule in {_BY_FOLDER, _BY_CASE} and file_of_key.keys() <= image_of_key.keys():  # most datasets
            self.pairs.image_of |= {file: image_of_key.pop(key or "") for key, file in file_of_key.items()}
            self.pairs.rules[rule] += len(files)
            return [], [*image_of_key.values()]
        return self._match_several(rule, files, images, keys)

    def _match_several(
        self, rule: str, files: list[str], images: list[str], keys: _Keys
    ) -> tuple[list[str], list[str]]:
        """Do the same where a key may have several files or images."""
        by_key = _Groups((keys[1](image), image) for image in images)
        claims = _Groups()
        left, settled = [], set()
        for file in files:
            fitting = by_key.of(keys[0](file) or "")
            if fitting and rule in {_BY_STEM, _BY_CONTENT}:
                fitting = [image for image in fitting if _same_split(file, image)]
            if len(fitting) > 1:
                fitting = self._chosen(file, fitting)
            if len(fitting) == 1:
                claims.add(fitting[0], file)
            elif fitting and rule in {_BY_FOLDER, _BY_CASE}:
                self.pairs.several[file] = fitting
                settled.update(fitting)
            else:
                left.append(file)
        for image in claims.first:
            claiming = claims.of(image)
            best = claiming if len(claiming) == 1 else self._preferred(image, claiming)
            if len(best) == 1:
                self.pairs.image_of[best[0]] = image
                self.pairs.rules[rule] += 1
                left += [file for file in claiming if file != best[0]]
            else:
                self.pairs.contested[image] = best
        return left, [image for image in images if image not in claims.first and image not in settled]

    def _chosen(self, file: str, images: list[str]) -> list[str]:
        """Return the images of one key that a file fits best: the one of its own full name, or that it names."""
        own = file.rpartition("/")[2].rpartition(".")[0]
        for name in (own, *self._said(file)):
            if found := [image for image in images if image.rpartition("/")[2] == name]:
                return found
        beside = [image for image in images if folder_of(image) == folder_of(file)]
        return beside if len(beside) == 1 else images

    def _preferred(self, image: str, files: list[str]) -> list[str]:
        """Return the files that fit an image best: those in a folder of the usual name, else beside it."""
        usual = [file for file in files if self._kind in words(folder_of(file))]
        return usual or [file for file in files if folder_of(file) == folder_of(image)] or files


class _Groups:
    """Texts by key; nearly all keys have one, so that lists are kept for the others only."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.first: dict[str, str] = {}
        self._more: dict[str, list[str]] = {}
        for key, text in pairs:
            self.add(key, text)

    def add(self, key: str, text: str) -> None:
        first = self.first.setdefault(key, text)
        if first is not text:
            self._more.setdefault(key, [first]).append(text)

    def of(self, key: str) -> list[str]:
        return self._more.get(key) or ([self.first[key]] if key in self.first else [])


def _same_split(file: str, image: str) -> bool:
    splits = {split_of_folder(folder_of(path)) for path in (file, image)} - {None}
    return len(splits) < 2


def words(folder: str) -> list[str]:
    """Return the words in the names of a folder and of those above it, in lower case."""
    return _BETWEEN.split(folder.casefold().replace("/", " "))


def _loose(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip()).casefold()


def _loose_stem(path: str) -> str:
    return _loose(stem(path))
