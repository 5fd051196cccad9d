"""A project that one may read and not write: what only looks works, and what would write names the permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import onlineml as oml
from fault_proxy import FaultProxy, fault_proxy
from onlineml.widgets import Gallery
from tiny import COLOURS, jpeg, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3_server import S3Server

pytestmark = pytest.mark.s3
__all__ = ["fault_proxy"]


def photo(name: str, seed: int) -> bytes:
    return jpeg(picture(COLOURS[name], seed=seed))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of these tests lands in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLINEML_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def url(s3_server: S3Server, cache: None) -> str:
    """A project with a frozen dataset and a champion, made by somebody who may write."""
    url = f"{s3_server.new_bucket()}/project"
    owner = oml.Project.create(url, class_names=sorted(COLOURS), storage_options=s3_server.storage_options)
    for number, name in enumerate(COLOURS):
        owner.images.upload([photo(name, 10 * number + i) for i in range(3)], label=name, split="test")
    owner.labels.suggest(dict.fromkeys(owner.labels.state().table["image_id"].to_pylist()[:2], ("red", 0.9)), model="1")
    data = owner.freeze()
    model = oml.ImageClassifier(class_names=data.class_names, backbone="squeezenet1_1")  # a small one
    model.size_hw = (32, 32)
    owner.promote(owner.publish(model, oml.evaluate(model, data, split="test")))
    return url


@pytest.fixture
def options(s3_server: S3Server, url: str, fault_proxy: FaultProxy) -> dict[str, Any]:
    """The storage options of somebody to whom the bucket's policy grants ListBucket and GetObject."""
    fault_proxy.fault = lambda method, path, number: "403" if method in {"PUT", "POST", "DELETE"} else None
    return {**s3_server.storage_options, "endpoint_url": fault_proxy.url}


@pytest.fixture
def project(url: str, options: dict[str, Any]) -> oml.Project:
    return oml.Project.open(url, storage_options=options)


def test_what_only_looks_works(
    url: str, options: dict[str, Any], project: oml.Project, s3_server: S3Server, fault_proxy: FaultProxy
) -> None:
    data = project.freeze()  # somebody has frozen this state
    scores = oml.evaluate(f"{url}@champion", data, split="test", storage_options=options)
    rows = list(oml.predict(f"{url}@champion", data.urls(), storage_options=options))

    owner = oml.Project.open(url, storage_options=s3_server.storage_options)
    theirs = oml.evaluate(f"{url}@champion", owner.freeze(), split="test", storage_options=owner.location.options)
    assert scores.summary() == theirs.summary()
    assert [row.error for row in rows] == [None] * 9
    assert project.champion() == owner.champion()
    assert len(project.labels.history(first(project))) == len(owner.labels.history(first(project)))
    assert "9 images" in Gallery(project).static_html()
    again = oml.Project.create(url, class_names=sorted(COLOURS), exist_ok=True, storage_options=options)
    assert again.classes.names() == owner.classes.names()
    assert fault_proxy.count("PUT") == 0  # nothing was even tried


def first(project: oml.Project) -> str:
    return str(project.labels.state().table["image_id"][0].as_py())


WRITES: dict[str, Callable[[oml.Project], object]] = {
    "relabel": lambda project: project.labels.set(first(project), "red"),
    "accept": lambda project: project.labels.accept(first(project)),
    "delete": lambda project: project.images.delete(first(project)),
    "upload": lambda project: project.images.upload(photo("red", 99), label="red"),
    "suggest": lambda project: project.labels.suggest({first(project): ("red", 0.9)}, model="1"),
    "add_class": lambda project: project.classes.add("owl"),
    "import_": lambda project: project.add(project.freeze()),
    "new_run": lambda project: project.runs.new(),
    "submit": lambda project: project.jobs.submit("train", {"epochs": 1}),
    "promote": lambda project: project.promote(project.models.list()[0], reason="again"),
    "publish": lambda project: project.publish(oml.load_model(project.models.get("champion"))),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_would_write_names_the_missing_permission_and_changes_nothing(project: oml.Project, name: str) -> None:
    before = project.labels.state().table

    with pytest.raises(PermissionError) as caught:
        WRITES[name](project)

    told = str(caught.value)
    assert "permission to write there is missing (S3: PutObject)" in told
    assert project.url in told
    assert project.location.options is not None
    assert project.location.options["secret"] not in told
    assert project.labels.state().table.equals(before)


def test_whoever_may_not_even_read_is_told_so(
    url: str, options: dict[str, Any], fault_proxy: FaultProxy, s3_server: S3Server
) -> None:
    fault_proxy.fault = lambda *_: "403"

    with pytest.raises(PermissionError, match=r"permission to read it is missing \(S3: GetObject\)"):
        oml.Project.open(url, storage_options=options)
    with pytest.raises(PermissionError, match=r"permission to list it is missing \(S3: ListBucket\)"):
        oml.Manifest.from_folders(f"{url}/photos", storage_options=options)
