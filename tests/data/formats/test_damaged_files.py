"""A damaged annotation file is refused with one of our errors that names it, or read; whatever the format."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from fuzzing import attack
from layouts import Layout, plant
from layouts_of_boxes import BOXES
from layouts_of_labels import LABELS
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError, OnlineMLError

if TYPE_CHECKING:
    from pathlib import Path

_ANNOTATIONS = (".json", ".jsonl", ".manifest", ".xml", ".csv", ".tsv", ".txt", ".TXT", ".yaml", ".data", ".names")


def _files(layout: Layout) -> list[str]:
    return [path for path in layout.others if path.endswith(_ANNOTATIONS) and "README" not in path]


READABLE = {one.name: one for one in (*LABELS, *BOXES) if not one.refused and _files(one)}
ONE_OF_EACH_FORMAT = (
    *("COCO 2017", "CVAT for images", "Pascal VOC", "KITTI", "Ultralytics with data.yaml", "CVAT's YOLO 1.1"),
    *("OIDv4 ToolKit", "LabelMe", "Label Studio", "VIA", "VIA 3", "CreateML of Roboflow", "SageMaker Ground Truth"),
    *("Azure AutoML", "Vertex AI's boxes", "Hugging Face ImageFolder with lines of JSON", "Open Images"),
    *("RetinaNet's CSV", "TensorFlow's CSV of Roboflow", "a table beside the folder of images", "Tiny ImageNet"),
)


def _attack(name: str, folder: Path, *, long: bool = False) -> None:
    url = plant(READABLE[name], folder)
    files = {folder / path: (folder / path).read_bytes() for path in _files(READABLE[name])}
    attack(files, lambda: Manifest.from_any(url), long=long)


@pytest.mark.parametrize("name", ONE_OF_EACH_FORMAT)
def test_only_our_errors_come_out_and_name_the_file(name: str, tmp_path: Path) -> None:
    _attack(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", READABLE)
def test_only_our_errors_come_out_of_any_layout(name: str, tmp_path: Path) -> None:
    _attack(name, tmp_path, long=True)


def test_a_number_of_classes_that_nobody_has_is_refused(tmp_path: Path) -> None:
    url = plant(READABLE["Ultralytics with data.yaml"], tmp_path)
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnc: 999999999999\n")
    with pytest.raises(DataError, match=r"data\.yaml: nc is 999,999,999,999; expected at most"):
        Manifest.from_any(url)


def test_a_shape_that_is_a_list_is_named(tmp_path: Path) -> None:
    url = plant(READABLE["VIA 3"], tmp_path)
    file = next(path for path in tmp_path.rglob("*.json") if b'"xy"' in path.read_bytes())
    file.write_bytes(re.sub(rb'"xy": ?\[2', b'"xy": [[2]', file.read_bytes()))
    with pytest.raises(DataError, match=rf"{re.escape(file.name)}.*xy"):
        Manifest.from_any(url)


def test_an_id_of_thousands_of_digits_is_no_crash(tmp_path: Path) -> None:
    url = plant(READABLE["COCO with corners"], tmp_path)
    file = tmp_path / "all.json"
    file.write_text(file.read_text().replace('"image_id": 1', f'"image_id": {"9" * 5000}', 1))
    Manifest.from_any(url)


def test_a_table_with_several_columns_without_a_name_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("TRAINING,.1,0.25,,,0.5,0.75,,\n")
    with pytest.raises(DataError, match=r"a\.csv has no column 'path'"):
        Manifest.from_any(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "content",
    [b"9" * 60_000, b"0 " + b"1" * 60_000, b"0 1 1 1 " + b"1" * 60_000 + b"x", b"a.jpg" + b"\n" * 60_000],
    ids=["digits", "a long number", "a row with an end", "blank lines"],
)
def test_no_expression_tries_all_divisions_of_a_long_text(tmp_path: Path, content: bytes) -> None:
    """Hours, or for ever, where an expression backtracks."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"")
    (tmp_path / "labels" / "a.txt").write_bytes(content)
    begun = time.process_time()
    with contextlib.suppress(OnlineMLError):
        Manifest.from_any(str(tmp_path))
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("line", ["kpt_shape: [{}, 3]", "names: {{{}: cat}}", "nc: {}", "names: [cat]\nnc: {}"])
def test_a_number_of_thousands_of_digits_in_a_description(tmp_path: Path, line: str) -> None:
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "data.yaml").write_text(f"train: images/train\n{line.format('9' * 5000)}\n")
    try:
        assert Manifest.from_any(str(tmp_path)).class_names == ("cat",)
    except DataError as error:
        assert "data.yaml" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "label": 1' + 400 * "0" + ".0}"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "' + 5000 * "9" + '"}'),
        ("metadata.jsonl", '{"file_name": "' + 60_000 * "x" + '", "label": "a"}\n{"file_name": "a.png", "label": "b"}'),
        ("import.csv", "training,gs://[null]/a.png,cat"),
        ("annotations/a.txt", f"{5000 * '9'},1,2,3,1,1,0,0"),
    ],
    ids=["infinite", "digits", "a long name", "no host", "a place of digits"],
)  # fmt: skip
def test_values_that_fuzzing_found(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "annotations").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / name).write_text(content)
    begun = time.process_time()
    with contextlib.suppress(OnlineMLError):
        Manifest.from_any(str(tmp_path))
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("n", [300_000, 1_000_000])
def test_a_million_class_names_are_refused_soon(tmp_path: Path, n: int) -> None:
    url = plant(READABLE["Ultralytics with data.yaml"], tmp_path)
    names = "".join(f"- name{i}\n" for i in range(n))
    (tmp_path / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames:\n{names}")
    begun = time.process_time()
    with pytest.raises(DataError, match=r"data\.yaml.* expected at most"):
        Manifest.from_any(url)
    assert time.process_time() - begun < 60
