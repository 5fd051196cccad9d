"""Predicting on videos: rows with times as a stream, and annotated videos."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from onlineml.data.video.frames import frame_id
from onlineml.data.video.sampling import Sampling
from onlineml.data.video.video import Video
from onlineml.errors import ConfigError
from onlineml.inference.predictor import predict
from onlineml.inference.rows import Rows, written
from onlineml.storage.location import Location, Options, Url
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from onlineml.inference.detecting import DetectionModel
    from onlineml.inference.detections import ImageDetections
    from onlineml.inference.engines import Engine
    from onlineml.inference.label_rows import ImageLabels
    from onlineml.inference.predictions import Prediction
    from onlineml.inference.rows import Answering
    from onlineml.registry.versions import ModelVersion
    from onlineml.tasks.base import VisionModule

__all__ = ["FrameAnswer", "VideoAnswers", "predict_video", "write_annotated_video"]

_DEFAULT_RATE = 25.0  # frames per second of a file that does not declare it


@dataclass(frozen=True, eq=False)
class FrameAnswer:
    """The prediction for one frame.

    Attributes:
        time_s: seconds since the first frame.
        frame: its number in the video.
        answer: a row of `onlineml.predict`, with the uri ``<video>#t=<seconds>``.
    """

    time_s: float
    frame: int
    answer: Prediction | ImageLabels | ImageDetections

    def __str__(self) -> str:
        return f"{self.time_s:.3f} s: {self.answer}"


class VideoAnswers(Rows[FrameAnswer]):
    """The predictions for frames of a video, computed lazily; see `onlineml.inference.rows.Rows`.

    The table has the columns time_s and frame, and those of `Predictions`, of `LabelRows`, or of `DetectionRows`, with
    a row for each object.

    Args:
        rows: starts the stream.
        video: with `findings` so far.
        class_names: of the model.
        columns: of the predictions.
        model: its name, for display.
        network: see `onlineml.inference.rows.Rows`.
    """

    def __init__(
        self,
        rows: Callable[[], Iterator[FrameAnswer]],
        *,
        video: Video,
        class_names: Sequence[str],
        columns: Mapping[str, str],
        model: str,
        network: Answering | None = None,
    ) -> None:
        super().__init__(rows, model=model, network=network)
        self.video, self.class_names = video, tuple(class_names)
        self.columns = {"time_s": "float64", "frame": "int64", **columns}  # type: ignore[misc] # those of the task

    @staticmethod
    def records(row: FrameAnswer) -> list[dict[str, Any]]:
        """The table rows of one frame."""
        return [{"time_s": row.time_s, "frame": row.frame, **line} for line in row.answer.records()]

    def by_image(self, group: str) -> dict[str, Prediction | ImageLabels | ImageDetections]:
        """All predictions by the frames' image ids in a project, such as for `Project.labels.suggest`.

        Args:
            group: the video's group in the project, the hash of its bytes, see `Project.images.upload_video`.
        """
        return {frame_id(group, row.time_s): row.answer for row in self}

    def until(self, rows: Sequence[FrameAnswer]) -> list[float]:
        """The end of each row in seconds: the start of the next one; the last lasts as long as the median."""
        times = [row.time_s for row in rows]
        gaps = [b - a for a, b in itertools.pairwise(times)]
        usual = statistics.median(gaps) if gaps else 1.0
        return [*times[1:], *([times[-1] + usual] if times else [])]


def predict_video(
    model: VisionModule | DetectionModel | ModelVersion | Url,
    source: Url | bytes,
    *,
    every_s: float | None = None,
    every_n: int | None = None,
    times_s: Sequence[float] | None = None,
    top_k: int | None = None,
    threshold: float | Mapping[str, float] | None = None,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    engine: Engine = "auto",
    storage_options: Options = None,
) -> VideoAnswers:
    """Predict frames of a video, as a stream of rows in order of time.

    Args:
        model: a trained model, a published version, or an argument of `onlineml.load_model`.
        source: a path or URL, or the bytes of a video file; it is streamed.
        every_s: seconds between two frames; pass one of ``every_s``, ``every_n`` and ``times_s``, or none for all.
        every_n: each ``every_n``-th frame.
        times_s: the frames on screen at these seconds.
        top_k: see `onlineml.predict`, also for the following.
        threshold: of a detector or multi-label classifier.
        batch_size: frames per batch.
        device: of the network.
        engine: of the network.
        storage_options: of the filesystem, for video and model.

    Returns:
        Rows: iterate over them, or call ``.to_frame()`` or ``.save(url)``; `write_annotated_video` and
        `onlineml.inference.video_plots.timeline_figure` draw them.

    Raises:
        ConfigError: an argument is outside its range, or the model was never trained.
        BadVideoError: no frame can be decoded; raised when the rows are read.
        NotFoundError: the video does not exist; raised when the rows are read.
    """
    sampling = Sampling(every_s=every_s, every_n=every_n, times_s=times_s)
    opened = opened_model(model, storage_options=storage_options)
    video = Video(source, storage_options=storage_options)
    ask: Callable[[Any], Any] = partial(
        predict, opened, top_k=top_k, threshold=threshold, batch_size=batch_size, device=device, engine=engine
    )
    latest = _Latest(ask(()))  # invalid arguments raise now, not with the first frame
    none = latest.rows
    return VideoAnswers(
        partial(_answers, ask, video, sampling, latest),
        video=video,
        class_names=opened.class_names,
        columns=none.columns,
        model=none.model,
        network=latest,
    )


class _Latest:
    """The rows of the latest iteration, which tell the engine."""

    def __init__(self, rows: Rows[Any]) -> None:
        self.rows = rows

    @property
    def engine(self) -> str:
        return self.rows.engine

    @property
    def rates(self) -> Mapping[str, float]:
        return self.rows.engine_rates


def _answers(ask: Callable[[Any], Any], video: Video, sampling: Sampling, latest: _Latest) -> Iterator[FrameAnswer]:
    marks: deque[tuple[float, int]] = deque()  # frames are prefetched in another thread

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for frame in video.sampled(sampling):
            marks.append((frame.time_s, frame.number))
            yield frame.pixels

    latest.rows = ask(pictures())
    for answer in latest.rows:
        time_s, number = marks.popleft()
        named = dataclasses.replace(answer, uri=f"{video.name}#t={time_s:.3f}")  # W3C Media Fragments
        yield FrameAnswer(time_s, number, named)


def write_annotated_video(
    rows: VideoAnswers,
    url: Url,
    *,
    storage_options: Options = None,
) -> str:
    """Write the video with its predictions: boxes, or the most likely class in a corner. It has no sound.

    Every frame is written at its own time; predictions are shown until the next predicted frame. Video and rows are
    streamed together.

    Args:
        rows: of `predict_video`, in order of time.
        url: with the extension ``.mp4``; written atomically.
        storage_options: of the filesystem.

    Returns:
        ``url``, as text.

    Raises:
        ConfigError: another extension.
        BadVideoError: no frame can be decoded.
    """
    file = Location.of(url, storage_options)
    if not file.url.lower().endswith(".mp4"):
        raise ConfigError(f"{file}: expected the ending .mp4")
    from onlineml.inference.video_writer import write_frames  # noqa: PLC0415 (an optional dependency)

    video = Video(rows.video.source)
    rate = video.info().frame_rate

    def write(path: Path) -> None:
        write_frames(path, _drawn(video, iter(rows), rows.class_names), frame_rate=rate if rate > 0 else _DEFAULT_RATE)

    return written(file, write)


def _drawn(
    video: Video, rows: Iterator[FrameAnswer], class_names: Sequence[str]
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    current: FrameAnswer | None = None
    following = next(rows, None)
    for frame in video.frames():
        while following is not None and following.time_s <= frame.time_s + 1e-6:
            current, following = following, next(rows, None)
        yield frame.time_s, frame.pixels if current is None else annotated(frame.pixels, current.answer, class_names)


def annotated(
    pixels: NDArray[np.uint8], answer: Prediction | ImageLabels | ImageDetections, class_names: Sequence[str]
) -> NDArray[np.uint8]:
    """Draw the predictions on a frame.

    Args:
        pixels: (H, W, 3) uint8; not changed.
        answer: of this frame, or of an earlier one of the same size.
        class_names: their indices determine the colours.

    Returns:
        (H, W, 3) uint8.
    """
    return pixels if answer.error is not None else answer.drawn_on(pixels, class_names)
