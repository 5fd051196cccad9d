"""Names with characters that URLs and files give a meaning go through every reader and writer, and come back."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from onlineml.data.formats.locate import locate
from onlineml.data.formats.registry import formats
from onlineml.data.kinds import kind_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import OnlineMLError
from onlineml.project.project import Project
from onlineml.storage import io
from picture_files import plain, png
from stores import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = (
    *("plain.png", "c#1.png", "d?e=1.png", "e%20f.png", "g%.png", "%2e%2e.png", "h i.png", " j.png", "k .png"),
    *("l+m&n;o.png", "q'u\"o`te.png", "cafe\u0301.png", "\U0001f600.png", "-dash.png", "a,b.png", "[0]{1}*.png"),
    *("#folder/sub folder/~x$y@z!.png", "100%/r=s.png", "a:b.png", "(t).png", "m^n.png"),
)
DOUBLE = "u//v.png"  # a key of S3 with an empty part; disks have no such names, nor has memory:// of older fsspec
FILES = {  # formats that are one file
    **dict.fromkeys(("coco", "label_studio", "createml", "via"), "annotations.json"),
    **dict.fromkeys(("table", "boxes", "tensorflow_csv", "openimages"), "table.csv"),
    "azure": "azure.jsonl",
    "vertex": "vertex.jsonl",
    "sagemaker": "output.manifest",
    "cvat": "annotations.xml",
}
NO_BLANKS = {"kitti"}  # blanks part its columns, and the classes here have some
VALUES: dict[str, Any] = {
    "classification": {"label": lambda n: f"class {n % 3}"},
    "detection": {"boxes_xyxy": lambda n: [[1.0, 2.0, 5.0, 6.0 + n % 3]], "labels": lambda n: [f"class {n % 3}"]},
}


@pytest.fixture(params=["memory", "local", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as opened:
        yield opened


def planted(store: Store, task: str) -> Manifest:
    names = [*NAMES, DOUBLE] if store.kind == "s3" else [*NAMES]
    for number, name in enumerate(names):
        store.raw_write(f"photos/{name}", png(plain(number, (8, 16))))  # shares of powers of 2 are exact
    columns = {name: [of(number) for number in range(len(names))] for name, of in VALUES[task].items()}
    splits = [("train", "val", "test")[number % 3] for number in range(len(names))]
    table = pa.table({"image_id": [f"image-{n}" for n in range(len(names))], "uri": names, "split": splits, **columns})
    names = ("class 0", "class 1", "class 2")
    return Manifest(table, names, root=f"{store.url}/photos", task=task, storage_options=store.storage_options)


def meanings(manifest: Manifest) -> dict[str, Any]:
    """The annotation and the name of each image, by the hash of what lies at its address."""
    contents = io.read_many(manifest.urls(), storage_options=manifest.storage_options)
    rows = manifest.table.select([*VALUES[manifest.task], "uri"]).to_pylist()
    found = {}
    for row, content in zip(rows, contents, strict=True):
        assert isinstance(content, bytes), content
        name = row.pop("uri").rpartition("/")[2]
        found[sha256(content).hexdigest()] = {**row, "name": name}
    return found


@pytest.mark.parametrize("task", [*VALUES])
def test_names_come_back_as_they_were(task: str, place: Store) -> None:
    manifest = planted(place, task)
    wanted = meanings(manifest)
    project = Project.create(f"{place.url}/project", task=task, storage_options=place.storage_options)
    project.add(manifest)
    frozen = project.freeze(max_bad=0)
    assert meanings(frozen) == wanted
    wrong = {}
    for name, one in formats().items():
        if kind_of(task).key in one.holds and one.write is not None and name not in NO_BLANKS:
            file = FILES.get(name)
            url = f"{place.url}/photos/{file}" if file else f"{place.url}/{name}"
            try:
                frozen.export(url, format=name, storage_options=place.storage_options)
                back = Manifest.from_any(url, task=task, format=name, storage_options=place.storage_options)
                found = meanings(back)
                if name == "webdataset":  # a shard's members are numbered
                    found = {key: own | {"name": wanted[key]["name"]} for key, own in found.items()}
                if found != wanted:
                    wrong[name] = [(own, found.get(key)) for key, own in wanted.items() if found.get(key) != own]
            except (OnlineMLError, AssertionError) as error:
                wrong[name] = f"{type(error).__name__}: {error}"
    assert not wrong, wrong


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("caf\u00e9.png", "photos/cafe\u0301.png"),  # a zip of another system
        ("j.png", "photos/ j.png"),
        ("k.png", "photos/k .png"),
        ("u//v.png", "u//v.png"),
        ("u//v.png", "u/v.png"),
        ("s3://bucket/photos/c#1.png", "photos/c#1.png"),
        ("https://host/photos/h%20i.png?token=1#x", "photos/h i.png"),
        ("photos\\h i.png", "photos/h i.png"),
        ("e%20f.png", "photos/e%20f.png"),
        ("e f.png", None),
    ],
)
def test_a_name_in_a_file_and_the_name_on_the_storage(written: str, path: str | None) -> None:
    others = ["photos/other.png", "photos/e%20f.png", "e%20f/x.png"]
    assert locate([written], sorted({*others, *([path] if path else [])})).paths == [path]
