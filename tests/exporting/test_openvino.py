"""Exports for OpenVINO: two files, whose hashes the certificate has, with the answers of the model itself."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import ExportError, MissingDependencyError, StorageError, WeightsError
from onlineml.exporting import costs, making, pieces
from onlineml.inference import runtimes
from onlineml.inference.runtimes import opened_session
from tiny_boxes import any_objects, drawn

if TYPE_CHECKING:
    from pathlib import Path

    from onlineml.tasks.base import VisionModule
    from tiny_boxes import Trained

pytest.importorskip("onnx")
if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
    pytest.skip("torch's exporter came of age with 2.9", allow_module_level=True)
pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_classifier(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    done = oml.export(known, tmp_path / "out", data=manifest, format="openvino")
    certificate = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert certificate["format"] == "openvino"
    assert certificate["sha256"] == sha256(tmp_path / "out" / "model.xml")
    assert certificate["weights_sha256"] == sha256(tmp_path / "out" / "model.bin")
    assert certificate["packages"]["openvino"]
    assert not (tmp_path / "out" / "model.onnx").exists()
    assert done.certificate.agreement.equal == 1.0
    assert done.certificate.agreement.largest_score < 1e-5
    model = oml.load_export(tmp_path / "out")
    before, after = list(oml.predict(known, manifest)), list(oml.predict(model, manifest))
    assert [row.label for row in before] == [row.label for row in after]
    assert oml.evaluate(model, manifest).accuracy == oml.evaluate(known, manifest).accuracy
    # for those who have nothing but the graph
    graph = openvino.Core().read_model(str(tmp_path / "out" / "model.xml"))
    assert json.loads(graph.get_rt_info(["onlineml", "class_names"]).astype(str)) == list(known.class_names)
    assert graph.get_rt_info(["onlineml", "fit"]).astype(str) == known.input_fit


def test_several_labels(labelled: tuple[VisionModule, oml.Manifest], tmp_path: Path) -> None:
    model, data = labelled
    done = oml.export(model, tmp_path / "out.zip", data=data, format="openvino")
    assert done.certificate.agreement.equal == 1.0
    before, after = list(oml.predict(model, data)), list(oml.predict(done.load(), data))
    assert [row.labels for row in before] == [row.labels for row in after]


def test_a_detector_with_its_nms(trained: Trained, tmp_path: Path) -> None:
    done = oml.export(trained.model, tmp_path, data=trained.manifest, split="val", format="openvino")
    agreement = done.certificate.agreement
    assert (agreement.equal, agreement.n_answers > 0) == (1.0, True)
    assert agreement.largest_shift_px < 0.1
    model = done.load()
    for seed, size_hw in enumerate(((96, 128), (64, 64), (160, 96))):
        photos = [drawn(size_hw, any_objects(size_hw, seed=10 * seed + i), seed=i) for i in range(3)]
        image = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            wanted = trained.model.eval().detect(image)
        for ours, theirs in zip(wanted, model.detect(image), strict=True):
            n = int((ours["scores"] > 0.2).sum())  # the order of nothings may be another one
            assert torch.equal(ours["labels"][:n], theirs["labels"][:n])
            assert theirs["labels"].dtype == torch.int64
            assert torch.allclose(ours["boxes"][:n], theirs["boxes"][:n], atol=1e-2)
            assert torch.allclose(ours["scores"][:n], theirs["scores"][:n], atol=1e-5)


def test_damage_is_found(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    oml.export(known, folder, data=manifest, format="openvino")
    for name in ("model.xml", "model.bin"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + b"\x7f")
        with pytest.raises(WeightsError, match=f"{name} is damaged: its checksum"):
            oml.load_export(folder)
        (folder / name).write_bytes(content)
    described = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**described, "runtime": "tflite"}))
    with pytest.raises(StorageError, match="has the format 'tflite': expected one of onnx, onnx-int8, openvino"):
        oml.load_export(folder)
    (folder / "export.json").write_text(json.dumps({**described, "weights_sha256": ""}))
    with pytest.raises(WeightsError, match=r"model.bin is damaged"):
        oml.load_export(folder)
    with pytest.raises(WeightsError, match="OpenVINO cannot open here"):
        opened_session(b"<net", source="here", runtime="openvino", weights=b"0")
    with pytest.raises(WeightsError, match="here is no graph of OpenVINO's: expected XML"):  # which may name any file
        opened_session(b"\x08\x0a", source="here", runtime="openvino", weights=b"0")


def test_wrong_answers_are_refused(
    known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runtimes._OpenVino.run
    swapped = lambda self, image: run(self, np.ascontiguousarray(image[..., ::-1]))  # noqa: E731
    monkeypatch.setattr(runtimes._OpenVino, "run", swapped)
    with pytest.raises(ExportError, match="does not answer as the original"):
        oml.export(known, tmp_path / "out", data=manifest, format="openvino")
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_before_work_is_done(
    known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(pieces.LabelPieces, "graph", lambda *_: pytest.fail("it was traced"))
    with pytest.raises(MissingDependencyError, match="pip install openvino"):
        oml.export(known, tmp_path / "out", data=manifest, format="openvino")


def made_for_openvino(model: oml.ImageClassifier) -> making.Made:
    pieces_of = pieces.LabelPieces()
    return making.made(model, pieces_of, None, "here", split="test", format="openvino")  # type: ignore[arg-type]


def test_threads_get_their_own_answers(known: oml.ImageClassifier) -> None:
    made = made_for_openvino(known)
    height, width = known.input_size_hw()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1 + i % 3, height, width, 3), np.uint8) for i in range(8)]
    wanted = [made.exported.run(image)["probabilities"] for image in images]
    found: dict[int, list[Any]] = {}

    def ask(place: int) -> None:
        found[place] = [made.exported.run(images[place])["probabilities"] for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, one in enumerate(wanted):
        assert len(found[place]) == 20
        assert all(np.allclose(one, answer, atol=1e-6) for answer in found[place])


def test_memory_of_a_process(known: oml.ImageClassifier, tmp_path: Path) -> None:
    made = made_for_openvino(known)
    for name, content in made.files.items():
        (tmp_path / name).write_bytes(content)
    assert 20e6 < costs._peak(costs._OPENVINO, tmp_path / "model.xml", (32, 32)) < 1e9
