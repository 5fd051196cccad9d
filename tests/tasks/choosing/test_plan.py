"""The choice of size and batch size, from made-up photos, networks and machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.tasks import task_of
from onlineml.tasks.choosing import costs, plan
from onlineml.tasks.choosing.costs import affordable_batch, epochs_within, forward_seconds
from onlineml.tasks.choosing.photos import photo_facts
from tiny import tiny_model

if TYPE_CHECKING:
    from collections.abc import Sequence


def labelled(n: int, *, width: int | None = 400, height: int | None = 300) -> oml.Manifest:
    ids = [f"{i:05}" for i in range(n)]
    table = {
        "image_id": ids,
        "uri": ids,
        "label": ["ab"[i % 2] for i in range(n)],
        "split": ["val" if i % 10 == 9 else "train" for i in range(n)],
        "width": pa.array([width] * n, pa.int32()),
        "height": pa.array([height] * n, pa.int32()),
    }
    return oml.Manifest(pa.table(table), class_names=("a", "b"), task="classification")


def boxed(boxes: Sequence[Sequence[float]], *, width: int = 1000, height: int = 800) -> oml.Manifest:
    items = [{"boxes_xyxy": list(boxes), "labels": ["a"] * len(boxes)} for _ in range(20)]
    rows = [
        {"image_id": f"{i:05}", "uri": f"{i:05}", "split": "train", "width": width, "height": height, **item}
        for i, item in enumerate(items)
    ]
    return oml.Manifest(pa.Table.from_pylist(rows), class_names=("a",), task="detection")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A machine of our own making: its GPU, its memory and its seconds for an image of 128 pixels."""
    facts: dict[str, Any] = {"gpu": False, "free": 10**12, "s": 0.016}
    monkeypatch.setattr(plan, "on_gpu", lambda: facts["gpu"])
    monkeypatch.setattr(plan, "free_bytes", lambda: facts["free"])
    monkeypatch.setattr(plan, "forward_seconds", lambda *_: facts["s"])
    return facts


def pretrained_model() -> oml.ImageClassifier:
    model = tiny_model(class_names=("a", "b"))
    model.pretrained = True
    return model


@pytest.mark.parametrize(
    ("quality", "gpu", "short", "expected"),
    [
        ("balanced", False, 300, 160),
        ("balanced", False, None, 160),
        ("fast", False, 300, 128),
        ("best", False, 300, 224),
        ("best", False, 100, 160),
        ("balanced", False, 100, 160),
        ("balanced", False, 60, 96),
        ("balanced", False, 20, 64),
        ("balanced", True, 300, 224),
    ],
)
def test_a_pretrained_classifier_sees_what_the_photos_have(
    machine: dict[str, Any], quality: Any, gpu: bool, short: int | None, expected: int
):
    machine["gpu"] = gpu
    data = labelled(1000, width=short and 2 * short, height=short)
    batches = oml.datamodule_for(data, model=pretrained_model(), quality=quality)
    assert batches.size_hw == (expected, expected)


def test_a_pretrained_classifier_of_several_labels_sees_as_much(machine: dict[str, Any]):
    one = labelled(1000)
    table = one.table.append_column("labels", pa.array([[label] for label in one.column("label")]))
    several = oml.Manifest(table.drop_columns("label"), class_names=("a", "b"), task="multilabel")

    assert plan.plan_for(several, task_of(several.task), model=pretrained_model()).size == 160


def test_random_weights_keep_the_size_that_a_cpu_trains_in_minutes(machine: dict[str, Any]):
    for model in (None, tiny_model(class_names=("a", "b"))):
        batches = oml.datamodule_for(labelled(40), model=model, size=None, batch_size=None)
        assert (batches.size_hw, batches.batch_size) == ((64, 64), 32)


def test_little_time_makes_photos_smaller_down_to_a_floor(machine: dict[str, Any]):
    """By hand: 900 images of training and 100 of validation, .016 s a forward pass at 128 px, 3.6 of them a step."""
    sizes = []
    for budget_s in (1000, 300, 170, 130, 100, 45, 25, 10):
        batches = oml.datamodule_for(labelled(1000), model=pretrained_model(), budget_s=budget_s)
        sizes.append(batches.size_hw[0])
    # at 160 px a pass is .025 s: 1,200 * .025 + 3.7 * 900 * 3.6 * .025 = 330 s; at 128 px 211 s; at 96 px 119 s
    # with less than four epochs at 96 px, 127 s, the last layer: 1,000 looks take 25 s at 160 px, 16 s at 128 px
    assert sizes == [160, 128, 96, 96, 160, 160, 128, 96]


def test_it_is_said_in_a_sentence(machine: dict[str, Any]):
    batches = oml.datamodule_for(labelled(1600, width=100, height=110), model=pretrained_model(), budget_s=900)
    # 1,440 and 160 images, .025 s: (900 - 1920 * .025) / (1440 * 3.6 * .025) = 6.6
    assert batches.chosen.startswith("TinyNet at 160 px in batches of 32: 1,440 photos of about 100 px, ")
    assert batches.chosen.endswith(" CPU threads, 900 s, some 7 epochs.")
    hasty = oml.datamodule_for(labelled(1600, width=100, height=110), model=pretrained_model(), budget_s=50)
    assert hasty.chosen.endswith(" 50 s, time for little more than the last layer: raise budget_s.")
    assert oml.datamodule_for(labelled(40), size=32, batch_size=4).chosen == ""


@pytest.mark.parametrize(
    ("box", "quality", "expected"),
    [
        ((0, 0, 500, 400), "balanced", 320),  # large objects
        ((10, 10, 50, 35), "balanced", 512),  # 31.6 of 1,000 px: 16 px at 506
        ((10, 10, 50, 35), "fast", 384),
        ((10, 10, 50, 35), "best", 768),
        ((10, 10, 15, 15), "balanced", 640),  # at most
    ],
)
def test_small_objects_get_enough_pixels(machine: dict[str, Any], box: Any, quality: Any, expected: int):
    batches = oml.datamodule_for(boxed([box]), quality=quality)
    assert (batches.size_hw, batches.batch_size) == ((expected, expected), 4)


def test_a_detectors_size_is_none_that_the_photos_lack(machine: dict[str, Any]):
    assert oml.datamodule_for(boxed([(0, 0, 5, 5)], width=400, height=300)).size_hw == (416, 416)
    assert photo_facts(boxed([], width=400)).object_share is None


def test_batches_suit_the_number_of_photos_the_device_and_the_memory(machine: dict[str, Any]):
    assert oml.datamodule_for(labelled(100), model=pretrained_model()).batch_size == 16
    assert oml.datamodule_for(labelled(2000), model=pretrained_model()).batch_size == 32
    machine["gpu"] = True
    assert oml.datamodule_for(labelled(2000), model=pretrained_model()).batch_size == 64
    machine["free"] = 0
    assert oml.datamodule_for(labelled(2000), model=pretrained_model()).batch_size == 2
    assert oml.datamodule_for(boxed([(0, 0, 9, 9)])).batch_size == 1
    assert affordable_batch(32, side=224, free=2 * 10**9, least=2) == 4  # 200 MB an image, half of the memory


def test_a_measurement_leaves_no_trace_and_fails_quietly():
    model = tiny_model(norm=True)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert 0 < forward_seconds(model, 64) < 10
    assert model.training
    assert all((value == before[key]).all() for key, value in model.state_dict().items())
    assert forward_seconds(model, 1) != forward_seconds(model, 1)  # nan: too small for two convolutions
    assert costs.free_bytes() > 0
    assert epochs_within(10, n_train=100, n_val=0, forward_s=1.0) == 0


def test_unknown_choices_are_refused():
    with pytest.raises(ConfigError, match="quality"):
        oml.datamodule_for(labelled(10), quality="good")
    with pytest.raises(ConfigError, match="size='large'"):
        oml.datamodule_for(labelled(10), size="large")
    with pytest.raises(ConfigError, match="batch_size=0"):
        oml.datamodule_for(labelled(10), batch_size=0)


@pytest.mark.parametrize(
    ("photo", "box", "options", "expected"),
    [
        # 40 of 4,000 px are 6.4 at 640: tiles show them at .4 of their size, which needs 3 * 40 * .4 = 48 px at least
        (4000, (0, 0, 40, 40), {}, (320, 800)),
        (4000, (0, 0, 40, 40), {"size": 640}, (640, 1600)),
        (4000, (0, 0, 40, 40), {"size": 640, "batch_size": 2}, (640, 1600)),
        (4000, (0, 0, 40, 40), {"tile_size": None}, (640, None)),
        (4000, (0, 0, 40, 40), {"tile_size": 500}, (640, 500)),
        (4000, (0, 0, 40, 40), {"quality": "best"}, (320, 533)),  # 24 px of 40
        (4000, (0, 0, 8, 8), {}, (320, 320)),  # never enlarged
        (4000, (0, 0, 100, 100), {}, (640, None)),  # 16 px
        (1200, (0, 0, 5, 5), {}, (640, None)),  # a photo that has little more to show
        (6000, (0, 0, 400, 4), {}, (480, 1200)),  # 400 px long: a tile is three times as long
    ],
)
def test_small_objects_in_large_photos_are_seen_in_tiles(
    machine: dict[str, Any], photo: int, box: Any, options: Any, expected: Any
):
    batches = oml.datamodule_for(boxed([box], width=photo), **options)
    assert isinstance(batches, oml.DetectionDataModule)
    assert (batches.size_hw[0], batches.tile_size) == expected
    if expected[1] is not None and "tile_size" not in options:
        assert f"in tiles of {expected[1]} px of the photos" in batches.chosen


def test_what_tiles_change_is_said(machine: dict[str, Any]):
    said = oml.datamodule_for(boxed([(0, 0, 40, 40)], width=4000)).chosen
    assert "in tiles of 800 px of the photos, where small objects have 16 px instead of 3, " in said


def test_only_a_detector_has_tiles(machine: dict[str, Any]):
    with pytest.raises(ConfigError, match="tile_size=64: expected None for classification"):
        oml.datamodule_for(labelled(40), tile_size=64)
    with pytest.raises(ConfigError, match="tile_size='large'"):
        oml.datamodule_for(boxed([(0, 0, 9, 9)]), tile_size="large")


def test_several_labels_need_no_tiles(machine: dict[str, Any]):
    table = {"image_id": ["a", "b"], "uri": ["a", "b"], "labels": [["x"], ["x", "y"]], "split": ["train"] * 2}
    sizes = {name: pa.array([6000, 6000], pa.int32()) for name in ("width", "height")}
    data = oml.Manifest(pa.table(table | sizes), class_names=("x", "y"), task="multilabel")
    assert oml.datamodule_for(data, size=64, batch_size=2).size_hw == (64, 64)
    with pytest.raises(ConfigError, match="tile_size=64: expected None for multilabel"):
        oml.datamodule_for(data, size=64, tile_size=64)
