"""Edits that people may make, checked against the state that they see, as the facts of records to be appended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of, positions, taken
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

Facts = tuple[str, dict[str, Any]]  # an event and what a record of it says; `base` is added where it is not given


# ---- images ----


def accepted(state: Annotations, image_ids: Sequence[str], *, chosen: Sequence[int] | None = None) -> list[Facts]:
    """Suggestions, all of each or some parts; where there is none, what the image has."""
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
    """Images at which somebody looked and did not decide."""
    state.require_images(image_ids)
    return [("skipped", {"image_id": image_id}) for image_id in image_ids]


def deleted(state: Annotations, image_ids: Sequence[str]) -> list[Facts]:
    """Images, also those that were deleted while somebody corrected them: that settles it."""
    state.require_images([image_id for image_id in image_ids if image_id not in state.conflicts])
    return [("deleted", {"image_id": image_id}) for image_id in image_ids]


def restored(state: Annotations, image_ids: Sequence[str]) -> list[Facts]:
    """Images that were deleted."""
    at = positions(image_ids, state.deleted["image_id"])
    missing = [image_id for image_id, place in zip(image_ids, at, strict=True) if place < 0]
    if missing:
        raise DataError(f"{len(missing)} images are not among those that were deleted: {examples(missing)}")
    return [("restored", {"image_id": image_id}) for image_id in image_ids]


def moved(state: Annotations, splits: Mapping[str, str], *, reason: str) -> list[Facts]:
    """The groups of images to other splits, by image id."""
    if not reason.strip():
        raise ConfigError(
            "give a reason: scores from before and after the move cannot be compared, and people will ask"
        )
    wrong = sorted(set(splits.values()) - set(SPLITS))
    if wrong:
        raise ConfigError(f"a split is one of {', '.join(SPLITS)}; found {examples(wrong)}")
    state.require_images(splits)
    wanted: dict[str, set[str]] = {}
    groups = taken(state.table["group"], positions(list(splits), state.table["image_id"])).to_pylist()
    for group, split in zip(groups, splits.values(), strict=True):
        wanted.setdefault(group, set()).add(split)
    torn = [group for group, found in wanted.items() if len(found) > 1]
    if torn:
        raise DataError(f"images of one group stay together, but they were to go to different splits: {examples(torn)}")
    inside = pc.is_in(state.table["group"], value_set=pa.array(list(wanted), pa.string()))
    now: dict[str, set[str | None]] = {}
    for row in state.table.filter(inside).select(["group", "split"]).to_pylist():
        now.setdefault(row["group"], set()).add(row["split"])
    revisions = state.folded.split_revisions
    return [
        ("moved", {"group": group, "split": split, "reason": reason, "base": revisions.get(group)})
        for group, (split,) in wanted.items()
        if now[group] != {split} or group in state.folded.split_conflicts
    ]


# ---- classes ----


def checked_class_name(name: str) -> str:
    """A class name as given.

    Raises:
        ConfigError: it is blank.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"a class needs a name that is not blank; found {name!r}")
    return name


def _new_name(state: Annotations, name: str, *, of: str | None = None) -> str:
    """A name that no class, or only this one, ever had."""
    owner = state.folded.classes.present(checked_class_name(name))
    if owner not in {None, of, name}:
        raise ConfigError(
            f"{name!r} is a former name of {owner!r}, which old models and entries mean by it; choose another name"
        )
    return name


def class_added(state: Annotations, name: str) -> list[Facts]:
    """A class."""
    return [] if _new_name(state, name) in state.class_names else [("class_added", {"label": name})]


def class_renamed(state: Annotations, old: str, new: str) -> list[Facts]:
    """Another name for a class."""
    _require_present(state, [old])
    if _new_name(state, new, of=old) == old:
        raise ConfigError(f"the class is called {old!r} already")
    if state.folded.classes.present(new) == new:
        raise ConfigError(
            f"there is a class {new!r}; to make {old!r} part of it, merge_classes([{old!r}], into={new!r})"
        )
    return [("class_renamed", {"label": old, "new": new, "base": state.folded.classes.revision(old)})]


def class_merged(state: Annotations, names: Sequence[str], *, into: str) -> list[Facts]:
    """Classes that become one."""
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
    """A class of which some images, or some of their boxes, get another one."""
    _require_present(state, [name])
    if not labels:
        raise ConfigError(f"there is nothing to split {name!r} into: name the images that get another class")
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
            raise ConfigError(f"{name!r} is called {state.lineage[name]!r} now; say that instead")
    state.require_classes(names)


# ---- taken back ----


def undone(state: Annotations, what: str) -> list[Facts]:
    """An entry by its id, with all of a change of classes; or what was said about an image last."""
    entries = state.folded.entries
    row = pc.index(entries.log[ENTRY], pa.scalar(what, pa.string())).as_py()
    if row < 0:
        row = _last_about(state, what)
    record, event = entries.record(row), entries.event(row)
    if event == "frozen":
        raise ConfigError(f"entry {what} tells of a frozen dataset, which stays")
    if not entries.live[row]:
        raise ConfigError(f"entry {what} is undone already; to have it back, undo its undoing (see the history)")
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
        raise DataError(f"{image_id!r} is neither the id of an entry nor an image about which anything can be undone")
    if entries.event(own[-1]) == "uploaded" and len(own) == 1 and not _is_imported(state, image_id):
        raise DataError(
            f"nothing was said about {image_id} since it was uploaded; delete it, or undo the upload by its entry "
            f"{entries.entry(own[-1])}"
        )
    return int(own[-1])


def _is_imported(state: Annotations, image_id: str) -> bool:
    entries = state.folded.entries
    tables = (state.read_file(entries.text_of(row, "file")) for row in entries.rows("imported"))
    return any(pc.index(table["image_id"], pa.scalar(image_id, pa.string())).as_py() >= 0 for table in tables)


def ids_of(images: str | Iterable[str]) -> list[str]:
    """One image id, or several, as a list."""
    return [images] if isinstance(images, str) else list(images)
