"""The sample project: complete, varied, the same for the same seed, and with the faults that it says it has."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from onlineml.data.samples.samples import CLASS_NAMES, make_samples
from onlineml.errors import AlreadyExistsError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read_truth(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "photos"
    assert make_samples(str(path), n=60, seed=3, mislabelled=0.1, broken=6) == str(path)
    return path


def test_every_file_of_the_table_is_there_and_no_other(folder: Path) -> None:
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    assert on_disk == {row["path"] for row in read_truth(folder)} | {"truth.csv", "samples.json"}
    assert {p.name for p in folder.iterdir() if p.is_dir()} == set(CLASS_NAMES)


def test_as_many_faults_as_were_asked_for(folder: Path) -> None:
    rows = read_truth(folder)

    assert Counter(row["problem"] for row in rows) == {
        "": 60 - 6 - 5, "mislabelled": 5, "truncated": 2, "empty": 2, "not an image": 2,
    }  # fmt: skip
    for row in rows:
        assert (row["label"] != row["truth"]) == (row["problem"] == "mislabelled")
        assert row["path"].startswith(row["label"] + "/")


def test_good_files_open_and_broken_ones_do_not(folder: Path) -> None:
    for row in read_truth(folder):
        data = (folder / row["path"]).read_bytes()
        if row["problem"] in {"", "mislabelled"}:
            Image.open(io.BytesIO(data)).load()
        else:
            with pytest.raises(OSError, match=r"cannot identify|truncated"):
                Image.open(io.BytesIO(data)).load()


def test_photos_differ_in_size_quality_light_and_orientation(folder: Path) -> None:
    sizes, brightness, orientations = set(), [], set()
    for row in read_truth(folder):
        if row["problem"] in {"", "mislabelled"}:
            image = Image.open(folder / row["path"])
            sizes.add(image.size)
            orientations.add(image.getexif().get(0x0112, 1))
            brightness.append(float(np.asarray(ImageOps.exif_transpose(image).convert("L")).mean()))

    assert len(sizes) > 20
    assert len(orientations) > 1
    assert min(brightness) < 70
    assert max(brightness) > 110


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        make_samples(str(tmp_path / name), n=15, seed=seed, mislabelled=0.2, broken=3)

    def contents(root: Path) -> dict[str, bytes]:
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.*")}

    assert contents(tmp_path / "again") == contents(tmp_path / "first")
    assert contents(tmp_path / "other") != contents(tmp_path / "first")


def test_a_filled_folder_is_left_as_it_is_and_never_mixed(folder: Path) -> None:
    table = folder / "truth.csv"
    before = table.stat().st_mtime_ns

    make_samples(str(folder), n=60, seed=3, mislabelled=0.1, broken=6)
    assert table.stat().st_mtime_ns == before

    with pytest.raises(AlreadyExistsError, match="choose another"):
        make_samples(str(folder), n=60, seed=4)


@pytest.mark.parametrize("wrong", [{"n": 4}, {"n": 10, "broken": 11}, {"broken": -1}, {"mislabelled": 1.5}])
def test_arguments_outside_their_range_are_refused(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="make_samples expects"):
        make_samples(str(tmp_path / "photos"), **wrong)


def test_a_classifier_of_colours_alone_does_not_solve_it(tmp_path: Path) -> None:
    """Shape has to be learned: logistic regression on colour histograms stays far behind a network."""
    from sklearn.linear_model import LogisticRegression

    make_samples(str(tmp_path / "photos"), n=200, seed=0, mislabelled=0, broken=0)
    features, labels = [], []
    for row in read_truth(tmp_path / "photos"):
        pixels = np.asarray(Image.open(tmp_path / "photos" / row["path"]).convert("RGB")) // 64
        codes = (pixels[..., 0] * 16 + pixels[..., 1] * 4 + pixels[..., 2]).ravel()
        features.append(np.sqrt(np.bincount(codes, minlength=64) / len(codes)))
        labels.append(CLASS_NAMES.index(row["truth"]))
    fitted = LogisticRegression(solver="newton-cg", max_iter=1000).fit(features[:130], labels[:130])

    assert 0.25 < fitted.score(features[130:], labels[130:]) < 0.8
