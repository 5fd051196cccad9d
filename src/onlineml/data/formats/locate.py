"""Find the files that annotations name, wherever people have put them below a folder."""

from __future__ import annotations

import itertools
import posixpath
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from onlineml.arguments.counted import count
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.storage.urls import is_url, path_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = ["Located", "absent_note", "fitting", "locate", "n_shared"]


class Located(NamedTuple):
    """Files that belong to names.

    Attributes:
        paths: the file of each name; None where there is none, or several.
        ambiguous: for each name that fits several files, those files.
    """

    paths: list[str | None]
    ambiguous: dict[str, list[str]]


def fitting(ambiguous: Mapping[str, Sequence[str]]) -> str:
    """Return names with the files that each fits, for messages."""
    return examples(f"{name}: {' or '.join(paths[:3])}" for name, paths in ambiguous.items())


def absent_note(paths: Collection[str]) -> str:
    """Return a sentence about images that annotations name, and that are not there."""
    return f"{count(len(paths), 'image is')} named but not there: {examples(paths)}"


def locate(names: Sequence[str], paths: Iterable[str], *, beside: str = "") -> Located:
    """Return for each name in an annotation file the image that it means.

    A name is tried as it is: below the folder of the annotation file, then below the root. Else it is the only path
    that ends with it, with as many of its folders as fit; else the only path of its name without the extension. Of
    several, the one that shares the most folders with the annotation file is taken, as in ``train/labels/a.json`` and
    ``train/images/a.jpg``.
    Windows' separators, blanks at the ends and URL-encoded characters are understood.

    Args:
        names: paths, URLs or bare names, with or without an extension.
        paths: of the images below the root.
        beside: the folder of the annotation file below the root.
    """
    known = list(paths)
    index = _Index(known)
    found: list[str | None] = []
    ambiguous: dict[str, list[str]] = {}
    for name in names:
        fitting = index.of(name, beside)
        found.append(fitting[0] if len(fitting) == 1 else None)
        if len(fitting) > 1:
            ambiguous[name] = fitting
    return Located(found, ambiguous)


class _Index:
    """The paths by themselves, by their last part, and by that without its extension."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.all = frozenset(paths)
        self.by_name: defaultdict[str, list[str]] = defaultdict(list)
        self.by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for path in paths:
            name = path.rpartition("/")[2]
            self.by_name[_key(name)].append(path)
            self.by_stem[_key(name.rpartition(".")[0])].append(path)

    def of(self, name: str, beside: str) -> list[str]:
        """Return the files that a name fits equally well."""
        for text in _spellings(name):
            for folder in dict.fromkeys((beside, "")):
                joined = posixpath.join(folder, text)
                for exact in (joined, posixpath.normpath(joined)):  # stores know 'a//b', which is not 'a/b'
                    if exact in self.all:
                        return [exact]
        for text in _spellings(name):
            last = text.rpartition("/")[2]
            stem = last.rpartition(".")[0] if is_image_name(last) else last
            for candidates in (self.by_name.get(_key(last)), self.by_stem.get(_key(stem))):
                if candidates:
                    return _nearest(_closest(text, candidates), beside)
        return []


def _spellings(name: str) -> list[str]:
    """Return the forms that a name may have been written in, the literal one first."""
    path = name.partition("://")[2].partition("/")[2] if is_url(name) else name
    forms = [path, path_of(name), path.strip(), path.strip().replace("\\", "/")]
    forms += [unquote(form) for form in forms if "%" in form]
    return [form.lstrip("/") for form in dict.fromkeys(forms) if form.strip("/ ")]


def _key(text: str) -> str:
    """Return what names that mean the same have in common: in any case, Unicode form, and blanks at the ends."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).casefold().strip()


def _closest(name: str, paths: Sequence[str]) -> list[str]:
    """Return the paths that share the most folders with a name, counted from the end."""
    if len(paths) < 2:
        return list(paths)
    wanted = name.casefold().split("/")[-2::-1]

    def shared(path: str) -> int:
        own = path.casefold().split("/")[-2::-1]
        return len([*itertools.takewhile(_equal, zip(wanted, own, strict=False))])

    best = max(map(shared, paths))
    return [path for path in paths if shared(path) == best]


def _nearest(paths: list[str], beside: str) -> list[str]:
    """Return the paths that share the most folders with the annotation file, counted from the root."""
    shared = [n_shared(posixpath.dirname(path), beside) for path in paths]
    return [path for path, n in zip(paths, shared, strict=True) if n == max(shared)]


def n_shared(one: str, other: str) -> int:
    """Return the number of folders above both of two folders, with these."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return len([*itertools.takewhile(_equal, pairs)]) if one and other else 0


def _equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]
