"""The nodes that select objects, against the function of torch and torchvision that does it in the library."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onlineml.exporting.nms import BOXES, OUTPUTS, with_nms
from onlineml.models import detection_boxes
from onlineml.models.detection_boxes import best_objects

onnx = pytest.importorskip("onnx")
if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
    pytest.skip("torch's exporter came of age with 2.9", allow_module_level=True)
onnxruntime = pytest.importorskip("onnxruntime")
C = 5
# a network that gives out what it is given
ECHO = f"""<ir_version: 10, opset_import: ["" : 18]>
echo (float[batch, n, 4] b, float[batch, n, {C}] s) => (float[batch, n, 4] {BOXES[0]}, float[batch, n, {C}] {BOXES[1]})
{{ {BOXES[0]} = Identity(b) {BOXES[1]} = Identity(s) }}"""


def selected(boxes: torch.Tensor, scores: torch.Tensor, *, candidates: int, most: int) -> dict[str, np.ndarray]:
    graph = with_nms(onnx.parser.parse_model(ECHO), n_classes=C, candidates=candidates, max_objects=most, max_iou=0.6)
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, session.run(None, {"b": boxes.numpy(), "s": scores.numpy()}), strict=True))


@pytest.mark.parametrize(("candidates", "most"), [(1000, 300), (50, 20)])
@pytest.mark.parametrize(("n_images", "n_points"), [(1, 7), (3, 400), (4, 2)])
def test_the_same_objects_in_the_same_order(
    candidates: int, most: int, n_images: int, n_points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection_boxes, "_CANDIDATES", candidates)
    generator = torch.Generator().manual_seed(n_points)
    corner, side = torch.rand(2, n_images, n_points, 2, generator=generator)
    boxes = torch.cat([200 * corner, 200 * corner + 100 * side + 1], dim=-1)
    scores = torch.rand(n_images, n_points, C, generator=generator)
    found = selected(boxes, scores, candidates=candidates, most=most)
    assert found["boxes"].shape[0] == n_images
    for i in range(n_images):
        wanted = best_objects(scores[i], boxes[i], max_iou=0.6, max_objects=most)
        n = int(found["count"][i])
        assert n == len(wanted["scores"])
        for name, values in wanted.items():
            assert np.array_equal(found[name][i, :n], values.numpy())
        assert (found["labels"][i, n:] == -1).all()
        assert not found["scores"][i, n:].any()
        assert not found["boxes"][i, n:].any()
