"""Files of annotations as clouds write them: SageMaker Ground Truth, Azure AutoML and Vertex AI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

SIZE_HW = (100, 200)
TYPE = "groundtruth/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images of 200 x 100 pixels in ``images``."""
    (tmp_path / "images").mkdir()
    for number in range(4):
        (tmp_path / "images" / f"{number}.png").write_bytes(png(noise(number, SIZE_HW)))
    return tmp_path


def write(path: Path, *rows: dict[str, Any] | str) -> None:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def boxes_of(found: Manifest) -> dict[str, Any]:
    """Boxes with their labels, by the number of the image; None where nobody annotated it."""
    rows = found.table.select(["uri", "boxes_xyxy", "labels"]).to_pylist()
    return {
        row["uri"][-5]: None if row["boxes_xyxy"] is None else [*zip(row["labels"], row["boxes_xyxy"], strict=True)]
        for row in rows
    }


def column(found: Manifest, name: str) -> dict[str, Any]:
    return {row["uri"][-5]: row[name] for row in found.table.select(["uri", name]).to_pylist()}


def boxed(number: int, *boxes: dict[str, int], job: str = "job", **metadata: Any) -> dict[str, Any]:
    """A line of Ground Truth; only the classes of its boxes are in its map, as in real files."""
    names = {0: "cat", 1: "dog"}
    return {
        "source-ref": f"s3://bucket/team/images/{number}.png",
        job: {"annotations": [*boxes], "image_size": [{"width": 200, "height": 100, "depth": 3}]},
        f"{job}-metadata": {
            "class-map": {str(box["class_id"]): names[box["class_id"]] for box in boxes},
            "objects": [{"confidence": 0.5} for _ in boxes],
            "type": f"{TYPE}object-detection",
            **metadata,
        },
    }


DOG = {"class_id": 1, "top": 10, "left": 20, "width": 40, "height": 30}
CAT = {"class_id": 0, "top": 0, "left": 0, "width": 200, "height": 100}


# ---- SageMaker Ground Truth ----


def test_ground_truth_counts_pixels_from_the_upper_left_corner(folder: Path) -> None:
    failed = {"failure-reason": "no worker"}
    write(folder / "out.manifest", boxed(0, DOG), boxed(1), boxed(2, CAT, DOG), boxed(3, **failed))

    found = Manifest.from_any(folder / "out.manifest", task="detection")

    dog, cat = ("dog", [20.0, 10.0, 60.0, 40.0]), ("cat", [0.0, 0.0, 200.0, 100.0])
    assert boxes_of(found) == {"0": [dog], "1": [], "2": [cat, dog], "3": None}
    assert found.class_names == ("cat", "dog")  # by their numbers
    assert column(found, "confidence")["2"] == [0.5, 0.5]
    assert column(found, "declared_width")["0"] == 200
    assert found.check().manifest.kind.content  # its sizes fit


def test_ground_truth_files_by_split(folder: Path) -> None:
    write(folder / "train.manifest", boxed(0, DOG), boxed(1))
    write(folder / "my-validation.manifest", boxed(2))

    assert column(Manifest.from_any(folder, task="detection"), "split") == {"0": "train", "1": "train", "2": "val"}

    write(folder / "val2.manifest", boxed(3))
    with pytest.raises(
        DataError, match=r"several files of annotations: my-validation\.manifest, train\.manifest, val2"
    ):
        Manifest.from_any(folder, task="detection")


def test_a_file_of_all_beside_the_files_of_splits_adds_what_they_lack(folder: Path) -> None:
    write(folder / "output.manifest", boxed(0, DOG), boxed(1), boxed(2))
    write(folder / "train.manifest", boxed(0, DOG))
    write(folder / "validation.manifest", boxed(1))

    splits = column(Manifest.from_any(folder), "split")

    assert (splits["0"], splits["1"], splits["2"] in {"train", "val", "test"}) == ("train", "val", True)


def labelled(number: int, value: Any, kind: str, job: str = "job", **metadata: Any) -> dict[str, Any]:
    return {
        "source-ref": f"s3://bucket/images/{number}.png",
        job: value,
        f"{job}-metadata": {"type": TYPE + kind, **metadata},
    }


def test_ground_truth_classes(folder: Path) -> None:
    write(
        folder / "out.manifest",
        labelled(0, 1, "image-classification", **{"class-name": "dog"}),
        labelled(1, 0, "image-classification", **{"class-name": "cat"}),
        {"source-ref": "s3://bucket/images/2.png"},
    )

    found = Manifest.from_any(folder / "out.manifest", task="classification")

    assert column(found, "label") == {"0": "dog", "1": "cat", "2": None}
    assert found.class_names == ("cat", "dog")


def test_ground_truth_sets_of_classes(folder: Path) -> None:
    names = {"class-map": {"0": "person", "8": "bicycle"}}
    several = {**labelled(1, 0, "image-classification", "a", **{"class-name": "football"})}
    several |= labelled(1, 1, "image-classification", "b", **{"class-name": "ball"})
    write(folder / "one.manifest", labelled(0, [8, 0], "image-classification-multilabel", **names))
    write(folder / "rekognition.manifest", several)

    sets = [
        column(Manifest.from_any(folder / name, task="multilabel"), "labels")
        for name in ("one.manifest", "rekognition.manifest")
    ]

    assert sets == [{"0": ["bicycle", "person"]}, {"1": ["ball", "football"]}]
    with pytest.raises(DataError, match=r"rekognition\.manifest:1 has the label attributes 'a', 'b'; choose one with"):
        Manifest.from_any(folder / "rekognition.manifest", task="classification")


def test_plain_values_as_the_algorithm_of_image_classification_takes_them(folder: Path) -> None:
    write(
        folder / "train.manifest", *({"source-ref": f"s3://image/{n}.png", "class": c} for n, c in enumerate(("0", 1)))
    )

    found = Manifest.from_any(folder / "train.manifest")

    assert column(found, "label") == {"0": "0", "1": "1"}
    write(folder / "train.manifest", {"source-ref": "s3://image/0.png", "class": 0, "angle": 3})
    with pytest.raises(DataError, match=r"the label attributes 'class', 'angle'; choose one with label="):
        Manifest.from_any(folder / "train.manifest")
    write(folder / "train.manifest", {"source-ref": "s3://image/0.png", "moderation": {"ModerationLabels": []}})
    with pytest.raises(DataError, match=r"found 'moderation' \(unknown\)"):
        Manifest.from_any(folder / "train.manifest")


def test_ground_truth_of_chained_jobs_needs_a_choice(folder: Path) -> None:
    first, second = boxed(0, CAT, job="draft"), boxed(0, DOG, job="adjusted")
    checked = {"check": 0, "check-metadata": {"type": f"{TYPE}label-verification", "class-name": "good"}}
    write(folder / "out.manifest", {**first, **second, **checked})

    with pytest.raises(DataError, match=r"out\.manifest:1 has the label attributes 'draft', 'adjusted'; .*label="):
        Manifest.from_any(folder / "out.manifest", task="detection")

    chosen = Manifest.from_any(folder / "out.manifest", task="detection", label="adjusted")
    assert boxes_of(chosen) == {"0": [("dog", [20.0, 10.0, 60.0, 40.0])]}
    with pytest.raises(DataError, match=r"'other'.*found 'draft'"):
        Manifest.from_any(folder / "out.manifest", task="detection", label="other")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**boxed(0), "source-ref": None}, r"'source-ref' .*out\.manifest:2"),
        (boxed(0, {**DOG, "left": None}), r"out\.manifest:2: job: expected left, top, width and height as numbers"),
        (labelled(0, 1, "image-classification", **{"class-name": "dog"}) | boxed(0), None),
        ('{"source-ref": ', r"1 line of out\.manifest is no JSON object: '2: "),
        ("[1]", "'2: list'"),
    ],
)
def test_bad_lines_of_ground_truth_are_named(row: Any, message: str | None, folder: Path) -> None:
    write(folder / "out.manifest", boxed(1, DOG), row)

    if message is None:  # boxes and a class: the task tells which is meant
        assert boxes_of(Manifest.from_any(folder / "out.manifest", task="detection"))["0"] == []
        return
    with pytest.raises(DataError, match=message):
        Manifest.from_any(folder / "out.manifest", task="detection")


def test_masks_are_refused_by_name(folder: Path) -> None:
    write(folder / "out.manifest", labelled(0, "s3://bucket/mask.png", "semantic-segmentation", "job-ref"))

    with pytest.raises(DataError, match=r"type object-detection; found 'job-ref' \(semantic-segmentation\)"):
        Manifest.from_any(folder / "out.manifest", task="detection")


# ---- Azure ----


def test_azure_counts_shares(folder: Path) -> None:
    box = {"label": "dog", "topX": 0.1, "topY": "0.1", "bottomX": 0.3, "bottomY": 0.4, "isCrowd": 1}
    polygon = {"label": "cat", "isCrowd": 0, "polygon": [[0.5, 0.2, 0.9, 0.1, 0.6, 0.8]]}
    store = "azureml://subscriptions/a/resourcegroups/b/workspaces/c/datastores/d/paths/images/"
    write(
        folder / "train_annotations.jsonl",
        {"image_url": f"{store}0.png", "image_details": {"width": "200px", "height": "100px"}, "label": [box]},
        {"image_url": "AmlDatastore://images/1.png", "label": [polygon]},  # its size is read from the image
        {"image_url": "AmlDatastore://images/2.png", "label": box},
        {"image_url": "AmlDatastore://images/3.png", "label": []},
    )

    found = Manifest.from_any(folder, task="detection")

    boxes = boxes_of(found)
    assert boxes["3"] == []
    assert [label for own in boxes.values() for label, _ in own] == ["dog", "cat", "dog"]
    np.testing.assert_allclose(
        [b for own in boxes.values() for _, b in own][:2], [[20, 10, 60, 40], [100, 10, 180, 80]]
    )
    assert column(found, "crowd")["0"] == [True]
    assert set(column(found, "split").values()) == {"train"}


def test_azure_pixels_are_refused(folder: Path) -> None:
    box = {"label": "dog", "topX": 10, "topY": 10, "bottomX": 60, "bottomY": 40}
    write(folder / "a.jsonl", {"image_url": "AmlDatastore://images/0.png", "label": [box]})

    with pytest.raises(DataError, match=r"a\.jsonl:1: expected topX, topY, bottomX, bottomY as shares in 0\.\.1"):
        Manifest.from_any(folder / "a.jsonl", task="detection")


def test_azure_classes(folder: Path) -> None:
    rows = [{"image_url": f"AmlDatastore://x/{n}.png", "label": label} for n, label in enumerate(("can", "carton"))]
    write(folder / "a.jsonl", *rows)
    write(folder / "b.jsonl", *({**row, "label": [row["label"], "full"]} for row in rows))

    assert column(Manifest.from_any(folder / "a.jsonl", task="classification"), "label") == {"0": "can", "1": "carton"}
    found = Manifest.from_any(folder / "b.jsonl", task="multilabel")
    assert column(found, "labels") == {"0": ["can", "full"], "1": ["carton", "full"]}


# ---- Vertex AI ----


def test_vertex_rows_of_vertices(folder: Path) -> None:
    write(
        folder / "import.csv",
        "TRAIN,gs://b/images/0.png,car,0.1,0.1,,,0.3,0.4,,",
        "TRAIN, gs://b/images/0.png,bike,.7,.9,,,.8,.6",  # a spreadsheet dropped the empty cells; y turned round
        "UNASSIGNED,gs://b/images/1.png,car,0.1,0.1,0.2,0.1,0.2,0.3,0.1,0.3",
        "TEST,gs://b/images/2.png,,,,,,,,,",
        "VALIDATION,gs://b/images/3.png",
    )

    found = Manifest.from_any(folder / "import.csv", task="detection")

    boxes = boxes_of(found)
    assert (boxes["2"], boxes["3"]) == ([], None)
    np.testing.assert_allclose([box for _, box in boxes["0"]], [[20, 10, 60, 40], [140, 60, 160, 90]])
    np.testing.assert_allclose([box for _, box in boxes["1"]], [[20, 10, 40, 30]])
    splits = column(found, "split")
    assert {n: splits[n] for n in "023"} == {"0": "train", "2": "test", "3": "val"}
    assert splits["1"] in {"train", "val", "test"}  # by its hash


def test_vertex_rows_of_classes(folder: Path) -> None:
    write(folder / "import.csv", "gs://b/0.png,daisy", "TEST,gs://b/1.png,tulip,rose", "training,gs://b/2.png")
    found = Manifest.from_any(folder / "import.csv", task="multilabel")
    assert column(found, "labels") == {"0": ["daisy"], "1": ["rose", "tulip"], "2": None}

    with pytest.raises(DataError, match=r"images/1\.png.*task='multilabel'"):
        Manifest.from_any(folder / "import.csv", task="classification")


def test_vertex_leaves_zeros_out(folder: Path) -> None:
    write(
        folder / "export.jsonl",
        {
            "imageGcsUri": "gs://b/images/0.png",
            "boundingBoxAnnotations": [{"displayName": "car", "xMin": 0.25, "xMax": 0.5, "yMax": 0.5}],
            "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": "training"},
        },
    )

    found = Manifest.from_any(folder / "export.jsonl", task="detection")

    assert boxes_of(found) == {"0": [("car", [50.0, 0.0, 100.0, 50.0])]}
    assert column(found, "split") == {"0": "train"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("TRAIN,gs://b/images/1.png,car,10,10,,,60,40,,", r"import\.csv:2: expected vertices as shares"),
        ("TRAIN,images/1.png,car", "1 row has no gs:// address .*import.csv:2"),
        ("SOME,gs://b/images/1.png,car,.1,.1,,,.3,.4,,", r"import\.csv:2: 'some' is not TRAIN, VALIDATION"),
        ("TEST,gs://b/images/0.png,car,.1,.1,,,.3,.4,,", r"import\.csv:2: .*0\.png is in several splits: test, train"),
    ],
)
def test_bad_rows_of_vertex_are_named(row: str, message: str, folder: Path) -> None:
    write(folder / "import.csv", "TRAIN,gs://b/images/0.png,car,0.1,0.1,,,0.3,0.4,,", row)

    with pytest.raises(DataError, match=message):
        Manifest.from_any(folder / "import.csv", task="detection")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_of_windows(encoding: str, folder: Path) -> None:
    (folder / "import.csv").write_text("TRAIN,gs://b/0.png,Öl\nTEST,gs://b/1.png,cat\n", encoding=encoding)
    assert column(Manifest.from_any(folder / "import.csv"), "label") == {"0": "Öl", "1": "cat"}

    row = {"image_url": "AmlDatastore://images/0.png", "label": "Öl"}
    (folder / "a.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding=encoding)
    assert column(Manifest.from_any(folder / "a.jsonl"), "label") == {"0": "Öl"}


def test_other_encodings_are_named_by_their_byte(folder: Path) -> None:
    (folder / "import.csv").write_text("TRAIN,gs://b/0.png,cat\nTEST,gs://b/1.png,Öl\n", encoding="latin-1")

    with pytest.raises(DataError, match=r"import\.csv, line 2: the byte 0xD6 at 41 is not UTF-8"):
        Manifest.from_any(folder / "import.csv")


# ---- addresses ----


def test_images_at_their_addresses_below_another_folder_and_absent(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for number in range(2):
        memory.pipe_file(f"/cloud-lines/team/images/{number}.png", png(noise(number, SIZE_HW)))
    rows = [{**boxed(n, DOG), "source-ref": f"memory://cloud-lines/team/images/{n}.png"} for n in range(2)]
    (folder / "lists").mkdir()
    write(folder / "lists" / "out.manifest", *rows)
    try:
        found = Manifest.from_any(folder / "lists" / "out.manifest", task="detection")
        assert found.urls() == [row["source-ref"] for row in rows]
        assert found.check().manifest.counts()["dog"]
        assert "the images are read from memory://cloud-lines/team/images" in found.notes
    finally:
        memory.rm("/cloud-lines", recursive=True)

    here = Manifest.from_any(folder / "lists" / "out.manifest", task="detection", images=folder)
    assert here.urls() == [f"{folder}/images/{n}.png" for n in range(2)]
    with pytest.raises(DataError, match=r"nothing is there, and no image of these names is below .*set images="):
        Manifest.from_any(folder / "lists" / "out.manifest", task="detection")
    with pytest.raises(ConfigError, match=r"sagemaker, which takes no split="):
        Manifest.from_any(folder / "lists" / "out.manifest", task="detection", split="split.csv")


def test_addresses_of_a_workspace_cannot_be_opened(folder: Path) -> None:
    (folder / "lists").mkdir()
    write(folder / "lists" / "a.jsonl", {"image_url": "AmlDatastore://x/0.png", "label": "can"})

    with pytest.raises(DataError, match=r"addresses such as AmlDatastore://x/0\.png, and .*set images="):
        Manifest.from_any(folder / "lists" / "a.jsonl", task="classification")


# ---- written, and read back ----


@pytest.mark.parametrize("name", ["sagemaker", "azure", "vertex"])
@pytest.mark.parametrize("task", ["detection", "classification", "multilabel"])
def test_round_trip(name: str, task: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(folder / "train.manifest", boxed(0, DOG, CAT), boxed(1, CAT))
    write(folder / "test.manifest", boxed(2, DOG))
    data = Manifest.from_any(folder, task="multilabel" if task == "classification" else task)
    for path in folder.glob("*.manifest"):
        path.unlink()
    if task == "classification":
        table = data.table.drop_columns(["label", "labels"]).append_column("label", [["dog", "cat", None]])
        data = Manifest(table, data.class_names, root=data.root)
    target = folder / "lines.jsonl" if name == "vertex" else tmp_path_factory.mktemp("written")

    data.export(target, format=name)
    found = Manifest.from_any(target, task=task)

    kept = {row["uri"][-5] for row in data.table.to_pylist() if name != "azure" or row[data.kind.key] is not None}
    assert {number: one for number, one in column(data, "split").items() if number in kept} == column(found, "split")
    for key in {data.kind.key, data.kind.names}:
        told, read = column(data, key), column(found, key)
        for number in kept:
            if key == "boxes_xyxy":
                np.testing.assert_allclose(read[number], told[number])
            else:
                assert read[number] == told[number]


def test_boxes_that_no_file_holds_are_not_written(folder: Path) -> None:
    write(folder / "out.manifest", boxed(0, DOG))
    data = Manifest.from_any(folder / "out.manifest", task="detection")
    image_id = data.table["image_id"][0].as_py()
    unknown = data.with_boxes({image_id: ([[0.0, 0.0, float("nan"), 5.0]], ["dog"])})

    with pytest.raises(DataError, match=r"1 image has boxes of no known class"):
        unknown.export(folder / "again.manifest", format="sagemaker")
