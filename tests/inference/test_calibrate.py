"""`calibrate`, `check_calibration` and `predict(miss_rate=)`, against what `predict` says of each photo."""

from __future__ import annotations

import json
import pickle

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError, DataError, StorageError
from tiny import CLASSES, make_photos, tiny_data, tiny_model
from tiny_boxes import CLASSES as BOX_CLASSES
from tiny_labels import knowing_model, label_manifest


@pytest.fixture(scope="module")
def data(tmp_path_factory, decoded_photos) -> oml.Manifest:
    counts = {"train": 2, "val": 24, "test": 10}
    return oml.Manifest.from_folders(str(make_photos(tmp_path_factory.mktemp("more") / "photos", counts=counts)))


@pytest.fixture
def model(data) -> oml.ImageClassifier:
    """It answers, hardly sure of anything, by the colours of the photos' middle."""
    made = tiny_model(class_names=CLASSES)
    made.size_hw, made.network = (32, 32), Middle()
    return made.eval()


class Middle(torch.nn.Module):
    """Blue, green and red of the middle, and a weight that training and loading change."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((3,), 2.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :, 8:24, 8:24].mean((2, 3)).flip(1) * self.weight


def rows_of(data, split):
    return np.flatnonzero(data.column("split") == split)


def answers(model, data, split, **options):
    urls = data.urls()
    return list(oml.predict(model, [urls[row] for row in rows_of(data, split)], **options))


def table_of(rows, names):
    return np.array([[dict(row.top)[name] for name in names] for row in rows])


def test_a_label_set_has_the_classes_whose_probability_reaches_their_threshold(model, data):
    calibration = oml.calibrate(model, data)
    least = calibration.thresholds(0.1)
    rows = answers(model, data, "test", miss_rate=0.1)

    assert model.calibration is calibration
    for row in rows:
        assert row.label_set == tuple(name for name, p in row.top if p >= least[name])
        assert row.label == row.top[0][0]
    assert len({len(row.label_set) for row in rows}) > 1


def test_thresholds_are_those_of_the_classes_own_validation_photos(model, data):
    least = oml.calibrate(model, data).thresholds(0.2)
    rows, truth = answers(model, data, "val"), data.column("label")[rows_of(data, "val")]

    for name in CLASSES:
        own = sorted(dict(row.top)[name] for row, label in zip(rows, truth, strict=True) if label == name)
        assert least[name] in own[3:6]  # the fourth or fifth lowest of 24, which one is drawn: 25 * 0.2 = 5
        assert own.index(least[name]) + 1 in (4, 5)


def test_the_temperature_is_in_all_probabilities(model, data):
    before = table_of(answers(model, data, "test"), CLASSES)
    first = oml.evaluate(model, data, n_bootstrap=0).log_loss
    calibration = oml.calibrate(model, data)
    powers = before ** (1 / calibration.temperature)

    assert calibration.temperature < 0.8
    assert calibration.log_loss[1] < calibration.log_loss[0]
    after = table_of(answers(model, data, "test"), CLASSES)
    np.testing.assert_allclose(after, powers / powers.sum(1, keepdims=True), rtol=1e-5)
    assert oml.evaluate(model, data, n_bootstrap=0).log_loss < first
    assert (before.argmax(1) == after.argmax(1)).all()


def test_the_check_counts_what_is_missed(model, data):
    by = data.with_column("camera", [f"camera {i % 3}" for i in range(len(data))])
    oml.calibrate(model, data)
    found = oml.check_calibration(model, by, miss_rate=0.2, by="camera", n_bootstrap=50)
    rows, chosen = answers(model, data, "test", miss_rate=0.2), rows_of(data, "test")
    sizes = np.array([len(row.label_set) for row in rows])
    missed = np.array([data.column("label")[i] not in row.label_set for i, row in zip(chosen, rows, strict=True)])

    assert isinstance(found, pd.DataFrame)
    assert found["of"].tolist() == ["all", *["class"] * 3, *["camera"] * 3]
    whole = found.iloc[0]
    assert (whole.shown, whole.missed) == (30, missed.mean())
    assert (whole["size"], whole.one, whole.none) == (sizes.mean(), (sizes == 1).mean(), (sizes == 0).mean())
    assert whole.false == pytest.approx((sizes - ~missed).mean())
    for i, name in enumerate(CLASSES, start=1):
        own = data.column("label")[chosen] == name
        assert (found.name[i], found.missed[i], found["size"][i]) == (name, missed[own].mean(), sizes[own].mean())
        false = [name in row.label_set and not mine for row, mine in zip(rows, own, strict=True)]
        assert found.false[i] == pytest.approx(np.mean(false))
    for i in range(3):
        own = chosen % 3 == i
        assert found.missed[4 + i] == missed[own].mean()
    assert (found.low <= found.missed).all()
    assert (found.missed <= found.high).all()


def test_it_is_stored_with_the_model(model, data, tmp_path):
    calibration = oml.calibrate(model, data)
    model.save(tmp_path / "model")
    again = oml.load_model(tmp_path / "model", backbone=Middle())

    assert again.calibration == calibration
    assert msgspec.json.decode(msgspec.json.encode(calibration), type=type(calibration)) == calibration
    assert answers(again, data, "test", miss_rate=0.1) == answers(model, data, "test", miss_rate=0.1)
    model.calibration = None
    model.save(tmp_path / "plain")
    assert "calibration" not in json.loads((tmp_path / "plain" / "model.json").read_text())
    assert oml.load_model(tmp_path / "plain", backbone=Middle()).calibration is None


@pytest.mark.parametrize("damage", ["model", "lost", "scores", "temperature"])
def test_a_stored_calibration_that_is_of_another_model_or_broken_is_refused(model, data, tmp_path, damage):
    oml.calibrate(model, data)
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    stored = json.loads(path.read_text())
    if damage == "model":
        stored["calibration"]["model"] = "0" * 64
    elif damage == "temperature":
        stored["calibration"]["temperature"] = -1
    else:
        stored["calibration"]["classes"]["red"][damage] = [2.0]
    path.write_text(json.dumps(stored))

    with pytest.raises(StorageError, match="calibration"):
        oml.load_model(tmp_path / "model", backbone=Middle())


def test_a_calibration_of_other_weights_or_another_size_is_refused(model, data, tmp_path):
    for spoil in (
        lambda: model.network.weight.data.mul_(1.01),
        lambda: step(model.network.weight),
        lambda: model.network.load_state_dict({"weight": torch.tensor([2.0, 2.0, 3.0])}),
        lambda: setattr(model, "size_hw", (48, 48)),
        lambda: setattr(model, "class_names", CLASSES[::-1]),
    ):
        oml.calibrate(model, data)
        assert len(oml.predict(model, data, miss_rate=0.1)) == len(data)
        spoil()
        for use in (
            lambda: oml.predict(model, data),
            lambda: oml.predict(model, data, miss_rate=0.1),
            lambda: oml.evaluate(model, data),
            lambda: oml.check_calibration(model, data, miss_rate=0.1),
            lambda: model.save(tmp_path / "model"),
        ):
            with pytest.raises(ConfigError, match=r"other weights.*oml\.calibrate"):
                use()
    model.calibration = None
    assert len(oml.predict(model, data)) == len(data)


def step(weight):
    """As an optimizer; the first weight stays."""
    with torch.no_grad():
        weight[2] += 0.01


def test_training_and_renaming_drop_it(data):
    model = tiny_model(class_names=CLASSES)
    model.size_hw = (32, 32)
    oml.calibrate(model.eval(), data)
    model.rename_classes(["b", "g", "r"])
    assert model.calibration is None
    model.rename_classes(CLASSES)
    oml.calibrate(model, data)
    oml.fit(model, tiny_data(data), epochs=1, progress="none", accelerator="cpu")

    assert model.calibration is None
    with pytest.raises(ConfigError, match=r"trained or renamed since: call oml\.calibrate\(model, data\)"):
        oml.predict(model, data, miss_rate=0.1)


def test_classes_with_too_few_photos_share_the_threshold_of_all_and_that_is_said(model, data):
    calibration = oml.calibrate(model, data)

    assert calibration.not_alone(0.04) == ()
    assert calibration.not_alone(0.03) == CLASSES
    with pytest.warns(
        UserWarning, match="holds for all classes together, not by itself for blue, green, red.*33 photos"
    ):
        oml.predict(model, data, miss_rate=0.03)
    assert len(set(calibration.thresholds(0.03).values())) == 1
    assert np.isnan(list(calibration.false_answers(0.03).values())).all()
    assert not calibration.to_frame(0.03).own.any()
    with pytest.raises(DataError, match=r"at least 99 photos of val, found 72 .* ask for a rate of 0\.014"):
        oml.predict(model, data, miss_rate=0.01)


def test_photos_of_one_group_count_as_one(model, data):
    alone = oml.calibrate(model, data)
    grouped = oml.calibrate(model, data.with_column("group", [f"film {i // 4}" for i in range(len(data))]))

    assert alone.classes["red"].units == alone.classes["red"].shown == 24
    assert (grouped.classes["red"].units, grouped.classes["red"].shown) == (6, 24)
    assert grouped.thresholds(0.4)["red"] <= alone.thresholds(0.5)["red"]


def test_an_unusable_image_has_an_empty_set_and_an_error(model, data, tmp_path):
    oml.calibrate(model, data)
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    rows = oml.predict(model, [data.urls()[0], str(tmp_path / "bad.jpg")], miss_rate=0.1)

    assert (rows[1].label_set, rows[1].label) == ((), None)
    assert rows[1].error


def test_tables_and_files_have_the_sets(model, data, tmp_path):
    plain = oml.predict(model, data)
    oml.calibrate(model, data)
    rows = oml.predict(model, data, miss_rate=0.1)

    assert [*plain.to_frame().columns] == ["uri", "label", "score", "top_labels", "top_scores", "error", "image_id"]
    assert [*rows.to_frame().columns][:4] == ["uri", "label", "score", "label_set"]
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        rows.save(tmp_path / name)
    read = pd.read_parquet(tmp_path / "a.parquet")
    assert [tuple(one) for one in read.label_set] == [row.label_set for row in rows]
    assert json.loads(pd.read_csv(tmp_path / "a.csv").label_set[0]) == [*rows[0].label_set]
    assert pickle.loads(pickle.dumps(rows)).to_frame().equals(rows.to_frame())  # noqa: S301
    assert "label_set" in rows._repr_html_()


@pytest.mark.parametrize(
    ("found", "summary"),
    [
        (("red",), "red 0.60"),
        (("red", "blue"), "red or blue"),
        ((), "none of the classes, nearest red 0.60"),
        (None, "red 0.60"),
    ],
)
def test_a_row_says_what_it_does_not_know(found, summary):
    from onlineml.inference.predictions import Prediction, Predictions

    row = Prediction("a", "red", 0.6, (("red", 0.6), ("blue", 0.4)), None, label_set=found)

    assert row.summary == summary
    assert (Predictions.item(row).tone == "warm") == (found is not None and len(found) != 1)


def test_what_cannot_be_calibrated_is_refused_by_name(model, data, tmp_path):
    model.save(tmp_path / "model")
    for wrong, message in (
        ({"split": "train"}, "split='train': expected val or test"),
        ({"model": str(tmp_path / "model")}, "model.*expected a trained model, such as oml.load_model"),
        ({"data": [1]}, "data=.*expected a Manifest"),
    ):
        with pytest.raises(ConfigError, match=message):
            oml.calibrate(**{"model": model, "data": data, **wrong})
    assert model.calibration is None
    for rate in (0, 0.6, -0.1, float("nan"), "5%", True):
        oml.calibrate(model, data)
        with pytest.raises(ConfigError, match=r"miss_rate.*a share above 0, at most 0\.5"):
            oml.predict(model, data, miss_rate=rate)
    with pytest.raises(ConfigError, match="expected other photos"):
        oml.check_calibration(model, data, miss_rate=0.1, split="val")
    with pytest.raises(ConfigError, match="'colour' is not a column"):
        oml.check_calibration(model, data, miss_rate=0.1, by="colour")


def test_it_prints_what_it_found(model, data):
    text = str(oml.calibrate(model, data))

    assert "calibrated on 72 photos of val" in text
    assert "log loss" in text
    assert "miss_rate=0.01: not for blue, green, red" in text
    assert "false answers per photo" in text
    assert "temperature" in model.calibration._repr_html_()


# ---- several labels ----


def test_labels_are_those_that_reach_the_thresholds_of_the_rate(tmp_path, decoded_photos):
    data = label_manifest(tmp_path / "photos", splits={"train": 42, "val": 63, "test": 21})
    model = knowing_model(data)
    calibration = oml.calibrate(model, data)
    least = calibration.thresholds(0.1)
    rows, chosen = answers(model, data, "val"), rows_of(data, "val")
    lists = data.table["labels"].to_pylist()

    for name in CLASSES:
        shown = [dict(row.top)[name] for i, row in zip(chosen, rows, strict=True) if name in lists[i]]
        assert calibration.classes[name].units == len(shown)
        assert np.mean(np.array(shown) < least[name]) <= 0.1
    assert calibration.together is None
    assert calibration.temperature == 1
    for row in answers(model, data, "test", miss_rate=0.1, threshold={"red": 0.9}):
        assert set(row.labels) == {n for n, p in row.top if p >= (0.9 if n == "red" else least[n])}
    with pytest.raises(ConfigError, match=r"threshold=0\.6: expected None beside miss_rate=0\.1, or"):
        oml.predict(model, data, miss_rate=0.1, threshold=0.6)


# ---- objects ----


def test_objects_below_the_thresholds_are_at_most_the_rate(trained):
    model, data = trained.model, trained.manifest
    try:
        calibration = oml.calibrate(model, data)
        rate = max(curve.lowest_rate for curve in calibration.classes.values()) + 0.02
        least = calibration.thresholds(rate)
        rows = answers(model, data, "val", miss_rate=rate)
        everything = answers(model, data, "val", threshold=0.0)
        truth, urls = data.boxes(), rows_of(data, "val")
        for class_id, name in enumerate(BOX_CLASSES):
            shares, false = [], 0
            for i, row, all_of_it in zip(urls, rows, everything, strict=True):
                kept = all_of_it.take(all_of_it.scores >= [least[n] for n in all_of_it.labels])
                assert np.array_equal(row.boxes_xyxy, kept.boxes_xyxy)
                own = truth.boxes_xyxy[truth.of(i)][truth.label_ids[truth.of(i)] == class_id]
                found = row.boxes_xyxy[row.label_ids == class_id]
                hits = found_objects(own, found)
                false += len(found) - hits
                shares += [1 - hits / len(own)] if len(own) else []
            curve = calibration.classes[name]
            assert curve.units == len(shares)
            assert sum(shares) / (len(shares) + 1) <= rate + 1e-9
            assert calibration.false_answers(rate)[name] == pytest.approx(false / len(urls))
        checked = oml.check_calibration(model, data, miss_rate=rate, n_bootstrap=20)
        assert checked["of"].tolist() == ["all", "class", "class", "class"]
        assert checked.false[0] == pytest.approx(checked.false[1:].sum())
        with pytest.raises(DataError, match=r"at least 99 photos of val of each class, found .blue. with"):
            oml.predict(model, data, miss_rate=0.01)
        by_hand = dict.fromkeys(BOX_CLASSES, 0.5)
        assert answers(model, data, "val", miss_rate=0.01, threshold=by_hand)[0].labels == (
            answers(model, data, "val", threshold=by_hand)[0].labels
        )
    finally:
        model.calibration = None


def found_objects(own, found):
    """Objects taken one by one by the surest detection that overlaps them by half."""
    left = list(own)
    for box in found:
        overlaps = [iou(box, other) for other in left]
        if overlaps and max(overlaps) >= 0.5:
            left.pop(int(np.argmax(overlaps)))
    return len(own) - len(left)


def iou(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
