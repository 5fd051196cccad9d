"""The classes of a project, with their former names, renamings and merges.

Entries are not rewritten when a class is renamed or merged: they keep the name that their writer used, and a class
keeps all its former names. So a former name, used by somebody who has not seen the new one, refers to the same class.
A class's id is its position among all classes that ever existed; ids are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from onlineml.data.annotations.heads import Claim, Resolution, resolve_claims

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from onlineml.data.annotations.entries import Entries

__all__ = ["Classes", "classes_of"]

_NAME, _INTO = "is called", "is part of"


@dataclass(eq=False)
class _Class:
    first_name: str
    wanted: bool = False
    """True if an entry in effect mentions the class."""
    fates: list[Claim] = field(default_factory=list)
    born: int | None = None
    """Position of the log's first entry that mentions it; -1 for the project's first classes."""

    def fate(self, expected_revisions: Mapping[str, str | None]) -> Resolution | None:
        return resolve_claims(self.fates, expected_revisions) if self.fates else None


class Classes:
    """Names and classes; built by `classes_of`."""

    def __init__(self) -> None:
        self._classes: list[_Class] = []
        self._of: dict[str, _Class] = {}
        self._expected_revisions: dict[str, str | None] = {}

    # ---- build ----

    def mention(self, names: Iterable[str], *, wanted: bool, place: int | None = None) -> None:
        """Give new classes the next ids.

        Args:
            names: of the classes.
            wanted: whether the entry that mentions them is in effect.
            place: position of that entry in the log; None if it does not create classes.
        """
        for name in names:
            if name not in self._of:
                self._of[name] = _Class(name)
                self._classes.append(self._of[name])
            one = self._of[name]
            one.wanted |= wanted
            one.born = place if one.born is None else one.born

    def rename(self, entry: str, old: str, new: str, *, expected_revision: str | None, live: bool) -> None:
        """Rename a class; the new name stays reserved for it, even if the renaming was undone."""
        self.mention([old], wanted=False)
        self._of.setdefault(new, self._of[old])
        self._decide(entry, old, (_NAME, new), expected_revision=expected_revision, live=live)

    def merge(self, entry: str, name: str, into: str, *, expected_revision: str | None, live: bool, place: int) -> None:
        """Make a class part of another."""
        self.mention([name], wanted=False)
        self.mention([into], wanted=live, place=place)
        self._decide(entry, name, (_INTO, into), expected_revision=expected_revision, live=live)

    def _decide(
        self, entry: str, name: str, fate: tuple[str, str], *, expected_revision: str | None, live: bool
    ) -> None:
        self._expected_revisions[entry] = expected_revision
        if live:
            self._of[name].fates.append(Claim(entry, fate))

    # ---- query ----

    @cached_property
    def _fates(self) -> dict[int, Resolution]:
        return {id(one): fate for one in self._classes if (fate := one.fate(self._expected_revisions)) is not None}

    @cached_property
    def _roots(self) -> dict[int, _Class]:
        """The class into which each was merged, or itself."""
        age = {id(one): place for place, one in enumerate(self._classes)}
        roots: dict[int, _Class] = {}
        for start in self._classes:
            path: dict[int, _Class] = {}
            last: _Class | None = start
            while last is not None and id(last) not in path and id(last) not in roots:
                path[id(last)] = last
                last = self._whole_of(last)
            if last is None:
                root = [*path.values()][-1]
            elif id(last) in roots:
                root = roots[id(last)]
            else:  # two people merged two classes into each other: the older one prevails
                root = min([*path.values()][[*path].index(id(last)) :], key=lambda one: age[id(one)])
            roots |= dict.fromkeys(path, root)
        return roots

    def _whole_of(self, one: _Class) -> _Class | None:
        if id(one) not in self._fates:
            return None
        _, name = self._fates[id(one)].heads[-1].meaning
        other = self._of[name]  # also a name that somebody gave to another class concurrently
        return other if other is not one else None

    def _name_of(self, root: _Class) -> str:
        fate = self._fates.get(id(root))
        kind, name = fate.heads[-1].meaning if fate else (_NAME, root.first_name)
        return name if kind == _NAME and self._of[name] is root else root.first_name

    @cached_property
    def _present(self) -> dict[str, str]:
        return {name: self._name_of(self._roots[id(one)]) for name, one in self._of.items()}

    def present(self, name: str) -> str | None:
        """Return the present name of the class that has or had this name; None if there is none."""
        return self._present.get(name)

    @property
    def lineage(self) -> dict[str, str]:
        """The present names of classes, by each former name of them or of classes merged into them."""
        return {name: now for name, now in self._present.items() if name != now}

    @property
    def births(self) -> dict[str, int]:
        """By present name, the position of the entry that created the class; -1 for the project's first classes."""
        roots = [one for one in self._classes if self._roots[id(one)] is one]
        return {self._name_of(one): -1 if one.born is None else one.born for one in roots}

    @property
    def first_names(self) -> list[str]:
        """The first names of all classes in the order of their ids, including merged ones."""
        return [one.first_name for one in self._classes]

    def present_ids(self, used: Collection[str]) -> dict[str, int]:
        """Ids, from 1 on, by present name, of the classes that were not merged into others, in the order of ids.

        Args:
            used: present names that images have; a class whose addition was undone is left out unless it is used.
        """
        return {
            name: place + 1
            for place, one in enumerate(self._classes)
            if self._roots[id(one)] is one and (one.wanted or self._name_of(one) in used)
            for name in [self._name_of(one)]
        }

    def revision(self, name: str) -> str | None:
        """Return the revision that someone who renames or merges the class has seen."""
        fate = self._fates.get(id(self._of[name])) if name in self._of else None
        return fate.revision if fate else None

    @property
    def conflicts(self) -> dict[str, tuple[str, ...]]:
        """By present name, conflicting renamings and merges of one class."""
        found = {}
        for one in self._classes:
            fate = self._fates.get(id(one))
            if fate and fate.rivals:
                found[self._present[one.first_name]] = fate.rivals
        return found


def classes_of(entries: Entries, *, first: Sequence[str], uploaded: Mapping[int, Sequence[str]]) -> Classes:
    """The classes after all entries.

    Args:
        entries: of the log.
        first: the project's first classes.
        uploaded: by position in the log, the classes that an upload is the first to name.
    """
    classes = Classes()
    classes.mention(first, wanted=True, place=-1)
    for row in entries.rows("frozen"):  # ids in a dataset are public: classes of late entries come after them
        classes.mention(entries.list_of_texts(row, "classes"), wanted=False)
    rows = entries.rows("imported", "class_added", "class_renamed", "class_merged", "class_split", live=False)
    for row in sorted({*rows.tolist(), *uploaded}):
        live = bool(entries.live[row])
        match entries.event(row):
            case "imported":
                classes.mention(entries.list_of_texts(row, "class_names"), wanted=live, place=row)
            case "class_added":
                classes.mention([entries.text_of(row, "label")], wanted=live, place=row)
            case "class_split":
                classes.mention(entries.list_of_texts(row, "into"), wanted=live, place=row)
            case "class_renamed":
                name, new = (entries.text_of(row, key) for key in ("label", "new"))
                expected_revision = entries.optional_text(row, "base")
                classes.rename(entries.entry(row), name, new, expected_revision=expected_revision, live=live)
            case "class_merged":
                name, into = (entries.text_of(row, key) for key in ("label", "into"))
                expected_revision = entries.optional_text(row, "base")
                classes.merge(entries.entry(row), name, into, expected_revision=expected_revision, live=live, place=row)
            case _:
                classes.mention(uploaded[row], wanted=live, place=row)
    return classes
