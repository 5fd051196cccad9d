"""Any order of changes to a folder, imports, words and freezes, against a dictionary of contents."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_project_addresses import picture

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from onlineml.project.project import Project

CLASSES = ("cat", "dog")
NAMES = ("a", "b", "c")
PATHS = [f"{label}/{name}.png" for label in CLASSES for name in NAMES]


@dataclass
class World:
    """A folder and its project, and what is known of both without asking the project.

    Attributes:
        files: the number of the picture at each path.
        imported: (picture, time) of each path at the last import.
        given: by picture, the label that a person gave it.
        folder: by picture, the class folder that it was last imported from.
        deleted: pictures that a person deleted.
        pictures: the picture of each image id.
    """

    root: Path
    files: dict[str, int] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    imported: dict[str, tuple[int, int]] = field(default_factory=dict)
    given: dict[int, str] = field(default_factory=dict)
    folder: dict[int, str] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    pictures: dict[str, int] = field(default_factory=dict)
    clock: int = 1_700_000_000
    n_pictures: int = 0

    def __post_init__(self) -> None:
        self.project = Project.create(self.root / "p")

    # ---- the folder ----

    def write(self, a: int, b: int) -> None:
        """Add a photo or overwrite one."""
        self.n_pictures += 1
        self._put(PATHS[a % len(PATHS)], self.n_pictures)

    def put_back(self, a: int, b: int) -> None:
        """Write a picture that was in the folder before, anywhere."""
        old = sorted(set(range(1, self.n_pictures + 1)) - set(self.files.values()))
        if old:
            self._put(PATHS[a % len(PATHS)], old[b % len(old)])

    def _put(self, path: str, number: int) -> None:
        place = self.root / "in" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(number))
        self.files[path] = number
        self._date(path)

    def _date(self, path: str) -> None:
        self.clock += 1
        self.times[path] = self.clock
        os.utime(self.root / "in" / path, (self.clock, self.clock))

    def touch(self, a: int, b: int) -> None:
        if self.files:
            self._date(sorted(self.files)[a % len(self.files)])

    def remove(self, a: int, b: int) -> None:
        if self.files:
            path = sorted(self.files)[a % len(self.files)]
            (self.root / "in" / path).unlink()
            del self.files[path], self.times[path]

    def move(self, a: int, b: int) -> None:
        """Move a photo with its time, perhaps over another one."""
        if self.files:
            path, new = sorted(self.files)[a % len(self.files)], PATHS[b % len(PATHS)]
            (self.root / "in" / new).parent.mkdir(parents=True, exist_ok=True)
            (self.root / "in" / path).rename(self.root / "in" / new)
            self.files[new], self.times[new] = self.files.pop(path), self.times.pop(path)

    # ---- people ----

    def _spoken_of(self, a: int) -> tuple[str, int] | None:
        """An image whose file is as it was imported, and its picture."""
        known = {
            path: pair for path, pair in self.imported.items() if (self.files.get(path), self.times.get(path)) == pair
        }
        ids = {
            row["uri"].partition("/in/")[2]: row["image_id"] for row in self.project.labels.state().table.to_pylist()
        }
        paths = sorted(set(known) & set(ids))
        return (ids[paths[a % len(paths)]], known[paths[a % len(paths)]][0]) if paths else None

    def label(self, a: int, b: int) -> None:
        if (found := self._spoken_of(a)) is not None:
            with contextlib.suppress(DataError):  # the class is not in the project yet
                self.project.labels.set({found[0]: CLASSES[b % 2]})
                self.given[found[1]] = CLASSES[b % 2]

    def delete(self, a: int, b: int) -> None:
        if (found := self._spoken_of(a)) is not None:
            self.project.images.delete(found[0])
            self.deleted.add(found[1])

    def restore(self, a: int, b: int) -> None:
        ids = self.project.labels.state().deleted["image_id"].to_pylist()
        if ids:
            self.project.images.restore(ids[a % len(ids)])
            self.deleted.discard(self.pictures[ids[a % len(ids)]])

    # ---- the project ----

    def label_of(self, number: int) -> str:
        return self.given.get(number, self.folder[number])

    def add(self, a: int, b: int) -> None:
        if not self.files:
            return
        self.project.add(Manifest.from_folders(self.root / "in"))
        self.folder |= {number: path.partition("/")[0] for path, number in self.files.items()}
        self.imported = {path: (number, self.times[path]) for path, number in self.files.items()}
        state = self.project.labels.state()
        rows = {row["uri"].partition("/in/")[2]: row for row in state.table.to_pylist()}
        assert len(rows) == len(state.table)
        there = {path: number for path, number in self.files.items() if number not in self.deleted}
        assert {path: row["label"] for path, row in rows.items()} == {p: self.label_of(n) for p, n in there.items()}
        self.pictures |= {row["image_id"]: there[path] for path, row in rows.items()}

    def freeze(self, a: int, b: int) -> None:
        data = self.project.freeze(max_bad=1.0)
        found = {
            uri.partition("/in/")[2]: label for uri, label in zip(data.column("uri"), data.column("label"), strict=True)
        }
        assert len(found) == len(data)
        same = {path: pair[0] for path, pair in self.imported.items() if self.files.get(path) == pair[0]}
        may = {path: self.label_of(number) for path, number in same.items() if number not in self.deleted}
        assert found.items() <= may.items()  # no picture under a label that was given to another
        sure = {path for path in may if self.times[path] == self.imported[path][1]}
        assert sure <= set(found)  # nor one lost that is there as it was imported


STEPS = ("write", "put_back", "touch", "remove", "move", "label", "delete", "restore", "add", "add", "freeze")


@example([("write", 0, 0), ("touch", 1, 0), ("add", 0, 0), ("move", 1, 5)])  # whoever took an address moves on
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11), st.integers(0, 11)), min_size=4, max_size=24))
def test_any_order(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for number in range(3):
            world.write(number * 2, 0)
        for step, a, b in [("add", 0, 0), *steps, ("add", 0, 0), ("freeze", 0, 0)]:
            getattr(world, step)(a, b)


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("classification", {"label": ["cat"]}),
        ("detection", {"boxes_xyxy": [[[1.0, 1.0, 5.0, 6.0]]], "labels": [["cat"]]}),
        ("multilabel", {"labels": [["cat", "dog"]]}),
    ],
)
def test_a_moved_collection_keeps_the_annotations_of_every_task(tmp_path: Path, task: str, value: dict) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture(1))
    table = pa.table({"image_id": ["x"], "uri": ["a.png"], "split": ["val"], "group": ["g"], **value})
    project = Project.create(tmp_path / "p", task=task)
    project.add(Manifest(table, CLASSES, root=str(tmp_path / "in"), task=task))
    first, before = project.freeze(), project.labels.state().row("x")
    (tmp_path / "in").rename(tmp_path / "there")
    assert project.images.moved(tmp_path / "in", tmp_path / "there") == 1
    after = project.labels.state().row("x")
    assert after["uri"] == str(tmp_path / "there" / "a.png")
    moved = {"uri", "version", "sha256", "width", "height"}
    assert {k: v for k, v in after.items() if k not in moved} == {k: v for k, v in before.items() if k not in moved}
    assert project.freeze() == first
