"""Candidates: checked when they are made, drawn without repetition, the usual settings first."""

from __future__ import annotations

import pytest

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.improving.searching import draw_candidates
from tiny import make_photos


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"size": 4}, "size=4"),
        ({"lr_factor": 0}, "lr_factor=0"),
        ({"lr_factor": float("nan")}, "lr_factor=nan"),
        ({"augment": "stron"}, "did you mean 'strong'"),
        ({"backbone": None}, "backbone"),
        ({"weights": 3}, "weights"),
    ],
)
def test_what_is_wrong_is_named(arguments, named):
    with pytest.raises(ConfigError, match=named):
        oml.Candidate(**arguments)


def test_a_candidate_says_what_is_not_usual():
    assert str(oml.Candidate()) == "the usual settings"
    assert str(oml.Candidate(backbone="resnet18", size=96, lr_factor=0.3)) == "resnet18, 96 px, lr x 0.3"


def test_candidates_are_drawn(tmp_path):
    make_photos(tmp_path, counts={"train": 2, "val": 1, "test": 1})
    data = oml.Manifest.from_folders(str(tmp_path))

    drawn = draw_candidates(data, 9)

    assert drawn[0] == oml.Candidate()
    assert len(set(drawn)) == 9
    assert drawn == draw_candidates(data, 9)
    assert drawn[1:] != draw_candidates(data, 9, seed=1)[1:]
    every = draw_candidates(data, 1000, backbones=["auto", "resnet18"])
    assert len(every) == len(set(every)) == 2 * 3 * 3 * 3
    assert {c.size for c in every} == {None, 32, 96}  # around 64, which from random weights is usual
