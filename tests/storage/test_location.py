"""Addresses with the options that open them: credentials go to stores of the same scheme only, and are never shown."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from onlineml.errors import DataError
from onlineml.storage.location import Location

SECRET = {"key": "hunter2", "endpoint_url": "http://here"}


def test_empty_options() -> None:
    assert Location("s3://bucket/a") == Location("s3://bucket/a", None)


def test_children_and_parents_keep_the_options() -> None:
    project = Location("s3://bucket/project", SECRET)
    assert project / "runs/1" == Location("s3://bucket/project/runs/1", SECRET)
    assert (project / "runs" / "1").parent == project / "runs"
    assert (project / "runs").name == "runs"
    for outside in ("../other", "/etc/passwd", "s3://other/a", "a\\b", ""):
        with pytest.raises(DataError):
            project / outside


@pytest.mark.parametrize("url", ["s3://bucket", "s3://other/a.jpg"])
def test_a_store_of_the_same_scheme_is_told_the_options(url: str) -> None:
    assert Location("s3://bucket/project", SECRET).to(url) == Location(url, SECRET)


@pytest.mark.parametrize(
    "url",
    ["gs://bucket/a", "http://bucket/a", "https://s3/a", "s3a://bucket/a", "zip://a::s3://bucket/b", "filecache::s3://b/a",
     "/home/a", "a", "file:///a", "s3:/a"],
)  # fmt: skip
def test_no_other_store_is_told_the_options(url: str) -> None:
    assert Location("s3://bucket/project", SECRET).to(url) == Location(url)


@pytest.mark.parametrize("url", ["s3://bucket/a", "memory://a", "http://host/a", "zip://a::file:///b"])
def test_a_local_project_tells_no_other_store(url: str) -> None:
    for project in (Location("/home/project", SECRET), Location("file:///home/project", SECRET)):
        assert project.to(url).options is None


def test_options_are_not_shown() -> None:
    where = Location("https://ann:hunter2@host/a?signature=hunter2", SECRET)
    for shown in (str(where), repr(where), f"{where}", repr([where]), str({"at": where})):
        assert "hunter2" not in shown
        assert "https://host/a" in shown


def test_equality_hash_and_pickling() -> None:
    where = Location("s3://bucket/a", dict(SECRET))
    assert where == Location("s3://bucket/a", dict(SECRET))
    assert where != Location("s3://bucket/a", {"key": "other"})
    assert len({where, Location("s3://bucket/a", dict(SECRET))}) == 1
    assert pickle.loads(pickle.dumps(where)) == Location("s3://bucket/a")  # noqa: S301 (our own)
    assert b"hunter2" not in pickle.dumps(where)
    assert copy.deepcopy([where]) == [where] == [copy.copy(where)]


def test_a_process_that_multiprocessing_starts_is_told_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    where = Location("s3://ann:hunter2@bucket/a", dict(SECRET))
    monkeypatch.setattr("onlineml.storage.location.get_spawning_popen", object)
    assert pickle.loads(pickle.dumps(where)) == where  # noqa: S301 (our own)


def test_paths_and_locations_are_locations() -> None:
    where = Location("s3://bucket/a", SECRET)
    assert Location.of(where) is where
    assert Location.of(where, {"key": "other"}) is where
    assert Location.of(Path("/a/b"), SECRET) == Location("/a/b", SECRET)
    assert Location.of("/a/b").local == Location.of("file:///a/b").local == "/a/b"
    assert where.local is None
