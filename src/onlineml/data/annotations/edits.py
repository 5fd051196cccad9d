"""Edits by people, validated against the state that they see, as the facts of records to append."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.annotations.entries import mask_of, positions, taken
from onlineml.data.manifest.edits import NO_SPLIT
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import ConfigError, DataError
from onlineml.storage.log.entry import new_ulid
from onlineml.storage.log.table import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.data.annotations.state import Annotations

__all__ = [
    "Facts",
    "accepted",
    "checked_class_name",
    "class_added",
    "class_merged",
    "class_renamed",
    "class_split",
    "deleted",
    "ids_of",
    "moved",
    "restored",
    "skipped",
    "undone",
]

Facts = tuple[str, dict[str, Any]]  # an event and the content of its record; a missing `base` is added


# ---- images ----


def accepted(state: Annotations, image_ids: Sequence[str], *, chosen: Sequence[int] | None = None) -> list[Facts]:
    """Accept suggestions, completely or in part; for images without one, their present annotation."""
    state.require_images(image_ids)
    at = positions(image_ids, state.suggestions["image_id"])
    guesses = iter(state.suggestions.take(pa.array(at[at >= 0])).to_pylist())
    found = []
    for row, guessed in zip(state.rows(image_ids), at >= 0, strict=True):
        guess = next(guesses) if guessed else {}
        origin = {"suggestion": guess["entry"], "model": guess["model"]} if guess else {}
        claim = state.kind.accepted(guess, row, chosen)
        found.append(("accepted", {"image_id": row["image_id"], **claim, **origin}))
    return found


def skipped(state: Annotations, image_ids: Sequence[str]) -> list[Facts]:
    """Skip images: a person looked and did not decide."""
    state.require_images(image_ids)
    return [("skipped", {"image_id": image_id}) for image_id in image_ids]


def deleted(state: Annotations, image_ids: Sequence[str]) -> list[Facts]:
    """Delete images; for images in conflict, this resolves the conflict."""
    state.require_images([image_id for image_id in image_ids if image_id not in state.conflicts])
    return [("deleted", {"image_id": image_id}) for image_id in image_ids]


def restored(state: Annotations, image_ids: Sequence[str]) -> list[Facts]:
    """Restore deleted images."""
    at = positions(image_ids, state.deleted["image_id"])
    missing = [image_id for image_id, place in zip(image_ids, at, strict=True) if place < 0]
    if missing:
        raise DataError(f"{count(len(missing), 'image is')} not among the deleted ones: {examples(missing)}")
    return [("restored", {"image_id": image_id}) for image_id in image_ids]


def moved(state: Annotations, splits: Mapping[str, str | None], *, reason: str) -> list[Facts]:
    """Move the groups of images to other splits, or to none, by image id."""
    if not reason.strip():
        raise ConfigError(f"reason={reason!r}: expected a text, since scores from before and after cannot be compared")
    wrong = sorted(str(split) for split in set(splits.values()) - {*SPLITS, None})
    if wrong:
        raise ConfigError(f"a split is one of {', '.join(SPLITS)}, or None for none of them; found {examples(wrong)}")
    state.require_images(splits)
    wanted: dict[str, set[str | None]] = {}
    groups = taken(state.table["group"], positions(list(splits), state.table["image_id"])).to_pylist()
    for group, split in zip(groups, splits.values(), strict=True):
        wanted.setdefault(group, set()).add(split)
    torn = [group for group, found in wanted.items() if len(found) > 1]
    if torn:
        raise DataError(f"images of one group must stay together, but got different splits: {examples(torn)}")
    inside = pc.is_in(state.table["group"], value_set=pa.array(list(wanted), pa.string()))
    now: dict[str, set[str | None]] = {}
    for row in state.table.filter(inside).select(["group", "split"]).to_pylist():
        now.setdefault(row["group"], set()).add(row["split"])
    revisions = state.folded.split_revisions
    return [
        ("moved", {"group": group, "split": split or NO_SPLIT, "reason": reason, "base": revisions.get(group)})
        for group, (split,) in wanted.items()
        if now[group] != {split} or group in state.folded.split_conflicts
    ]


# ---- classes ----


def checked_class_name(name: str) -> str:
    """Return a class name.

    Raises:
        ConfigError: it is blank.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"expected a class name that is not blank; found {name!r}")
    return name


def _new_name(state: Annotations, name: str, *, of: str | None = None) -> str:
    """Return a name that no other class has or had."""
    owner = state.folded.classes.present(checked_class_name(name))
    if owner not in {None, of, name}:
        raise ConfigError(
            f"{name!r} is a former name of {owner!r}, to which old models and entries refer; choose another name"
        )
    return name


def class_added(state: Annotations, name: str) -> list[Facts]:
    """Add a class."""
    return [] if _new_name(state, name) in state.class_names else [("class_added", {"label": name})]


def class_renamed(state: Annotations, old: str, new: str) -> list[Facts]:
    """Rename a class."""
    _require_present(state, [old])
    if _new_name(state, new, of=old) == old:
        raise ConfigError(f"the class is called {old!r} already")
    if state.folded.classes.present(new) == new:
        raise ConfigError(
            f"there is a class {new!r} already; to merge {old!r} into it, call classes.merge([{old!r}], into={new!r})"
        )
    return [("class_renamed", {"label": old, "new": new, "base": state.folded.classes.revision(old)})]


def class_merged(state: Annotations, names: Sequence[str], *, into: str) -> list[Facts]:
    """Merge classes."""
    _require_present(state, names)
    parts = [name for name in dict.fromkeys(names) if name != into]
    if not parts:
        raise ConfigError(f"merging needs classes besides {into!r}; found {list(names)}")
    action, revision = new_ulid(), state.folded.classes.revision
    return [
        *((event, {**facts, "action": action}) for event, facts in class_added(state, into)),
        *(("class_merged", {"label": one, "into": into, "action": action, "base": revision(one)}) for one in parts),
    ]


def class_split(state: Annotations, name: str, labels: Mapping[str, Any]) -> list[Facts]:
    """Move images of a class, or their boxes, to other classes."""
    _require_present(state, [name])
    if not labels:
        raise ConfigError(f"labels is empty: expected the new classes of images of {name!r}, by image id")
    state.require_images(labels)
    action, kind = new_ulid(), state.kind
    facts = []
    for (image_id, new), row in zip(labels.items(), state.rows(list(labels)), strict=True):
        claim = kind.completed(kind.split(row, name, new), row)
        facts.append(("corrected", {"image_id": image_id, **claim, "action": action}))
    into = list(dict.fromkeys(one for new in labels.values() for one in ([new] if isinstance(new, str) else new)))
    for one in into:
        _new_name(state, one)
    return [
        ("class_split", {"label": name, "into": into, "action": action, "base": state.folded.classes.revision(name)}),
        *facts,
    ]


def _require_present(state: Annotations, names: Sequence[str]) -> None:
    for name in names:
        if name in state.lineage:
            raise ConfigError(f"{name!r} was renamed to {state.lineage[name]!r}; use the new name")
    state.require_classes(names)


# ---- undo ----


def undone(state: Annotations, what: str) -> list[Facts]:
    """Undo an entry by its id, with all entries of a change of classes; or the last entry about an image."""
    entries = state.folded.entries
    row = pc.index(entries.log[ENTRY], pa.scalar(what, pa.string())).as_py()
    if row < 0:
        row = _last_about(state, what)
    record, event = entries.record(row), entries.event(row)
    if event == "frozen":
        raise ConfigError(f"entry {what} records a frozen dataset and cannot be undone")
    if not entries.live[row]:
        raise ConfigError(f"entry {what} is undone already; to restore it, undo the entry that undid it (see history)")
    rows = np.array([row])
    if event.startswith("class_") and "action" in record:
        rows = np.flatnonzero(mask_of(pc.equal(entries.texts("action"), record["action"])) & entries.live)
    about = {"image_id": record["image_id"]} if "image_id" in record else {}
    return [("undone", {"undoes": [entries.entry(one) for one in rows], **about})]


def _last_about(state: Annotations, image_id: str) -> int:
    entries = state.folded.entries
    rows = entries.rows(*entries.claim_events, "skipped", "deleted", "restored")
    own = rows[mask_of(pc.equal(entries.texts("image_id", rows), image_id))]
    if not len(own):
        raise DataError(f"{image_id!r} is neither the id of an entry nor an image with an entry that can be undone")
    if entries.event(own[-1]) == "uploaded" and len(own) == 1 and not _is_imported(state, image_id):
        raise DataError(
            f"{image_id} has no entry since its upload; delete the image, or undo the upload's entry "
            f"{entries.entry(own[-1])}"
        )
    return int(own[-1])


def _is_imported(state: Annotations, image_id: str) -> bool:
    entries = state.folded.entries
    tables = (state.read_file(entries.text_of(row, "file")) for row in entries.rows("imported"))
    return any(pc.index(table["image_id"], pa.scalar(image_id, pa.string())).as_py() >= 0 for table in tables)


def ids_of(images: str | Iterable[str]) -> list[str]:
    """Return one image id, or several, as a list."""
    return [images] if isinstance(images, str) else list(images)
