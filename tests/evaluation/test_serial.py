"""What earlier versions wrote is read as what is computed today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import stored_scores
from evaluation_cases import same
from onlineml.errors import DataError

FIXTURES = Path(__file__).parents[1] / "fixtures" / "scores_1"


@pytest.mark.parametrize("name", ["classified", "detected", "labelled"])
def test_scores_of_the_first_format_are_read(name):
    expected = getattr(stored_scores, name)()
    assert same(type(expected).from_json((FIXTURES / f"{name}.json").read_bytes()), expected)


@pytest.mark.parametrize("name", ["classified", "detected", "labelled"])
def test_the_dict_is_the_json_without_images_and_arrays(name):
    scores = getattr(stored_scores, name)()
    content, whole = scores.to_dict(), json.loads(scores.to_json(arrays=False))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert all(whole[key] == value for key, value in content.items())
    assert {"scores", "per_class", "confusion"} <= set(content)


@pytest.mark.parametrize("name", ["classified", "detected", "labelled"])
@pytest.mark.parametrize("key", ["scores", "images", "per_class", "class_names", "by_slice"])
def test_damage_is_named(name, key):
    kind = type(getattr(stored_scores, name)())
    content = json.loads((FIXTURES / f"{name}.json").read_bytes())
    with pytest.raises(DataError, match=r"the evaluation is damaged: .*; evaluate the model again"):
        kind.from_json(json.dumps(content | {key: 5}))
