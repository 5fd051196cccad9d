"""Engines: the answers of torch, from wherever they come, and torch itself where nothing is gained."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import onlineml as oml
from made_videos import write_video
from onlineml.data.augment.tiles import Tiles
from onlineml.errors import ConfigError, MissingDependencyError
from onlineml.exporting import pieces
from onlineml.inference import choosing, engines, network
from onlineml.inference.stream import Stream
from tiny import COLOURS, picture
from tiny_boxes import any_objects, drawn, tiny_detector
from traced import traced_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.tasks.base import VisionModule
    from tiny_boxes import Trained

pytest.importorskip("onnx")
pytest.importorskip("av")
if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
    pytest.skip("torch's exporter came of age with 2.9", allow_module_level=True)
pytest.importorskip("onnxruntime")

PICTURES = [picture(colour, seed=i) for i, colour in enumerate(COLOURS.values())] * 4


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Trace each network once for all processes, remember nothing of other tests, and measure by one run."""
    monkeypatch.setattr(pieces, "to_onnx", partial(traced_once, tmp_path_factory))
    monkeypatch.setattr(network, "_MEMORY", choosing.Memory())
    monkeypatch.setattr(choosing, "_MEASURED_S", 0.0)
    monkeypatch.setattr(choosing, "_LEAST_RUNS", 1)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The graphs that are written from here on."""
    graphs: list[Any] = []
    write = network.graph_of

    def noted(model: VisionModule) -> Any:
        graphs.append(model)
        return write(model)

    monkeypatch.setattr(network, "graph_of", noted)
    return graphs


@pytest.fixture
def eager_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whatever is found be worth it, and ONNX Runtime be the fastest."""
    monkeypatch.setattr(network, "_COST_S", 0.0)
    monkeypatch.setattr(engines, "RUNTIMES", ("onnxruntime",))
    measure = network.fastest

    def chosen(sides: Any, n_images: int) -> Any:
        choice = measure(sides, n_images)
        return choosing.Choice("onnxruntime" if "onnxruntime" in sides else "eager", choice.rates)

    monkeypatch.setattr(network, "fastest", chosen)


def of_the_library(model: Any) -> Any:
    """A copy that passes for one whose network is the library's own."""
    same = copy.deepcopy(model)
    same.backbone_name = "colours"
    return same


def same_rows(before: Any, after: Any) -> None:
    """The answers of two engines."""
    before, after = list(before), list(after)
    assert len(before) == len(after) > 0
    for ours, theirs in zip(before, after, strict=True):
        assert (ours.uri, ours.error) == (theirs.uri, theirs.error)
        assert [name for name, _ in ours.top] == [name for name, _ in theirs.top]
        assert [score for _, score in ours.top] == pytest.approx([score for _, score in theirs.top], abs=1e-5)


def test_one_that_is_asked_for_answers_as_torch(known: oml.ImageClassifier) -> None:
    rows = oml.predict(known, [*PICTURES, b"no image"], engine="onnxruntime", batch_size=5)
    same_rows(oml.predict(known, [*PICTURES, b"no image"], engine="eager"), rows)
    assert rows.engine == "onnxruntime"
    assert "engine='onnxruntime'" in repr(rows)
    assert pickle.loads(pickle.dumps(rows)).engine == "onnxruntime"  # noqa: S301 - our own
    assert oml.predict(known, PICTURES, engine="eager").engine == "eager"


def test_several_labels(labelled: tuple[VisionModule, oml.Manifest]) -> None:
    model, data = labelled
    before, after = (list(oml.predict(model, data, engine=name)) for name in ("eager", "onnxruntime"))
    assert [row.labels for row in before] == [row.labels for row in after]


def test_a_detector_with_photos_of_any_shape(trained: Trained) -> None:
    shapes = ((96, 96), (64, 96), (96, 96), (50, 70))
    photos = [drawn(shape, any_objects(shape, seed=i), seed=i) for i, shape in enumerate(shapes)]
    before, after = (list(oml.predict(trained.model, photos, engine=name)) for name in ("eager", "onnxruntime"))
    assert sum(len(row) for row in before) > 0
    for ours, theirs in zip(before, after, strict=True):
        assert ours.labels == theirs.labels
        assert np.allclose(ours.boxes_xyxy, theirs.boxes_xyxy, atol=0.1)
        assert np.allclose(ours.scores, theirs.scores, atol=1e-4)


def test_scores_are_torchs_unless_asked_otherwise(known: oml.ImageClassifier, manifest: oml.Manifest) -> None:
    first, again, other = (
        oml.evaluate(known, manifest, **given, n_bootstrap=10) for given in ({}, {}, {"engine": "onnxruntime"})
    )
    assert np.array_equal(first.probabilities, again.probabilities)
    assert other.accuracy == first.accuracy
    assert np.allclose(other.probabilities, first.probabilities, atol=1e-5)


def test_scores_of_a_detector(trained: Trained) -> None:
    first, other = (
        oml.evaluate(trained.model, trained.manifest, engine=name, n_bootstrap=10) for name in ("eager", "onnxruntime")
    )
    assert other.map_50_95 == pytest.approx(first.map_50_95, abs=1e-3)


def test_a_few_images_are_answered_by_torch_at_once(known: oml.ImageClassifier, written: list[Any]) -> None:
    rows = oml.predict(of_the_library(known), PICTURES)
    assert len(rows) == len(PICTURES)
    assert rows.engine == "eager"
    assert not written
    assert rows.engine_rates == {}


@pytest.mark.usefixtures("eager_is_slow")
def test_the_fastest_goes_on_and_is_remembered(known: oml.ImageClassifier, written: list[Any]) -> None:
    model = of_the_library(known)
    rows = oml.predict(model, PICTURES, batch_size=2)
    before = list(oml.predict(model, PICTURES, engine="eager"))
    same_rows(before, rows)
    assert rows.engine == "onnxruntime"
    assert set(rows.engine_rates) == {"eager", "onnxruntime"}
    again = oml.predict(copy.deepcopy(model), (one for one in PICTURES), batch_size=2)  # the same weights
    same_rows(before, again)
    assert again.engine == "onnxruntime"
    assert len(written) == 1


@pytest.mark.usefixtures("eager_is_slow")
def test_new_weights_are_answered_for_anew(known: oml.ImageClassifier, written: list[Any]) -> None:
    model = of_the_library(known)
    rows = iter(oml.predict(model, PICTURES, batch_size=1))
    first = [next(rows) for _ in range(4)]
    with torch.no_grad():
        model.class_head().weight.neg_()
    rest = list(rows)
    same_rows(oml.predict(known, PICTURES, engine="eager")[:4], first)
    same_rows(oml.predict(model, PICTURES, engine="eager")[4:], rest)
    assert len(written) == 2


@pytest.mark.usefixtures("eager_is_slow")
def test_a_calibration_is_heeded(known: oml.ImageClassifier, manifest: oml.Manifest) -> None:
    model = of_the_library(known)
    with torch.no_grad():
        model.class_head().weight.mul_(0.5)
    before = list(oml.predict(model, PICTURES, batch_size=2))
    oml.calibrate(model, manifest)
    assert model.temperature != 1.0
    after = oml.predict(model, PICTURES, batch_size=2)
    same_rows(oml.predict(model, PICTURES, engine="eager"), after)
    assert after.engine == "onnxruntime"
    assert [row.score for row in before] != pytest.approx([row.score for row in after], abs=1e-3)


@pytest.mark.usefixtures("eager_is_slow")
def test_an_engine_that_answers_otherwise_is_no_choice(
    known: oml.ImageClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = network.opened_graph

    def wrong(*given: Any, **named: Any) -> Any:
        run = opened(*given, **named)
        return lambda image: {name: values + np.float32(2e-4) for name, values in run(image).items()}

    monkeypatch.setattr(network, "opened_graph", wrong)
    model = of_the_library(known)
    rows = oml.predict(model, PICTURES, batch_size=2)
    same_rows(oml.predict(model, PICTURES, engine="eager"), rows)
    assert rows.engine == "eager"
    with pytest.raises(ConfigError, match=r"answers otherwise than torch: a probability differs by 0.0002; use engine"):
        list(oml.predict(model, PICTURES, engine="onnxruntime"))


def test_objects_that_only_one_engine_finds(trained: Trained) -> None:
    from onlineml.inference.detecting import _difference

    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0], [5.0, 5.0, 20.0, 20.0]])
    wanted = [{"boxes": boxes, "labels": torch.tensor([0, 1]), "scores": torch.tensor([0.9, 0.6])}]
    same = [{"boxes": boxes.flip(0) + 0.05, "labels": torch.tensor([1, 0]), "scores": torch.tensor([0.60005, 0.9])}]
    compare = partial(_difference, trained.model)
    assert compare(wanted, same) == ""
    assert compare([{name: one[:0] for name, one in wanted[0].items()}], wanted).startswith("an object of score 0.9")
    for changed in ({"boxes": boxes + 0.2}, {"labels": torch.tensor([0, 2])}, {"scores": torch.tensor([0.9, 0.61])}):
        assert compare([{**wanted[0], **changed}], wanted)
    unsure = {**wanted[0], "scores": torch.tensor([0.9, 0.001])}
    assert compare([{name: one[:1] for name, one in unsure.items()}], [unsure]) == ""


class WithOwnForward(oml.ImageClassifier):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(image).flip(1)


def own_forward(model: Any) -> Any:
    model.__class__ = WithOwnForward
    return model


def hooked(model: Any) -> Any:
    model.network.mix.register_forward_hook(lambda *_: None)
    return model


def altered(model: Any) -> Any:
    model.alter = lambda image: image
    return model


def in_doubles(model: Any) -> Any:
    return model.double()


def elsewhere(model: Any) -> Any:
    return model.to("meta")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (own_forward, r"the model has its own forward\(\)"),
        (hooked, "its network has hooks"),
        (altered, "are changed for a trial"),
        (in_doubles, "not 32-bit floats"),
        (elsewhere, "the model is on the device meta: pass device='cpu'"),
    ],
)
@pytest.mark.usefixtures("eager_is_slow")
def test_what_a_graph_cannot_do_is_torchs(
    change: Any, reason: str, known: oml.ImageClassifier, written: list[Any]
) -> None:
    model = change(of_the_library(known))
    with pytest.raises(ConfigError, match=f"engine='onnxruntime': .*{reason}.*; use engine='eager'"):
        oml.predict(model, PICTURES, engine="onnxruntime")
    if change is not elsewhere:
        rows = oml.predict(model, PICTURES, batch_size=2)
        same_rows(oml.predict(model, PICTURES, engine="eager"), rows)
        assert rows.engine == "eager"
    assert not written


@pytest.mark.usefixtures("eager_is_slow")
def test_a_network_of_ones_own_is_left_to_torch(known: oml.ImageClassifier, written: list[Any]) -> None:
    rows = oml.predict(known, PICTURES, batch_size=2)
    assert len(list(rows)) == len(PICTURES)
    assert rows.engine == "eager"
    assert not written


@pytest.mark.usefixtures("eager_is_slow")
def test_a_live_stream_is_not_stopped(
    known: oml.ImageClassifier, written: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onlineml.inference import predictor

    monkeypatch.setattr(predictor, "is_live", lambda *_: True)
    assert len(list(oml.predict(of_the_library(known), PICTURES))) == len(PICTURES)
    assert not written


def test_a_runtime_that_is_not_installed(known: oml.ImageClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match="engine='openvino' needs openvino: pip install openvino"):
        oml.predict(known, PICTURES, engine="openvino")
    assert "openvino" not in engines.installed_runtimes()
    with pytest.raises(ConfigError, match="engine='tensorrt': expected one of auto, eager, onnxruntime, openvino"):
        oml.predict(known, PICTURES, engine="tensorrt")


def test_a_network_without_a_graph_is_refused_at_once() -> None:
    model = tiny_detector()
    model.size_hw, model.tiles = (64, 64), Tiles(64, 16)
    with pytest.raises(ConfigError, match="tile by tile, which a graph cannot"):
        oml.predict(model, PICTURES, engine="onnxruntime")


def test_a_video(known: oml.ImageClassifier) -> None:
    video = write_video(3)
    before, after = (oml.predict_video(known, video, engine=name) for name in ("eager", "onnxruntime"))
    same_rows([row.answer for row in before], [row.answer for row in after])
    assert after.engine == "onnxruntime"


def test_files_are_decoded_at_the_same_time() -> None:
    both = threading.Barrier(2)

    def prepare(content: Any) -> bytes:
        both.wait(timeout=20)  # breaks where one waits for the other
        return content

    ((first, second),) = Stream([b"a", b"b"], prepare, batch_size=2, storage_options=None)
    assert [first[1], second[1]] == [b"a", b"b"]


def test_the_number_of_images_that_is_known(manifest: oml.Manifest) -> None:
    from onlineml.inference.sources import n_images

    assert n_images(manifest) == len(manifest)
    assert n_images(["a.jpg", "s3://b/c.png", b"..."]) == 3
    assert n_images(["folder"]) is None
    assert n_images(["photos/*.jpg"]) is None
    assert n_images(iter(["a.jpg"])) is None
    assert n_images("a.jpg") is None


def test_files_are_read_together_and_answered_for_in_batches() -> None:
    def sizes(images: Any) -> list[int]:
        batches = Stream(images, lambda content: content, batch_size=2, storage_options=None)
        return [len(batch) for batch in batches]

    contents = [b"%d" % i for i in range(35)]
    assert sizes(contents) == [2] * 17 + [1]
    assert sizes(iter(contents)) == [2] * 17 + [1]


def test_who_gives_one_image_after_the_other_gets_answers_in_between() -> None:
    given: list[bytes] = []

    def one_by_one() -> Iterator[bytes]:
        for i in range(100):
            given.append(b"%d" % i)
            yield given[-1]

    first = next(iter(Stream(one_by_one(), lambda content: content, batch_size=1, storage_options=None)))
    assert first[0][1] == b"0"
    assert len(given) <= 5
