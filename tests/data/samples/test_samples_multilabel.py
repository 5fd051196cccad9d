"""The sample project for multi-label classification: sets of labels, and the faults that it says it has."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from onlineml.data.manifest.manifest import Manifest
from onlineml.data.samples.samples import CLASS_NAMES, make_samples

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "photos"
    make_samples(str(path), task="multilabel", n=40, seed=2, mislabelled=0.2, broken=4)
    return path


def labels_in(folder: Path, name: str) -> dict[str, list[str]]:
    coco = json.loads((folder / name).read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert not any("bbox" in one for one in coco["annotations"])
    return {
        image["file_name"]: [names[one["category_id"]] for one in coco["annotations"] if one["image_id"] == image["id"]]
        for image in coco["images"]
    }


def test_labels_as_people_have_them_with_some_of_them_wrong(folder: Path):
    found = Manifest.from_any(folder, task="multilabel")
    assert (len(found), found.class_names) == (40, CLASS_NAMES)
    given = labels_in(folder, "annotations.json")
    assert {row["uri"]: sorted(row["labels"]) for row in found.table.to_pylist()} == {
        name: sorted(own) for name, own in given.items()
    }
    sizes = Counter(map(len, given.values()))
    assert sizes[0] >= 2  # some photos show nothing
    assert sizes[2] + sizes[3] + sizes[4] >= 10


def test_the_truth_of_wrong_photos(folder: Path):
    problems = {one["file_name"]: one["problem"] for one in json.loads((folder / "truth.json").read_text())["images"]}
    assert Counter(problems.values()) == {
        "": 29, "missing label": 4, "extra label": 3, "truncated": 2, "empty": 1, "not an image": 1,
    }  # fmt: skip
    given, true = labels_in(folder, "annotations.json"), labels_in(folder, "truth.json")
    for name, problem in problems.items():
        lost, added = set(true[name]) - set(given[name]), set(given[name]) - set(true[name])
        assert (len(lost), len(added)) == (problem == "missing label", problem == "extra label"), name
