"""The server, asked as its clients do, over loopback."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.serving import Limits, create_app, serve
from tiny_projects import colour_model, fitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from served import Asked


def contents(manifest: oml.Manifest, n: int) -> dict[str, bytes]:
    return {
        Path(url).name + str(i): Path(url).read_bytes()
        for i, url in enumerate(manifest.urls()[:: len(manifest) // n][:n])
    }


def test_a_form_json_and_a_body_get_what_predict_says(
    known: oml.ImageClassifier, manifest: oml.Manifest, serving: Callable[..., Asked]
) -> None:
    files = contents(manifest, 4)
    rows = [
        {**row.to_dict(), "uri": name}
        for name, row in zip(files, oml.predict(known, list(files.values())), strict=True)
    ]
    ask = serving(known)
    answered = ask.form(files)
    assert answered.code == 200
    assert answered.json == {"model": "model", "version": "", "task": "classification", "predictions": rows}
    body = json.dumps({"images": [base64.b64encode(content).decode() for content in files.values()]}).encode()
    by_json = ask("/predict", body, content_type="application/json").json["predictions"]
    assert [row | {"uri": ""} for row in by_json] == [row | {"uri": ""} for row in rows]
    (one,) = ask("/predict?top_k=1", next(iter(files.values())), content_type="image/jpeg").json["predictions"]
    assert one == {**rows[0], "uri": "0", "top": rows[0]["top"][:1]}


def test_a_calibrated_model_answers_with_sets(manifest: oml.Manifest, serving: Callable[..., Asked]) -> None:
    model = fitted(colour_model(manifest.class_names), manifest)
    photo = Path(manifest.urls()[0]).read_bytes()
    ask = serving(model)
    refused = ask("/predict?miss_rate=0.4", photo)
    assert (refused.code, "calibrate" in refused.json["error"]) == (400, True)
    oml.calibrate(model, manifest)
    too_few = ask("/predict?miss_rate=0.001", photo)
    assert (too_few.code, "photos" in too_few.json["error"]) == (400, True)
    (row,) = ask("/predict?miss_rate=0.4", photo).json["predictions"]
    assert row["label_set"] == list(oml.predict(model, photo, miss_rate=0.4)[0].label_set or ())
    assert "label_set" not in ask("/predict", photo).json["predictions"][0]


def test_a_photo_that_cannot_be_used_is_told_and_the_others_are_answered(
    known: oml.ImageClassifier, manifest: oml.Manifest, serving: Callable[..., Asked]
) -> None:
    (good,) = contents(manifest, 1).values()
    ask = serving(known)
    first, second = ask.form({"a.jpg": b"no photo", "b.jpg": good}).json["predictions"]
    assert first["uri"] == "a.jpg"
    assert "label" not in first
    assert first["error"]
    assert second["label"] in known.class_names
    assert b"onlineml_unusable_photos_total 1.0" in ask("/metrics").body


def test_each_task_has_its_words(
    labelled: tuple[Any, oml.Manifest], trained: Any, serving: Callable[..., Asked], manifest: oml.Manifest
) -> None:
    model, data = labelled
    photo = Path(data.urls()[0]).read_bytes()
    (row,) = serving(model)("/predict", photo).json["predictions"]
    assert row == {**oml.predict(model, photo)[0].to_dict(), "uri": "0"}
    detector, boxes = trained[0], trained[1]
    photo = Path(boxes.urls()[0]).read_bytes()
    ask = serving(detector)
    (row,) = ask("/predict?threshold=0", photo).json["predictions"]
    expected = oml.predict(detector, photo, threshold=0)[0].to_dict()
    assert expected["objects"]
    assert row == {**expected, "uri": "0"}
    refused = ask("/predict?threshold=2", photo)
    assert refused.code == 400
    assert "threshold" in refused.json["error"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "code", "words"),
    [
        ("/predict", b"", {}, 400, "no photo"),
        ("/predict", b"{", {"content_type": "application/json"}, 400, "images"),
        ("/predict", b'{"images": []}', {"content_type": "application/json"}, 400, "images"),
        ("/predict", b'{"images": ["http://a/b.jpg"]}', {"content_type": "application/json"}, 400, "no URLs"),
        ("/predict", b"x", {"content_type": "multipart/form-data; boundary=cut"}, 400, ""),
        ("/predict?top_k=0", b"x", {}, 400, "top_k"),
        ("/predict?threshold=0.5", b"x", {}, 400, "classifier"),
        ("/v2/models/other/infer", b"{}", {}, 404, "model"),
        ("/v2/models/model/versions/9-aaaaaa/infer", b"{}", {}, 404, "9-aaaaaa"),
        ("/v2/models/model/infer", b"[" * 40_000, {}, 400, "KServe"),
        ("/v2/models/model/infer", b'{"inputs": []}', {}, 400, "inputs"),
        ("/nowhere", None, {}, 404, "Not Found"),
        ("/predict", None, {}, 405, "Not Allowed"),
    ],
)
def test_what_cannot_be_answered_says_why(
    path: str, body: bytes | None, headers: Any, code: int, words: str, *, small: Asked
) -> None:
    answered = small(path, body, **headers)
    assert (answered.code, words in answered.json["error"]) == (code, True), answered.json


def test_requests_that_are_too_large_are_refused_announced_or_not(small: Asked, manifest: oml.Manifest) -> None:
    import http.client

    files = contents(manifest, 3)
    answered = small.form(files)
    assert (answered.code, "at most 2" in answered.json["error"]) == (413, True)
    three = json.dumps({"images": [base64.b64encode(one).decode() for one in files.values()]}).encode()
    answered = small("/predict", three, content_type="application/json")
    assert answered.code == 413
    assert "at most 2" in answered.json["error"]
    assert small("/predict", b"x" * 60_000).code == 413
    client = http.client.HTTPConnection(small.url.removeprefix("http://"))
    client.request(
        "POST", "/predict", iter([b"x" * 30_000] * 3), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    response = client.getresponse()
    assert response.status == 413
    assert "50,000 bytes" in json.loads(response.read())["error"]
    client.close()
    assert small.form(dict(list(files.items())[:2])).code == 200


def test_a_token_guards_all_but_health(known: oml.ImageClassifier, serving: Callable[..., Asked]) -> None:
    ask = serving(known, token="öffne sesame")  # noqa: S106
    for path, body in (
        ("/predict", b"x"),
        ("/metrics", None),
        ("/v2/models/model/infer", b"{}"),
        ("/v2/models/model", None),
    ):
        for headers in ({}, {"authorization": "Bearer open"}, {"authorization": "open sesame"}):
            answered = ask(path, body, **headers)
            assert answered.code == 401
            assert answered.headers["www-authenticate"] == "Bearer"
            assert b"sesame" not in answered.body
    assert ask("/predict", b"x", authorization=b"Bearer \xc3\xb6ffne sesame".decode("latin-1")).code == 200
    assert ask("/v2/health/live").code == ask("/v2/health/ready").code == ask("/v2/models/model/ready").code == 200


def test_other_machines_are_not_served_without_a_token(known: oml.ImageClassifier) -> None:
    with pytest.raises(ConfigError, match="ONLINEML_SERVE_TOKEN"):
        serve(known, host="0.0.0.0")  # noqa: S104 - refused
    with pytest.raises(ConfigError, match="token is empty"):
        create_app(known, token=" ")  # noqa: S106
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}.*--port"):  # and not after the model was opened
            serve("no/such@champion", port=port)
    with pytest.raises(ConfigError, match="65535"):
        serve("no/such@champion", port=99_999)
    with pytest.raises(ConfigError, match="max_batch"):
        Limits(max_batch=0)
