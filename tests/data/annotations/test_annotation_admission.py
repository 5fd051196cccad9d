"""Entries of a shared log that name other files than a project's images: left out one by one, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import onlineml as oml
from onlineml.data.annotations.admission import are_readers_own, check_addresses
from onlineml.data.annotations.importing import recorded
from onlineml.data.annotations.state import parquet_bytes, record
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.location import Location
from onlineml.storage.log.log import AppendLog
from tiny import COLOURS, jpeg, picture

if TYPE_CHECKING:
    from pathlib import Path

OUTSIDE = [
    "/etc/passwd",
    "file:///etc/passwd",
    "../other/a.jpg",
    "a/../../b.jpg",
    "s3://other/a.jpg",
    "zip://a::/b.zip",
]
FORGED: list[tuple[str, dict[str, Any]]] = [
    *(("uploaded", {"uri": uri, "split": "train"}) for uri in OUTSIDE),
    ("uploaded", {"uri": "blobs/a.jpg", "split": "nowhere"}),
    *(("imported", {"file": uri, "n": 1, "class_names": []}) for uri in OUTSIDE),
    *(("suggested", {"file": uri, "n": 1, "model": "m"}) for uri in OUTSIDE),
    ("moved", {"group": "g", "split": "nowhere", "reason": "", "base": None}),
]


@pytest.fixture
def project(tmp_path: Path) -> oml.Project:
    """A project on a store that is not this machine's disk, with one image."""
    project = oml.Project.create(f"memory://{tmp_path.name}/p", class_names=["red", "blue"])
    project.images.upload(jpeg(picture(COLOURS["red"], seed=1)), label="red", split="train", group="g")
    return project


def _forge(project: oml.Project, event: str, facts: dict[str, Any]) -> None:
    common = {"image_id": f"x{len(str(facts))}", "group": "g", "label": None} if event == "uploaded" else {}
    AppendLog(project.location / "log/annotations").append(record(event, author="eve", facts=common | facts))


def _import(project: oml.Project, rows: list[tuple[str, str]]) -> None:
    """Write an import past the checks of `Project.add`."""
    table = oml.Manifest.from_pandas(_frame(rows), path="path", label="label", split="split").table
    table = table.set_column(table.column_names.index("uri"), "uri", [[uri for uri, _ in rows]])
    table = table.set_column(table.column_names.index("split"), "split", [[split for _, split in rows]])
    io.write_bytes(project.location / "log/imports/forged.parquet", parquet_bytes(table))
    _forge(project, "imported", {"file": "log/imports/forged.parquet", "n": len(rows), "class_names": []})


def _frame(rows: list[tuple[str, str]]) -> Any:
    import pandas as pd

    return pd.DataFrame([{"path": f"s3://b/{n}.jpg", "label": "blue", "split": "val"} for n in range(len(rows))])


@pytest.mark.parametrize(("event", "facts"), FORGED)
def test_a_forged_entry_is_left_out_alone(project: oml.Project, event: str, facts: dict[str, Any]) -> None:
    before = project.labels.state().table
    _forge(project, event, facts)
    with pytest.warns(RuntimeWarning, match="left out"):
        state = oml.Project.open(project.url).labels.state()
    assert state.table.equals(before)
    assert len(state.suggestions) == 0
    with pytest.warns(RuntimeWarning, match="left out"):
        frozen = project.freeze()
    assert len(frozen) == 1


def test_rows_of_an_import_are_left_out_one_by_one(project: oml.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    good = ["s3://other/a.jpg", "https://host/b.jpg?id=7", "photos/c.jpg", "memory://elsewhere/d.jpg"]
    bad = ["/etc/hostname", "file:///etc/e.jpg", "photos/../../f.jpg", "simplecache::/etc/g.jpg"]
    rows = [(uri, "val") for uri in good + bad]
    _import(project, [*rows, ("photos/h.jpg", "nowhere"), ("/mnt/nas/i.jpg", "val"), ("/mnt/nas/../j.jpg", "val")])
    with pytest.warns(RuntimeWarning, match="7 imported images are left out"):
        table = oml.Project.open(project.url).labels.state().table
    assert set(table["uri"].to_pylist()[1:]) == set(good)
    monkeypatch.setenv("ONLINEML_LOCAL_IMAGES", "/srv:/mnt/nas/")
    with pytest.warns(RuntimeWarning, match="6 imported images are left out"):
        table = oml.Project.open(project.url).labels.state().table
    assert set(table["uri"].to_pylist()[1:]) == {*good, "/mnt/nas/i.jpg"}


INDIRECT = ("reference://a.jpg::https://host/b.json", "generic://file:///etc/a.jpg", "simplecache::git:///srv::a.jpg")


def test_filesystems_that_open_other_files_are_refused(tmp_path: Path, project: oml.Project) -> None:
    for one in (project, oml.Project.create(tmp_path / "p", class_names=["red", "blue"])):
        _import(one, [(uri, "val") for uri in (*INDIRECT, "zip://reference/git.jpg::s3://git/generic.zip")])
        with pytest.warns(RuntimeWarning, match="3 imported images are left out"):
            table = oml.Project.open(one.url).labels.state().table
        assert not set(table["uri"].to_pylist()) & set(INDIRECT)
        with pytest.raises(DataError, match="filesystem that opens other files"):
            recorded(INDIRECT[:1], one.location)


def test_a_local_project_may_name_any_address(tmp_path: Path) -> None:
    project = oml.Project.create(tmp_path / "p", class_names=["red", "blue"])
    uris = ["/mnt/photos/a.jpg", "file:///mnt/b.jpg", "s3://other/c.jpg", "photos/d.jpg"]
    _import(project, [(uri, "val") for uri in uris])
    assert set(project.labels.state().table["uri"].to_pylist()) == set(uris)


def test_images_of_this_machine_in_a_project_elsewhere_are_read_by_who_added_them(
    project: oml.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos" / "red").mkdir(parents=True)
    (tmp_path / "photos" / "red" / "a.jpg").write_bytes(jpeg(picture(COLOURS["red"], seed=2)))
    found = oml.Manifest.from_folders(tmp_path / "photos")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="upload_files"):
        project.add(found)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "mine"))
    project.add(found)
    assert len(oml.Project.open(project.url).labels.state()) == 2
    _import(project, [("/etc/hostname", "val")])  # what was allowed is only the folder of these photos
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "somebody else's"))
    with pytest.warns(RuntimeWarning, match="left out"):
        assert len(oml.Project.open(project.url).labels.state()) == 1
    monkeypatch.setenv("ONLINEML_LOCAL_IMAGES", str(tmp_path))
    with pytest.warns(RuntimeWarning, match="1 imported image is left out"):
        assert len(oml.Project.open(project.url).labels.state()) == 2


@pytest.mark.parametrize("uri", ["/etc/hostname", "file:///etc/hostname", *INDIRECT])
def test_a_frozen_dataset_that_names_other_files_is_refused(
    project: oml.Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    honest = project.freeze()
    assert project.datasets.get(honest.hash).hash == honest.hash
    table = honest.table
    for name, value in (("uri", uri), ("image_id", "forged")):  # those of the project have the log's address
        table = table.set_column(table.column_names.index(name), name, [[value] * len(honest)])
    forged = oml.Manifest(table, honest.class_names, root=project.url)
    forged.save(project.location / "datasets" / forged.hash)
    with pytest.raises(DataError, match=f"the dataset {forged.hash[:12]} names 1 image outside the project"):
        project.datasets.get(forged.hash)
    monkeypatch.setenv("ONLINEML_LOCAL_IMAGES", "/etc")
    if "etc" in uri and "::" not in uri and not uri.startswith(tuple(INDIRECT)):
        assert project.datasets.get(forged.hash).urls() == [uri]


def test_what_a_dataset_must_not_name_is_counted() -> None:
    named = pa.chunked_array([["/etc/a", "photos/b", "file:///etc/c"]])
    with pytest.raises(DataError, match=r"^the dataset d names 2 images outside .*: '/etc/a', 'file:///etc/c';"):
        check_addresses(named, project=Location("s3://lab/p"), source="the dataset d")


def test_which_addresses_are_the_readers_own() -> None:
    bucket, disk = Location("s3://lab/p"), Location("/home/ann/p")
    own = ["/etc/a", "file:///etc/a", "local:///etc/a", "simplecache::/etc/a", "zip://a::file:///etc/a.zip"]
    others = [
        "photos/a",
        "s3://b/a",
        "https://h/a",
        "simplecache::s3://b/a",
        "zip://a::s3://b/a.zip",
        "zip:///a::s3://b/z",
    ]
    assert are_readers_own(own, project=bucket).all()
    assert not are_readers_own(others, project=bucket).any()
    assert not are_readers_own(own, project=disk).any()


def test_links_do_not_lead_out_of_an_allowed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may write links into a share that is mounted on many machines."""
    share, private = tmp_path / "disk" / "share", tmp_path / "private"
    for folder in (share / "in", private):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"")
    (tmp_path / "mnt").symlink_to(tmp_path / "disk")
    (share / "one.jpg").symlink_to(private / "a.jpg")
    (share / "same.jpg").symlink_to(share / "in" / "a.jpg")
    (share / "all").symlink_to(private)
    monkeypatch.setenv("ONLINEML_LOCAL_IMAGES", f"{tmp_path}/mnt/share")
    paths = ["in/a.jpg", "same.jpg", "absent.jpg", "one.jpg", "all/a.jpg", "all/absent.jpg"]
    own = are_readers_own([f"{tmp_path}/mnt/share/{path}" for path in paths], project=Location("s3://lab/p"))
    assert own.tolist() == [False, False, False, True, True, True]
