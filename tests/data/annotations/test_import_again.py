"""Importing the same photos again: the log gets what is new, and the state is as if it had got everything."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from onlineml.data.manifest.manifest import Manifest
from onlineml.project.project import Project
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("cat", "dog", None)
SETS = (["cat"], ["cat", "dog"], [], None)
BOXES = (([[0.0, 0.0, 5.0, 5.0]], ["cat"]), ([], []), (None, None))


def _photos(rows: list[tuple[int, int, Any]], task: str = "classification") -> Manifest:
    """Photos that are nowhere, by number, version and annotation."""
    values = [value for *_, value in rows]
    columns: dict[str, Any] = {
        "image_id": [f"{number}-{version}" for number, version, _ in rows],
        "uri": [f"/nowhere/{number}.jpg" for number, *_ in rows],
        "version": [f"v{version}" for _, version, _ in rows],
    }
    if task == "detection":
        columns["boxes_xyxy"], columns["labels"] = (list(one) for one in zip(*values, strict=True))
    else:
        columns["label" if task == "classification" else "labels"] = values
    types = {
        "label": pa.string(),
        "labels": pa.list_(pa.string()),
        "boxes_xyxy": pa.list_(pa.list_(pa.float32(), 4)),
    }
    arrays = {name: pa.array(own, types.get(name, pa.string())) for name, own in columns.items()}
    return Manifest(pa.table(arrays), ("cat", "dog"), task=task)


def _n_rows(project: Project) -> list[int]:
    """Rows of the tables that were imported, in order."""
    return [one.record["n"] for one in project.annotation_log._log.read() if one.record["event"] == "imported"]


def _rows_stored(project: Project) -> int:
    files = io.list_files(project.location / "log/imports")
    return sum(len(project.annotation_log._read_file(f"log/imports/{one.path}")) for one in files)


def test_one_new_photo_is_one_new_row(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    assert project.add(_photos([(0, 0, "cat"), (1, 0, "dog"), (2, 0, None)])) == 3
    assert project.add(_photos([(0, 0, "cat"), (1, 0, "dog"), (2, 0, None)])) == 0
    assert project.add(_photos([(2, 0, None), (1, 0, "dog"), (0, 0, "cat")])) == 0  # in another order
    assert _n_rows(project) == [3]
    assert project.add(_photos([(0, 0, "cat"), (1, 0, "dog"), (2, 0, None), (3, 0, "dog")])) == 1
    assert _n_rows(project) == [3, 1]
    assert project.add(_photos([(0, 0, "dog"), (1, 1, "dog"), (2, 0, "cat")])) == 1  # a label, a picture, a first label
    assert _n_rows(project) == [3, 1, 3]
    assert _rows_stored(project) == 7
    labels = dict(zip(*(project.labels.state().table[name].to_pylist() for name in ("uri", "label")), strict=True))
    assert labels == {
        "/nowhere/0.jpg": "dog",
        "/nowhere/1.jpg": "dog",
        "/nowhere/2.jpg": "cat",
        "/nowhere/3.jpg": "dog",
    }


def test_a_new_class_is_news(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    photos = _photos([(0, 0, "cat")])
    project.add(photos)
    more = Manifest(photos.table, ("cat", "dog", "eel"))
    assert project.add(more) == 0
    assert project.classes.names() == ("cat", "dog", "eel")
    project.add(more)
    assert _n_rows(project) == [1, 0]


def test_what_was_undone_is_imported_again(tmp_path: Path) -> None:
    project = Project.create(tmp_path)
    photos = _photos([(0, 0, "cat"), (1, 0, "dog")])
    project.add(photos)
    project.labels.undo(project.annotation_log._log.read()[-1].id)
    assert len(project.labels.state()) == 0
    assert project.add(photos) == 2
    assert len(project.labels.state()) == 2


@pytest.mark.parametrize(
    ("task", "values"),
    [("classification", LABELS), ("multilabel", SETS), ("detection", BOXES)],
    ids=lambda one: str(one)[:5],
)
def test_the_state_is_as_if_all_rows_were_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, values: tuple[Any, ...]
) -> None:
    for seed in range(2):
        recorded = _random_project(tmp_path / f"{seed}", seed, task, values)
        with monkeypatch.context() as patch:
            patch.setattr("onlineml.data.annotations.log.unsaid", lambda table, *_: table)
            whole = _random_project(tmp_path / f"{seed}-whole", seed, task, values)
        assert recorded == whole
        assert len(whole["table"]) > 3


def _random_project(folder: Path, seed: int, task: str, values: tuple[Any, ...]) -> dict[str, Any]:
    chance = random.Random(seed)
    project = Project.create(folder, task=task, class_names=["cat", "dog"])
    for _ in range(5):
        there = sorted(chance.sample(range(8), chance.randint(4, 8)))
        project.add(_photos([(one, chance.choice([0, 0, 0, 1]), chance.choice(values)) for one in there], task))
        known = sorted(project.labels.state().table["image_id"].to_pylist())
        image_id = chance.choice(known)
        project.labels.set({image_id: chance.choice(values[:2])}, author="ann")
        if chance.random() < 0.4:
            project.images.delete(chance.choice(known), author="ann")
    state = project.labels.state()
    return {
        "table": sorted(state.table.to_pylist(), key=lambda row: row["image_id"]),
        "deleted": sorted(state.deleted.to_pylist(), key=lambda row: row["image_id"]),
        "conflicts": sorted(state.conflicts),
        "classes": (state.class_names, state.class_ids, dict(state.lineage)),
        "events": sorted(zip(*(state.provenance[name].to_pylist() for name in ("image_id", "event")), strict=True)),
    }
