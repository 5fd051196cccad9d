"""Computation of a detector's scores from detections and truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation.classification import inputs
from onlineml.evaluation.detection.bootstrap import (
    DetectionEvidence,
    counted_scores,
    resample_detections,
    resamples_within_reach,
)
from onlineml.evaluation.detection.errors import (
    confusion,
    confusion_cells,
    costs_50,
    match_scene,
)
from onlineml.evaluation.detection.inputs import checked_boxes, checked_sizes, checked_thresholds, usable_boxes
from onlineml.evaluation.detection.matching import scene_of
from onlineml.evaluation.detection.ranking import class_ap, coco_numbers
from onlineml.evaluation.detection.result import DetectionScores
from onlineml.evaluation.detection.tables import ERRORS, KINDS, DetectionSlice, ErrorType, PerObjectClass
from onlineml.evaluation.detection.worst import worst_images
from onlineml.evaluation.intervals import group_codes, widened, with_exact
from onlineml.evaluation.metrics import mean_defined
from onlineml.evaluation.slices import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.classification.bootstrap import Resampled
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.detection.errors import Diagnosis, MatchedScene
    from onlineml.evaluation.types import Array, Floats, Ints

__all__ = ["DetectionScores", "detection_scores"]

_SHARES = ("micro_precision", "micro_recall")


def detection_scores(
    truth: Boxes,
    found: Detections,
    class_names: Sequence[str],
    *,
    image_ids: Sequence[str] | None = None,
    uris: Sequence[str] | None = None,
    sizes_hw: Sequence[tuple[int, int]] | Array | None = None,
    groups: Sequence[object] | Array | None = None,
    slices: Mapping[str, Sequence[Any] | Array] | None = None,
    thumbnails: Mapping[str, bytes] | None = None,
    thresholds: Mapping[str, float] | None = None,
    n_worst: int = 48,
    n_bootstrap: int = 1000,
    seed: int = 0,
    split: str = "",
    manifest_hash: str = "",
    model_ref: str = "",
) -> DetectionScores:
    """Score an object detector.

    Average precision and recall are those of COCO, equal to pycocotools: all detections count, regardless of their
    score, up to the 100 of highest score per image and class. Boxes of the truth are not changed; those that are
    invalid, outside their image or of no class are excluded (`Manifest.check` lists them).

    Args:
        truth: objects of N annotated images; crowds count neither as missed nor as false when found.
        found: detections in the same images.
        class_names: C distinct names; `label_ids` of both are indices into them.
        image_ids: N distinct ids; the row numbers by default.
        uris: location of each image.
        sizes_hw: (N, 2) height and width of the upright images, for drawing the worst ones.
        groups: one value per image, shared by images that are not independent: a video, a place. Intervals resample
            groups; None (for all, or for an image) means that an image is independent.
        slices: columns, N values each, for whose values scores are reported separately.
        thumbnails: small PNG or JPEG bytes of whole images by image id, without boxes, which reports draw.
        thresholds: the minimum score of each class at which a box counts for precision, recall, F1, the confusion and
            the worst images, as chosen by `best_thresholds` on validation. None: chosen on these images, which biases
            the scores upwards.
        n_worst: number of images with the most mistakes to list.
        n_bootstrap: number of resamples for the intervals; 0: no intervals. For very many detections (detections times
            resamples above 4e8) fewer are drawn, at least 100; the scores record the number.
        seed: seed of the resamples; the same seed results in the same intervals.
        split: name of the split, recorded in the scores.
        manifest_hash: dataset version, recorded in the scores.
        model_ref: the model, recorded in the scores.

    Returns:
        The scores; nan if undefined, for instance without objects.

    Raises:
        DataError: images are not annotated, columns do not match, ids are repeated, or detections are of no class.
        UnknownClassError: thresholds of unknown classes.
        ConfigError: a class without threshold, or a negative `n_bootstrap`.
    """
    names = inputs.checked_names(class_names)
    ids = inputs.checked_ids(image_ids, n_images=found.n_images)
    inputs.refuse_repeated(ids)
    places = ("",) * len(ids) if uris is None else inputs.checked_ids(uris, n_images=len(ids), what="uris")
    checked_boxes(truth, found, names, ids)
    sizes = checked_sizes(sizes_hw, n_images=len(ids))
    if n_bootstrap < 0:
        msg = f"n_bootstrap is {n_bootstrap}; expected 0 (no intervals) or more, such as 1000"
        raise ConfigError(msg)
    columns = {str(name): inputs.plain_column(values) for name, values in (slices or {}).items()}
    cuts = {name: cut(name, values, n_images=len(ids)) for name, values in columns.items()}
    scene = scene_of(truth, found, n_classes=len(names), usable=usable_boxes(truth, sizes))
    case = match_scene(scene, None if thresholds is None else checked_thresholds(thresholds, names))
    evidence = _evidence(case, groups=groups, cuts=cuts)
    n_bootstrap = resamples_within_reach(evidence, n_bootstrap)
    resampled = resample_detections(evidence, n_bootstrap=n_bootstrap, seed=seed)
    single = _single_scores(evidence)
    return DetectionScores(
        class_names=names,
        model_ref=model_ref,
        split=split,
        manifest_hash=manifest_hash,
        image_ids=ids,
        uris=places,
        sizes_hw=sizes,
        groups=None if groups is None else tuple(None if g is None else str(g) for g in groups),
        slices=columns,
        n_groups=evidence.n_groups,
        n_bootstrap=n_bootstrap,
        seed=seed,
        truth=truth,
        found=found,
        outcomes=case.overall.kind,
        thresholds=dict(zip(names, case.thresholds.tolist(), strict=True)),
        thresholds_given=thresholds is not None,
        intervals={
            name: widened(value, resampled.scores.get(name), n_groups=evidence.n_groups if name in _SHARES else 0)
            for name, value in single.items()
        },
        per_class=_per_class(names, case, evidence, resampled),
        confusion=confusion(confusion_cells(scene, case.pairs, case.shown), n_classes=len(names)),
        errors=_errors(case),
        by_slice=_by_slice(evidence, cuts, resampled),
        worst=worst_images(scene, case.shown, names=names, image_ids=ids, uris=places, sizes_hw=sizes, limit=n_worst),
        thumbnails=dict(thumbnails or {}),
        **single,
    )


def _evidence(
    case: MatchedScene, *, groups: Sequence[object] | Array | None, cuts: dict[str, tuple[Ints, list[str]]]
) -> DetectionEvidence:
    codes, n_groups = group_codes(groups, n_images=case.scene.n_images)
    counted = np.flatnonzero(case.shown.kind != KINDS.index("ignored"))
    return DetectionEvidence(
        rankings=case.rankings,
        counted_image=case.scene.found_image[counted],
        counted_label=case.scene.found_label[counted],
        counted_hit=case.shown.kind[counted] == KINDS.index("hit"),
        codes=codes,
        n_groups=n_groups,
        slices={name: (numbers, len(values)) for name, (numbers, values) in cuts.items()},
    )


def _all_images(evidence: DetectionEvidence) -> Floats:
    return np.ones((1, len(evidence.codes)))


def _single_scores(evidence: DetectionEvidence) -> dict[str, float]:
    numbers, _ = coco_numbers(evidence.rankings, _all_images(evidence))
    pooled = {k: v for k, v in counted_scores(evidence, _all_images(evidence)).items() if k.startswith(("mi", "ma"))}
    return {name: float(value[0]) for name, value in (numbers | pooled).items()}


def _per_class(
    names: tuple[str, ...], case: MatchedScene, evidence: DetectionEvidence, resampled: Resampled
) -> PerObjectClass:
    everything, bounds = evidence.rankings[""], resampled.per_class
    precision = class_ap(everything, _all_images(evidence))[0]
    scores = counted_scores(evidence, _all_images(evidence))
    nothing = np.full((len(names), 2), np.nan)
    support, predicted = (
        np.bincount(labels, minlength=len(names)).astype(np.int64)
        for labels in (everything.truth_label, evidence.counted_label)
    )
    of_counted, of_there = evidence.codes[evidence.counted_image], evidence.codes[everything.truth_image]
    share, found = scores["precision"][0], scores["recall"][0]
    return PerObjectClass(
        names=names,
        support=support,
        predicted=predicted,
        threshold=case.thresholds,
        precision=share,
        recall=found,
        f1=scores["f1"][0],
        ap=precision.mean(axis=1),
        ap_50=precision[:, 0].copy(),
        ap_75=precision[:, 5].copy(),
        precision_interval=with_exact(share, bounds.get("precision"), evidence.counted_label, of_counted),
        recall_interval=with_exact(found, bounds.get("recall"), everything.truth_label, of_there),
        f1_interval=bounds.get("f1", nothing),
        ap_interval=bounds.get("ap", nothing),
        ap_50_interval=bounds.get("ap_50", nothing),
    )


def _errors(case: MatchedScene) -> tuple[ErrorType, ...]:
    costs = costs_50(case.scene, case.overall)

    def count(diagnosis: Diagnosis, name: str) -> int:
        return int(diagnosis.missed.sum() if name == "missed" else (diagnosis.kind == KINDS.index(name)).sum())

    return tuple(ErrorType(name, count(case.shown, name), count(case.overall, name), costs[name]) for name in ERRORS)


def _by_slice(
    evidence: DetectionEvidence, cuts: dict[str, tuple[Ints, list[str]]], resampled: Resampled
) -> tuple[DetectionSlice, ...]:
    rows = []
    everything = evidence.rankings[""]
    for column, (codes, values) in cuts.items():
        weights = (codes == np.arange(len(values))[:, None]).astype(np.float64)
        precision = class_ap(everything, weights)
        counts = counted_scores(evidence, weights)
        map_50, map_50_95 = mean_defined(precision[..., 0].T), mean_defined(precision.mean(axis=2).T)
        sizes, objects = weights.sum(axis=1), np.bincount(codes[everything.truth_image], minlength=len(values))
        for i, value in enumerate(values):
            bounds = resampled.slices[column][i] if column in resampled.slices else None
            low, high = widened(float(map_50[i]), bounds)
            shares = (float(counts[f"micro_{name}"][i]) for name in ("precision", "recall"))
            rows.append(
                DetectionSlice(
                    column,
                    value,
                    int(sizes[i]),
                    int(objects[i]),
                    float(map_50[i]),
                    low,
                    high,
                    float(map_50_95[i]),
                    *shares,
                )
            )
    return tuple(rows)
