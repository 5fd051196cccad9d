"""Small changes of the test photos: a challenger that falls where the champion does not is blocked, others are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import onlineml as oml
from onlineml.improving.challenger.score import scores_now
from onlineml.improving.gate.robustness import ALTERATIONS, robustness, robustness_notes, robustness_reasons
from tiny import jpeg

N = 40


class Sides(nn.Module):
    """The lighter half of a photo, and, as strongly as ``light``, whether the whole is lighter than in the training."""

    def __init__(self, light: float) -> None:
        super().__init__()
        self.light = nn.Parameter(torch.tensor(light))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[3] // 2
        side = x[..., :half].mean((1, 2, 3)) - x[..., half:].mean((1, 2, 3))
        logit = side + self.light * (x.mean((1, 2, 3)) - 120 / 255)
        return torch.stack([logit, -logit], dim=1)


def model_of(light):
    made = oml.ImageClassifier(class_names=["left", "right"], backbone=Sides(light))
    made.set_normalization(mean=(0, 0, 0), std=(1, 1, 1))
    made.size_hw = (32, 32)
    return made.eval()


@pytest.fixture(scope="module")
def camera(tmp_path_factory, decoded_photos):
    """Near-uniform photos of one fixed camera: grey, and one half a little lighter than the other."""
    folder = tmp_path_factory.mktemp("camera")
    for name, sign in (("left", 1), ("right", -1)):
        (folder / "test" / name).mkdir(parents=True)
        for k in range(N // 2):
            pixels = np.full((32, 32, 3), 120, np.uint8)
            pixels[:, :16] += np.uint8(4 * (sign > 0))
            pixels[:, 16:] += np.uint8(4 * (sign < 0))
            pixels[k % 32, k // 32] += 1  # no two are the same
            (folder / "test" / name / f"{k}.jpg").write_bytes(jpeg(pixels))
    return oml.Manifest.from_folders(str(folder))


def score(model, data):
    return scores_now(model, data, lineage={}, n_bootstrap=0)


def falls_of(champion, challenger, data, n_images):
    scores = score(champion, data), score(challenger, data)
    return {
        fall.alteration: fall for fall in robustness((champion, challenger), scores, data, score, n_images=n_images)
    }


def test_a_challenger_that_fails_when_the_light_rises_by_2_percent_is_blocked(camera):
    sturdy, fragile = model_of(0.0), model_of(1.0)
    for model in (sturdy, fragile):
        assert score(model, camera).accuracy == 1.0  # which the test set alone cannot tell apart

    falls = falls_of(sturdy, fragile, camera, 200)

    assert falls.keys() == ALTERATIONS.keys()
    assert falls["brightness +5 of 255"].blocks
    assert (falls["brightness +5 of 255"].champion, falls["brightness +5 of 255"].challenger) == (0, N // 2)
    assert "brightness +5 of 255 adds 20 mistakes on 40 test images" in robustness_reasons(falls.values())[0]
    assert not robustness_notes(list(falls.values()))


def test_what_the_champion_does_not_stand_either_is_no_reason(camera):
    falls = falls_of(model_of(1.0), model_of(1.0), camera, 30)

    assert not any(fall.blocks for fall in falls.values())
    assert {fall.n_images for fall in falls.values()} == {30}
    assert falls["brightness +20 of 255"].champion == falls["brightness +20 of 255"].challenger > 0
    assert "it makes at most" in robustness_notes(list(falls.values()))[0]
    assert model_of(0.0).alter is None


def test_a_challenger_that_is_better_in_any_light_is_not_blocked_for_what_it_loses(camera):
    always_left = model_of(100.0)  # wrong for half of the photos, in brighter light, too

    falls = falls_of(always_left, model_of(1.0), camera, 200)

    bright = falls["brightness +5 of 255"]
    assert (bright.champion, bright.challenger) == (0, N // 2)  # right in half of them, as many as the champion
    assert not bright.blocks


def test_a_champion_is_not_scored_where_the_challenger_stands(camera):
    sturdy = model_of(0.0)
    asked = []

    def counted(model, data):
        asked.append(model)
        return score(model, data)

    scores = score(sturdy, camera), score(sturdy, camera)
    falls = robustness((model_of(1.0), sturdy), scores, camera, counted, n_images=200)

    assert set(map(id, asked)) == {id(sturdy)}
    assert {fall.champion for fall in falls} == {None}
    assert "the champion" not in robustness_notes(falls)[0]
