"""`predict_video`, the annotated video and the timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from late import Late

pytest.importorskip("av")

import av
from test_predictor import MeanColour, colour, model

import onlineml as oml
from colour_scenes import ColourDetector, scene
from made_videos import RATE, with_matrix, write_video
from onlineml.data.video.video import Video
from onlineml.errors import BadVideoError, ConfigError, NotFoundError, UnknownClassError
from onlineml.inference import video_writer
from onlineml.inference.detections import ImageDetections
from onlineml.inference.predictions import Prediction
from onlineml.inference.video import annotated, predict_video, write_annotated_video
from onlineml.inference.video_plots import timeline_figure

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

pd = Late("pandas")

SIZE = (120, 160)
BOXES = {"red": (10, 12, 60, 70), "green": (100, 20, 150, 90)}


def coloured(number: int) -> np.ndarray:
    """Red for a second, then green, then blue."""
    return colour(("red", "green", "blue")[min(number // RATE, 2)], SIZE)


def with_objects(number: int) -> np.ndarray:
    """A red object all the time, and a green one in the second second."""
    names = ["red"] + ["green"] * (number // RATE == 1)
    return scene(SIZE, [(name, BOXES[name]) for name in names])


@pytest.fixture(scope="module")
def colours() -> bytes:
    return write_video(90, size_hw=SIZE, picture=coloured)


@pytest.fixture(scope="module")
def objects() -> bytes:
    return write_video(90, size_hw=SIZE, picture=with_objects)


# ---- rows ----


def test_a_classifier_says_what_is_seen_when(colours: bytes) -> None:
    rows = predict_video(model(), colours, every_s=0.5)
    found = list(rows)
    assert [(row.time_s, row.frame, row.answer.label) for row in found] == [
        (0.0, 0, "red"),
        (0.5, 15, "red"),
        (1.0, 30, "green"),
        (1.5, 45, "green"),
        (2.0, 60, "blue"),
        (2.5, 75, "blue"),
    ]
    assert found[1].answer.uri == "bytes#t=0.500"
    frames = list(Video(colours).frames(every_s=0.5))
    for row, alone in zip(found, oml.predict(model(), [frame.pixels for frame in frames]), strict=True):
        assert isinstance(row.answer, Prediction)
        assert row.answer.top == alone.top
    table = rows.to_frame()
    assert list(table.columns)[:4] == ["time_s", "frame", "uri", "label"]
    assert list(table["frame"]) == [0, 15, 30, 45, 60, 75]
    assert rows.video.findings == ()


def test_a_detector_finds_objects_in_pixels_of_the_upright_frame(objects: bytes) -> None:
    turned = with_matrix(objects, 0, 1, -1, 0)
    rows = predict_video(ColourDetector(), turned, every_s=1.0, threshold=0)
    assert [row.answer.labels for row in rows] == [("red",), ("red", "green"), ("red",)]
    first = rows[0].answer
    assert isinstance(first, ImageDetections)
    assert first.size_hw == (160, 120)
    x1, y1, x2, y2 = BOXES["red"]
    assert first.boxes_xyxy[0] == pytest.approx([120 - y2, x1, 120 - y1, x2], abs=2)  # a quarter turn to the right
    assert [finding.code for finding in rows.video.findings] == ["rotated"]
    assert list(rows.to_frame()["label"]) == ["red", "red", "green", "red"]


def test_a_multilabel_classifier_says_all_that_is_seen_when(tmp_path: Path, colours: bytes) -> None:
    both = oml.MultilabelClassifier(class_names=("blue", "green", "red"), backbone=MeanColour())
    both.network.gain.data.fill_(5.0)  # sure, but not as sure as numbers go
    both.set_normalization(mean=(0.5,) * 3, std=(0.25,) * 3)
    both.size_hw, both.thresholds = (32, 32), {"blue": 0.5, "green": 0.5, "red": 0.5}
    rows = predict_video(both, colours, every_s=1.0, threshold={"green": 1.0})

    assert [row.answer.labels for row in rows] == [("red",), (), ("blue",)]
    assert list(rows.to_frame().columns)[:5] == ["time_s", "frame", "uri", "labels", "scores"]
    assert set(lines_of(timeline_figure(rows))) == {"red", "blue"}
    write_annotated_video(rows, tmp_path / "seen.mp4")
    plain, drawn = (next(iter(Video(source).frames())).pixels for source in (colours, str(tmp_path / "seen.mp4")))
    assert np.abs(plain[:40, :60].astype(int) - drawn[:40, :60]).max() > 100  # a label in the corner


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_rows_are_saved_as_they_are_made(tmp_path: Path, colours: bytes, ending: str) -> None:
    rows = predict_video(model(), colours, every_n=30)
    path = rows.save(tmp_path / f"rows.{ending}")
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda p: pd.read_json(p, lines=True)}[ending]
    table = read(path)
    assert list(table["time_s"]) == pytest.approx([0.0, 1.0, 2.0])
    assert list(table["label"]) == ["red", "green", "blue"]


def test_rows_can_be_gone_through_again_and_left_early(colours: bytes) -> None:
    rows = predict_video(model(), colours, times_s=[2.2, 0.2], batch_size=1)
    assert next(iter(rows)).frame == 6
    assert [row.frame for row in rows] == [6, 66] == [row.frame for row in rows]


def test_from_any_storage_and_a_published_model(store: Store, colours: bytes) -> None:
    project = oml.Project.create(f"{store.url}/project", storage_options=store.storage_options)
    store.raw_write("a.mp4", colours)
    with pytest.raises(NotFoundError):
        predict_video(f"{project.url}@champion", f"{store.url}/a.mp4", storage_options=store.storage_options)
    rows = predict_video(model(), f"{store.url}/a.mp4", every_s=1.0, storage_options=store.storage_options)
    assert [row.answer.label for row in rows] == ["red", "green", "blue"]
    url = write_annotated_video(rows, f"{store.url}/out/b.mp4", storage_options=store.storage_options)
    assert len(list(Video(url, storage_options=store.storage_options).frames())) == 90


def test_what_cannot_be_asked_for_is_refused_at_once(colours: bytes) -> None:
    with pytest.raises(ConfigError):
        predict_video(model(), colours, every_s=0.0)
    with pytest.raises(ConfigError):
        predict_video(model(), colours, top_k=0)
    with pytest.raises(ConfigError, match="classifier"):
        predict_video(model(), colours, threshold=0.5)
    with pytest.raises(UnknownClassError):
        predict_video(ColourDetector(), colours, threshold={"purple": 0.5})
    with pytest.raises(BadVideoError):
        list(predict_video(model(), b"no video"))


# ---- the annotated video ----


def colour_near(pixels: np.ndarray, rgb: tuple[int, int, int]) -> bool:
    return bool((np.abs(pixels.astype(int) - rgb).max(axis=-1) < 60).any())


def test_boxes_are_drawn_where_the_objects_are(tmp_path: Path, objects: bytes) -> None:
    rows = predict_video(ColourDetector(), objects, every_s=0.5, threshold=0)
    path = write_annotated_video(rows, tmp_path / "a.mp4")
    info = Video(path).info()
    assert (info.codec, info.size_hw) == ("h264", SIZE)
    assert info.frame_rate == pytest.approx(RATE)
    before, after = list(Video(objects).frames()), list(Video(path).frames())
    assert [f.time_s for f in after] == pytest.approx([f.time_s for f in before], abs=1e-3)
    answers = {row.frame: row.answer for row in rows}
    for original, drawn in zip(before, after, strict=True):
        held = answers[original.number // 15 * 15]
        wanted = annotated(original.pixels, held, rows.class_names)
        assert np.abs(wanted.astype(int) - drawn.pixels).mean() < 8  # what H.264 costs on such small letters
        changed = np.abs(drawn.pixels.astype(int) - original.pixels).max(-1) > 60
        assert bool(changed[:, 95:].any()) == (RATE <= original.number < 2 * RATE)  # the green one's half


def test_the_class_is_written_into_a_corner(tmp_path: Path, colours: bytes) -> None:
    rows = predict_video(model(), colours, every_s=1.0)
    path = write_annotated_video(rows, tmp_path / "a.mp4")
    assert len(list(Video(path).frames())) == 90
    first = next(Video(path).frames()).pixels
    plain = next(Video(colours).frames()).pixels
    corner = np.abs(first[:20, :60].astype(int) - plain[:20, :60])
    assert corner.max() > 100
    middle = np.abs(first[40:100, 40:120].astype(int) - plain[40:100, 40:120])
    assert middle.mean() < 4


@pytest.mark.parametrize("size_hw", [(57, 101), (16, 17)])
def test_odd_sizes_rates_that_vary_and_another_encoder(
    tmp_path: Path, size_hw: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [0.0, 0.04, 0.5, 0.51, 3.0]
    pictures = [np.full((*size_hw, 3), value, np.uint8) for value in (30, 80, 130, 180, 230)]
    for encoders in (video_writer._ENCODERS, (("mpeg4", {}),)):
        monkeypatch.setattr(video_writer, "_ENCODERS", encoders)
        path = tmp_path / f"{encoders[0][0]}.mp4"
        frames = zip(times, pictures, strict=True)
        assert video_writer.write_frames(path, frames, frame_rate=30.0) == 5
        found = list(Video(path).frames())
        assert [frame.time_s for frame in found] == pytest.approx(times, abs=1e-3)
        for frame, picture in zip(found, pictures, strict=True):
            assert frame.pixels.shape == (size_hw[0] + size_hw[0] % 2, size_hw[1] + size_hw[1] % 2, 3)
            np.testing.assert_allclose(frame.pixels, np.full(frame.pixels.shape, picture[0, 0, 0]), atol=6)
    with pytest.raises(ConfigError, match="no frames"):
        video_writer.write_frames(tmp_path / "none.mp4", [], frame_rate=30.0)


def test_colours_survive_being_written(tmp_path: Path) -> None:
    rgb = [(220, 40, 40), (40, 200, 60), (30, 60, 210), (240, 220, 30)]
    frames = [(n / 25, np.full((64, 96, 3), value, np.uint8)) for n, value in enumerate(rgb)]
    video_writer.write_frames(tmp_path / "a.mp4", frames, frame_rate=25.0)
    for frame, value in zip(Video(tmp_path / "a.mp4").frames(), rgb, strict=True):
        np.testing.assert_allclose(frame.pixels[32, 48], value, atol=6)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.pix_fmt) == (1, 1, "yuv420p")


def test_a_video_that_is_cut_off_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write_video(90, size_hw=SIZE, picture=coloured, faststart=True)
    begin = whole.find(b"mdat")
    cut = whole[: begin + int(0.6 * (len(whole) - begin))]
    rows = predict_video(model(), cut, every_s=0.5)
    n = len(list(Video(cut).frames()))
    path = write_annotated_video(rows, tmp_path / "a.mp4")
    assert 10 < len(list(Video(path).frames())) == n < 90
    assert rows.video.findings


def test_only_mp4_is_written(tmp_path: Path, colours: bytes) -> None:
    with pytest.raises(ConfigError, match=r"\.mp4"):
        write_annotated_video(predict_video(model(), colours), tmp_path / "a.avi")


# ---- the timeline ----


def lines_of(figure) -> dict[str, list[tuple[float, float]]]:
    """By class, from when to when bars are drawn, joined."""
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for bar in axes.collections:
        for path in bar.get_paths():
            box = path.get_extents()
            line = round((box.y0 + box.y1) / 2)
            if line < len(names) and box.height > 0.5:
                found[names[line]].append((box.x0, box.x1))
    joined = {}
    for name, spans in found.items():
        merged: list[tuple[float, float]] = []
        for begin, end in sorted(spans):
            if merged and abs(merged[-1][1] - begin) < 1e-6:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((begin, end))
        joined[name] = merged
    return joined


def test_the_timeline_of_a_classifier(colours: bytes) -> None:
    figure = timeline_figure(predict_video(model(), colours, every_s=0.5))
    assert lines_of(figure) == {
        "blue": [pytest.approx((2.0, 3.0))],
        "green": [pytest.approx((1.0, 2.0))],
        "red": [pytest.approx((0.0, 1.0))],
    }
    assert "6 frames" in figure.axes[0].get_title(loc="left")
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_the_timeline_of_a_detector_begins_with_what_is_seen_longest(objects: bytes) -> None:
    figure = timeline_figure(predict_video(ColourDetector(), objects, every_s=0.25, threshold=0))
    assert list(lines_of(figure)) == ["red", "green"]
    assert lines_of(figure)["red"] == [pytest.approx((0.0, 3.0), abs=1.5 / RATE)]  # times of frames, not of instants
    assert lines_of(figure)["green"] == [pytest.approx((1.0, 2.0), abs=1.5 / RATE)]
    few = timeline_figure(predict_video(ColourDetector(), objects, every_s=0.5, threshold=0), limit=1)
    assert list(lines_of(few)) == ["red"]
    assert "1 more" in few.axes[0].get_title(loc="left")


def test_a_timeline_of_nothing() -> None:
    empty = write_video(10, size_hw=SIZE, picture=lambda _: scene(SIZE, []))
    figure = timeline_figure(predict_video(ColourDetector(), empty, every_s=0.1))
    assert "nothing was found" in figure.axes[0].texts[0].get_text()
    assert "no frames" in timeline_figure(predict_video(model(), empty, times_s=[])).axes[0].texts[0].get_text()
