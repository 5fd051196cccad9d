"""Labels and splits of images from the names of their folders, in the layouts that people have."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from onlineml.arguments.counted import part_of
from onlineml.data.formats.csv import key
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS, normalised_split, split_in_name
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BY_FOLDERS", "BY_HASH", "SPLIT_TABLE", "Layout", "layout_of"]

BY_FOLDERS = "folders"  # values of split=: the top folders are splits
BY_HASH = "hash"  # or they are classes
SPLIT_TABLE = "split.csv"  # beside exported class folders
# Names that say what files are, not what they show; as `key` writes them.
_GENERIC = frozenset(
    {
        *("images", "image", "imgs", "img", "jpegimages", "photos", "photo", "pictures", "pics", "data", "dataset"),
        *("datasets", "all", "frames", "raw", "files", "jpg", "jpeg", "jpegs", "png", "pngs", "archive"),
        *("pngimages", "leftimg8bit", "default"),
    }
)
_ANNOTATIONS = frozenset(
    {
        *("labels", "label", "annotations", "annotation", "annots", "annot", "xml", "xmls", "txt", "json", "masks"),
        *("mask", "segmentation", "segmentations", "segmentationclass", "segmentationobject", "groundtruth", "gt"),
        *("bboxes", "boxes", "trimaps", "pedmasks", "gtfine", "gtcoarse", "instances"),
    }
)

_SPLIT_WORD = re.compile(r"(?<![a-z])(train(ing|set)?|val(id(ation)?)?|dev|eval|test(ing|set)?)(?![a-z])")

_Folder = tuple[str, ...]  # the parts of a path


class Layout(NamedTuple):
    """Labels and splits that folders tell.

    Attributes:
        labels: of the images; None where no folder tells one.
        splits: of the images; None where no folder tells one.
        notes: sentences about how the folders were read.
    """

    labels: list[str | None]
    splits: list[str | None]
    notes: tuple[str, ...]

    @property
    def has_splits(self) -> bool:
        """True if folders are splits."""
        return any(self.splits)


def layout_of(paths: Sequence[str], *, where: str, reading: str | None = None) -> Layout:
    """Read ``<class>/**/image``, ``<split>/<class>/**/image`` or ``<class>/<split>/**/image``, also in outer folders.

    Args:
        paths: of the images, relative to the root, without junk.
        where: the root, for messages.
        reading: `BY_FOLDERS`: the top folders with names of splits are splits; `BY_HASH`: all top folders are classes;
            None: what their names and contents tell.

    Raises:
        DataError: both readings are possible, or the folders hold annotations.
    """
    of_image = [path.rpartition("/")[0] for path in paths]
    folders = {folder: tuple(folder.split("/")) if folder else () for folder in dict.fromkeys(of_image)}
    tree = _Tree(folders.values(), where, reading)
    read = tree.read()
    told = {folder: read[parts] for folder, parts in folders.items()}
    labels, splits = [told[folder][0] for folder in of_image], [told[folder][1] for folder in of_image]
    n_loose = sum(label is None for label in labels)
    if n_loose and any(labels):
        tree.notes.append(f"{part_of(n_loose, len(paths), 'image is')} in no class folder, and unlabelled")
    return Layout(labels, splits, tuple(tree.notes))


class _Tree:
    """The folders that hold images.

    Attributes:
        notes: how they were read.
    """

    def __init__(self, folders: Iterable[_Folder], where: str, reading: str | None) -> None:
        self._folders = list(folders)
        self._where = where
        self._reading = reading
        self.notes: list[str] = []

    def read(self) -> dict[_Folder, tuple[str | None, str | None]]:
        """Return the label and the split of the images that lie directly in each folder."""
        outer = _outer(self._folders)
        if outer:
            self.notes.append(f"classes and splits are below the folder {'/'.join(outer)!r}")
        inner = {f: f[len(outer) :] if f[: len(outer)] == outer else () for f in self._folders}
        tops = _below(inner.values())
        splits = {} if self._reading == BY_HASH else _splits_of(tops) or _splits_by_words(tops)
        if self._reading == BY_FOLDERS and not splits:
            raise DataError(
                f"split={BY_FOLDERS!r} expects folders such as {', '.join(SPLITS)} in {self._where}; "
                f"found {examples(sorted(tops))}"
            )
        levels = {top: _useless_levels(top, below, splits.get(top)) for top, below in tops.items()}
        inner = {folder: rest and (rest[0], *rest[1 + levels[rest[0]] :]) for folder, rest in inner.items()}
        tops = _below(inner.values())
        if splits and self._are_splits(splits, tops):
            return self._by_split(inner, splits, tops)
        return self._by_class(inner, tops)

    def _are_splits(self, splits: Mapping[str, str], tops: Mapping[str, set[_Folder]]) -> bool:
        """Return whether folders with names of splits are splits, and not classes.

        Raises:
            DataError: either is possible.
        """
        others = {top: below for top, below in tops.items() if top not in splits}
        sure = {*_splits_of(splits)} == {*splits} or all(rest for top in splits for rest in tops[top])
        if self._reading == BY_FOLDERS or (sure and not others):
            return True
        classes = {rest[0] for top in splits for rest in tops[top] if rest}
        names = set(splits.values())
        nested = any(rest for below in others.values() for rest in below)
        if names == {"train"} and len(classes) < 2:
            return False  # a kind of vehicle among others
        if len(names) > 1 and classes and not nested and not classes & others.keys():
            self.notes.append(f"the folders {examples(sorted(others))} are neither a split nor a class")
            return True
        but = f"there are also the folders {examples(sorted(others))}" if others else "may be classes, too"
        raise DataError(
            f"the folders {examples(sorted(splits))} of {self._where} look like splits, but {but}: set "
            f"split={BY_FOLDERS!r} if the former are splits (images elsewhere are then unlabelled), or "
            f"split={BY_HASH!r} if all these folders are classes"
        )

    def _by_split(
        self, inner: Mapping[_Folder, _Folder], splits: Mapping[str, str], tops: Mapping[str, set[_Folder]]
    ) -> dict[_Folder, tuple[str | None, str | None]]:
        classes = {rest[0] for top in splits for rest in tops[top] if rest}
        labelled = self._are_classes(classes)
        if not classes:
            self.notes.append(
                f"the folders {examples(sorted(splits))} are splits of images without labels; split={BY_HASH!r} reads "
                "them as classes"
            )
        return {
            folder: (rest[1] if labelled and len(rest) > 1 and rest[0] in splits else None, splits.get(rest[0]))
            if rest
            else (None, None)
            for folder, rest in inner.items()
        }

    def _by_class(
        self, inner: Mapping[_Folder, _Folder], tops: Mapping[str, set[_Folder]]
    ) -> dict[_Folder, tuple[str | None, str | None]]:
        self._require_no_copy(tops)
        within = self._reading != BY_HASH and self._splits_in_classes(tops)
        labelled = self._are_classes(tops)
        nested = sorted(rest for rest in inner.values() if len(rest) > 1)
        if labelled and nested and not within:
            self.notes.append(
                f"folders inside class folders, such as {'/'.join(nested[0])!r}, are not read; if they are classes, "
                "import their parent folders"
            )
        return {
            folder: (rest[0] if labelled else None, normalised_split(rest[1]) if within else None)
            if rest
            else (None, None)
            for folder, rest in inner.items()
        }

    def _require_no_copy(self, tops: Mapping[str, set[_Folder]]) -> None:
        """Refuse a folder that holds folders of the names of those beside it, as one that was unpacked twice."""
        for top, below in tops.items() if self._reading != BY_HASH else ():
            inside = {rest[0] for rest in below if rest}
            if inside and inside <= tops.keys() - {top}:
                raise DataError(
                    f"the folder {top!r} of {self._where} holds folders of the same names as beside it, "
                    f"{examples(sorted(inside))}: import the one that counts by its own address, or set "
                    f"split={BY_HASH!r} if {top!r} is a class as well"
                )

    def _splits_in_classes(self, tops: Mapping[str, set[_Folder]]) -> bool:
        """Return whether each class has a folder for each split.

        Raises:
            DataError: several have, and others have not.
        """
        having = [top for top, below in tops.items() if all(rest and normalised_split(rest[0]) for rest in below)]
        partly = [
            top
            for top, below in tops.items()
            if top not in having and any(rest and normalised_split(rest[0]) for rest in below)
        ]
        if not having or (len(having) == 1 and len(tops) > 1 and not partly):
            return False
        if len(having) < len(tops):
            raise DataError(
                f"the class folders {examples(sorted(having))} of {self._where} are divided into splits, but "
                f"{examples(sorted(tops.keys() - {*having}))} are not; divide all, or set split={BY_HASH!r} to divide "
                "the images by a hash"
            )
        self.notes.append("each class folder holds folders of splits")
        return True

    def _are_classes(self, names: Iterable[str]) -> bool:
        """Return whether folders are classes by their names.

        Raises:
            DataError: they are those of annotations.
        """
        keys = {key(name): name for name in names}
        if self._reading == BY_HASH or not keys or not keys.keys() <= _GENERIC | _ANNOTATIONS:
            return True
        if keys.keys() & _ANNOTATIONS and len(keys) > 1:
            raise DataError(
                f"the folders {examples(sorted(keys.values()))} of {self._where} are no classes: they look like images "
                'with boxes or masks; leave task= out, or set task="detection", to read boxes'
            )
        self.notes.append(
            f"{examples(sorted(keys.values()))} is no name of a class, so the images there are unlabelled; "
            f"split={BY_HASH!r} reads it as one"
        )
        return False


def _below(folders: Iterable[_Folder]) -> dict[str, set[_Folder]]:
    """Return for each top folder the folders of images below it; ``()`` where images lie in itself."""
    found: defaultdict[str, set[_Folder]] = defaultdict(set)
    for folder in folders:
        if folder:
            found[folder[0]].add(folder[1:])
    return dict(found)


def _splits_of(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each folder named after one: ``valid``, or ``seg_train`` beside ``seg_test``."""
    names = list(names)
    found = {name: split for name in names if (split := normalised_split(name.rstrip("0123456789")))}
    if {*map(normalised_split, found)} - {None}:  # 'test1' is one beside 'train' only
        return found
    found = {name: split for name in names if (split := split_in_name(name))}
    frames = {_SPLIT_WORD.sub("", name.casefold()) for name in found}
    return found if len(frames) == 1 and len({*found.values()}) > 1 else {}


def _splits_by_words(tops: Mapping[str, set[_Folder]]) -> dict[str, str]:
    """Return the splits that folders mention among other words, as ``rps-test-set``; none for ``test_tube``.

    The splits are several, and of one name or with folders of one name inside: ``train_cat``, ``test_cat``.
    """
    found = {name: split for name in tops if (split := split_in_name(name))}
    frames = Counter(frame for frame, _ in {(_SPLIT_WORD.sub("", n.casefold()), split) for n, split in found.items()})
    inside = Counter(last for below in tops.values() for last in {rest[-1] for rest in below if rest})
    return found if len({*found.values()}) > 1 and max([*frames.values(), *inside.values()]) > 1 else {}


def _outer(folders: Sequence[_Folder]) -> _Folder:
    """Return the folders that hold all images, and are no classes or splits: something inside is divided."""
    outer: _Folder = ()
    chosen: _Folder = ()
    while True:
        rests = {folder[len(outer) :] for folder in folders if folder[: len(outer)] == outer} - {()}
        if len({rest[0] for rest in rests}) != 1:
            return chosen
        name = next(iter(rests))[0]
        inside = {rest[1] for rest in rests if len(rest) > 1}
        splits, vague = _splits_of(inside), key(name) in _GENERIC
        loose = (name,) in rests and not splits and not (vague and (len(inside) > 1 or _generic(inside)))
        if normalised_split(name) or not inside or loose:
            return chosen
        outer = (*outer, name)
        if len(inside) > 1 or vague or splits:
            chosen = outer


def _generic(names: Iterable[str]) -> bool:
    return all(key(name) in _GENERIC for name in names)


def _useless_levels(top: str, below: set[_Folder], split: str | None) -> int:
    """Return how many levels in a top folder say nothing, as in ``train/train/cat`` or ``train/images/cat``."""
    for level in range(max(map(len, below))):
        inside = {rest[level : level + 1] for rest in below}
        name = next(iter(inside), ())
        if len(inside) != 1 or not name:
            return level
        useless = split is not None and (normalised_split(name[0]) == split or key(name[0]) in _GENERIC)
        if not (useless or name[0] == top):
            return level
    return max(map(len, below))
