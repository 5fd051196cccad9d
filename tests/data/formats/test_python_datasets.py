"""Datasets that are Python objects: real ones of torchvision, and stand-ins with the attributes of Hugging Face's."""

from __future__ import annotations

import io
import json
from collections import UserList
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import Subset
from torchvision import datasets as vision

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io as storage
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def column(found: Manifest, *names: str) -> list[Any]:
    rows = found.table.select([*names]).to_pylist()
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]


def images(folder: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(png(noise(number)))


# ---- torchvision and PyTorch ----


def test_files_of_class_folders_stay_where_they_are(tmp_path: Path) -> None:
    images(tmp_path, "train/cat/0.png", "train/dog/0.png", "test/cat/0.png")
    train = vision.ImageFolder(str(tmp_path / "train"))
    test = vision.ImageFolder(str(tmp_path / "test"), allow_empty=True)

    found = Manifest.from_dataset({"train": train, "test": test})

    expected = [
        ("train/cat/0.png", "train", "cat"),
        ("train/dog/0.png", "train", "dog"),
        ("test/cat/0.png", "test", "cat"),
    ]
    assert column(found, "uri", "split", "label") == expected
    assert (found.root, found.class_names) == (str(tmp_path), ("cat", "dog"))
    assert all(found.versions())
    some = Manifest.from_dataset(Subset(train, [1]))
    assert column(some, "uri", "label") == [("0.png", "dog")]


def test_coco_detection(tmp_path: Path) -> None:
    images(tmp_path, "photos/a.png", "photos/b.png")
    document = {
        "images": [{"id": 5, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4], "iscrowd": 1, "area": 12}],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))

    found = Manifest.from_dataset(vision.CocoDetection(str(tmp_path / "photos"), str(tmp_path / "a.json")))

    assert found.task == "detection"
    assert column(found, "uri", "boxes_xyxy", "labels", "crowd") == [
        ("a.png", [], [], None),
        ("b.png", [[1.0, 2.0, 4.0, 6.0]], ["dog"], [True]),
    ]
    assert found.class_names == ("cat", "dog")


def test_voc_detection_counts_pixels_from_one(tmp_path: Path) -> None:
    home = tmp_path / "VOCdevkit" / "VOC2012"
    images(home, "JPEGImages/a.jpg")
    for folder in ("Annotations", "ImageSets/Main"):
        (home / folder).mkdir(parents=True)
    (home / "ImageSets/Main/train.txt").write_text("a\n")
    box = "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>10</xmax><ymax>12</ymax></bndbox>"
    (home / "Annotations/a.xml").write_text(f"<annotation><object><name>cat</name>{box}</object></annotation>")

    found = Manifest.from_dataset(vision.VOCDetection(str(tmp_path), image_set="train"))

    assert column(found, "uri", "boxes_xyxy", "labels") == [("a.jpg", [[0.0, 2.0, 10.0, 12.0]], ["cat"])]


class InMemory:
    """What CIFAR10 has."""

    classes = ("cat", "dog")

    def __init__(self, n: int) -> None:
        self.data = np.stack([noise(number) for number in range(n)])
        self.targets = [number % 2 for number in range(n)]


def test_images_in_memory_are_written_without_loss_and_the_same_again(tmp_path: Path) -> None:
    data = InMemory(3)

    found = Manifest.from_dataset({"train": data, "validation": InMemory(1)}, folder=tmp_path / "made")

    assert column(found, "split", "label") == [("train", "cat"), ("train", "dog"), ("train", "cat"), ("val", "cat")]
    for url, pixels in zip(found.urls(), [*data.data, data.data[0]], strict=True):
        np.testing.assert_array_equal(np.asarray(Pillow.open(url)), pixels)
    again = Manifest.from_dataset({"train": data, "validation": InMemory(1)}, folder=tmp_path / "made")
    assert again.urls() == found.urls()
    with pytest.raises(ConfigError, match=r"only in memory.*folder="):
        Manifest.from_dataset(data)


class Pairs:
    """A dataset of anybody's."""

    def __init__(self, *content: Any) -> None:
        self.content = content

    def __len__(self) -> int:
        return len(self.content)

    def __getitem__(self, place: int) -> Any:
        return self.content[place]


def test_pairs_of_an_image_and_a_class(tmp_path: Path) -> None:
    grey = Pillow.fromarray(noise(0)[:, :, 0])
    first = torch.from_numpy(noise(1)).permute(2, 0, 1)  # channels first
    data = Pairs((grey, 0), (first, torch.tensor(1)), (noise(2), -1), (grey, "cat"), (grey, None))

    found = Manifest.from_dataset(data, folder=tmp_path)

    assert column(found, "label") == ["0", "1", None, "cat", None]
    np.testing.assert_array_equal(np.asarray(Pillow.open(found.urls()[1])), noise(1))
    named = Manifest.from_dataset(data, folder=tmp_path, class_names=["dog", "cat"])
    assert column(named, "label") == ["dog", "cat", None, "cat", None]


@pytest.mark.parametrize(
    "data",
    [
        Pairs((torch.zeros(3, 4, 4), 1)),
        Pairs((noise(0), {"boxes": []})),
        Pairs(noise(0)),
        Pairs(),
        iter([1]),
        {"unsupervised": Pairs()},
        {},
        {"val": Pairs(), "valid": Pairs()},
    ],
)
def test_other_objects_are_refused(data: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Manifest.from_dataset(data, folder=tmp_path)


# ---- Hugging Face ----


class Image:
    """The feature of a column of images; the import asks for its rows undecoded."""

    def __init__(self, *, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    """The feature of a column of classes."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)


class List:
    """The feature of a column of lists."""

    def __init__(self, feature: Any) -> None:
        self.feature = feature


class Rows(UserList[Any]):
    """What a ``datasets.Dataset`` has."""

    def __init__(self, features: dict[str, Any], *rows: dict[str, Any]) -> None:
        super().__init__(rows)
        self.features = features
        self.column_names = list(features)

    def cast_column(self, name: str, feature: Any) -> Rows:
        return Rows({**self.features, name: feature}, *self.data)

    def __getitem__(self, place: Any) -> Any:
        image = next(name for name, feature in self.features.items() if isinstance(feature, Image))
        assert not self.features[image].decode  # no image is decoded
        return self.data[place]


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(noise(number)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_bytes_are_written_as_they_are_and_paths_stay(tmp_path: Path) -> None:
    features = {"image": Image(), "label": ClassLabel("cat", "dog"), "note": object()}
    contents = [png(noise(0)), jpeg(1)]
    inside = Rows(features, *({"image": {"bytes": c, "path": "x.jpg"}, "label": n} for n, c in enumerate(contents)))
    images(tmp_path, "a/0.png")
    files = Rows(features, {"image": {"bytes": None, "path": str(tmp_path / "a/0.png")}, "label": -1})

    found = Manifest.from_dataset({"train": inside}, folder=tmp_path / "made")
    other = Manifest.from_dataset(files)

    assert [(tmp_path / "made" / uri).read_bytes() for uri in column(found, "uri")] == contents
    assert [url.rpartition(".")[2] for url in found.urls()] == ["png", "jpg"]
    assert column(found, "label") == ["cat", "dog"]
    assert (other.urls(), column(other, "label")) == ([str(tmp_path / "a/0.png")], [None])


def test_objects_of_rows(tmp_path: Path) -> None:
    names = ClassLabel("cat", "dog")
    objects = {"bbox": List(List(object())), "category": List(names), "id": List(object())}
    row = {
        "image": {"bytes": png(noise(0)), "path": None},
        "objects": {"bbox": [[1, 2, 3, 4]], "category": [1], "id": [8]},
    }
    empty = {"image": {"bytes": png(noise(1)), "path": None}, "objects": {"bbox": [], "category": [], "id": []}}
    data = Rows({"image": Image(), "objects": objects, "width": object()}, row, empty)

    found = Manifest.from_dataset(data, folder=tmp_path)

    assert found.task == "detection"
    assert column(found, "boxes_xyxy", "labels", "id") == [([[1.0, 2.0, 4.0, 6.0]], ["dog"], [8]), ([], [], None)]
    assert found.class_names == ("cat", "dog")
    assert column(Manifest.from_dataset(data, folder=tmp_path, task="multilabel"), "labels") == [["dog"], []]


def test_columns_must_be_unambiguous(tmp_path: Path) -> None:
    image = {"bytes": png(noise(0)), "path": None}
    two = Rows(
        {"img": Image(), "fine": ClassLabel("a"), "coarse": ClassLabel("b")}, {"img": image, "fine": 0, "coarse": 0}
    )

    with pytest.raises(ConfigError, match="several columns of annotations: fine, coarse; choose one with label="):
        Manifest.from_dataset(two, folder=tmp_path)
    assert column(Manifest.from_dataset(two, folder=tmp_path, label="coarse"), "label") == ["b"]
    with pytest.raises(ConfigError, match="label='x': the dataset has the columns img, fine, coarse"):
        Manifest.from_dataset(two, folder=tmp_path, label="x")
    with pytest.raises(ConfigError, match="2 columns of images: a, b"):
        Manifest.from_dataset(Rows({"a": Image(), "b": Image()}), folder=tmp_path)


def test_lists_of_classes(tmp_path: Path) -> None:
    image = {"bytes": png(noise(0)), "path": None}
    data = Rows({"image": Image(), "labels": List(ClassLabel("a", "b", "c"))}, {"image": image, "labels": [2, 0]})

    found = Manifest.from_dataset(data, folder=tmp_path)

    assert (found.task, column(found, "labels")) == ("multilabel", [["a", "c"]])


class Stream:
    """What an ``IterableDataset`` has."""

    features: dict[str, Any] = {}  # noqa: RUF012
    column_names = ()


def test_streams_have_no_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Stream has no rows by number; load it with streaming=False"):
        Manifest.from_dataset({"train": Stream()}, folder=tmp_path)


# ---- images inside Parquet ----


def parquet(path: Path, *rows: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    told = json.dumps({"info": {"features": features or {}}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([*rows]).replace_schema_metadata({"huggingface": told}), path, row_group_size=2)


def row(number: int, label: int | None) -> dict[str, Any]:
    return {"image": {"bytes": png(noise(number)), "path": f"{number}.png"}, "label": label}


def test_parquet_as_hugging_face_stores_it(store: Store) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    for name, rows in (
        ("train-00000-of-00002", (0, 1, 2)),
        ("train-00001-of-00002", (3,)),
        ("test-00000-of-00001", (4,)),
    ):
        told = json.dumps({"info": {"features": features}}).encode()
        table = pa.Table.from_pylist([row(n, n % 2) for n in rows]).replace_schema_metadata({"huggingface": told})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, row_group_size=2)
        store.raw_write(f"set/data/{name}.parquet", buffer.getvalue())
    url, options = f"{store.url}/set", store.storage_options

    found = Manifest.from_dataset(url, folder=f"{store.url}/made", storage_options=options)

    assert column(found, "split", "label") == [
        *(("test", "cat"), ("train", "cat"), ("train", "dog"), ("train", "cat"), ("train", "dog")),
    ]
    contents = storage.read_many(found.urls(), storage_options=options)
    assert contents == [png(noise(number)) for number in (4, 0, 1, 2, 3)]
    with pytest.raises(DataError, match=r"are inside Parquet; write them as files, with Manifest\.from_dataset\("):
        Manifest.from_any(url, storage_options=options)


def test_objects_in_parquet_and_files_that_do_not_belong_together(tmp_path: Path) -> None:
    names = {"names": ["cat", "dog"], "_type": "ClassLabel"}
    features = {"objects": {"_type": "Sequence", "feature": {"bbox": {"_type": "Value"}, "category": names}}}
    objects = {"image": row(0, 0)["image"], "objects": {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [1]}}
    parquet(tmp_path / "in" / "train.parquet", objects, features=features)

    found = Manifest.from_dataset(tmp_path / "in", folder=tmp_path / "made")
    assert column(found, "boxes_xyxy", "labels") == [([[1.0, 2.0, 4.0, 6.0]], ["dog"])]

    parquet(tmp_path / "in" / "train-2.parquet", row(1, 0))
    with pytest.raises(DataError, match="has other columns than"):
        Manifest.from_dataset(tmp_path / "in", folder=tmp_path / "made")
    with pytest.raises(ConfigError, match="expected Parquet files with images"):
        Manifest.from_dataset(tmp_path / "made", folder=tmp_path / "again")
