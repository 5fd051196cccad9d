"""Test images whose bytes are in the training images."""

from __future__ import annotations

import pyarrow as pa
import pytest

from onlineml.data.manifest.manifest import Manifest
from onlineml.improving.gate.leaks import leaked_images


def manifest(rows) -> Manifest:
    columns = ("image_id", "sha256", "split")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)})
    n = len(rows)
    uris = [f"s3://lab/{row[0]}.jpg" for row in rows]
    sizes = [None if row[1] is None else 8 for row in rows]
    table = table.append_column("uri", pa.array(uris, pa.string())).append_column("version", pa.array([""] * n))
    for name in ("width", "height"):
        table = table.append_column(name, pa.array(sizes, pa.int32()))
    table = table.append_column("group", pa.array([row[0] for row in rows], pa.string()))
    return Manifest(table.append_column("label", pa.array([None] * n, pa.string())), class_names=("a",))


def sha(letter: str) -> str:
    return letter * 64


def test_nothing_leaks_from_nothing():
    assert leaked_images(manifest([("a", sha("a"), "train"), ("b", sha("b"), "test")])) == ()


@pytest.mark.parametrize(("trained_on", "found"), [(("train",), ("b", "f")), (("train", "val"), ("b", "d", "f"))])
def test_the_bytes_decide_and_unread_images_cannot_be_told(trained_on, found):
    data = manifest([
        ("a", sha("1"), "train"), ("b", sha("1"), "test"), ("c", sha("2"), "val"), ("d", sha("2"), "test"),
        ("e", sha("3"), "train"), ("f", sha("3"), "test"), ("g", None, "train"), ("h", None, "test"),
        ("i", sha("4"), "test"), ("j", sha("1"), None),
    ])  # fmt: skip

    assert leaked_images(data, trained_on=trained_on) == found
