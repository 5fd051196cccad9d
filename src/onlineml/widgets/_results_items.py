"""Gallery items of what models say: predictions, scores, and the comparison of two models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation.classification.result import ClassificationScores
from onlineml.evaluation.comparison.result import Comparison
from onlineml.evaluation.detection.result import DetectionScores
from onlineml.evaluation.inspection import Inspection
from onlineml.evaluation.slices import cut
from onlineml.inference.detections import Detections
from onlineml.inference.predictions import Predictions
from onlineml.widgets._items import Facet, GalleryItem, GalleryItems, ShownBox, box_colour, facet_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.detection.tables import SeenBox, WorstImage
    from onlineml.inference.detections import DetectedObjects
    from onlineml.inference.predictions import Prediction

__all__ = ["CONFUSION", "MISSED", "NOTHING", "pair_text", "results_items"]

CONFUSION = "truth and said"
MISSED, NOTHING = "missed", "nothing there"
_BANDS = (0.5, 0.7, 0.9)  # of scores
_BAND_NAMES = ("below 0.5", "0.5 to 0.7", "0.7 to 0.9", "0.9 to 1")
_KINDS = {"hit": "#3f9e77", "missed": "#d98b2b"}  # as reports draw them; anything else is a false box
_FALSE = "#d9604c"


def results_items(answers: Any, data: Manifest | None, *, storage_options: Mapping[str, Any] | None) -> GalleryItems:
    """The items of whatever a model gave; see `onlineml.widgets.Results`.

    Raises:
        ConfigError: it is nothing that can be shown.
    """
    if isinstance(answers, Predictions | Detections):
        return _answers_items(answers, storage_options)
    place = _Places(data, storage_options)
    if isinstance(answers, ClassificationScores):
        return _labels_items(answers, place)
    if isinstance(answers, DetectionScores):
        return _boxes_items(answers, place)
    if isinstance(answers, Comparison):
        return _changes_items(answers, place)
    raise ConfigError(
        f"Results shows what onlineml.predict, evaluate or compare gave; this is a {type(answers).__name__}"
    )


class _Places:
    """Where images are read: in the manifest that was evaluated, else by their uris as they stand."""

    def __init__(self, data: Manifest | None, storage_options: Mapping[str, Any] | None) -> None:
        self.storage_options = storage_options if data is None else data.storage_options
        self._known: dict[str, tuple[str, str]] = {}
        if data is not None:
            ids = data.table["image_id"].to_pylist()
            self._known = dict(zip(ids, zip(data.urls(), data.versions(), strict=True), strict=True))

    def of(self, ids: Sequence[str], uris: Sequence[str]) -> tuple[list[str], list[str]]:
        """URLs and versions."""
        found = [self._known.get(image_id, (uri, "")) for image_id, uri in zip(ids, uris, strict=True)]
        return [url for url, _ in found], [version for _, version in found]


# ---- predictions ----


def _answers_items(answers: Predictions | Detections, storage_options: Mapping[str, Any] | None) -> GalleryItems:
    rows: list[Any] = list(answers)
    uris = [str(row.uri) for row in rows]
    said = ["cannot be used" if row.error else row.label or "no objects" for row in rows]
    bands = np.searchsorted(_BANDS, [0.0 if np.isnan(row.score) else row.score for row in rows], side="right")
    banded = [name for name, row in zip((_BAND_NAMES[band] for band in bands), rows, strict=True) if row.label]
    scored = np.array([place for place, row in enumerate(rows) if row.label], dtype=np.int64)
    band = facet_of("score", banded, order=_BAND_NAMES)
    make = _objects_item if isinstance(answers, Detections) else _label_item
    return GalleryItems(
        title=f"{len(rows):,} images" + (f", by {answers.model}" if answers.model else ""),
        ids=uris,
        urls=["" if _nameless(uri) else uri for uri in uris],
        versions=[""] * len(rows),
        items=lambda places: [make(rows[place]) for place in places],
        facts=lambda place: _answer_facts(rows[place]),
        facets=(
            _classes_found(rows) if isinstance(answers, Detections) else facet_of("class", said),
            Facet("score", band.values, scored[band.rows], band.codes),
        ),
        storage_options=storage_options,
    )


def _nameless(uri: str) -> bool:
    kind, _, number = uri.partition(":")
    return kind in {"bytes", "array", "image"} and number.isdigit()


def _label_item(row: Prediction) -> GalleryItem:
    if row.label is None:
        return GalleryItem("cannot be used", row.error or "", "bad")
    others = ", ".join(f"{name} {score:.2f}" for name, score in row.top[1:3] if score >= 0.01)
    return GalleryItem(f"{row.label} {row.score:.2f}", others, "warm" if row.score < _BANDS[0] else "")


def _objects_item(row: DetectedObjects) -> GalleryItem:
    if row.error is not None:
        return GalleryItem("cannot be used", row.error, "bad")
    boxes = zip(row, row.label_ids.tolist(), strict=True)
    drawn = tuple(ShownBox(one.box_xyxy, f"{one.label} {one.score:.2f}", box_colour(number)) for one, number in boxes)
    return GalleryItem(row.summary, boxes=drawn)


def _classes_found(rows: Sequence[DetectedObjects]) -> Facet:
    pairs = [(place, label) for place, row in enumerate(rows) for label in dict.fromkeys(row.labels or ("no objects",))]
    facet = facet_of("class", [label for _, label in pairs])
    return Facet("class", facet.values, np.array([place for place, _ in pairs], np.int64)[facet.rows], facet.codes)


def _answer_facts(row: Any) -> list[tuple[str, str]]:
    told = [("uri", row.uri)] + ([("error", row.error)] if row.error else [])
    return [*told, *((name, f"{score:.3f}") for name, score in row.top)]


# ---- scores ----


def pair_text(truth: str, said: str) -> str:
    """How a cell of the confusion is called."""
    return f"{truth} → {said}"


def _labels_items(scores: ClassificationScores, places: _Places) -> GalleryItems:
    """The wrong images first, the surest of them first."""
    wrong = scores.labels != scores.predictions
    order = np.lexsort((-scores.confidences, ~wrong))
    names = scores.class_names
    ids, uris = ([values[i] for i in order] for values in (scores.image_ids, scores.uris))
    truths = [names[i] for i in scores.labels[order]]
    said = [names[i] for i in scores.predictions[order]]
    sure, right = scores.confidences[order].tolist(), (~wrong[order]).tolist()
    urls, versions = places.of(ids, uris)

    def item(row: int) -> GalleryItem:
        tone = "good" if right[row] else "bad"
        return GalleryItem(f"{said[row]} {sure[row]:.2f}", "" if right[row] else f"is {truths[row]}", tone)

    return GalleryItems(
        title=f"{scores.n_images:,} {scores.split} images".replace("  ", " ") + _by(scores.model_ref),
        ids=ids,
        urls=urls,
        versions=versions,
        items=lambda rows: [item(row) for row in rows],
        facts=lambda row: [("uri", uris[row]), ("truth", truths[row]), ("said", f"{said[row]} {sure[row]:.3f}")],
        facets=(
            facet_of("outcome", ["right" if one else "wrong" for one in right], order=("wrong", "right")),
            facet_of("truth", truths, order=names),
            facet_of("said", said, order=names),
            facet_of(CONFUSION, [pair_text(a, b) for a, b in zip(truths, said, strict=True)]),
            *_slices(scores.slices, order),
        ),
        storage_options=places.storage_options,
    )


def _boxes_items(scores: DetectionScores, places: _Places) -> GalleryItems:
    """The images with most mistakes first."""
    inspection = Inspection(scores)
    order = np.array(inspection.worst_first(), dtype=np.int64)
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    ids, uris = ([values[i] for i in order] for values in (scores.image_ids, scores.uris))
    urls, versions = places.of(ids, uris)
    cells = inspection.cells
    rows = place_of[cells.image]
    names = scores.class_names
    pairs = [
        pair_text(a, b)
        for a, b in zip(_named(names, cells.truth, NOTHING), _named(names, cells.predicted, MISSED), strict=True)
    ]
    kinds = [
        "right" if a == b else "wrong" for a, b in zip(cells.truth.tolist(), cells.predicted.tolist(), strict=True)
    ]
    return GalleryItems(
        title=f"{scores.n_images:,} {scores.split} images".replace("  ", " ") + _by(scores.model_ref),
        ids=ids,
        urls=urls,
        versions=versions,
        items=lambda wanted: [_seen_item(inspection.image(int(order[row]))) for row in wanted],
        facts=lambda row: [("uri", uris[row]), *_seen_facts(inspection.image(int(order[row])))],
        facets=(
            _of_rows("boxes", kinds, rows, order=("wrong", "right")),
            _of_rows(CONFUSION, pairs, rows),
            *_slices(scores.slices, order),
        ),
        storage_options=places.storage_options,
    )


def _named(names: Sequence[str], ids: np.ndarray, beyond: str) -> list[str]:
    return [names[i] if i < len(names) else beyond for i in ids.tolist()]


def _of_rows(name: str, texts: Sequence[str], rows: np.ndarray, *, order: Iterable[str] = ()) -> Facet:
    """A facet of several texts an image."""
    facet = facet_of(name, texts, order=order)
    return Facet(name, facet.values, np.asarray(rows, dtype=np.int64)[facet.rows], facet.codes)


def _by(model_ref: str) -> str:
    return f", by {model_ref}" if model_ref else ""


def _slices(columns: Mapping[str, Sequence[Any]], order: np.ndarray) -> list[Facet]:
    found = []
    for name, values in columns.items():
        codes, texts = cut(name, list(values), n_images=len(order))
        found.append(Facet(name, tuple(texts), np.arange(len(order)), np.asarray(codes, dtype=np.int64)[order]))
    return found


def _seen_item(image: WorstImage) -> GalleryItem:
    from onlineml.evaluation.detection.gallery import caption  # noqa: PLC0415

    wrong = image.n_missed + image.n_false
    n = len(image.boxes)
    title = caption(image).partition(";")[0] if wrong else "all right" if n else "no objects"
    return GalleryItem(title, f"{image.n_objects} objects", "bad" if wrong else "good", _seen_boxes(image))


def _seen_boxes(image: WorstImage) -> tuple[ShownBox, ...]:
    return tuple(
        ShownBox(box.box_xyxy, _seen_text(box), _KINDS.get(box.kind, _FALSE), dashed=box.kind == "missed")
        for box in image.boxes
    )


def _seen_text(box: SeenBox) -> str:
    return box.label if np.isnan(box.score) else f"{box.label} {box.score:.2f}"


def _seen_facts(image: WorstImage) -> list[tuple[str, str]]:
    from onlineml.evaluation.detection.text import box_words  # noqa: PLC0415

    return [(f"box {number}", box_words(box)) for number, box in enumerate(image.boxes, 1)]


# ---- two models ----


def _changes_items(comparison: Comparison, places: _Places) -> GalleryItems:
    """The images that one of the two handles better, the worst first."""
    changed = comparison.changed
    ids, uris = [one.image_id for one in changed], [one.uri for one in changed]
    urls, versions = places.of(ids, uris)

    def item(row: int) -> GalleryItem:
        one = changed[row]
        tone = "good" if one.change == "fixed" else "bad"
        if one.boxes_a is None or one.boxes_b is None:
            return GalleryItem(f"{one.change}: {one.prediction_b}", f"before: {one.prediction_a}; is {one.truth}", tone)
        drawn = (("first model", _seen_boxes(one.boxes_a)), ("second model", _seen_boxes(one.boxes_b)))
        return GalleryItem(f"{one.change}: {one.prediction_b}", f"before: {one.prediction_a}", tone, drawn[1][1], drawn)

    def facts(row: int) -> list[tuple[str, str]]:
        one = changed[row]
        told = (
            ("uri", one.uri),
            ("truth", one.truth),
            ("first model", one.prediction_a),
            ("second model", one.prediction_b),
        )
        return [(name, text) for name, text in told if text]

    facets = [facet_of("change", [one.change for one in changed], order=("broken", "fixed"))]
    if not comparison.of_objects:
        facets.append(facet_of("truth", [one.truth for one in changed], order=comparison.class_names))
    return GalleryItems(
        title=f"{len(changed):,} of {comparison.n_images:,} images changed: {comparison.main} "
        f"{comparison.difference:+.3f}",
        ids=ids,
        urls=urls,
        versions=versions,
        items=lambda rows: [item(row) for row in rows],
        facts=facts,
        facets=tuple(facets),
        storage_options=places.storage_options,
    )
