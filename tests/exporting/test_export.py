"""Exports of models of all tasks: the same answers in another runtime, or no export."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.cli import main as cli
from onlineml.errors import AlreadyExistsError, ConfigError, ExportError, NotFoundError, StorageError, WeightsError
from onlineml.exporting import Tolerance, detectors, exported, pieces
from tiny import CLASSES, COUNTS
from tiny_boxes import any_objects, drawn
from tiny_projects import FACTORY, colour_model, colour_project, fitted, with_champion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onlineml.tasks.base import VisionModule
    from tiny_boxes import Trained

onnx = pytest.importorskip("onnx")
if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
    pytest.skip("torch's exporter came of age with 2.9", allow_module_level=True)
pytest.importorskip("onnxruntime")


def frames_equal(before: Any, after: Any) -> None:
    assert len(before) == len(after) > 0
    for ours, theirs in zip(before, after, strict=True):
        assert ours.uri == theirs.uri
        assert ours.label == theirs.label
        assert ours.score == pytest.approx(theirs.score, abs=1e-5)


def test_a_classifier_answers_as_before(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    done = oml.export(known, tmp_path / "out", data=manifest)
    assert done.certificate.agreement.equal == 1.0
    assert done.certificate.agreement.n_images == 3 * COUNTS["test"]
    assert done.certificate.agreement.largest_score < 1e-5
    assert done.certificate.scores[0][:3] == ("accuracy", *[oml.evaluate(known, manifest).accuracy] * 2)
    model = oml.load_export(tmp_path / "out")
    frames_equal(oml.predict(known, manifest), oml.predict(model, manifest))
    again = oml.evaluate(model, manifest)
    assert again.accuracy == oml.evaluate(known, manifest).accuracy
    assert again.model_ref == str(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert written["agreement"]["equal"] == 1.0
    assert written["faults"] == []
    assert [row["batch_size"] for row in written["costs"]["speed"]] == [1, 32]
    page = (tmp_path / "out" / "certificate.html").read_text()
    assert "Certificate of an exported model" in page
    assert all(name in page for name in CLASSES)
    with pytest.raises(AlreadyExistsError, match="contains an export already"):
        oml.export(known, tmp_path / "out", data=manifest)


def test_an_export_of_a_calibrated_model_is_calibrated_itself(manifest: oml.Manifest, tmp_path: Path) -> None:
    model = fitted(colour_model(CLASSES), manifest)
    with torch.no_grad():
        model.class_head().weight.mul_(0.5)  # hardly sure of anything
    oml.calibrate(model, manifest)
    oml.export(model, tmp_path / "out", data=manifest)
    exported = oml.load_export(tmp_path / "out")

    assert model.calibration.temperature < 1
    ours, theirs = (one.calibration.thresholds(0.25) for one in (model, exported))
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert exported.calibration.model == exported.fingerprint()
    before, after = (list(oml.predict(one, manifest, miss_rate=0.25)) for one in (model, exported))
    assert [row.score for row in before] == pytest.approx([row.score for row in after], abs=1e-5)
    assert all(isinstance(row.label_set, tuple) for row in after)
    assert oml.check_calibration(exported, manifest, miss_rate=0.25, n_bootstrap=10).missed[0] <= 0.5


def test_several_labels(labelled: tuple[VisionModule, oml.Manifest], tmp_path: Path) -> None:
    model, data = labelled
    done = oml.export(model, tmp_path, data=data)
    assert done.certificate.agreement.equal == 1.0
    assert done.certificate.scores[0][0] == "map"
    before, after = list(oml.predict(model, data)), list(oml.predict(done.load(), data))
    assert [row.labels for row in before] == [row.labels for row in after]


def test_a_detector_with_its_nms(trained: Trained, tmp_path: Path) -> None:
    data = trained.manifest
    done = oml.export(trained.model, tmp_path, data=data, split="val")
    agreement = done.certificate.agreement
    assert agreement.equal == 1.0
    assert agreement.n_answers > 0
    assert agreement.largest_shift_px < 0.1
    assert done.certificate.scores[0][1] == pytest.approx(done.certificate.scores[0][2], abs=1e-6)
    # photos of any shape, several at a time, as the network itself answers
    model = done.load()
    for seed, size_hw in enumerate(((96, 128), (64, 64), (160, 96))):
        photos = [drawn(size_hw, any_objects(size_hw, seed=10 * seed + i), seed=i) for i in range(3)]
        image = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            wanted = trained.model.eval().detect(image)
        for ours, theirs in zip(wanted, model.detect(image), strict=True):
            sure = ours["scores"] > 0.2  # the order of nothings may be another one
            n = int(sure.sum())
            assert torch.equal(ours["labels"][:n], theirs["labels"][:n])
            assert torch.allclose(ours["boxes"][:n], theirs["boxes"][:n], atol=1e-2)
            assert torch.allclose(ours["scores"][:n], theirs["scores"][:n], atol=1e-5)


def normalised_twice(image: np.ndarray) -> np.ndarray:
    return (image // 255).astype(np.uint8)


def swapped(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


@pytest.mark.parametrize("wrong", [normalised_twice, swapped])
def test_wrong_normalisation_and_swapped_channels_are_refused(
    wrong: Callable[[np.ndarray], np.ndarray],
    known: oml.ImageClassifier,
    manifest: oml.Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = exported.ExportedModel.run
    monkeypatch.setattr(exported.ExportedModel, "run", lambda self, image: run(self, wrong(image)))
    with pytest.raises(ExportError, match=r"does not answer as the original: .* are equal, less than 99.00%"):
        oml.export(known, tmp_path / "out", data=manifest)
    assert not (tmp_path / "out").exists()


def test_shuffled_classes_are_refused_unless_asked_for(
    known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = exported.ExportedModel.run
    shuffled = lambda self, image: {"probabilities": run(self, image)["probabilities"][:, [1, 2, 0]]}  # noqa: E731
    monkeypatch.setattr(exported.ExportedModel, "run", shuffled)
    with pytest.raises(ExportError, match="accuracy falls from"):
        oml.export(known, tmp_path / "out", data=manifest)
    allowed = oml.export(known, tmp_path / "out", data=manifest, tolerance=Tolerance(score=1.0, equal=0.0))
    assert not allowed.certificate.faults()
    assert allowed.certificate.agreement.equal < 0.1


def test_dropped_nms_is_refused(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "MAX_IOU", 1.0)
    with pytest.raises(ExportError, match="are equal, less than"):
        oml.export(trained.model, tmp_path, data=trained.manifest, split="val")


def test_a_published_version_lists_its_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = with_champion(colour_project(tmp_path / "project"))
    version = project.models.get("champion")
    assert project.models.exports("champion") == {}
    model = oml.load_model(version, backbone=FACTORY)
    done = oml.export(model)  # the project's own photos, into the version's folder
    assert done.url == version.path("exports/onnx")
    assert project.models.exports("champion") == {"onnx": done.url}
    assert [one.version for one in project.models.list()] == [version.version]
    assert oml.load_export(done.url).class_names == tuple(model.class_names)
    with pytest.raises(AlreadyExistsError):
        oml.export(model)
    # the command line builds no network of one's own; it says what is missing
    assert cli.main(["export", f"{project.url}@champion", str(tmp_path / "out")]) == 1
    assert "backbone" in capsys.readouterr().err


def test_the_command_line(
    known: oml.ImageClassifier,
    manifest: oml.Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known.save(tmp_path / "model")
    from onlineml.exporting import export as module

    monkeypatch.setattr(module, "load_model", lambda _: known)
    arguments = ["export", str(tmp_path / "model"), str(tmp_path / "out"), "--data", str(manifest.root)]
    assert cli.main(arguments) == 0
    assert "accuracy" in capsys.readouterr().out
    assert oml.load_export(tmp_path / "out").class_names == CLASSES


def test_what_is_missing_is_said_before_work_is_done(
    known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces.LabelPieces, "graph", lambda *_: pytest.fail("it was traced"))
    for arguments, message in (
        ({"data": manifest}, "url=None: expected a folder"),
        ({"url": tmp_path}, "data=None: expected labelled photos"),
        ({"url": tmp_path, "data": str(tmp_path)}, "data.* is a str: expected a Manifest"),
        ({"url": tmp_path, "data": manifest, "format": "onx"}, "format='onx': expected .*onnx"),
        ({"url": tmp_path, "data": manifest, "tolerance": 0.1}, "tolerance=0.1 .* expected a Tolerance"),
        ({"url": tmp_path, "data": manifest, "split": "tset"}, "split='tset'"),
    ):
        with pytest.raises(ConfigError, match=message):
            oml.export(known, **arguments)
    with pytest.raises(ConfigError, match=r"equal=1\.5: expected a share"):
        Tolerance(equal=1.5)


def test_detectors_that_cannot_be_exported(trained: Trained, tmp_path: Path) -> None:
    tiled = oml.ObjectDetector(class_names=["a"], weights="random")
    tiled.size_hw = (64, 64)
    tiled.tiles = pieces.__dict__.get("Tiles") or __import__("onlineml.data.augment.tiles", fromlist=["Tiles"]).Tiles(
        64, 8
    )
    with pytest.raises(ConfigError, match="tile by tile, which a graph cannot"):
        oml.export(tiled, tmp_path, data=trained.manifest)


def test_damage_is_found(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    oml.export(known, folder, data=manifest)
    graph, described = (folder / "model.onnx").read_bytes(), json.loads((folder / "export.json").read_text())
    (folder / "model.onnx").write_bytes(graph[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"model.onnx is damaged: its checksum"):
        oml.load_export(folder)
    (folder / "model.onnx").write_bytes(graph)
    for key, value, error in (
        ("format", 2, StorageError), ("size_hw", [0, 3], StorageError), ("class_names", [], StorageError),
        ("task", "telepathy", ConfigError), ("thresholds", {"red": 0.5}, StorageError),
    ):  # fmt: skip
        (folder / "export.json").write_text(json.dumps({**described, key: value}))
        with pytest.raises(error):
            oml.load_export(folder)
    with pytest.raises(NotFoundError):
        oml.load_export(tmp_path / "nothing")


@pytest.mark.parametrize("place", ["initializer", "constant", "function"])
def test_weights_in_other_files_are_refused(
    place: str, known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path
) -> None:
    """A graph may name any file of the machine that opens it."""
    done = oml.export(known, tmp_path, data=manifest)
    graph = onnx.load_model_from_string((tmp_path / "model.onnx").read_bytes())
    (secret := tmp_path / "secret").write_bytes(bytes(4096))
    weight = next(one for one in graph.graph.initializer if len(one.raw_data) > 16)
    size = len(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", str(secret)), ("length", str(size))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    if place != "initializer":
        constant = onnx.helper.make_node("Constant", [], [weight.name], value=weight)
        graph.graph.initializer.remove(weight)
        if place == "constant":
            graph.graph.node.insert(0, constant)
        else:
            opset = onnx.helper.make_opsetid("", 18)
            graph.functions.append(onnx.helper.make_function("own", "Hidden", [], [weight.name], [constant], [opset]))
    content = graph.SerializeToString()
    described = replace_sha(done.load().described, content)
    with pytest.raises(WeightsError, match="takes weights from other files"):
        exported.ExportedLabels(described, content, reference="here")


def replace_sha(described: exported.Described, content: bytes) -> exported.Described:
    return msgspec.structs.replace(described, sha256=hashlib.sha256(content).hexdigest())
