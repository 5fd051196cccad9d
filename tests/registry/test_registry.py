"""`onlineml.registry` on every kind of storage."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import onlineml as oml
from onlineml import registry
from onlineml.errors import AlreadyExistsError, ConfigError, ConflictError, NotFoundError, StorageError
from onlineml.registry import promotions
from onlineml.storage import io
from onlineml.storage.location import Location
from stores import KINDS, SWIFT, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=[*KINDS, SWIFT])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as opened:
        yield opened


def _options(store: Store) -> dict[str, Any]:
    return {"storage_options": store.storage_options}


def _publish(store: Store, text: str) -> registry.ModelVersion:
    files = {"model.json": b'{"name": "%s"}' % text.encode(), "weights.safetensors": text.encode()}
    return registry.publish_version(store.location, files)


def test_a_project_without_models(store: Store) -> None:
    assert registry.list_versions(store.location) == []
    assert registry.aliases(store.location) == {}
    assert registry.promotion_history(store.location) == []
    refs = (f"{store.url}@champion", f"{store.url}/models/7", f"{store.url}/models/7-aaaaaa", f"{store.url}@7")
    for ref in refs:
        with pytest.raises(NotFoundError, match="contains no project, and so no"):
            registry.resolve(store.location.to(ref))
    store.raw_write("project.json", b"{}")
    for ref in refs:
        with pytest.raises(NotFoundError, match="none yet"):
            registry.resolve(store.location.to(ref))
    with pytest.raises(NotFoundError, match=r"model\.json"):
        registry.resolve(store.location)
    with pytest.raises(NotFoundError, match="no version was"):
        registry.rollback(store.location)
    assert store.raw_names() == ["project.json"]


def test_versions_count_up_and_are_found(store: Store) -> None:
    versions = [_publish(store, text) for text in "abcdefghijk"]
    assert [version.version.partition("-")[0] for version in versions] == [str(number) for number in range(1, 12)]
    assert registry.list_versions(store.location) == versions  # by number: 2 before 10
    tenth = versions[9]
    assert tenth.descriptor() == {"name": "j"}
    assert tenth.url == f"{store.url}/models/{tenth.version}"
    assert io.read_bytes(tenth.path("weights.safetensors"), **_options(store)) == b"j"
    assert registry.resolve(tenth) is tenth
    for ref in (
        tenth.url,
        f"{tenth.url}/",
        f"{store.url}/models/10",
        f"{store.url}@10",
        f"{store.url}@{tenth.version}",
    ):
        assert registry.resolve(store.location.to(ref)) == tenth
    assert registry.resolve(store.location.to(f"{store.url}/models/{tenth.version[:-2]}")) == tenth
    with pytest.raises(NotFoundError, match="no '12'"):
        registry.resolve(store.location.to(f"{store.url}/models/12"))


def test_racing_publishers_lose_nothing(store: Store) -> None:
    start = threading.Barrier(4)

    def publish(number: int) -> registry.ModelVersion:
        start.wait()
        return _publish(store, f"model {number}")

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(publish, range(4)))
    assert len({version.version for version in versions}) == 4
    assert [version.descriptor()["name"] for version in versions] == [f"model {number}" for number in range(4)]
    assert {v.version for v in registry.list_versions(store.location)} == {v.version for v in versions}


def test_the_same_number_twice_needs_the_full_name(store: Store) -> None:
    for version in ("7-aaaaaa", "7-bbbbbb"):
        store.raw_write(f"models/{version}/model.json", b"{}")
    assert registry.resolve(store.location.to(f"{store.url}/models/7-a")).version == "7-aaaaaa"
    with pytest.raises(NotFoundError, match="7-aaaaaa, 7-bbbbbb"):
        registry.resolve(store.location.to(f"{store.url}/models/7"))
    assert _publish(store, "x").version.startswith("8-")


def test_a_publisher_that_was_killed_leaves_no_version(store: Store) -> None:
    store.raw_write("models/1-aaaaaa/weights.safetensors", b"half")
    assert registry.list_versions(store.location) == []
    assert _publish(store, "a").version.startswith("2-")
    with pytest.raises(NotFoundError):
        registry.resolve(store.location.to(f"{store.url}/models/1-aaaaaa"))


def test_a_publish_that_is_repeated_makes_one_version(store: Store) -> None:
    first, other = _publish(store, "a"), _publish(store, "b")
    assert _publish(store, "a") == first  # its answer was lost with the process
    assert registry.list_versions(store.location) == [first, other]
    store.raw_write(f"models/{first.version}/model.json", b"{}")
    assert _publish(store, "a").version.startswith("3-")  # digits that are the same by chance


def test_promotion_and_rollback(store: Store) -> None:
    one, two, three = (_publish(store, text) for text in "abc")
    registry.promote(store.location, one, author="ann")
    registry.promote(store.location, "2", reason="better", author="bob")
    registry.promote(store.location, three.version, alias="challenger")
    assert registry.aliases(store.location) == {"challenger": three.version, "champion": two.version}
    assert registry.resolve(store.location.to(f"{store.url}@champion")) == two
    assert registry.rollback(store.location) == one
    assert registry.resolve(store.location.to(f"{store.url}@champion")) == one
    with pytest.raises(NotFoundError, match="no version was 'champion' before"):
        registry.rollback(store.location)
    registry.promote(store.location, 3)
    registry.promote(store.location, 3)  # twice is as once
    assert registry.rollback(store.location) == one
    history = registry.promotion_history(store.location)
    assert [(line["event"], line["alias"], line["version"], line["previous"]) for line in history] == [
        ("promoted", "champion", one.version, None),
        ("promoted", "champion", two.version, one.version),
        ("promoted", "challenger", three.version, None),
        ("rolled_back", "champion", one.version, two.version),
        ("promoted", "champion", three.version, one.version),
        ("promoted", "champion", three.version, three.version),
        ("rolled_back", "champion", one.version, three.version),
    ]
    assert [line["author"] for line in history[:2]] == ["ann", "bob"]
    assert history[1]["reason"] == "better"
    assert all(line["author"] and "+00:00" in line["time"] for line in history)


def test_who_compared_with_another_champion_is_told(store: Store) -> None:
    one, two, three = (_publish(store, text) for text in "abc")
    registry.promote(store.location, one, replaces="")
    with pytest.raises(ConflictError, match=f"nothing yet, but it is {one.version}"):
        registry.promote(store.location, two, replaces="")
    registry.promote(store.location, two, replaces=one)
    with pytest.raises(ConflictError, match=f"to be {one.version}, but it is {two.version}"):
        registry.promote(store.location, three, replaces=one.version)
    registry.promote(store.location, three, replaces=two.version)
    assert registry.aliases(store.location) == {"champion": three.version}


def test_of_two_who_promote_at_once_one_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (_publish(store, text) for text in "abc")
    registry.promote(store.location, one)
    original = promotions.AliasState.follow

    def after_another(self: Any, **facts: Any) -> None:
        monkeypatch.setattr(promotions.AliasState, "follow", original)
        registry.promote(store.location, two)
        original(self, **facts)

    monkeypatch.setattr(promotions.AliasState, "follow", after_another)
    with pytest.raises(ConflictError, match=f"{two.version} at the same moment"):
        registry.promote(store.location, three)
    registry.promote(store.location, three)
    monkeypatch.setattr(promotions.AliasState, "follow", after_another)
    with pytest.raises(ConflictError):
        registry.rollback(store.location)
    assert registry.aliases(store.location) == {"champion": two.version}
    history = registry.promotion_history(store.location)
    counting = [line["version"] for line in history if line["in_effect"]]
    assert counting == [one.version, two.version, three.version, two.version]


def test_many_who_promote_at_once_agree(store: Store) -> None:
    versions = [_publish(store, text) for text in "abcd"]
    start = threading.Barrier(4)

    def promote(version: registry.ModelVersion) -> bool:
        start.wait()
        try:
            registry.promote(store.location, version, replaces="")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(promote, versions))
    (champion,) = registry.aliases(store.location).values()
    assert won[[version.version for version in versions].index(champion)]
    if store.kind != "swift":  # which lets several win at first, and then every reader finds the same
        assert sum(won) == 1


def test_what_cannot_be_promoted(store: Store) -> None:
    _publish(store, "a")
    for alias in ("7", "", "Champion", "a/b", "a@b"):
        with pytest.raises(ConfigError, match="alias"):
            registry.promote(store.location, "1", alias=alias)
    with pytest.raises(ConfigError, match="champion"):
        registry.promote(store.location, "champion")
    with pytest.raises(NotFoundError, match="no '2'"):
        registry.promote(store.location, "2")
    assert registry.promotion_history(store.location) == []


def test_a_model_outside_a_project(store: Store) -> None:
    url = f"{store.url}/somewhere/mine"
    version = registry.publish_to(store.location.to(url), {"model.json": b"{}"})
    assert (version.url, version.version, version.project_url) == (url, "mine", "")
    assert registry.resolve(store.location.to(url)) == version
    with pytest.raises(AlreadyExistsError):
        registry.publish_to(store.location.to(url), {"model.json": b"{}"})
    for wrong, told in ((b"[]", "Expected `object`"), (b"{", "not JSON")):
        store.raw_write("somewhere/mine/model.json", wrong)
        with pytest.raises(StorageError, match=told):
            version.descriptor()


def test_options_are_neither_shown_nor_pickled(store: Store) -> None:
    version = registry.ModelVersion(Location(f"{store.url}/<b>", {"secret": "hunter2"}), "1-<b>")
    shown = [repr(version), str(version), version._repr_html_(), str(pickle.dumps(version))]
    assert not [text for text in shown if "hunter2" in text]
    assert "<b>/" not in shown[2]
    copy = pickle.loads(pickle.dumps(version))  # noqa: S301 (our own)
    assert copy == version
    assert copy.location.options is None


def test_the_author_is_the_hubs_user(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "carol")
    _publish(store, "a")
    registry.promote(store.location, "1")
    assert registry.promotion_history(store.location)[0]["author"] == "carol"


def test_a_project_finds_its_versions_by_alias_number_and_name(tmp_path):
    project = oml.Project.create(tmp_path / "project")
    version = registry.publish_version(project.url, {"model.json": b"{}", "weights.safetensors": b"1"})
    project.promote(version, reason="the first")
    for name in ("champion", 1, "1", version.version):
        assert project.models.get(name).version == version.version
    assert project.models.promotions()["version"].tolist() == [version.version]
    with pytest.raises(NotFoundError):
        project.models.get("7")
