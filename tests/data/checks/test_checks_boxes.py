"""Checks of boxes: each finding with its box, the manifest that is left, the budget, copies that contradict others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onlineml as oml
from box_files import NAMES, box_manifest, boxes_by_name, rows_by_name
from onlineml.data.images.decode import POLICIES
from onlineml.data.manifest.box_arrays import clean_boxes
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import TooManyBadImagesError
from onlineml.project.project import Project
from onlineml.storage import io
from picture_files import noise, noise_jpeg, png

if TYPE_CHECKING:
    from pathlib import Path

    from onlineml.data.checks.images import CheckTable

NAN = float("nan")
GOOD = [1, 2, 30, 40]
# of an image of 64 x 48 pixels: the box, its label, what is found, and the box that is left
BOXES: list[tuple[list[float], str | None, str, list[float] | None]] = [
    (GOOD, "cat", "", GOOD),
    ([0, 0, 64, 48], "dog", "", [0, 0, 64, 48]),
    ([5, 5, 5, 9], "cat", "box_empty", None),
    ([5, 5, 9, 5], "cat", "box_empty", None),
    ([9, 5, 5, 9], "cat", "box_empty", None),
    ([NAN, 5, 9, 9], "cat", "box_not_finite", None),
    ([1, 1, float("inf"), 9], "cat", "box_not_finite", None),
    ([64, 0, 90, 9], "cat", "box_outside", None),
    ([0, -9, 9, 0], "cat", "box_outside", None),
    ([-5, -1, 70, 20], "cat", "box_clipped", [0, 0, 64, 20]),
    ([10, 10, 65, 20], "cat", "box_clipped", [10, 10, 64, 20]),
    ([10, 30, 64.9, 40], "cat", "", [10, 30, 64.9, 40]),  # by less than a pixel: rounding
    (GOOD, "cow", "box_unknown_class", GOOD),
    (GOOD, None, "box_unknown_class", GOOD),
]


def _on_disk(folder: Path, boxes: dict[str, Any], *, seeds: dict[str, int] | None = None, **columns: Any) -> Manifest:
    """Images of 64 x 48 pixels that are there; those of one seed have the same bytes."""
    for number, name in enumerate(boxes):
        io.write_bytes(folder / name, png(noise((seeds or {}).get(name, 100 + number), (48, 64))))
    table = box_manifest(boxes, **columns).table.drop_columns(["width", "height"])
    return Manifest(table, NAMES, root=str(folder), task="detection")


def _findings(checked: CheckTable) -> dict[str, list[tuple[str, str, str]]]:
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in checked.table.to_pylist():
        found.setdefault(row["uri"], []).append((row["finding"], row["outcome"], row["detail"]))
    return found


def test_nothing_to_check(tmp_path: Path):
    checked = _on_disk(tmp_path, {"a.png": None, "b.png": ([], [])}).check(max_bad=0)
    assert (len(checked), checked.n_boxes, checked.n_bad_boxes) == (0, 0, 0)
    assert str(checked) == "2 images checked, 0 not usable"
    assert checked.manifest.boxes().annotated.tolist() == [False, True]
    empty = checked.manifest.take([]).check(max_bad=0)
    assert (len(empty), empty.n_images, len(empty.manifest)) == (0, 0, 0)


def test_every_bad_box_has_a_row_that_names_it(tmp_path: Path):
    boxes = {"a.png": ([box for box, *_ in BOXES], [label for _, label, *_ in BOXES]), "b.png": ([GOOD], ["cat"])}
    manifest = _on_disk(tmp_path, boxes, track=[list(range(len(BOXES))), None])
    checked = manifest.check(max_bad=1)
    bad = [(number, *row) for number, row in enumerate(BOXES) if row[2]]
    rows = _findings(checked)
    assert list(rows) == ["a.png"]
    assert [(code, outcome) for code, outcome, _ in rows["a.png"]] == [
        (code, POLICIES[code].outcome) for *_, code, _ in bad
    ]
    for (number, box, label, _, _), (_, _, detail) in zip(bad, rows["a.png"], strict=True):
        assert detail.startswith(f"box {number} {label!r} ({', '.join(f'{value:g}' for value in box)})")
    left = [(number, box, label) for number, (_, label, _, box) in enumerate(BOXES) if box is not None]
    row = rows_by_name(checked.manifest)["a.png"]
    assert row["boxes_xyxy"] == [box for _, box, _ in left]
    assert row["labels"] == [label for *_, label in left]
    assert row["track"] == [number for number, *_ in left]
    assert row["crowd"] == [label not in NAMES for *_, label in left]  # neither learnt nor background
    assert (checked.n_images, checked.n_bad, checked.n_boxes, checked.n_bad_boxes) == (2, 0, 15, 9)
    assert checked.counts() == {
        "box_empty": 3,
        "box_clipped": 2,
        "box_not_finite": 2,
        "box_outside": 2,
        "box_unknown_class": 2,
    }
    assert "2 images checked, 0 not usable; 15 boxes, 9 not usable (3 box_empty" in str(checked)
    assert "15 boxes, 9 not usable" in checked._repr_html_()


def test_what_is_left_has_nothing_more_to_report(tmp_path: Path):
    boxes = {"a.png": ([box for box, *_ in BOXES], [label for _, label, *_ in BOXES])}
    once = _on_disk(tmp_path, boxes).check(max_bad=1).manifest
    again = once.check(max_bad=0)
    assert len(again) == 0
    assert again.manifest == once
    module = oml.DetectionDataModule(once, size_hw=(64, 64), augment="none", cache=False, max_bad=0)
    module.setup("fit")


def test_fine_boxes_are_not_touched(tmp_path: Path):
    boxes = {"a.png": ([[0.1, 0.2, 63.99, 48.5], GOOD], ["cat", "dog"]), "b.png": None}
    manifest = _on_disk(tmp_path, boxes, split=["train", "val"], crowd=[[True, False], None])
    checked = manifest.check(max_bad=0)
    assert checked.manifest == manifest
    assert checked.manifest.table.select(manifest.table.column_names[7:]).equals(
        manifest.table.select(manifest.table.column_names[7:])
    )


def test_a_crowd_of_no_class_is_no_finding(tmp_path: Path):
    manifest = _on_disk(tmp_path, {"a.png": ([GOOD, GOOD], ["cow", "cat"])}, crowd=[[True, False]])
    assert manifest.check(max_bad=0).manifest == manifest


def test_crowds_that_are_told_of_some_images_only(tmp_path: Path):
    boxes = {
        name: ([GOOD, GOOD], ["cat", label]) for name, label in (("a.png", "cow"), ("b.png", "dog"), ("c.png", "dog"))
    }
    manifest = _on_disk(tmp_path, boxes, crowd=[None, [True, False], None])
    left = manifest.check(max_bad=1).manifest
    assert left.column("crowd").tolist() == [[False, True], [True, False], None]
    assert left.boxes().label_ids.tolist() == [0, -1, 0, 1, 0, 1]


def test_an_image_left_without_boxes_shows_no_objects(tmp_path: Path):
    """As in training, where a box that cannot be used is left out, and its image is not."""
    left = _on_disk(tmp_path, {"a.png": ([[5, 5, 5, 5]], ["cat"])}, area=[[3.5]]).check(max_bad=1).manifest
    assert boxes_by_name(left) == {"a.png": []}
    assert left.table["area"].null_count == 1


def test_boxes_of_images_that_are_left_out_are_not_counted(tmp_path: Path):
    manifest = _on_disk(tmp_path, {"a.png": ([[5, 5, 5, 5]], ["cat"]), "b.png": ([GOOD], ["cat"])})
    io.write_bytes(tmp_path / "a.png", b"")
    checked = manifest.check(max_bad=0.5)
    assert _findings(checked) == {"a.png": [("empty", "quarantined", "the file has no bytes")]}
    assert (checked.n_bad, checked.n_boxes, checked.n_bad_boxes) == (1, 1, 0)


def test_the_budget_of_boxes(tmp_path: Path):
    boxes = {f"{i}.png": ([GOOD] * 10, ["cat"] * 10) for i in range(10)}
    boxes["bad.png"] = ([[5, 5, 5, 5]], ["cat"])
    manifest = _on_disk(tmp_path, boxes)
    assert manifest.check(max_bad=0.01).n_bad_boxes == 1  # one of 101 is not above it
    with pytest.raises(
        TooManyBadImagesError,
        match=r"1 of 101 boxes is bad, more than max_bad=0\.009 allows(?s:.*)1 box_empty.*\n *bad\.png  box 0",
    ) as caught:
        manifest.check(max_bad=0.009)
    assert caught.value.table.n_bad_boxes == 1
    assert caught.value.table.manifest.counts()["cat"]["train"] == 0  # no split here


# ------------------------------------------------------------------------------------------------------ declared sizes


def test_boxes_that_were_drawn_on_another_size(tmp_path: Path):
    boxes = {f"{i}.png": ([GOOD, [5, 5, 5, 5]], ["cat", "cat"]) for i in range(4)}
    manifest = _on_disk(tmp_path, boxes, declared_width=[64, 128, 0, None], declared_height=[48, 96, 48, 48])
    checked = manifest.check(max_bad=1)
    rows = _findings(checked)
    assert rows["1.png"] == [
        ("boxes_size_mismatch", "quarantined", "boxes were drawn on 128 x 96 pixels; the upright image has 64 x 48")
    ]
    assert sorted(checked.manifest.column("uri")) == ["0.png", "2.png", "3.png"]
    assert (checked.n_bad, checked.n_bad_boxes) == (1, 3)


def test_boxes_that_were_drawn_on_the_turned_pixels(tmp_path: Path):
    """Tools that ignore EXIF declare the stored size; the boxes cannot be trusted, and are not guessed at."""
    for name, turn in (("stored.jpg", 6), ("upright.jpg", 6)):
        io.write_bytes(tmp_path / name, noise_jpeg(1 if turn else 0, (40, 30), orientation=turn) + name.encode())
    boxes = dict.fromkeys(("stored.jpg", "upright.jpg"), ([[1, 1, 9, 9]], ["cat"]))
    table = box_manifest(boxes, declared_width=[40, 30], declared_height=[30, 40]).table.drop_columns(
        ["width", "height"]
    )
    checked = Manifest(table, NAMES, root=str(tmp_path), task="detection").check(max_bad=1)
    rows = _findings(checked)
    assert [code for code, *_ in rows["stored.jpg"]] == ["exif_rotated", "boxes_size_mismatch"]
    assert "40 x 30 pixels; the upright image has 30 x 40, with an EXIF rotation" in rows["stored.jpg"][1][2]
    assert [code for code, *_ in rows["upright.jpg"]] == ["exif_rotated"]
    assert checked.manifest.column("uri").tolist() == ["upright.jpg"]


def test_boxes_that_are_all_larger_than_their_image(tmp_path: Path):
    """Of 64 x 48 pixels: a fifth more is 76.8 x 57.6."""
    boxes = {
        "wide.png": ([[10, 5, 90, 20], [70, 5, 90, 20], [1, 1, 1, 5]], ["cat"] * 3),  # 80 wide, beyond, empty
        "high.png": ([[10, 5, 20, 70]], ["cat"]),
        "edge.png": ([[-6, -4, 70, 53]], ["cat"]),  # 76 x 57: drawn beyond the edges by hand
        "one_fits.png": ([[10, 5, 90, 20], GOOD], ["cat"] * 2),
        "beyond.png": ([[70, 5, 90, 20]], ["cat"]),  # not larger: perhaps only a bad box
        "none.png": ([], []),
    }
    checked = _on_disk(tmp_path, boxes).check(max_bad=1)
    assert {uri: [code for code, *_ in rows] for uri, rows in _findings(checked).items()} == {
        "wide.png": ["boxes_size_mismatch"],
        "high.png": ["boxes_size_mismatch"],
        "edge.png": ["box_clipped"],
        "one_fits.png": ["box_clipped"],
        "beyond.png": ["box_outside"],
    }
    assert _findings(checked)["wide.png"][0][2] == "no box fits into 64 x 48 pixels, such as (10, 5, 90, 20)"
    assert "no box fits into 64 x 48 pixels" in checked._repr_html_()
    unchecked = _on_disk(tmp_path, {name: boxes[name] for name in ("wide.png", "edge.png")}, split=["train"] * 2)
    module = oml.DetectionDataModule(unchecked, size_hw=(64, 64), augment="none", cache=False, max_bad=1)
    bad = [row for batch in module.loader("train") for row in batch["bad"]]
    assert [(row.image_id, row.finding) for row in bad] == [("id-wide.png", "boxes_size_mismatch")]


# ---------------------------------------------------------------------------------------------------------- duplicates


def test_the_same_box_twice_is_kept_once(tmp_path: Path):
    boxes = {
        "a.png": (
            [GOOD, [1.5, 2, 30, 40], [2, 2, 30, 40], GOOD, GOOD, [1, 2, 30, 40.6], [5, 5, 5, 5], [5, 5, 5, 5]],
            ["cat", "cat", "cat", "dog", "cat", "cat", "cat", "cat"],
        ),
        "b.png": ([GOOD], ["cat"]),
        "c.png": ([GOOD, GOOD], ["cat", "cat"]),
    }
    manifest = _on_disk(tmp_path, boxes, track=[list(range(8)), [0], [0, 1]], crowd=[None, None, [True, False]])
    checked = manifest.check(max_bad=1)
    again = [detail for code, _, detail in _findings(checked)["a.png"] if code == "box_duplicate"]
    # box 2 is half a pixel from box 1, which is left out, and a pixel from box 0; box 5 is .6 pixels away
    assert again == [
        "box 1 'cat' (1.5, 2, 30, 40): the same as box 0",
        "box 4 'cat' (1, 2, 30, 40): the same as box 0",
    ]
    left = rows_by_name(checked.manifest)
    assert left["a.png"]["track"] == [0, 2, 3, 5]
    assert (left["b.png"]["track"], left["c.png"]["track"]) == ([0], [0, 1])  # a crowd is no object
    assert (checked.n_boxes, checked.n_bad_boxes) == (11, 2)
    assert "2 box_duplicate" in str(checked)
    assert "the same as box 0" in checked._repr_html_()


def test_copies_with_different_boxes_contradict_each_other(tmp_path: Path):
    cat: Any = ([GOOD], ["cat"])
    boxes = {
        "same1.png": ([GOOD, [0, 0, 9, 9]], ["cat", "dog"]),
        "same2.png": ([[0.5, 0, 9, 9.5], GOOD], ["dog", "cat"]),  # another order, and less than a pixel
        "unseen.png": None,  # says nothing, so it contradicts nothing
        "moved1.png": cat,
        "moved2.png": ([[16, 2, 30, 40]], ["cat"]),  # an IoU of .48
        "drawn1.png": ([GOOD, [2, 2, 40, 40]], ["cat", "cat"]),
        "drawn2.png": ([[4, 6, 39, 40], [3, 2, 28, 40]], ["cat", "cat"]),  # by another person
        "label1.png": cat,
        "label2.png": ([GOOD], ["dog"]),
        "more1.png": cat,
        "more2.png": ([GOOD, GOOD], ["cat", "cat"]),
        "crowd1.png": cat,
        "crowd2.png": cat,
        "none1.png": ([], []),
        "none2.png": ([], []),
        "none3.png": ([], []),
        "some3.png": cat,
        "leak1.png": cat,
        "leak2.png": cat,
        "leak3.png": ([], []),
        "leak4.png": cat,
    }
    kinds = {
        "same": 1,
        "unseen": 1,
        "moved": 2,
        "label": 3,
        "more": 4,
        "crowd": 5,
        "none": 6,
        "some": 7,
        "leak": 8,
        "drawn": 10,
    }
    seeds = {name: kinds.get(name.removesuffix(".png").rstrip("1234"), 10) for name in boxes}
    seeds |= {"none3.png": 7, "leak3.png": 9, "leak4.png": 9}
    splits = {"leak1.png": "train", "leak2.png": "test", "leak3.png": "train", "leak4.png": "val"}
    manifest = _on_disk(
        tmp_path,
        boxes,
        seeds=seeds,
        split=[splits.get(name, "train") for name in boxes],
        crowd=[[name == "crowd1.png"] * len(said[0]) if said else None for name, said in boxes.items()],
    )
    checked = manifest.check(max_bad=1)
    found = {uri: {(code, outcome) for code, outcome, _ in rows} for uri, rows in _findings(checked).items()}
    conflict, leak = ("duplicate_label_conflict", "quarantined"), "duplicate_across_splits"
    assert found == {
        "same2.png": {("duplicate", "usable")},
        "unseen.png": {("duplicate", "usable")},
        "drawn2.png": {("duplicate", "usable")},
        **{f"{kind}{i}.png": {conflict} for kind in ("moved", "label", "more", "crowd") for i in (1, 2)},
        "none2.png": {("duplicate", "usable")},
        "none3.png": {conflict},
        "some3.png": {conflict},
        "leak1.png": {(leak, "quarantined")},
        "leak2.png": {(leak, "usable")},
        "leak3.png": {conflict, (leak, "quarantined")},
        "leak4.png": {conflict, (leak, "usable")},
    }
    assert "different boxes (1, 2 of them)" in _findings(checked)["more1.png"][0][2]


def test_copies_whose_boxes_are_no_numbers(tmp_path: Path):
    boxes = {name: ([[NAN, 1, 2, 3]], ["cat"]) for name in ("a.png", "b.png")}
    checked = _on_disk(tmp_path, boxes, seeds={"a.png": 1, "b.png": 1}, split=["train"] * 2).check(max_bad=1)
    assert checked.counts() == {"box_not_finite": 2, "duplicate": 1}


# ------------------------------------------------------------------------------------------------ one policy everywhere


@given(st.data())
def test_the_check_and_training_leave_the_same_boxes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    """Of an unchecked manifest a batch has the objects that a batch of the checked one has, with nothing to report."""
    number = st.sampled_from([-70.0, -5.0, -0.5, 0.0, 3.0, 20.0, 47.5, 48.5, 63.0, 64.0, 64.5, 80.0, NAN])
    boxes = [GOOD, *data.draw(st.lists(st.lists(number, min_size=4, max_size=4), max_size=6))]  # one fits the image
    labels = data.draw(st.lists(st.sampled_from(["cat", "cow"]), min_size=len(boxes), max_size=len(boxes)))
    folder = tmp_path_factory.mktemp("boxes")
    manifest = _on_disk(folder, {"a.png": (boxes, labels)}, split=["train"])
    checked = manifest.check(max_bad=1)

    def batch(one: Manifest) -> tuple[Any, list[str]]:
        module = oml.DetectionDataModule(one, size_hw=(64, 64), augment="none", cache=False, max_bad=1)
        (found,) = list(module.loader("train"))
        (target,) = found["targets"]
        return {key: value.numpy() for key, value in target.items()}, [row.finding for row in found["bad_boxes"]]

    target, reported = batch(manifest)
    again, nothing = batch(checked.manifest)
    for key, value in target.items():
        np.testing.assert_array_equal(again[key], value)
    assert nothing == []
    assert sorted(reported) == sorted(
        code
        for code, outcome, _ in _findings(checked).get("a.png", [])
        if code.startswith("box_") and outcome != "usable"
    )
    assert checked.n_bad_boxes == len(reported)


def test_sizes_for_each_box():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]], dtype=float)
    cut, codes = clean_boxes(boxes, np.array([[10, 10], [5, 20], [20, 5]]))
    assert codes.tolist() == ["", "box_clipped", "box_clipped"]
    assert cut.tolist() == [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 5, 10]]


def test_a_frozen_dataset_has_the_boxes_that_can_be_used(tmp_path: Path):
    boxes = {"a.png": ([box for box, *_ in BOXES], [label for _, label, *_ in BOXES]), "b.png": ([GOOD], ["cat"])}
    manifest = _on_disk(tmp_path / "photos", boxes)
    before = {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()}
    project = Project.create(str(tmp_path / "p"), task="detection")
    project.add(manifest)
    with pytest.raises(TooManyBadImagesError, match="9 of 15 boxes are bad"):
        project.freeze()
    frozen = project.freeze(max_bad=1)
    direct = manifest.check(max_bad=1)
    assert boxes_by_name(frozen) == boxes_by_name(direct.manifest)
    told = project.datasets.findings(frozen)
    assert told.counts() == direct.counts()
    for name in ("n_images", "n_bad", "n_boxes", "n_bad_boxes"):
        assert getattr(told, name) == getattr(direct, name)
    assert {path: path.read_bytes() for path in (tmp_path / "photos").iterdir()} == before
    corrected = project.labels.state().row("id-a.png")
    assert len(corrected["boxes_xyxy"]) == len(BOXES)  # the project keeps what was said


def test_real_annotations(data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the boxes above are the same")
    manifest = Manifest.from_voc(data_dir / "detection" / "bccd")
    checked = manifest.check()
    rows = _findings(checked)
    assert rows == {
        "JPEGImages/BloodImage_00338.jpg": [
            ("box_empty", "quarantined", "box 12 'RBC' (503, 336, 503, 336) in 640 x 480 pixels")
        ],
        "JPEGImages/BloodImage_00343.jpg": [
            ("box_empty", "quarantined", "box 3 'RBC' (180, 328, 180, 328) in 640 x 480 pixels")
        ],
    }
    assert (checked.n_images, checked.n_bad, checked.n_boxes, checked.n_bad_boxes) == (364, 0, 4888, 2)
    assert len(checked.manifest.boxes()) == 4886
