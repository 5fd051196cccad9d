"""ONNX nodes that select a detector's best objects, as `onlineml.models.detection_boxes.best_objects` does."""

from __future__ import annotations

from typing import Any

from onlineml.exporting.graph import OPSET, onnx_package

__all__ = ["BOXES", "OUTPUTS", "with_nms"]

BOXES = ("point_boxes", "point_scores")  # outputs of the network: (B, N, 4) xyxy and (B, N, C) in 0..1
OUTPUTS = ("boxes", "labels", "scores", "count")

# Boxes of one class only are compared: the others have a score of -1 there, which is below the operator's threshold.
_NODES = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
select (float[batch, n, 4] point_boxes, float[batch, n, {classes}] point_scores) =>
    (float[batch, objects, 4] boxes, int64[batch, objects] labels, float[batch, objects] scores, int64[batch] count)
<int64[1] most_candidates = {{{candidates}}}, int64[1] most_objects = {{{objects}}}, float max_iou = {{{max_iou}}},
 float below_all = {{-0.5}}, int64[2] rows_of = {{0, -1}}, int64[1] one = {{1}}, int64[1] first = {{0}},
 int64[1] second = {{1}}, int64[1] last = {{2}}, int64[2] image_and_candidate = {{0, 2}}, int64[1] end = {{-1}},
 int64[1] four = {{4}}, int64 n_classes = {{{classes}}}, float absent = {{-1.0}}, float nothing = {{0.0}},
 int64 no_class = {{-1}}, int64 zero = {{0}}, int64 step = {{1}}, float found = {{1.0}}>
{{
    flat = Reshape (point_scores, rows_of)
    flat_shape = Shape (flat)
    n_images = Gather <axis = 0> (flat_shape, first)
    n_flat = Gather <axis = 0> (flat_shape, second)
    n_candidates = Min (n_flat, most_candidates)
    values, places = TopK <axis = 1> (flat, n_candidates)
    points = Div (places, n_classes)
    classes = Mod (places, n_classes)
    points_column = Unsqueeze (points, last)
    quadruple = Concat <axis = 0> (n_images, n_candidates, four)
    points_of_sides = Expand (points_column, quadruple)
    candidates = GatherElements <axis = 1> (point_boxes, points_of_sides)
    all_classes = Range (zero, n_classes, step)
    class_column = Unsqueeze (all_classes, end)
    classes_row = Unsqueeze (classes, one)
    is_own = Equal (classes_row, class_column)
    values_row = Unsqueeze (values, one)
    by_class = Where (is_own, values_row, absent)
    n_most = Squeeze (n_candidates)
    selected = NonMaxSuppression (candidates, by_class, n_most, max_iou, below_all)
    kept_at = Gather <axis = 1> (selected, image_and_candidate)
    n_kept = Shape <start = 0, end = 1> (selected)
    marks = Expand (found, n_kept)
    table_shape = Shape (values)
    empty = Expand (nothing, table_shape)
    is_kept = ScatterND (empty, kept_at, marks)
    was_kept = Greater (is_kept, nothing)
    kept_scores = Where (was_kept, values, absent)
    n_objects = Min (n_candidates, most_objects)
    best, order = TopK <axis = 1> (kept_scores, n_objects)
    is_object = GreaterOrEqual (best, nothing)
    as_numbers = Cast <to = 7> (is_object)
    count = ReduceSum <keepdims = 0> (as_numbers, one)
    scores = Where (is_object, best, nothing)
    best_classes = GatherElements <axis = 1> (classes, order)
    labels = Where (is_object, best_classes, no_class)
    order_column = Unsqueeze (order, last)
    object_sides = Concat <axis = 0> (n_images, n_objects, four)
    order_of_sides = Expand (order_column, object_sides)
    best_boxes = GatherElements <axis = 1> (candidates, order_of_sides)
    object_column = Unsqueeze (is_object, last)
    boxes = Where (object_column, best_boxes, nothing)
}}
"""


def with_nms(network: Any, *, n_classes: int, candidates: int, max_objects: int, max_iou: float) -> Any:
    """Append the selection of objects to a graph with the outputs `BOXES`.

    Args:
        network: an ``onnx.ModelProto``.
        n_classes: C.
        candidates: number of boxes of highest score, of all classes, that are compared with each other.
        max_objects: maximum number of objects in an image.
        max_iou: IoU above which the box of lower score is dropped, if both are of one class.

    Returns:
        A graph whose outputs are the `OUTPUTS`: ``boxes`` (B, M, 4) float32 x1, y1, x2, y2 in pixels of the image by
        descending score, ``labels`` (B, M) int64, ``scores`` (B, M) float32 and ``count`` (B,) int64: beyond it, labels
        are -1, scores and boxes 0.
    """
    onnx = onnx_package()
    text = _NODES.format(
        ir=network.ir_version,
        opset=OPSET,
        classes=n_classes,
        candidates=candidates,
        objects=max_objects,
        max_iou=max_iou,
    )
    selection = onnx.parser.parse_model(text)
    merged = onnx.compose.merge_models(network, selection, io_map=[(name, name) for name in BOXES])
    versions = {one.domain: one.version for one in merged.opset_import}  # merging leaves each twice
    del merged.opset_import[:]
    merged.opset_import.extend(onnx.helper.make_opsetid(*one) for one in versions.items())
    return merged
