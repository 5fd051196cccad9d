"""What a project no longer needs is found and deleted, and nothing that is referred to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import onlineml as oml
from onlineml import registry
from onlineml.errors import ConfigError, ConflictError, DataError, NotFoundError
from onlineml.project import sweep as sweeping
from onlineml.registry import deletion, versions
from onlineml.storage import io, local
from onlineml.training.features import FeatureStore, project_store
from stores import KINDS, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onlineml.runs.run import Run


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as opened:
        yield opened


@pytest.fixture
def project(store: Store, monkeypatch: pytest.MonkeyPatch) -> oml.Project:
    monkeypatch.setattr(sweeping, "_LEAST_S", 0.0)
    return oml.Project.create(store.url, class_names=["a", "b"], storage_options=store.storage_options)


def _published(project: oml.Project, text: str) -> registry.ModelVersion:
    files = {"model.json": b'{"name": "%s"}' % text.encode(), "weights.safetensors": text.encode() * 1000}
    return registry.publish_version(project.location, files)


def _finished_run(project: oml.Project, state: Any = "finished") -> Run:
    run = project.runs.new(spec={"kind": "train"})
    for name in ("last.ckpt", "model/model.json", "callbacks/best.ckpt", "callbacks/epoch=3.ckpt", "schedule.json"):
        io.write_bytes(run.location / name, b"x" * 100)
    run.set_status(state)
    return run


def _leave_behind(project: oml.Project) -> set[str]:
    """What killed processes and finished ones leave, and the paths of it that are not needed."""
    io.write_bytes(project.location / "models/7-abcdef/weights.safetensors", b"half a model")
    io.write_bytes(project.location / "runs/.onlineml-probe-0123456789abcdef", b"")
    run, _, _ = _finished_run(project), _finished_run(project, "stopped"), _finished_run(project, "running")
    left = {"models/7-abcdef/weights.safetensors", "runs/.onlineml-probe-0123456789abcdef"}
    left |= {f"runs/{run.id}/last.ckpt", f"runs/{run.id}/callbacks/epoch=3.ckpt"}
    if project.location.local is not None:
        for name in (f".last.ckpt.{'a' * 16}.tmp", f"log/.x.{'b' * 16}.tmp"):
            path = Path(project.location.local, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"half")
            left.add(name)
        Path(project.location.local, f".status.json.{'0' * 16}.tmp").touch()  # a lock
    return left


def _names(project: oml.Project) -> set[str]:
    listed = [*io.list_files(project.location), *io.list_temporary(project.location)]
    return {info.path for info in listed}


def test_nothing_is_found_in_what_is_needed(project: oml.Project) -> None:
    _published(project, "a")
    project.promote(1)
    project.runs.new()
    before = _names(project)
    assert len(project.sweep(older_than_s=0.0).leftovers) == 0
    swept = project.sweep(delete=True, older_than_s=0.0)
    assert (swept.leftovers, swept.size, swept.deleted) == ((), 0, True)
    assert "nothing to sweep" in str(swept)
    assert "nothing to sweep" in swept._repr_html_()
    assert _names(project) == before


def test_nothing_is_deleted_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write to a project on a shared disk could otherwise have others delete their own files."""
    monkeypatch.setattr(sweeping, "_LEAST_S", 0.0)
    project, mine = oml.Project.create(tmp_path / "p", class_names=["a"]), tmp_path / "thesis"
    _published(project, "a")
    kept = {mine / "chapter.txt", mine / f".x.{'a' * 16}.tmp", mine / "model.json"}
    mine.mkdir()
    for path in kept:
        path.write_bytes(b'{"name": "a"}')
    (tmp_path / "p/runs").mkdir()
    (tmp_path / "p/models/7-abcdef").symlink_to(mine)
    (tmp_path / "p/runs/r").symlink_to(mine)
    (mine / "model.json").rename(mine / "later")
    swept = project.sweep(delete=True, older_than_s=0.0)
    assert swept.leftovers == ()
    assert "models/7-abcdef/ is a link: what is there is spared" in str(swept)
    (mine / "later").rename(mine / "model.json")
    (seven,) = [one for one in project.models.list() if one.version == "7-abcdef"]
    with pytest.raises(DataError, match=r"models/7-abcdef in .* is not deleted: it is a link to another folder"):
        project.models.delete(seven)
    assert set(mine.iterdir()) == kept


_SWAPS = (
    ("sweep", "models/2-abcdef"),
    ("sweep", "models/2-abcdef/more"),
    ("sweep", "runs/r"),
    ("models", "models"),
    ("models", "models/2-abcdef/more"),
    ("runs", "runs/r"),
)


@pytest.mark.skipif(os.unlink not in os.supports_dir_fd, reason="no descriptors of folders")
@pytest.mark.parametrize(("verb", "place"), _SWAPS)
def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(
    verb: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_LEAST_S", 0.0)
    project = oml.Project.create(tmp_path / "p", class_names=["a"])
    _published(project, "a")
    project.promote(1)
    descriptor = "weights.safetensors" if verb == "sweep" else "model.json"
    for name in (f"2-abcdef/{descriptor}", "2-abcdef/more/words"):
        io.write_bytes(project.location / "models" / name, b"{}")
    for name in ("spec.json", ".onlineml-probe-0123456789abcdef"):
        io.write_bytes(project.location / "runs/r" / name, b"{}")
    victim, mine, delete = tmp_path / "p" / place, tmp_path / "thesis", local._delete_below
    shutil.copytree(victim, mine)
    before = sorted(mine.rglob("*"))

    def swap_and_delete(folder: str, path: str) -> None:
        if path.startswith(f"{place}/") and not victim.is_symlink():
            victim.rename(tmp_path / "real")
            victim.symlink_to(mine)
        delete(folder, path)

    monkeypatch.setattr(local, "_delete_below", swap_and_delete)
    do: dict[str, Callable[[], Any]] = {
        "sweep": lambda: project.sweep(delete=True, older_than_s=0.0),
        "models": lambda: project.models.delete("2-abcdef"),
        "runs": lambda: project.runs.delete("r"),
    }
    with pytest.raises(DataError, match="is not deleted: it is a link to another folder, or behind one"):
        do[verb]()
    assert victim.is_symlink()
    assert [path for path in sorted(mine.rglob("*")) if path.name != "deleted.json"] == before


@pytest.mark.parametrize("verb", ["models", "runs"])
def test_a_folder_with_a_link_in_it_is_deleted_after_the_link_was_removed(verb: str, tmp_path: Path) -> None:
    project = oml.Project.create(tmp_path / "p", class_names=["a"])
    name = _published(project, "a").version if verb == "models" else project.runs.new(spec={"kind": "train"}).id
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("words")
    (tmp_path / "p" / verb / name / "more").symlink_to(mine)
    before = _names(project)

    with pytest.raises(DataError, match=rf"{verb}/{name}/more in .* is not deleted: it is a link to another folder"):
        getattr(project, verb).delete(name)
    assert _names(project) == before
    (tmp_path / "p" / verb / name / "more").unlink()
    getattr(project, verb).delete(name)
    assert getattr(project, verb).list() == []
    assert (mine / "chapter.txt").read_text() == "words"


def test_what_is_left_is_listed_first_and_deleted_then(project: oml.Project) -> None:
    kept = _published(project, "a")
    project.promote(1)
    left = _leave_behind(project)
    before = _names(project)

    found = project.sweep(older_than_s=0.0)
    assert {name for one in found.leftovers for name in one.files} == left
    assert _names(project) == before  # only listed
    assert found.size == sum(info.size for info in _infos(project) if info.path in left)
    assert len(found.to_frame()) == len(found.leftovers)
    assert "can be deleted" in str(found)
    assert "7-abcdef" in found._repr_html_()

    swept = project.sweep(delete=True, older_than_s=0.0)
    assert swept.leftovers
    assert _names(project) == (before - left) | {"models/7-abcdef/deleted.json"}
    assert project.models.list() == [kept]
    assert project.sweep(older_than_s=0.0).leftovers == ()
    assert _published(project, "b").version.startswith("8-")  # the number of the killed one is not used again


def _infos(project: oml.Project) -> list[io.FileInfo]:
    return [*io.list_files(project.location), *io.list_temporary(project.location)]


def test_what_is_young_is_spared(project: oml.Project, store: Store) -> None:
    left = _leave_behind(project)
    assert project.sweep(delete=True).leftovers == ()
    if store.kind == "local":
        for name in left:
            os.utime(Path(store.url, name), (time.time() - 90_000,) * 2)
        io.write_bytes(project.location / "models/7-abcdef/more.json", b"")  # its publisher is at work again
        found = {name for one in project.sweep(delete=True).leftovers for name in one.files}
        assert found == left - {"models/7-abcdef/weights.safetensors"}


def test_a_clock_ahead_does_not_make_old(project: oml.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    left = _leave_behind(project)
    ahead = time.time() + 1e6
    monkeypatch.setattr(sweeping.time, "time", lambda: ahead)
    assert project.sweep(delete=True).leftovers == ()
    assert left <= _names(project)


def test_the_age_must_be_an_hour(project: oml.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_LEAST_S", 3600.0)
    for age_s in (0.0, 60.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="older_than_s"):
            project.sweep(older_than_s=age_s)


def test_a_version_is_deleted_unless_something_refers_to_it(project: oml.Project) -> None:
    first, second, third = (_published(project, text) for text in "abc")
    for version in (first, second, third):
        project.promote(version)
    project.promote(first, alias="challenger")
    with pytest.raises(ConflictError, match=r"it is 'champion' of .*; promote another"):
        project.models.delete("champion")
    with pytest.raises(ConflictError, match="it is 'challenger' of"):
        project.models.delete(1)

    project.models.delete(second.version, reason="a mistake", author="ann")

    assert project.models.list() == [first, third]
    with pytest.raises(NotFoundError, match="no '2'"):
        project.models.get(2)
    with pytest.raises(NotFoundError):
        project.models.delete(2)
    (note,) = io.list_files(project.location / "models" / second.version)
    assert json.loads(io.read_bytes(note.url, storage_options=project.location.options))["reason"] == "a mistake"
    assert project.models.rollback() == first  # past the deleted one
    project.models.delete(third)
    assert _published(project, "d").version.startswith("4-")
    assert project.sweep(older_than_s=0.0).leftovers == ()


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_version_that_is_promoted_while_it_is_deleted(project: oml.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = _published(project, "a"), _published(project, "b")
    project.promote(first)
    write = deletion._write_note

    def promote_too(*args: Any, **more: Any) -> None:
        monkeypatch.setattr(deletion, "_write_note", write)
        project.promote(second)  # it is there still
        write(*args, **more)

    monkeypatch.setattr(deletion, "_write_note", promote_too)
    with pytest.raises(ConflictError, match="champion"):
        project.models.delete(second)
    assert project.champion() == second
    assert project.models.list() == [first, second]

    resolve = versions._resolve_in

    def delete_too(*args: Any) -> Any:
        found = resolve(*args)
        monkeypatch.setattr(versions, "_resolve_in", resolve)
        project.models.delete(first)  # nothing refers to it yet
        return found

    monkeypatch.setattr(versions, "_resolve_in", delete_too)
    with pytest.raises(ConflictError, match="deleted by another process"):
        project.promote(first)
    assert project.champion() == second


@pytest.mark.parametrize("store", ["local"], indirect=True)
@pytest.mark.parametrize("killed_at", range(6))
def test_a_deletion_that_is_killed_leaves_the_version_or_none(
    project: oml.Project, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    first, second = _published(project, "a"), _published(project, "b")
    project.promote(first)
    calls = iter(range(100))

    def dies(do: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            if next(calls) == killed_at:
                raise KeyboardInterrupt
            return do(*args, **more)

        return call

    with monkeypatch.context() as patch:
        for where, name in ((io, "create_bytes"), (io, "list_files"), (local, "_delete_below")):
            patch.setattr(where, name, dies(getattr(where, name)))
        with contextlib.suppress(KeyboardInterrupt):
            project.models.delete(second)
    there = project.models.list()
    assert there in ([first, second], [first])
    if len(there) == 2:
        assert io.read_bytes(second.location / "weights.safetensors") == b"b" * 1000
    else:
        project.sweep(delete=True, older_than_s=0.0)
        (note,) = io.list_files(second.location)
        assert note.path == "deleted.json"


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_a_publisher_whose_files_were_swept_publishes_again(
    project: oml.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = io.create_bytes

    def sweep_first(url: Any, data: bytes, **more: Any) -> None:
        if str(url).endswith("model.json"):
            monkeypatch.setattr(io, "create_bytes", create)
            project.sweep(delete=True, older_than_s=0.0)
        create(url, data, **more)

    monkeypatch.setattr(io, "create_bytes", sweep_first)
    version = _published(project, "a")
    assert project.models.list() == [version]
    assert io.read_bytes(version.location / "weights.safetensors") == b"a" * 1000


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_features_of_published_backbones_are_kept(project: oml.Project) -> None:
    model = oml.ImageClassifier(class_names=["a", "b"])
    model.size_hw = (32, 32)
    project.publish(model)
    own, other = project_store(project.location, model), FeatureStore(project.location / "features" / ("0" * 32))
    for features in (own, other):
        features.write([b"0" * 32], np.ones((1, 4), np.float32))
    (found,) = project.sweep(delete=True, older_than_s=0.0).leftovers
    assert (found.kind, found.path) == ("features", f"features/{'0' * 32}")
    assert len(own.read([b"0" * 32])) == 1
    project.models.delete(1)
    (found,) = project.sweep(delete=True, older_than_s=0.0).leftovers
    assert found.path == own.folder.url.removeprefix(f"{project.url}/")


@pytest.mark.parametrize("store", ["memory"], indirect=True)
def test_features_are_spared_if_a_model_cannot_be_loaded(project: oml.Project) -> None:
    _published(project, "somebody's own network")
    FeatureStore(project.location / "features" / ("0" * 32)).write([b"0" * 32], np.ones((1, 4), np.float32))
    found = project.sweep(older_than_s=0.0)
    assert found.leftovers == ()
    assert "spared" in found.notes[0]


def test_runs_are_deleted_unless_they_are_running(project: oml.Project) -> None:
    ended, running = _finished_run(project), _finished_run(project, "running")
    project.runs.delete(ended.id)
    assert [run.id for run in project.runs.list()] == [running.id]
    assert not any(name.startswith(f"runs/{ended.id}/") for name in _names(project))
    with pytest.raises(ConfigError, match="is running"):
        project.runs.delete(running.id)
    with pytest.raises(NotFoundError):
        project.runs.delete(ended.id)
