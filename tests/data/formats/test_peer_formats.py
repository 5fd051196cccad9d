"""Other libraries read what we write, and we read what they write, with the same images, splits, classes and boxes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import peer_formats
from onlineml.data.manifest.manifest import Manifest
from picture_files import png

PEERS = os.environ.get("ONLINEML_PEERS", "")  # a Python that has them, given by nox -s formats

pytestmark = [pytest.mark.peers, pytest.mark.skipif(not PEERS, reason="nox -s formats runs these")]

SIZE_HW = (30, 40)
FACTS: dict[str, tuple[str, list[list[Any]]]] = {
    "a": ("train", [["cat", 1, 2, 11, 22], ["dog", 5, 3, 40, 30]]),
    "b": ("train", [["dog", 5, 6, 25, 16]]),
    "c": ("val", [["cat", 3, 4, 9, 10], ["cat", 20, 4, 29, 10], ["dog", 1, 1, 8, 9]]),
}
SHARES = 1e-3  # pixels: files of shares have five or six digits
# What each of them writes: whether splits are told, and how far corners may be off.
WRITTEN = {
    ("datumaro", "coco_instances"): (True, 0),
    ("datumaro", "voc_detection"): (True, 0),
    ("datumaro", "yolo_ultralytics"): (True, SHARES),
    ("datumaro", "cvat"): (True, 0),
    ("datumaro", "open_images"): (True, SHARES),
    ("datumaro", "kitti_detection"): (True, 0),
    ("supervision", "coco"): (False, 0),
    ("supervision", "createml"): (False, 0),
    ("supervision", "labelme"): (False, 0),
    ("supervision", "pascal_voc"): (False, 0),
    ("supervision", "yolo"): (False, SHARES),
}
# What each of them reads of ours, by the name of our format.
READ = {
    ("coco", "datumaro", "coco_instances"): 0,
    ("voc", "datumaro", "voc_detection"): 0,
    ("yolo", "datumaro", "yolo"): SHARES,
    ("cvat", "datumaro", "cvat"): 0,
    ("kitti", "datumaro", "kitti_detection"): 0,
    ("coco", "supervision", "coco"): 0,
    ("voc", "supervision", "pascal_voc"): 0,
    ("yolo", "supervision", "yolo"): SHARES,
    ("createml", "supervision", "createml"): 0,
    ("labelme", "supervision", "labelme"): 0,
}
FILES = {"coco": "annotations/instances_default.json", "cvat": "annotations.xml", "createml": "images"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(FACTS):
        (folder / f"{name}.png").write_bytes(png(np.full((*SIZE_HW, 3), 40 * number, np.uint8)))
    return folder


def peer(action: str, library: str, format_name: str, folder: Path, facts: Path) -> None:
    command = [PEERS, peer_formats.__file__, action, library, format_name, str(folder), str(facts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def found_in(manifest: Manifest) -> dict[str, tuple[str, list[list[Any]]]]:
    rows = manifest.table.select(["uri", "split", "labels", "boxes_xyxy"]).to_pylist()
    return {
        Path(row["uri"]).stem: (
            row["split"],
            [[label, *box] for label, box in zip(row["labels"], row["boxes_xyxy"], strict=True)],
        )
        for row in rows
    }


def require_equal(found: Any, *, splits: bool, tolerance: float) -> None:
    assert found.keys() == FACTS.keys()
    for name, (split, boxes) in FACTS.items():
        own_split, own = found[name]
        assert own_split == split or not splits
        assert [box[0] for box in sorted(own)] == [box[0] for box in sorted(boxes)]
        np.testing.assert_allclose(
            [box[1:] for box in sorted(own)], [box[1:] for box in sorted(boxes)], rtol=0, atol=tolerance
        )


@pytest.mark.parametrize(("library", "format_name"), WRITTEN)
def test_we_read_what_others_write(library: str, format_name: str, photos: Path, tmp_path: Path):
    facts = {f"{name}.png": {"split": split, "boxes": boxes} for name, (split, boxes) in FACTS.items()}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    peer("write", library, format_name, tmp_path / "written", tmp_path / "facts.json")
    splits, tolerance = WRITTEN[library, format_name]
    found = Manifest.from_any(tmp_path / "written")
    assert found.task == "detection"
    require_equal(found_in(found), splits=splits, tolerance=tolerance)


@pytest.mark.parametrize(("ours", "library", "format_name"), READ)
def test_others_read_what_we_write(ours: str, library: str, format_name: str, photos: Path, tmp_path: Path):
    rows = [
        {
            "image_id": name,
            "uri": f"{name}.png",
            "split": split,
            "boxes_xyxy": [box[1:] for box in boxes],
            "labels": [box[0] for box in boxes],
        }
        for name, (split, boxes) in FACTS.items()
    ]
    folder = tmp_path / "ours"
    if ours in FILES:  # whose images are not copied
        shutil.copytree(photos, folder / "images")
    root = folder / "images" if ours in FILES else photos
    manifest = Manifest(pa.Table.from_pylist(rows), ("cat", "dog"), root=str(root), task="detection")
    manifest.export(folder / FILES.get(ours, ""), format=ours)
    peer("read", library, format_name, folder, tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    pairs = {Path(name).stem: (fact["split"], fact["boxes"]) for name, fact in found.items()}
    require_equal(pairs, splits=False, tolerance=READ[ours, library, format_name])
