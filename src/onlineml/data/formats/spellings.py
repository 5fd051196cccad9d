"""Names of classes that differ only in blanks or Unicode form are one class, in every format."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import pyarrow as pa

from onlineml.data.formats.parts import naturally_sorted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.parts import Parts

__all__ = ["one_spelling", "with_one_spelling"]


def one_spelling(labels: Sequence[Any], notes: list[str]) -> list[Any]:
    """Return labels, or lists of them, as names without blanks around them, in Unicode's composed form (NFC).

    Args:
        labels: of the images; None: unlabelled.
        notes: gets a sentence about labels that become one, and about those that differ only in case.
    """
    lists = any(isinstance(own, list) for own in labels)
    told = [own for own in labels if own is not None]
    given = {name for own in told for name in own} if lists else set(told)
    names = {name: " ".join(normalize("NFC", name).split()) or None for name in sorted(given)}
    spellings = defaultdict[str | None, list[str]](list)
    cases = defaultdict[str, set[str]](set)
    for name, one in names.items():
        spellings[one].append(name)
        if one is not None:
            cases[one.casefold()].add(one)
    several = [f"{own!r}" for own in spellings.values() if len(own) > 1]
    alike = [f"{sorted(own)}" for own in cases.values() if len(own) > 1]
    if several:
        notes.append(f"spellings that differ only in blanks or Unicode form are one class: {', '.join(several[:5])}")
    if alike:
        notes.append(f"labels that differ only in case are several classes: {', '.join(alike[:5])}")
    if not lists:
        return [own and names[own] for own in labels]
    return [own and sorted({one for name in own if (one := names[name])}) for own in labels]


def with_one_spelling(parts: Parts, column: str) -> Parts:
    """Return an import in which each class has one spelling, see `one_spelling`; a class keeps its first number.

    Args:
        parts: with all names of its labels among the class names, but those of unknown classes.
        column: of the labels.
    """
    notes = list[str]()
    names = one_spelling(parts.class_names, notes)
    told = (*parts.notes, *(note for note in notes if note not in parts.notes))
    if names == list(parts.class_names):
        return replace(parts, notes=told)
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if name is not None:
            places.setdefault(name, place)
    is_sorted = parts.class_names == naturally_sorted(parts.class_names)
    kept = naturally_sorted(places) if is_sorted else tuple(places)
    ids = tuple(parts.class_ids[places[name]] for name in kept) if parts.class_ids else ()
    new = dict(zip(parts.class_names, names, strict=True))
    labels: list[Any] = parts.table[column].to_pylist()
    if "boxes_xyxy" in parts.table.column_names:
        labels = [own and [new.get(name, name) for name in own] for own in labels]
    elif pa.types.is_list(parts.table.schema.field(column).type):
        labels = [own and sorted({one for name in own if (one := new.get(name, name))}) for own in labels]
    else:
        labels = [new.get(name, name) for name in labels]
    field = parts.table.schema.field(column)
    table = parts.table.set_column(parts.table.column_names.index(column), field, pa.array(labels, field.type))
    return replace(parts, table=table, class_names=kept, class_ids=ids, notes=told)
