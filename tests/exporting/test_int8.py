"""Exports in 8-bit integers: calibrated on other photos than they are certified on, or refused."""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError, ExportError
from onlineml.exporting import costs
from onlineml.exporting import making as module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiny_boxes import Trained

onnx = pytest.importorskip("onnx")
if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
    pytest.skip("torch's exporter came of age with 2.9", allow_module_level=True)
pytest.importorskip("onnxruntime")


def kinds(graph: Any) -> dict[str, list[bool]]:
    """For each kind of layer whether each of its weights comes from integers."""
    from_integers = {node.output[0] for node in graph.graph.node if node.op_type == "DequantizeLinear"}
    found = collections.defaultdict(list)
    for node in graph.graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            found[node.op_type].append(node.input[1] in from_integers)
    return found


def test_a_classifier_in_integers(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    done = oml.export(known, tmp_path / "int8", data=manifest, format="onnx-int8")
    assert done.certificate.format == "onnx-int8"
    assert done.certificate.agreement.equal == 1.0
    assert done.certificate.agreement.largest_score > 0  # it is another graph
    graph = onnx.load(tmp_path / "int8" / "model.onnx")
    facts = {one.key: one.value for one in graph.metadata_props}  # for who has nothing but this file
    assert json.loads(facts["class_names"]) == list(known.class_names)
    assert json.loads(facts["size_hw"]) == list(known.input_size_hw())
    assert facts["fit"] == known.input_fit
    assert kinds(graph) == {"Conv": [True], "Gemm": [False]}  # the last layer stays in float
    before, after = oml.predict(known, manifest), oml.predict(done.load(), manifest)
    assert [row.label for row in before] == [row.label for row in after]


def test_a_detector_in_integers(trained: Trained, tmp_path: Path) -> None:
    done = oml.export(trained.model, tmp_path, data=trained.manifest, format="onnx-int8")
    layers = kinds(onnx.load(tmp_path / "model.onnx"))["Conv"]
    assert layers.count(False) == 6  # for classes and sides, on three levels
    assert layers.count(True) > 20
    assert done.certificate.scores[0][3] >= -0.005
    for name in ("boxes", "labels", "scores", "count"):
        assert name in done.load().outputs


def noise(inputs: list[np.ndarray]) -> list[np.ndarray]:
    return [np.random.default_rng(0).integers(0, 256, batch.shape, np.uint8) for batch in inputs]


def dark(inputs: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros_like(batch) for batch in inputs]


@pytest.mark.parametrize("wrong", [noise, dark])
def test_a_calibration_on_anything_else_is_refused(
    wrong: Callable[[Any], Any], trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_int8 = module.to_int8
    monkeypatch.setattr(module, "to_int8", lambda graph, inputs: to_int8(graph, wrong(inputs)))
    with pytest.raises(ExportError, match="does not answer as the original"):
        oml.export(trained.model, tmp_path / "out", data=trained.manifest, format="onnx-int8")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("certified", "calibrated"), [("test", "val"), ("val", "train")])
def test_it_is_calibrated_on_other_photos(  # noqa: PLR0917 - fixtures
    certified: str,
    calibrated: str,
    known: oml.ImageClassifier,
    manifest: oml.Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []
    monkeypatch.setattr(module, "to_int8", lambda graph, inputs: (seen.extend(inputs), graph)[1])
    oml.export(known, tmp_path / "out", data=manifest, format="onnx-int8", split=certified)  # type: ignore[arg-type]
    inputs = np.concatenate(seen)
    batches = oml.ClassificationDataModule(manifest, size_hw=known.input_size_hw(), batch_size=64, augment="none")
    wanted = [batch["image"] for batch in batches.loader(calibrated, train=False)]
    assert np.array_equal(inputs, torch.cat(wanted).permute(0, 2, 3, 1).numpy())


def test_there_must_be_other_photos(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="calibration needs photos of the splits val or train"):
        oml.export(known, tmp_path / "out", data=manifest.select(split="test"), format="onnx-int8")


def test_memory_of_processes(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    oml.export(known, tmp_path, data=manifest)
    peak = costs._peak(costs._ONNX, tmp_path / "model.onnx", (32, 32))
    assert 20e6 < peak < 1e9
    (tmp_path / "model.onnx").write_bytes(b"")
    assert np.isnan(costs._peak(costs._ONNX, tmp_path / "model.onnx", (32, 32)))
