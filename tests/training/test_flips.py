"""Mirrored training photos are left out where a model's answers to mirrored validation photos say so."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import onlineml as oml
from late import Late
from onlineml.errors import ConfigError
from onlineml.training import checkpoints, training
from onlineml.training.flips import compare_mirrored
from tiny import same_weights, tiny_data, weights_of

if TYPE_CHECKING:
    from pathlib import Path

stats = Late("scipy.stats")


class Halves(nn.Module):
    """The mean brightness of the left and the right half, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(2))
        self.head = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = (half.mean((1, 2, 3)) for half in x.chunk(2, dim=3))
        return self.head(torch.stack([left, right], 1) * self.gain)


class Sides:
    """A classifier of three classes by the first row of pixels: one logit a pixel."""

    device = torch.device("cpu")

    def __init__(self, task: str) -> None:
        self.task = task

    def modules(self) -> list[nn.Module]:
        return []

    def eval(self) -> None:
        pass

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, 0, 0].float()

    def table_of(self, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(labels, 3).float() if labels.ndim == 1 else labels


def _row(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8).expand(3, 1, -1)


def test_of_nothing_nothing_is_known() -> None:
    found = compare_mirrored(*[Sides("classification")] * 2, [])
    assert (found.n_images, found.harmful, found.p) == (0, False, 1.0)
    assert math.isnan(found.plain)


@pytest.mark.parametrize(
    ("n_worse", "n_better", "n_same"), [(0, 0, 9), (6, 0, 0), (7, 0, 0), (30, 2, 9), (9, 8, 0), (9, 0, 99)]
)
def test_harm_is_a_clear_loss(n_worse: int, n_better: int, n_same: int) -> None:
    images = [_row(9, 0, 0)] * n_worse + [_row(0, 0, 9)] * n_better + [_row(0, 9, 0)] * n_same
    labels = torch.tensor([0] * (n_worse + n_better) + [1] * n_same)
    found = compare_mirrored(*[Sides("classification")] * 2, [{"image": torch.stack(images), "label": labels}])

    n, n_apart = len(labels), n_worse + n_better
    p = stats.binomtest(n_better, n_apart, alternative="less").pvalue if n_apart else 1.0
    assert found.p == pytest.approx(p)
    assert (found.plain, found.mirrored) == pytest.approx(((n_worse + n_same) / n, (n_better + n_same) / n))
    assert found.harmful is ((n_worse, n_better, n_same) in {(6, 0, 0), (7, 0, 0), (30, 2, 9)})


def test_a_set_of_labels_is_scored_by_its_highest_ranks() -> None:
    nan = math.nan
    rows = [
        (_row(9, 5, 1), [1.0, 1.0, 0.0], 1.0, 0.5),
        (_row(9, 1, 5), [1.0, 0.0, 0.0], 1.0, 0.0),
        (_row(9, 1, 5), [nan, 1.0, 0.0], 0.0, 0.0),  # the highest is unknown: the third is first
        (_row(1, 5, 9), [1.0, nan, 0.0], 0.0, 1.0),
        (_row(9, 5, 1), [0.0, 0.0, nan], nan, nan),  # no label: does not count
    ]
    batches = [{"image": torch.stack([row[0]]), "label": torch.tensor([row[1]])} for row in rows]
    found = compare_mirrored(*[Sides("multilabel")] * 2, batches)

    assert found.n_images == 4
    assert found.plain == pytest.approx(np.nanmean([row[2] for row in rows]))
    assert found.mirrored == pytest.approx(np.nanmean([row[3] for row in rows]))


def _photos(folder: Path, *, sides: bool) -> oml.Manifest:
    """Bright on the left or the right; or all over."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 16), ("val", 12)):
        for name in ("left", "right"):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 90, (32, 32, 3)).astype(np.uint8)
                pixels[:, slice(16) if name == "left" else slice(16, 32)] += 60 if sides else 0
                pixels += 0 if sides or name == "left" else 100
                cv2.imwrite(str(folder / split / name / f"{i}.png"), pixels)
    return oml.Manifest.from_folders(folder)


def _model(folder: Path, data: oml.Manifest) -> oml.ImageClassifier:
    network = Halves()
    torch.save(network.state_dict(), folder / "weights.pth")
    return oml.ImageClassifier(class_names=data.class_names, backbone=network, weights=str(folder / "weights.pth"))


def _fitted(folder: Path, data: oml.Manifest, run: str, **options: Any) -> tuple[oml.ImageClassifier, Any]:
    model = _model(folder, data)
    return model, oml.fit(model, tiny_data(data, **options), run=folder / run, epochs=1)


def test_flips_are_off_where_sides_are_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = _photos(tmp_path / "photos", sides=True)
    model, run = _fitted(tmp_path, data, "auto")

    told = "horizontal flips are off: mirrored validation photos lose 100 points"
    assert told in capsys.readouterr().out
    assert told in run.log()
    assert run.spec["plan"]["flips_lose"] == 1.0
    assert run.spec["flips"] == "auto"
    assert model.chosen_settings().images.flips == "none"  # a successor is not mirrored either

    for flips in ("horizontal", "none"):
        model, run = _fitted(tmp_path, data, flips, flips=flips)
        assert run.spec["plan"]["flips_lose"] is None
        assert model.chosen_settings().images.flips == flips
    assert "horizontal flips are off" not in capsys.readouterr().out


def test_flips_stay_where_they_do_no_harm_and_without_validation(tmp_path: Path) -> None:
    data = _photos(tmp_path / "photos", sides=False)
    model, run = _fitted(tmp_path, data, "even")
    assert run.spec["plan"]["flips_lose"] is None
    assert model.chosen_settings().images.flips == "auto"

    sides = _photos(tmp_path / "sides", sides=True)
    _, run = _fitted(tmp_path, sides.filter(split="train"), "alone")
    assert run.spec["plan"]["flips_lose"] is None


class Arrived(checkpoints.Checkpoints):
    """Goes on once a checkpoint is where it belongs."""

    def _publish(self) -> None:
        super()._publish()
        self._wait_for_upload()


class Breaks(pl.Callback):
    """Ends the training at its third step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step == 2:
            raise RuntimeError("broken in")


def test_a_resumed_run_repeats_the_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _photos(tmp_path / "photos", sides=True)
    whole, _ = _fitted(tmp_path, data, "whole")
    monkeypatch.setattr(checkpoints, "_SHARE", math.inf)
    monkeypatch.setattr(training, "Checkpoints", partial(Arrived, every_s=0.0))
    with pytest.raises(RuntimeError, match="broken in"):
        oml.fit(_model(tmp_path, data), tiny_data(data), run=tmp_path / "run", epochs=1, callbacks=Breaks())
    monkeypatch.setattr("onlineml.training.flips.compare_mirrored", lambda *_: pytest.fail("compared again"))
    model, run = _fitted(tmp_path, data, "run")

    assert run.log().count("horizontal flips are off") == 2
    assert run.metrics()[-1]["step"] == 4
    assert same_weights(weights_of(model), weights_of(whole))
    assert model.chosen_settings().images.flips == "none"


@pytest.mark.parametrize("augment", ["light", "standard", "strong"])
def test_without_flips_no_image_is_mirrored(augment: str, tmp_path: Path) -> None:
    data = _photos(tmp_path / "photos", sides=True)
    mirrored = {}
    for flips in ("auto", "none"):
        images = tiny_data(data, augment=augment, flips=flips)
        (batch,) = [*images.with_augment(augment).loader("train", train=True, shuffled=False)][:1]
        left, right = (half.float().mean((1, 2, 3)) for half in batch["image"].chunk(2, dim=3))
        names = np.array(data.class_names)[batch["label"].numpy()]
        mirrored[flips] = ((left > right).numpy() != (names == "left")).mean()
    assert mirrored["none"] == 0.0
    assert 0.1 < mirrored["auto"] < 0.9


def test_other_flips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="flips='vertical': expected one of auto, horizontal, none"):
        tiny_data(_photos(tmp_path, sides=True), flips="vertical")
