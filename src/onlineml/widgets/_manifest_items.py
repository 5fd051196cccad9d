"""The gallery items of a manifest's or a project's images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.manifest.boxes import UNKNOWN_CLASS
from onlineml.data.manifest.edits import NO_SPLIT, UNLABELLED
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import SPLITS
from onlineml.evaluation.render.gallery import Facet, GalleryItem, GalleryItems, ShownBox, facet_of
from onlineml.evaluation.slices import MAX_SLICES, cut
from onlineml.inference.drawing import box_colour
from onlineml.widgets._orders import manifest_orders, project_orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.project.project import Project

__all__ = ["images_items", "manifest_items", "project_items"]

_OWN = {"image_id", "uri", "version", "sha256", "split", "group", "label", "boxes_xyxy", "labels"}
_STATES = ("conflict", "suggested", "skipped", "corrected", "accepted", "labelled", "unlabelled", "deleted")


def manifest_items(data: Manifest, *, facets: bool = True) -> GalleryItems:
    """All images of a manifest, with or without filters."""
    return GalleryItems(
        title=str(data),
        ids=data.table["image_id"].to_pylist(),
        urls=data.urls(),
        versions=data.versions(),
        items=_items(data),
        facts=lambda row: _facts(data, row),
        facets=(_class_facet(data), _split_facet(data), *_column_facets(data)) if facets else (),
        storage_options=data.storage_options,
        orders=manifest_orders(data) if facets else (),
    )


def project_items(project: Project) -> GalleryItems:
    """All present images of a project; deleted ones are shown only if their filter is chosen."""
    state = project.labels.state()
    data = _data(project, state, pa.concat_tables([state.table, state.deleted], promote_options="default"))
    gallery = manifest_items(data)
    return replace(
        gallery,
        title=f"{project.title}: {count(len(state), 'image')}, {count(len(state.class_names), 'class')}",
        items=_guessed_items(gallery, data, state.suggestions),
        facts=lambda row: [*_facts(data, row), *_history(state, gallery.ids[row])],
        facets=(*gallery.facets[:2], _state_facet(state, data), *gallery.facets[2:]),
        aside=np.arange(len(data)) >= len(state),
        orders=(*project_orders(state, data), *gallery.orders),
    )


def images_items(project: Project, state: Annotations, image_ids: Sequence[str]) -> GalleryItems:
    """Some images, in order, with suggestions; missing ones are left out."""
    wanted = pa.array(image_ids, pa.string())
    at = pc.index_in(wanted, value_set=state.table["image_id"]).drop_null()
    data = _data(project, state, state.table.take(at))
    guesses = state.suggestions.filter(pc.is_in(state.suggestions["image_id"], value_set=wanted))
    gallery = replace(manifest_items(data, facets=False), title=project.title)
    return replace(gallery, items=_guessed_items(gallery, data, guesses))


def _data(project: Project, state: Annotations, table: pa.Table) -> Manifest:
    options = project.location.options
    return Manifest(table, state.class_names, root=project.url, task=project.task, storage_options=options)


# ---- items ----


def _items(data: Manifest) -> Any:
    kind = data.kind
    names, known = data.table[kind.names], set(data.class_names)
    annotated, boxes = kind.is_annotated(data.table), kind.drawn_boxes(data.table, data.class_names)

    def item(row: int, value: str | Sequence[str | None] | None) -> GalleryItem:
        if not annotated[row]:
            return GalleryItem(UNLABELLED, tone="warm")
        own = [value] if isinstance(value, str) else value or ()
        title = kind.title([name if name in known else UNKNOWN_CLASS for name in own])
        return GalleryItem(title, boxes=() if boxes is None else _drawn(boxes, row, data.class_names))

    def items(rows: Sequence[int]) -> list[GalleryItem]:
        values = names.take(pa.array(rows, pa.int64())).to_pylist()
        return [item(int(row), value) for row, value in zip(rows, values, strict=True)]

    return items


def _drawn(boxes: Boxes, row: int, class_names: Sequence[str]) -> tuple[ShownBox, ...]:
    own = boxes.of(row)
    ids = boxes.label_ids[own].tolist()
    return tuple(
        ShownBox((x1, y1, x2, y2), class_names[number] if number >= 0 else UNKNOWN_CLASS, box_colour(number))
        for (x1, y1, x2, y2), number in zip(boxes.boxes_xyxy[own].tolist(), ids, strict=True)
    )


def _guessed_items(gallery: GalleryItems, data: Manifest, suggestions: pa.Table) -> Any:
    guesses = {one["image_id"]: one for one in suggestions.to_pylist()}

    def items(rows: Sequence[int]) -> list[GalleryItem]:
        shown = zip(rows, gallery.items(rows), strict=True)
        return [_with_guess(item, guesses.get(gallery.ids[row]), data) for row, item in shown]

    return items


def _with_guess(item: GalleryItem, guess: dict[str, Any] | None, data: Manifest) -> GalleryItem:
    """The item with an open suggestion."""
    if guess is None:
        return item
    note = f"suggested: {data.kind.guess_in_words(guess)}"
    own = {name: number for number, name in enumerate(data.class_names)}
    corners = guess.get("boxes_xyxy", ())
    drawn = tuple(
        ShownBox(tuple(box), f"{label} {score:.2f}", box_colour(own.get(label, -1)), dashed=True, score=score)
        for box, label, score in zip(corners, guess.get("labels", ()), guess.get("scores", ()), strict=bool(corners))
    )
    return GalleryItem(item.title, note, item.tone, (*item.boxes, *drawn))


# ---- facts ----


def _facts(data: Manifest, row: int) -> list[tuple[str, str]]:
    values = data.table.slice(row, 1).to_pylist()[0]
    lists = {field.name for field in data.table.schema if pa.types.is_nested(field.type)}
    hidden = {*lists, "sha256", "version", *(("group",) if values["group"] == values["image_id"] else ())}
    named = {name: value for name, value in values.items() if name not in hidden and value not in {None, ""}}
    size = (named.pop("width", None), named.pop("height", None))
    told = [(name, str(value)) for name, value in named.items()]
    return [*told, ("size", f"{size[0]} x {size[1]} pixels")] if all(size) else told


def _history(state: Annotations, image_id: str) -> list[tuple[str, str]]:
    """Return the history of the image, the newest entry first."""
    rows = state.history(image_id).iloc[::-1]
    undone = rows["undone"].map(lambda by: f" (undone by {by})" if by else "")
    said = rows["event"].str.cat(rows["says"], sep=": ").where(rows["event"] != rows["says"], rows["event"])
    told = zip(rows["time"], rows["author"], said, undone, strict=True)
    return [(str(time)[:16].replace("T", " "), f"{author} {says}{more}") for time, author, says, more in told]


# ---- facets ----


def _class_facet(data: Manifest) -> Facet:
    """The classes of each image, including no objects and unlabelled."""
    kind = data.kind
    annotated = kind.is_annotated(data.table)
    names = data.table[kind.names].combine_chunks()
    rows = np.flatnonzero(annotated)
    if pa.types.is_list(names.type):
        rows = np.repeat(np.arange(len(data)), pc.list_value_length(names).fill_null(0).to_numpy(zero_copy_only=False))
        names = pc.list_flatten(names)
    else:
        names = names.filter(pa.array(annotated))
    n = len(data.class_names)
    codes = pc.fill_null(pc.index_in(names, value_set=pa.array(data.class_names, pa.string())), n).to_numpy()
    empty = np.setdiff1d(np.flatnonzero(annotated), rows)
    missing = np.flatnonzero(~annotated)
    values = (*data.class_names, UNKNOWN_CLASS, kind.title([]) if len(empty) else "", UNLABELLED)
    rows = np.concatenate([rows, empty, missing]).astype(np.int64)
    codes = np.concatenate([codes, np.full(len(empty), n + 1), np.full(len(missing), n + 2)]).astype(np.int64)
    return _present(Facet("class", values, rows, codes))


def _split_facet(data: Manifest) -> Facet:
    texts = [NO_SPLIT if split is None else split for split in data.table["split"].to_pylist()]
    return facet_of("split", texts, order=SPLITS)


def _state_facet(state: Annotations, data: Manifest) -> Facet:
    row_of = {image_id: row for row, image_id in enumerate(data.table["image_id"].to_pylist())}
    events = np.array(state.provenance["event"].to_pylist(), dtype=object)
    annotated = data.kind.is_annotated(data.table)[: len(state)]
    skipped = {one["image_id"] for one in state.suggestions.to_pylist() if one["skipped"]}
    several: dict[str, NDArray[np.int64]] = {
        "conflict": _rows(row_of, state.conflicts),
        "suggested": _rows(row_of, state.suggestions["image_id"].to_pylist()),
        "skipped": _rows(row_of, skipped),
        "corrected": np.flatnonzero(events == "corrected"),
        "accepted": np.flatnonzero(events == "accepted"),
        "labelled": np.flatnonzero(annotated),
        "unlabelled": np.flatnonzero(~annotated),
        "deleted": np.arange(len(state), len(data)),
    }
    rows = np.concatenate(list(several.values()))
    codes = np.repeat(np.arange(len(_STATES)), [len(several[name]) for name in _STATES])
    return _present(Facet("state", _STATES, rows, codes))


def _rows(row_of: dict[str, int], image_ids: Any) -> NDArray[np.int64]:
    return np.array([row_of[one] for one in image_ids if one in row_of], dtype=np.int64)


def _column_facets(data: Manifest) -> list[Facet]:
    """Extra columns, binned as for slices, without those with too many values."""
    found = []
    for column in data.table.schema:
        if column.name in _OWN or pa.types.is_nested(column.type) or data.table[column.name].null_count == len(data):
            continue
        if column.name in {"width", "height", "declared_width", "declared_height"}:
            continue
        told = data.table[column.name].to_pylist()
        if len(data) > 1 and len(set(told)) == len(data):  # a number or name of each image
            continue
        codes, values = cut(column.name, told, n_images=len(data))
        if 1 < len(values) <= MAX_SLICES:
            found.append(Facet(column.name, tuple(values), np.arange(len(data)), np.asarray(codes, dtype=np.int64)))
    return found


def _present(facet: Facet) -> Facet:
    """The facet without values that no image has."""
    counts = np.array(facet.counts())
    kept = np.flatnonzero(counts)
    to_new = np.cumsum(counts > 0) - 1
    return Facet(facet.name, tuple(facet.values[place] for place in kept), facet.rows, to_new[facet.codes])
