"""`predict` with a detector: boxes in the right place of every image, thresholds, streams and bad images."""

from __future__ import annotations

import io
import itertools
import math
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import onlineml as oml
from colour_scenes import CLASSES, COLOURS, SCORES, ColourDetector, png, scene
from onlineml.data.manifest.box_arrays import box_iou
from onlineml.errors import ConfigError, UnknownClassError
from places import SUPPORT
from tiny import tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onlineml.inference.detections import ImageDetections
    from stores import Store

THREE = [("blue", (10, 12, 60, 50)), ("red", (100, 20, 150, 90)), ("green", (40, 80, 90, 110))]


def objects_of(row: ImageDetections) -> dict[str, tuple[float, ...]]:
    return {found.label: found.box_xyxy for found in row}


def iou(a: Any, b: Any) -> float:
    return float(box_iou(np.array(a), np.array(b))[0, 0])


def test_nothing() -> None:
    assert list(oml.predict(ColourDetector(), [])) == []
    assert len(oml.predict(ColourDetector(), iter(())).to_frame()) == 0


def test_an_image_without_objects() -> None:
    (row,) = oml.predict(ColourDetector(), scene((48, 64), []))

    assert len(row) == 0
    assert (row.error, row.main, row.label, row.labels, row.top, row.size_hw) == (None, None, None, (), (), (48, 64))
    assert math.isnan(row.score)
    assert row.boxes_xyxy.shape == (0, 4)
    assert str(row) == "array:0: no objects"
    assert bool(row)


def test_what_has_no_task_is_no_model() -> None:
    with pytest.raises(ConfigError, match="a Linear has no task: expected one of classification, detection"):
        oml.predict(torch.nn.Linear(2, 2), [])


def test_objects_with_the_surest_first() -> None:
    (row,) = oml.predict(ColourDetector(), scene((120, 160), THREE), threshold=0)

    assert row.labels == ("red", "green", "blue")
    assert row.label_ids.tolist() == [2, 1, 0]
    assert row.scores == pytest.approx([SCORES[name] - 0.001 for name in row.labels], abs=1e-6)
    assert (row.label, row.score) == ("red", row.scores[0])
    assert row.main is not None
    assert (row.main.label, row.main.score) == row.top[0] == ("red", row.scores[0])
    for name, box in THREE:
        assert objects_of(row)[name] == pytest.approx(box, abs=0.2)
    assert str(row) == "array:0: 1 red, 1 green, 1 blue"
    assert row.boxes_xyxy.dtype == row.scores.dtype == np.float64


# ---- the right place ----


@pytest.mark.parametrize("orientation", range(1, 9))
def test_in_a_turned_photo_the_box_is_upright(orientation: int) -> None:
    upright = scene((300, 400), [("red", (260, 40, 380, 100)), ("green", (20, 180, 70, 290))])
    (row,) = oml.predict(ColourDetector(), png(upright, orientation=orientation))

    assert row.size_hw == (300, 400)
    assert iou(objects_of(row)["red"], (260, 40, 380, 100)) > 0.95
    assert iou(objects_of(row)["green"], (20, 180, 70, 290)) > 0.95


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("size_hw", "box"),
    [
        ((200, 3000), (2700, 60, 2900, 160)),  # very wide
        ((3000, 200), (60, 100, 160, 300)),  # very high
        ((16, 24), (13, 4, 21, 12)),  # tiny
        ((16, 24), (0, 0, 5, 4)),  # in its corner
        ((9, 7), (1, 2, 4, 6)),
        ((3000, 4000), (3100, 2200, 3900, 2900)),  # reduced while it is decoded
        ((479, 641), (600, 400, 641, 479)),  # at the edge, odd sizes
        ((40, 4000), (1200, 10, 1500, 30)),
    ],
)
@pytest.mark.parametrize("kind", ["file", "pixels"])
@pytest.mark.parametrize("input_hw", [(320, 320), (192, 300)])
def test_in_images_of_every_shape(
    size_hw: tuple[int, int], box: tuple[int, ...], orientation: int, kind: str, input_hw: tuple[int, int]
) -> None:
    pixels = scene(size_hw, [("red", box)])
    image = png(pixels, orientation=orientation) if kind == "file" else pixels
    (row,) = oml.predict(ColourDetector(size_hw=input_hw), image)

    assert row.size_hw == size_hw
    assert row.labels == ("red",)
    assert iou(row.boxes_xyxy, box) > 0.8


def test_a_jpeg_that_is_reduced_while_it_is_decoded() -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene((2403, 3601), [("red", (3000, 1800, 3601, 2403))])).save(buffer, "JPEG", quality=95)
    (row,) = oml.predict(ColourDetector(), buffer.getvalue())

    assert row.size_hw == (2403, 3601)
    assert iou(row.boxes_xyxy, (3000, 1800, 3601, 2403)) > 0.95


def test_boxes_end_at_the_image_and_none_is_in_the_padding() -> None:
    class Sloppy(ColourDetector):
        def _find(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
            boxes = [[-9, -9, 400, 400], [0, 0, 32, 16], [20, 300, 60, 310]]  # the last one is below the image
            return {
                "boxes": torch.tensor(boxes, dtype=torch.float32),
                "labels": torch.tensor([0, 1, 2]),
                "scores": torch.tensor([0.5, 0.6, 0.9]),
            }

    (row,) = oml.predict(Sloppy(), scene((100, 200), []), threshold=0)  # at 320 x 160: 1.6 times as large

    assert row.labels == ("green", "blue")
    assert row.boxes_xyxy == pytest.approx(np.array([[0, 0, 20, 10], [0, 0, 200, 100]]))


# ---- which objects ----


def predicted(threshold: Any = None, *, own: Any = None, top_k: int | None = None) -> tuple[str, ...]:
    (row,) = oml.predict(ColourDetector(thresholds=own), scene((120, 160), THREE), threshold=threshold, top_k=top_k)
    return row.labels


def test_thresholds() -> None:
    assert predicted() == ("red", "green")  # 0.25 where the model has none
    assert predicted(0) == predicted(0.0) == ("red", "green", "blue")
    assert predicted(0.7) == ("red",)
    assert predicted(1) == ()
    assert predicted({"red": 1.0}) == ("green",)
    assert predicted({"blue": 0.1, "green": 0.9}) == ("red", "blue")
    assert predicted({}) == predicted()


def test_the_models_own_thresholds_hold_unless_others_are_given() -> None:
    own = {"blue": 0.1, "green": 0.95, "red": 0.5}

    assert predicted(own=own) == ("red", "blue")
    assert predicted({"green": 0.5}, own=own) == ("red", "green", "blue")
    assert predicted(0.5, own=own) == ("red", "green")
    assert predicted(0, own=own) == ("red", "green", "blue")
    assert predicted(own={"blue": 0.1, "green": math.nan}) == ("red", "green", "blue")  # of none, nan: 0.25


def test_a_score_at_the_threshold_counts() -> None:
    (row,) = oml.predict(ColourDetector(), scene((120, 160), THREE), threshold=0)
    score = row.scores[1]

    assert predicted(float(score)) == ("red", "green")
    assert predicted(float(np.nextafter(score, 1))) == ("red",)


@pytest.mark.parametrize(("top_k", "labels"), [(1, ("red",)), (2, ("red", "green")), (9, ("red", "green", "blue"))])
def test_no_more_objects_than_asked_for(top_k: int, labels: tuple[str, ...]) -> None:
    assert predicted(0, top_k=top_k) == labels


def test_all_objects_unless_fewer_are_asked_for() -> None:
    many = [("red", (x, y, x + 20, y + 20)) for x in range(0, 300, 30) for y in range(0, 300, 30)]
    (row,) = oml.predict(ColourDetector(), scene((300, 300), many))

    assert len(row) == 100
    found = box_iou(row.boxes_xyxy, np.array([box for _, box in many]))
    assert (found.max(0) > 0.9).all()


@pytest.mark.parametrize("threshold", [-0.1, 1.5, math.nan, {"red": 2.0}])
def test_thresholds_are_scores(threshold: Any) -> None:
    with pytest.raises(ConfigError, match="expected a score between 0 and 1"):
        oml.predict(ColourDetector(), [], threshold=threshold)


def test_thresholds_of_no_class() -> None:
    with pytest.raises(UnknownClassError, match="threshold: violet is not among the model's classes blue, green, red"):
        oml.predict(ColourDetector(), [], threshold={"violet": 0.5})


def test_a_classifier_takes_no_threshold() -> None:
    classifier = tiny_model()
    classifier.size_hw = (32, 32)
    with pytest.raises(ConfigError, match="the model is a classifier"):
        oml.predict(classifier, [], threshold=0.5)


@pytest.mark.parametrize("options", [{"top_k": 0}, {"batch_size": 0}])
def test_bad_arguments(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected at least 1"):
        oml.predict(ColourDetector(), [], **options)


# ---- many images ----


def mixed(n: int) -> list[np.ndarray]:
    """Images of several shapes, each with an object whose place tells its number."""
    shapes = [(120, 160), (160, 120), (100, 300), (64, 64)]
    return [scene(shapes[i % 4], [(CLASSES[i % 3], (i % 40, 5, i % 40 + 20, 40))]) for i in range(n)]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_rows_come_in_order_whatever_the_shapes(batch_size: int) -> None:
    images = mixed(30)
    rows = list(oml.predict(ColourDetector(), images, threshold=0, batch_size=batch_size))

    assert [row.uri for row in rows] == [f"array:{i}" for i in range(30)]
    assert [row.size_hw for row in rows] == [image.shape[:2] for image in images]
    for i, row in enumerate(rows):
        assert row.labels == (CLASSES[i % 3],)
        assert row.boxes_xyxy[0] == pytest.approx((i % 40, 5, i % 40 + 20, 40), abs=0.3)


def test_what_is_found_does_not_depend_on_the_batch() -> None:
    alone, together = (
        [
            (row.scores.tolist(), row.boxes_xyxy.tolist())
            for row in oml.predict(ColourDetector(), mixed(24), batch_size=n)
        ]
        for n in (1, 24)
    )
    assert alone == together


def test_images_of_one_shape_go_through_the_network_together() -> None:
    model = ColourDetector()
    list(oml.predict(model, mixed(8), batch_size=8))

    assert sorted(model.seen) == [(2, 3, 128, 320), (2, 3, 256, 320), (2, 3, 320, 256), (2, 3, 320, 320)]


def test_every_kind_of_image_is_seen_alike(store: Store, tmp_path: Path) -> None:
    pixels = scene((120, 160), THREE)
    data = png(pixels)
    local = tmp_path / "a.png"
    local.write_bytes(data)
    store.raw_write("a.png", data)
    url = f"{store.url}/a.png"
    images = [str(local), local, url, data, bytearray(data), pixels, Image.fromarray(pixels), Image.open(local)]
    rows = list(oml.predict(ColourDetector(), images, storage_options=store.storage_options))

    assert [row.uri for row in rows[:3]] == [str(local), str(local), url]
    assert len({row.labels for row in rows}) == len({row.boxes_xyxy.tobytes() for row in rows}) == 1


def test_bad_images_are_rows_that_say_why(tmp_path: Path) -> None:
    whole = png(scene((120, 160), THREE))
    images = [
        whole,
        whole[: len(whole) // 2],
        b"",
        b"no image",
        str(tmp_path / "missing.png"),
        np.zeros((6, 6, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        whole,
    ]
    rows = list(oml.predict(ColourDetector(), images))

    assert [row.labels for row in rows[1:-1]] == [()] * 6
    assert rows[0].labels == rows[-1].labels == ("red", "green")
    told = ["truncated", "empty", "unreadable", "nothing is stored", "shape", "shape"]
    for row, text in zip(rows[1:-1], told, strict=True):
        assert row.error is not None
        assert text in row.error
        assert text in str(row)
        assert (row.size_hw, row.main, len(row)) == (None, None, 0)
    assert all(row.error for row in oml.predict(ColourDetector(), [b"", b"x"]))  # a batch of nothing good


@pytest.mark.parametrize("where", ["boxes", "scores"])
def test_a_network_that_gives_no_numbers_says_so(where: str) -> None:
    class Broken(ColourDetector):
        def _find(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
            found = super()._find(pixels)
            if (pixels == COLOURS["green"]).all(-1).any():
                found[where] = found[where] * torch.nan
            return found

    images = [scene((64, 64), [(name, (8, 8, 40, 40))]) for name in ("red", "green", "red")]
    rows = list(oml.predict(Broken(), images))

    assert [row.labels for row in rows] == [("red",), (), ("red",)]
    assert "not finite" in (rows[1].error or "")


def test_an_endless_stream_is_read_a_few_batches_ahead() -> None:
    made = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal made
        while True:
            made += 1
            yield scene((64, 64), [("red", (8, 8, 40, 40))])

    predictions = oml.predict(ColourDetector(), endless(), batch_size=2)
    assert made == 0
    rows = iter(predictions)
    assert [row.label for row in itertools.islice(rows, 3)] == ["red"] * 3
    time.sleep(0.3)
    assert made <= 2 * 5
    rows.close()


def test_one_buffer_for_all_frames() -> None:
    frame = np.zeros((320, 320, 3), np.uint8)  # just the network's size: nothing has to be resized

    def video() -> Iterator[np.ndarray]:
        for name in CLASSES * 3:
            frame[:] = scene((320, 320), [(name, (8, 8, 40, 40))])
            yield frame

    assert [row.label for row in oml.predict(ColourDetector(), video(), threshold=0)] == list(CLASSES * 3)


def test_large_photos_stream_in_little_memory() -> None:
    """30 photos of 36 MB each as pixels: no more than a few are ever held."""
    code = f"""
import io, resource, sys
sys.path[:0] = {[str(SUPPORT)]!r}
import numpy as np, onlineml as oml
from colour_scenes import ColourDetector, scene
small = scene((64, 64), [("red", (8, 8, 40, 40))])
list(oml.predict(ColourDetector(), [small] * 8))
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
large = (scene((3000, 4000), [("red", (400, 400, 2000, 2000))]) for _ in range(30))
assert all(row.label == "red" for row in oml.predict(ColourDetector(), large))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < 400


def test_the_model_keeps_its_mode() -> None:
    model = ColourDetector()
    for training in (True, False):
        model.train(training)
        list(oml.predict(model, scene((64, 64), [])))
        assert model.training is training
    assert not torch.is_inference_mode_enabled()


def test_the_awkward_files(data_dir: Path | None, tmp_path: Path) -> None:
    """Every file a row: with its size, or with what is wrong."""
    folder = tmp_path if data_dir is None else data_dir / "awkward"
    if data_dir is None:  # no real files here: some of our own
        (tmp_path / "empty.jpg").write_bytes(b"")
        for i in range(1, 9):
            (tmp_path / f"{i}.png").write_bytes(png(scene((40, 30), []), orientation=i))
    rows = list(oml.predict(ColourDetector(), str(folder)))

    assert len(rows) >= 9
    assert all((row.size_hw is None) is (row.error is not None) for row in rows)
