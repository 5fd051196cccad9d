"""Checks: each finding's outcome, duplicates, the budget, and bounded memory on the files that break programs."""

from __future__ import annotations

import hashlib
import io as bytes_io
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from PIL import Image

from awkward_files import AWKWARD
from onlineml.data.images.decode import POLICIES
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, TooManyBadImagesError
from onlineml.storage import io
from picture_files import noise_jpeg, plain, png
from processes import LONG_S

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def test_nothing_to_check(tmp_path: Path):
    io.write_bytes(tmp_path / "a/1.jpg", noise_jpeg(0))
    checked = Manifest.from_folders(tmp_path).take([]).check(max_bad=0)
    assert (checked.n_images, checked.n_bad, len(checked), len(checked.manifest)) == (0, 0, 0, 0)
    assert str(checked) == "0 images checked, 0 not usable"
    assert checked.to_frame().columns.tolist() == ["uri", "image_id", "finding", "outcome", "detail"]


def test_fine_images_have_no_row_and_get_their_facts(store: Store):
    contents = {f"c{i % 2}/{i:03}.jpg": noise_jpeg(i, (40 + i, 30)) for i in range(30)}
    for name, data in contents.items():
        store.raw_write(name, data)
    manifest = Manifest.from_folders(store.url, storage_options=store.storage_options)
    checked = manifest.check(max_bad=0)
    assert len(checked) == checked.n_bad == 0
    assert checked.manifest == manifest  # what reading told is not what the dataset says
    for uri, digest, width, height in zip(
        *(checked.manifest.column(name) for name in ("uri", "sha256", "width", "height")), strict=True
    ):
        assert digest == hashlib.sha256(contents[uri]).hexdigest()
        assert (width, height) == Image.open(bytes_io.BytesIO(contents[uri])).size


def test_sizes_are_those_of_the_upright_picture(tmp_path: Path):
    io.write_bytes(tmp_path / "a/1.jpg", noise_jpeg(0, (40, 30), orientation=6))
    checked = Manifest.from_folders(tmp_path).check()
    assert checked.table["finding"].to_pylist() == ["exif_rotated"]
    assert (checked.manifest.column("width")[0], checked.manifest.column("height")[0]) == (30, 40)


def _rows(manifest: Manifest) -> dict[str, set[tuple[str, str]]]:
    checked = manifest.check(max_bad=1)
    found: dict[str, set[tuple[str, str]]] = {}
    for row in checked.table.to_pylist():
        found.setdefault(row["uri"], set()).add((row["finding"], row["outcome"]))
    return found


def test_duplicates(tmp_path: Path):
    files = {
        "a/same1.jpg": 1,
        "a/same2.jpg": 1,
        "a/leak-train.jpg": 2,
        "a/leak-test.jpg": 2,
        "a/leak-none.jpg": 2,
        "a/conflict.jpg": 3,
        "b/conflict.jpg": 3,
        "unlabelled.jpg": 3,
        "a/leak-train2.jpg": 4,
        "a/leak-val.jpg": 4,
        "b/only.jpg": 5,
    }
    for name, seed in files.items():
        io.write_bytes(tmp_path / name, noise_jpeg(seed))
    manifest = Manifest.from_folders(tmp_path)
    splits = {"a/leak-test.jpg": "test", "a/leak-none.jpg": None, "a/leak-val.jpg": "val"}
    manifest = manifest.with_column("split", [splits.get(uri, "train") for uri in manifest.column("uri")])
    assert _rows(manifest) == {
        "a/same2.jpg": {("duplicate", "usable")},
        "a/leak-train.jpg": {("duplicate_across_splits", "quarantined")},
        "a/leak-test.jpg": {("duplicate_across_splits", "usable")},
        "a/leak-none.jpg": {("duplicate_across_splits", "usable")},
        "a/leak-train2.jpg": {("duplicate_across_splits", "quarantined")},
        "a/leak-val.jpg": {("duplicate_across_splits", "usable")},
        "a/conflict.jpg": {("duplicate_label_conflict", "quarantined")},
        "b/conflict.jpg": {("duplicate_label_conflict", "quarantined")},
        "unlabelled.jpg": {("duplicate_label_conflict", "quarantined")},
    }
    kept = manifest.check(max_bad=1).manifest
    assert sorted(kept.column("uri")) == sorted(
        ["a/same1.jpg", "a/same2.jpg", "a/leak-test.jpg", "a/leak-none.jpg", "a/leak-val.jpg", "b/only.jpg"]
    )
    again = kept.check(max_bad=0)
    assert set(again.table["finding"].to_pylist()) == {"duplicate"}  # the leak is mended; two copies remain together


def test_missing_and_overwritten_images(store: Store):
    for i in range(3):
        store.raw_write(f"a/{i}.jpg", noise_jpeg(i))
    manifest = Manifest.from_folders(store.url, storage_options=store.storage_options).check().manifest
    store.raw_write("a/1.jpg", noise_jpeg(99))
    gone = manifest.with_column("uri", ["a/0.jpg", "a/1.jpg", "a/gone.jpg"])
    assert _rows(gone) == {"a/1.jpg": {("changed", "quarantined")}, "a/gone.jpg": {("missing", "quarantined")}}


def test_the_budget(tmp_path: Path):
    for i in range(99):
        io.write_bytes(tmp_path / f"a/{i}.jpg", noise_jpeg(i))
    io.write_bytes(tmp_path / "a/empty.jpg", b"")
    manifest = Manifest.from_folders(tmp_path)
    checked = manifest.check(max_bad=0.01)  # one of a hundred is not above it
    assert (checked.n_images, checked.n_bad, len(checked.manifest)) == (100, 1, 99)
    with pytest.raises(
        TooManyBadImagesError, match=r"1 of 100 images is bad.*\n.*\n1 empty \(quarantined\)\n    a/empty.jpg  "
    ) as caught:
        manifest.check(max_bad=0.009)
    assert caught.value.table.n_bad == 1
    assert caught.value.table.to_frame()["uri"].tolist() == ["a/empty.jpg"]
    with pytest.raises(ConfigError, match="share between 0 and 1"):
        manifest.check(max_bad=5)


def test_how_a_table_looks(tmp_path: Path):
    for i in range(30):
        io.write_bytes(tmp_path / f"a/<{i}>.jpg", b"")
    checked = Manifest.from_folders(tmp_path).check(max_bad=1)
    assert checked.counts() == {"empty": 30}
    assert "a/&lt;0&gt;.jpg" in checked._repr_html_()
    assert checked._repr_html_().count("<tr>") == 10
    assert "... and 27 more in .table" in str(checked)
    assert repr(checked) == "<CheckTable: 30 images checked, 30 not usable (30 empty)>"


def test_findings_are_folded_by_kind_and_harmless_ones_come_last(tmp_path: Path):
    contents = {"a/1.jpg": noise_jpeg(1, orientation=3), "a/2.jpg": noise_jpeg(2, orientation=3), "b/3.jpg": b""}
    for name, data in contents.items():
        io.write_bytes(tmp_path / name, data)
    checked = Manifest.from_folders(tmp_path).check(max_bad=1)

    kinds = [line for line in str(checked).splitlines()[1:] if not line.startswith(" ")]
    assert kinds == ["1 empty (quarantined)", "2 exif_rotated (usable)"]
    page = checked._repr_html_()
    assert page.count("<details") == 2
    assert page.rindex("1 empty") < page.index("Zero bytes") < page.rindex("2 exif_rotated")
    assert page.count("<details open") == 1  # what is harmless is opened on demand


def test_nothing_of_the_users_is_rewritten(tmp_path: Path):
    for name, data in {"a/1.jpg": noise_jpeg(1, orientation=3), "a/2.jpg": b"text", "a/3.png": noise_jpeg(3)}.items():
        io.write_bytes(tmp_path / name, data)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    Manifest.from_folders(tmp_path).check(max_bad=1)
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_awkward_files(data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the generated ones above cover the outcomes")
    manifest = Manifest.from_folders(data_dir / "awkward")
    with pytest.raises(TooManyBadImagesError):
        manifest.check()
    checked = manifest.check(max_bad=1)
    found: dict[str, set[str]] = {}
    for row in checked.table.to_pylist():
        assert row["outcome"] == POLICIES[row["finding"]].outcome
        found.setdefault(row["uri"], set()).add(row["finding"])
    expected = {name: {codes} if isinstance(codes, str) else set(codes) for name, codes in AWKWARD.items()}
    expected |= {f"exif_landscape/Landscape_{i}.jpg": {"exif_rotated"} if i > 1 else set() for i in range(9)}
    expected["exif_landscape/Landscape_6.jpg"] |= {"duplicate"}  # the same bytes lie one folder above
    assert {uri: found.get(uri, set()) for uri in manifest.column("uri")} == {
        uri: expected[uri] for uri in manifest.column("uri")
    }
    bad = {name for name, codes in AWKWARD.items() if isinstance(codes, str)}
    assert set(manifest.column("uri")) - set(checked.manifest.column("uri")) == bad
    assert checked.n_bad == len(bad) == 9


def test_memory_and_time_of_a_check_are_bounded(tmp_path: Path, data_dir: Path | None):
    """Peak memory above the idle library in a process of its own: awkward files, and two pictures near the limit."""
    folder = tmp_path / "photos"
    for i in range(2):
        path = folder / f"large{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9_990, 9_990), (i, 0, 0)).save(path, compress_level=1)
    for i in range(60):
        io.write_bytes(folder / f"{i}.jpg", noise_jpeg(i, (1_200, 900)))
    for path in (data_dir / "awkward").iterdir() if data_dir else ():
        if path.is_file():
            io.write_bytes(folder / path.name, path.read_bytes())
    script = (
        "import resource, sys\n"
        "from onlineml.data.checks import check\n"
        "from onlineml.data.manifest import Manifest\n"
        "manifest = Manifest.from_folders(sys.argv[1])\n"
        "idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "check(manifest, max_bad=1)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) // 1024)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONG_S)
    assert int(done.stdout) < 500


def test_a_group_in_two_splits(tmp_path: Path):
    """The split was given by hand, so nothing is moved; the images outside the group's largest split are told."""
    splits = {"a": "train", "b": "train", "c": "test", "d": None, "e": "val", "f": "train"}
    groups = {"a": "p7", "b": "p7", "c": "p7", "d": "p7", "e": "p8", "f": "p8"}
    for number, name in enumerate(splits):
        (tmp_path / f"{name}.png").write_bytes(png(plain(number)))
    table = pa.table(
        {
            "image_id": [*splits],
            "uri": [f"{name}.png" for name in splits],
            "label": ["cat"] * 6,
            "split": pa.array([*splits.values()], pa.string()),
            "group": [*groups.values()],
        }
    )
    checked = Manifest(table, ("cat",), root=str(tmp_path)).check(max_bad=0)
    found = [(row["uri"], row["finding"], row["outcome"], row["detail"]) for row in checked.table.to_pylist()]
    assert found == [
        ("c.png", "group_across_splits", "usable", "images of the group 'p7': 2 in train, 1 in test"),
        ("f.png", "group_across_splits", "usable", "images of the group 'p8': 1 in train, 1 in val"),
    ]
    assert len(checked.manifest) == 6
    assert "1 in test" in str(checked)
    assert "1 in test" in checked._repr_html_()
