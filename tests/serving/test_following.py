"""Promotions and rollbacks while requests are answered, and batches across requests."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError, NotFoundError
from onlineml.serving import Limits, batching, create_app, current
from onlineml.serving import app as app_module
from onlineml.serving.batching import Batcher, BusyError, Options
from onlineml.serving.current import CurrentModel
from served import running
from tiny import CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from served import Asked


def that_says(label: str) -> oml.ImageClassifier:
    """A network whose answer is always the same."""
    model = oml.ImageClassifier(class_names=CLASSES, backbone="slim_resnet18", weights="random")
    model.size_hw = (32, 32)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([5.0 * (name == label) for name in CLASSES]))
    return model.eval()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> oml.Project:
    made = oml.Project.create(str(tmp_path_factory.mktemp("served") / "moths"), task="classification")
    for label in ("blue", "green"):
        made.publish(that_says(label))
    made.promote(1, reason="the first")
    return made


def test_promotions_and_rollbacks_drop_no_request_and_mix_no_answers(
    project: oml.Project, manifest: oml.Manifest, serving: Callable[..., Asked]
) -> None:
    says = {version.version: label for version, label in zip(project.models.list(), ("blue", "green"), strict=True)}
    ask = serving(f"{project.url}@champion", limits=Limits(look_every_s=0.1))
    photos = {f"{i}.jpg": Path(url).read_bytes() for i, url in enumerate(manifest.urls()[:3])}
    ended, seen, wrong = threading.Event(), set(), []

    def client() -> None:
        while not ended.is_set():
            answered = ask.form(photos)
            labels = {row.get("label") for row in answered.json.get("predictions", [])}
            version = answered.json.get("version", "")
            seen.add(version)
            if (
                answered.code != 200
                or labels != {says[version]}
                or answered.headers["onlineml-model-version"] != version
            ):
                wrong.append(answered)

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        try:
            for _ in range(2):
                for change in (lambda: project.promote(2, reason="better"), project.models.rollback):
                    before = ask("/").json["version"]
                    change()
                    wait_until(lambda before=before: ask("/").json["version"] != before)
        finally:
            ended.set()
    for one in clients:
        one.result()
    assert not wrong
    assert seen == set(says)
    assert ask("/v2/models/moths").json["versions"] == [ask("/").json["version"]]
    assert b'onlineml_model_changes_total{outcome="changed"} 4.0' in ask("/metrics").body


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_version_that_cannot_be_opened_leaves_the_old_one(
    project: oml.Project, caplog: pytest.LogCaptureFixture
) -> None:
    current = CurrentModel(f"{project.url}@champion")
    opened, looks, stopped = current.opened, [], threading.Event()
    damaged = project.models.get(2).location / "weights.safetensors"
    whole = Path(damaged.url).read_bytes()
    Path(damaged.url).write_bytes(whole[:1000])
    project.promote(2, reason="better")
    thread = threading.Thread(
        target=current.follow, kwargs={"every_s": 0.1, "stopped": stopped, "on_look": looks.append}
    )
    thread.start()
    wait_until(lambda: len(looks) >= 2)
    stopped.set()
    thread.join()
    assert caplog.text.count(f"still answering with {opened.version}") == 1  # however often it is looked for
    assert not any(looks)
    assert current.opened is opened
    Path(damaged.url).write_bytes(whole)
    assert current.look()
    assert current.opened.version.startswith("2-")
    project.models.rollback()
    assert current.look()
    assert current.opened.version == opened.version


def test_a_model_that_gives_no_answer_is_not_served() -> None:
    model = that_says("red")
    with torch.no_grad():
        model.head.weight.fill_(torch.nan)
    with pytest.raises(ConfigError, match="gives no answer to a grey picture"):
        create_app(model)


def test_a_server_of_one_version_does_not_move(project: oml.Project) -> None:
    current = CurrentModel(f"{project.url}@1")
    assert current.opened.version.startswith("1-")
    assert not current.look()
    with pytest.raises(NotFoundError):
        CurrentModel(f"{project.url}@nobody")
    with pytest.raises(ConfigError, match="onnx"):
        CurrentModel(f"{project.url}@1", engine="onnx")
    with pytest.raises(ConfigError, match="published version"):
        CurrentModel(that_says("red"), engine="onnx")


def test_an_answer_of_another_version_than_asked_for_is_refused(
    project: oml.Project, manifest: oml.Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is promoted after the request was checked, and rolled back before the answer is."""
    now = CurrentModel(f"{project.url}@1")
    first, other = now.opened, current.Opened(that_says("green"), "2-bbbbbb", "torch")
    read, forward = app_module.infer_request, other.model.network.forward

    def promoted(*given: Any, **named: Any) -> Any:
        now.opened = other
        return read(*given, **named)

    def rolled_back(x: torch.Tensor) -> torch.Tensor:
        now.opened = first
        return forward(x)

    monkeypatch.setattr(app_module, "infer_request", promoted)
    other.model.network.forward = rolled_back
    data = [base64.b64encode(Path(manifest.urls()[0]).read_bytes()).decode()]
    body = json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]}).encode()
    with running(app_module.application(now, name="moths", token=None, limits=Limits())) as ask:
        answered = ask(f"/v2/models/moths/versions/{first.version}/infer", body)
    assert (answered.code, "2-bbbbbb" in answered.json["error"]) == (404, True), answered.json


def test_an_export_answers_only_where_it_can_run(project: oml.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    version = project.models.get(1)
    monkeypatch.setattr(current, "list_exports", lambda _: {"onnx": "nowhere"})
    with pytest.raises(NotFoundError):
        CurrentModel(version)
    assert CurrentModel(version, engine="torch").opened.engine == "torch"
    monkeypatch.setattr(current, "find_spec", lambda name: None)
    assert CurrentModel(version).opened.engine == "torch"


class Slow:
    """A batcher whose model waits, so that requests gather."""

    def __init__(self, model: Any, *, max_batch: int, max_waiting: int) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        current = CurrentModel(model)
        forward = model.network.forward

        def waits(x: torch.Tensor) -> torch.Tensor:
            self.gate.wait(60)
            return forward(x)

        model.network.forward = waits
        self.batcher = Batcher(
            current, max_batch=max_batch, max_waiting=max_waiting, on_batch=lambda n, _: self.batches.append(n)
        )
        self.batcher.start()


def test_requests_that_wait_are_answered_together_and_never_divided(manifest: oml.Manifest) -> None:
    photo = Path(manifest.urls()[0]).read_bytes()
    slow = Slow(that_says("red"), max_batch=4, max_waiting=20)
    first = slow.batcher.submit([photo], Options())
    wait_until(first.running)
    others = [slow.batcher.submit([photo] * n, Options()) for n in (1, 2, 3, 6, 1)]
    others[4].cancel()
    assert slow.batcher.waiting == 14
    with pytest.raises(BusyError):
        slow.batcher.submit([photo] * 7, Options())
    slow.gate.set()
    slow.batcher.stop()
    assert slow.batches == [1, 3, 3, 6]  # 1 + 2 together; 3 more would be 6; six at once are a batch of their own
    assert [len(one.result().rows) for one in (first, *others[:4])] == [1, 1, 2, 3, 6]
    assert slow.batcher.waiting == 0
    assert others[4].cancelled()


def test_an_error_of_the_model_reaches_those_who_asked_and_nobody_else(manifest: oml.Manifest) -> None:
    photo = Path(manifest.urls()[0]).read_bytes()
    slow = Slow(that_says("red"), max_batch=4, max_waiting=20)
    slow.gate.set()
    wrong = slow.batcher.submit([photo], Options(threshold=0.5))
    right = slow.batcher.submit([photo], Options(top_k=1))
    with pytest.raises(ConfigError, match="classifier"):
        wrong.result(60)
    assert right.result(60).rows[0].label == "red"
    slow.batcher.stop()


def test_a_request_that_fails_does_not_fail_those_beside_it(
    manifest: oml.Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = Path(manifest.urls()[0]).read_bytes()
    slow = Slow(that_says("red"), max_batch=8, max_waiting=20)
    predicted = batching.predict

    def fails(model: Any, photos: list[bytes], **options: Any) -> Any:
        if b"too large for memory" in photos:
            raise MemoryError
        return predicted(model, photos, **options)

    monkeypatch.setattr(batching, "predict", fails)
    first = slow.batcher.submit([photo], Options())
    wait_until(first.running)
    contents = (photo, b"too large for memory", photo)
    together = [slow.batcher.submit([one], Options()) for one in contents]
    slow.gate.set()
    slow.batcher.stop()
    assert [type(one.exception()) for one in together] == [type(None), MemoryError, type(None)]


def test_nothing_is_predicted_for_a_client_that_has_left(manifest: oml.Manifest) -> None:
    photo = Path(manifest.urls()[0]).read_bytes()
    model, gate, seen = that_says("red"), threading.Event(), []
    app, forward = create_app(model), model.network.forward

    def waits(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        gate.wait(60)
        return forward(x)

    model.network.forward = waits
    with running(app) as ask, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, "/predict", photo)
        wait_until(lambda: len(seen) == 1)
        host, _, port = ask.url.rpartition("/")[2].partition(":")
        leaving = socket.create_connection((host, int(port)))
        leaving.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(photo) + photo)
        wait_until(lambda: b"onlineml_waiting_photos 2.0" in ask("/metrics").body)
        leaving.close()
        wait_until(lambda: b'code="499"' in ask("/metrics").body)
        gate.set()
        assert first.result().code == 200
        wait_until(lambda: b"onlineml_waiting_photos 0.0" in ask("/metrics").body)
    assert seen == [1]
