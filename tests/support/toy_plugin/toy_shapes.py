"""A package of somebody else: a format of its own, and a task that is classification under another name.

`tests/data/test_plugins.py` puts this folder, which has the metadata of an installed package, on the path of a process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from onlineml.data.formats import Format, Parts, Place, Source
from onlineml.data.kinds.label import LabelKind
from onlineml.storage import io
from onlineml.tasks.classification.task import CLASSIFICATION

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

INDEX = "shapes.toy"  # a line an image: its path, split and label, with blanks between them


def detect(place: Place) -> Source | None:
    return place.source() if INDEX in place.paths else None


def read(source: Source, *, holds: str) -> Parts:
    text = io.read_bytes(source.at / INDEX).decode()
    uris, splits, labels = zip(*(line.split() for line in text.splitlines()), strict=True)
    table = pa.table({"image_id": uris, "uri": uris, "split": splits, "label": labels})
    return Parts(table, tuple(sorted(set(labels))), source.where)


def write(manifest: Manifest, at: Location) -> str:
    rows = manifest.table.select(["uri", "split", "label"]).to_pylist()
    text = "".join(f"{row['uri']} {row['split']} {row['label']}\n" for row in rows)
    io.write_bytes(at / INDEX, text.encode())
    return at.url


class ToyKind(LabelKind):
    task: ClassVar[str] = "toy"


TOY_FORMAT = Format("toy", holds=("label",), expected=INDEX, detect=detect, read=read, write=write)
TOY_KIND = ToyKind()
TOY_TASK = replace(
    CLASSIFICATION,
    name="toy",
    title="Toy classifier",
    module="toy_learning:ToyClassifier",
    datamodule="toy_learning:ToyDataModule",
)
