"""`predict`: every image a row, in order, lazily, and as evaluation sees it."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import onlineml as oml
from late import Late
from onlineml.data.augment.classification import fit_to_size, limit_to_scale, training_scale
from onlineml.data.images.decode import decode
from onlineml.errors import BadImageError, ConfigError, NotFoundError
from onlineml.registry.versions import publish_to
from onlineml.tasks.loading import model_files
from places import SUPPORT
from tiny import CLASSES, COLOURS, jpeg, picture, tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores import Store

pd = Late("pandas")

PICTURES = [picture(colour, seed=i) for i, colour in enumerate(COLOURS.values())]


class MeanColour(nn.Module):
    """Blue, green or red: whichever mean of the picture is highest, so that every answer is known beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3)).flip(1)  # RGB to the order of the class names
        return torch.cat([means, torch.zeros(len(x), 0)], 1) * self.gain


def model(size_hw: tuple[int, int] = (32, 32)) -> oml.ImageClassifier:
    made = oml.ImageClassifier(class_names=CLASSES, backbone=MeanColour())
    made.set_normalization(mean=(0.5,) * 3, std=(0.25,) * 3)
    made.size_hw = size_hw
    return made


def colour(name: str, size_hw: tuple[int, int] = (40, 40)) -> np.ndarray:
    return np.full((*size_hw, 3), COLOURS[name], np.uint8)


def by_hand(pixels: np.ndarray, classifier: oml.ImageClassifier) -> np.ndarray:
    """Probabilities of one image, one at a time."""
    side = training_scale(classifier.size_hw)
    fitted = fit_to_size(limit_to_scale(pixels, side), classifier.size_hw)
    x = torch.from_numpy(fitted.copy()).permute(2, 0, 1)[None].float() / 255
    mean, std = torch.tensor(classifier.mean).view(1, 3, 1, 1), torch.tensor(classifier.std).view(1, 3, 1, 1)
    with torch.no_grad():
        return torch.softmax(classifier.network.eval()((x - mean) / std), 1)[0].numpy()


def test_nothing() -> None:
    assert list(oml.predict(model(), [])) == []
    assert len(oml.predict(model(), iter(())).to_frame()) == 0


def test_the_answers_are_right_and_in_order() -> None:
    wanted = [CLASSES[i] for i in np.random.default_rng(0).integers(0, 3, 70)]
    rows = list(oml.predict(model(), (colour(name) for name in wanted), batch_size=8))

    assert [row.label for row in rows] == wanted
    assert [row.uri for row in rows] == [f"array:{i}" for i in range(70)]
    assert all(row.error is None and row.score == row.top[0][1] > 0.5 for row in rows)


@pytest.mark.parametrize("size_hw", [(32, 32), (24, 48), (64, 40)])
def test_the_probabilities_by_hand(size_hw: tuple[int, int]) -> None:
    classifier = tiny_model()
    classifier.size_hw = size_hw
    images = [
        *PICTURES,
        picture((9, 9, 200), seed=9, size_hw=(300, 90)),
        picture((200, 9, 9), seed=8, size_hw=(20, 200)),
    ]
    rows = list(oml.predict(classifier, images, top_k=3))

    for row, pixels in zip(rows, images, strict=True):
        expected = by_hand(pixels, classifier)
        order = np.argsort(-expected)
        assert [name for name, _ in row.top] == [CLASSES[i] for i in order]
        assert [score for _, score in row.top] == pytest.approx(expected[order], abs=1e-5)
        assert sum(score for _, score in row.top) == pytest.approx(1, abs=1e-5)
        assert (row.label, row.score) == row.top[0]


@pytest.mark.parametrize(("top_k", "n"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_no_more_classes_than_asked_for_or_there(top_k: int, n: int) -> None:
    (row,) = oml.predict(model(), colour("red"), top_k=top_k)

    assert len(row.top) == n
    assert row.label == "red"


def test_the_size_of_batches_changes_nothing() -> None:
    classifier = tiny_model(norm=True, dropout=0.5)
    classifier.size_hw = (32, 32)
    images = [picture(c, seed=i) for i, c in enumerate([*COLOURS.values()] * 5)]
    one, many = (list(oml.predict(classifier, images, batch_size=n)) for n in (1, 7))

    assert [row.label for row in one] == [row.label for row in many]
    assert [row.score for row in one] == pytest.approx([row.score for row in many], abs=1e-5)


def test_every_kind_of_image_is_seen_alike(store: Store, tmp_path: Path) -> None:
    pixels = PICTURES[0]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    data = file.getvalue()
    local = tmp_path / "a.png"
    local.write_bytes(data)
    store.raw_write("a.png", data)
    url = f"{store.url}/a.png"
    images = [str(local), local, url, data, bytearray(data), pixels, Image.fromarray(pixels), Image.open(local)]
    rows = list(oml.predict(model(), images, storage_options=store.storage_options))

    assert [row.uri for row in rows[:3]] == [str(local), str(local), url]
    assert {row.label for row in rows} == {rows[0].label}
    assert len({row.score for row in rows}) == 1


def test_turned_photos_are_upright_however_they_come(tmp_path: Path) -> None:
    pixels = np.concatenate([colour("red", (20, 40)), colour("blue", (40, 40))])  # red above, blue below
    exif, path = Image.Exif(), tmp_path / "turned.png"
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(path, exif=exif)
    upright = np.ascontiguousarray(pixels[::-1, ::-1])
    classifier = tiny_model()
    classifier.size_hw = (32, 32)
    rows = list(oml.predict(classifier, [path, Image.open(path), path.read_bytes(), upright, pixels]))

    assert len({row.top for row in rows[:4]}) == 1
    assert rows[4].top != rows[0].top


def test_bad_images_are_rows_that_say_why(tmp_path: Path) -> None:
    whole = jpeg(colour("red"))
    text = tmp_path / "text.jpg"
    text.write_bytes(b"no image")
    images = [
        whole,
        whole[: len(whole) // 2],
        b"",
        str(text),
        str(tmp_path / "missing.jpg"),
        colour("red")[:, :, :2],
        Image.open(io.BytesIO(whole[:-40])),
        colour("green"),
    ]
    rows = list(oml.predict(model(), images))

    assert [row.label for row in rows] == ["red", None, None, None, None, None, None, "green"]
    for row, told in zip(
        rows[1:-1], ["truncated", "empty", "unreadable", "nothing is stored", "shape", "trunc"], strict=True
    ):
        assert told in row.error
        assert np.isnan(row.score)
        assert row.top == ()
    assert all(row.label is None for row in oml.predict(model(), [b"", b"x"]))  # a batch of nothing good


def test_a_network_that_gives_no_numbers_says_so() -> None:
    class Sometimes(MeanColour):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = super().forward(x)
            return torch.where(logits.argmax(1, keepdim=True) == 1, torch.nan, logits)

    classifier = oml.ImageClassifier(class_names=CLASSES, backbone=Sometimes())
    classifier.size_hw = (32, 32)
    rows = list(oml.predict(classifier, [colour(name) for name in CLASSES]))

    assert [row.label for row in rows] == ["blue", None, "red"]
    assert "not finite" in rows[1].error


# ---- lazily ----


class Endless:
    """Hands out pictures for ever, and counts them."""

    def __init__(self) -> None:
        self.n = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        self.n += 1
        return colour("red")


def test_an_endless_stream_is_read_a_few_batches_ahead() -> None:
    images = Endless()
    predictions = oml.predict(model(), images, batch_size=4)
    assert images.n == 0  # nothing before it is asked for
    rows = iter(predictions)
    first = list(itertools.islice(rows, 3))
    time.sleep(0.3)

    assert [row.label for row in first] == ["red"] * 3
    assert images.n <= 4 * 4  # the batch in hand, two that are ready, and one that waits for room
    rows.close()
    stopped = images.n
    time.sleep(0.3)
    assert images.n == stopped


def test_a_generator_is_gone_through_once() -> None:
    predictions = oml.predict(model(), (colour(name) for name in CLASSES))
    assert [row.label for row in list(predictions)] == list(CLASSES)
    assert len(predictions.to_frame()) == 3  # the rows were kept

    streamed = oml.predict(model(), (colour(name) for name in CLASSES))
    assert next(iter(streamed)).label == "blue"
    with pytest.raises(ConfigError, match="only once: pass a list, or keep the rows"):
        streamed.to_frame()


def test_a_list_can_be_gone_through_again() -> None:
    predictions = oml.predict(model(), [colour(name) for name in CLASSES])

    assert [row.label for row in iter(predictions)] == [row.label for row in iter(predictions)] == list(CLASSES)


def test_one_buffer_for_all_frames() -> None:
    frame = np.zeros((32, 32, 3), np.uint8)  # just the network's size: nothing has to be resized

    def video() -> Iterator[np.ndarray]:
        for name in CLASSES * 3:
            frame[:] = COLOURS[name]
            yield frame

    assert [row.label for row in oml.predict(model(), video())] == list(CLASSES * 3)


def test_an_error_of_the_stream_arrives() -> None:
    def broken() -> Iterator[Any]:
        yield colour("red")
        raise LookupError("the camera is gone")

    rows = iter(oml.predict(model(), broken(), batch_size=1))
    assert next(rows).label == "red"
    with pytest.raises(LookupError, match="the camera is gone"):
        next(rows)


def test_the_model_keeps_its_mode() -> None:
    classifier = tiny_model(dropout=0.9)
    classifier.size_hw = (32, 32)
    classifier.train()
    rows = [next(iter(oml.predict(classifier, PICTURES[0]))) for _ in range(3)]

    assert classifier.training
    assert len({row.top for row in rows}) == 1  # no dropout while predicting


# ---- the model ----


def test_published_models_by_any_name(store: Store) -> None:
    classifier = oml.ImageClassifier(class_names=CLASSES, backbone="slim_resnet18")
    classifier.size_hw = (32, 32)
    options = {"storage_options": store.storage_options}
    url = f"{store.url}/model"
    publish_to(store.location.to(url), model_files(classifier))
    expected = list(oml.predict(classifier, PICTURES))
    predictions = oml.predict(url, PICTURES, **options)

    assert list(predictions) == expected
    assert url in repr(predictions)
    saved = predictions.save(f"{store.url}/rows.jsonl", **options)
    assert [json.loads(line)["score"] for line in store.raw_read("rows.jsonl").splitlines()] == [
        r.score for r in expected
    ]
    assert saved.endswith("rows.jsonl")
    assert len(pd.read_json(io.BytesIO(store.raw_read("rows.jsonl")), lines=True)) == 3


def test_local_folders_of_models_are_paths_too(tmp_path: Path) -> None:
    classifier = oml.ImageClassifier(class_names=CLASSES, backbone="slim_resnet18")
    classifier.size_hw = (32, 32)
    publish_to(str(tmp_path / "model"), model_files(classifier))

    assert list(oml.predict(tmp_path / "model", PICTURES)) == list(oml.predict(classifier, PICTURES))


@pytest.mark.parametrize("options", [{"top_k": 0}, {"batch_size": 0}])
def test_bad_arguments(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="expected at least 1"):
        oml.predict(model(), [], **options)


def test_a_model_that_was_never_trained_and_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no input size: train it with fit"):
        oml.predict(tiny_model(), [])
    with pytest.raises(NotFoundError, match="no model at"):
        oml.predict(str(tmp_path / "nothing"), [])


# ---- files that break programs ----


def test_the_files_that_break_programs(data_dir: Path | None, tmp_path: Path) -> None:
    """Every file a row that agrees with `decode`, with at most 500 MB above the idle library."""
    folder = tmp_path if data_dir is None else data_dir / "awkward"
    if data_dir is None:  # no real files here: some of our own
        rng = np.random.default_rng(0)
        for i in range(8):
            (tmp_path / f"{i}.jpg").write_bytes(jpeg(rng.integers(0, 256, (3000, 4000, 3), dtype=np.uint8)))
        (tmp_path / "empty.jpg").write_bytes(b"")
    code = f"""
import json, resource, sys
sys.path[:0] = {[str(SUPPORT), str(Path(__file__).parent)]!r}
import numpy as np, onlineml as oml
from test_predictor import model
network = model((64, 64))
list(oml.predict(network, [np.zeros((64, 64, 3), np.uint8)] * 32))
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = [(p.uri, p.label, p.error) for p in oml.predict(network, {str(folder)!r})]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([(peak - idle) / 1024, rows]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    grown_mb, rows = json.loads(done.stdout)

    assert grown_mb < 500
    assert len(rows) >= 9
    for uri, label, error in rows:
        judged = False
        with contextlib.suppress(BadImageError):
            decode(Path(uri).read_bytes(), min_side=80)
            judged = True
        assert (label in CLASSES) is judged, uri
        assert (error is None) is judged, uri
