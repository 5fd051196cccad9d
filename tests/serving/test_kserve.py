"""The KServe protocol, against requests as its clients write them."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

import onlineml as oml

if TYPE_CHECKING:
    from collections.abc import Callable

    from served import Asked


def asked(data: Any, *, datatype: str = "BYTES", shape: list[int] | None = None, **more: Any) -> bytes:
    given = {"name": "image", "datatype": datatype, "shape": shape or [len(data)], "data": data}
    return json.dumps({"id": "7", "inputs": [given], **more}).encode()


def outputs(answered: Any) -> dict[str, np.ndarray]:
    assert answered.code == 200, answered.body
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answered.json["outputs"]}


def some(manifest: oml.Manifest) -> list[bytes]:
    return [Path(url).read_bytes() for url in manifest.urls()[::17]]


def test_files_in_base64_and_in_binary_get_the_probabilities_of_predict(
    known: oml.ImageClassifier, manifest: oml.Manifest, serving: Callable[..., Asked]
) -> None:
    photos = some(manifest)
    ask = serving(known, name="colours")
    answered = ask("/v2/models/colours/infer", asked([base64.b64encode(one).decode() for one in photos]))
    assert (answered.json["id"], answered.json["model_name"]) == ("7", "colours")
    found = outputs(answered)
    rows = oml.predict(known, photos, top_k=3)
    expected = np.array([[dict(row.top)[name] for name in known.class_names] for row in rows])
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert found["label"].tolist() == [row.label for row in rows]
    assert not any(found["error"])
    binary = b"".join(struct.pack("<I", len(one)) + one for one in photos)
    text = json.dumps(
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(photos)],
                     "parameters": {"binary_data_size": len(binary)}}]}
    ).encode()  # fmt: skip
    again = outputs(ask("/v2/models/colours/infer", text + binary, inference_header_content_length=str(len(text))))
    np.testing.assert_array_equal(again["probabilities"], found["probabilities"])
    data = base64.b64encode(photos[0]).decode()
    some_of_them = asked(data, shape=[1], outputs=[{"name": "label", "parameters": {"binary_data": False}}])
    assert outputs(ask("/v2/models/colours/infer", some_of_them)) == {"label": np.array([rows[0].label])}
    refused = ask("/v2/models/colours/infer", asked(data, shape=[1], outputs=[{"name": "boxes"}]))
    assert (refused.code, "probabilities, label, error" in refused.json["error"]) == (400, True)


def test_pixels_are_pictures_in_rgb(
    known: oml.ImageClassifier, manifest: oml.Manifest, serving: Callable[..., Asked]
) -> None:
    pixels = np.stack([cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR_RGB) for one in some(manifest)[:2]])
    ask = serving(known)
    body = asked(pixels.reshape(-1).tolist(), datatype="UINT8", shape=list(pixels.shape))
    found = outputs(ask("/v2/models/model/infer", body))
    assert found["label"].tolist() == [row.label for row in oml.predict(known, pixels)]
    nested = outputs(ask("/v2/models/model/infer", asked(pixels.tolist(), datatype="UINT8", shape=list(pixels.shape))))
    np.testing.assert_array_equal(nested["probabilities"], found["probabilities"])


def test_a_photo_that_cannot_be_used_has_an_error_beside_the_answers_of_others(
    known: oml.ImageClassifier, manifest: oml.Manifest, serving: Callable[..., Asked]
) -> None:
    photos = [b"no photo", some(manifest)[0]]
    found = outputs(serving(known)("/v2/models/model/infer", asked([base64.b64encode(p).decode() for p in photos])))
    assert found["label"][0] == ""
    assert found["error"][0]
    assert not found["error"][1]
    assert found["probabilities"][0].sum() == 0
    assert found["probabilities"][1].sum() == pytest.approx(1)


def test_objects_and_labels_are_tensors(
    labelled: tuple[Any, oml.Manifest], trained: Any, serving: Callable[..., Asked]
) -> None:
    detector, boxes = trained[0], trained[1]
    photos = [Path(url).read_bytes() for url in boxes.urls()[:3]]
    ask = serving(detector)
    body = asked([base64.b64encode(one).decode() for one in photos], parameters={"threshold": 0.1})
    found = outputs(ask("/v2/models/model/infer", body))
    rows = oml.predict(detector, photos, threshold=0.1)
    assert found["count"].tolist() == [len(row) for row in rows]
    assert found["count"].sum()
    for i, row in enumerate(rows):
        np.testing.assert_allclose(found["boxes"][i, : len(row)], row.boxes_xyxy, rtol=1e-5)
        assert found["labels"][i, : len(row)].tolist() == row.label_ids.tolist()
        assert (found["labels"][i, len(row) :] == -1).all()
    about = {output["name"]: output for output in ask("/v2/models/model").json["outputs"]}
    assert about["boxes"]["shape"] == [-1, -1, 4]
    assert about["count"]["datatype"] == "INT64"
    model, data = labelled
    photo = Path(data.urls()[0]).read_bytes()
    found = outputs(serving(model)("/v2/models/model/infer", asked([base64.b64encode(photo).decode()])))
    labels = [name for name, on in zip(model.class_names, found["predicted"][0], strict=True) if on]
    assert sorted(labels) == sorted(oml.predict(model, photo)[0].labels)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (asked(["AAAA"], shape=[2]), "1 photos"),
        (asked([1, 2]), "base64"),
        (asked(["%"]), "not base64"),
        (asked([1], datatype="FP32"), "BYTES"),
        (asked([0] * 12, datatype="UINT8", shape=[1, 2, 2, 3][:3]), "height"),
        (asked([0] * 11, datatype="UINT8", shape=[1, 2, 2, 3]), "11 numbers"),
        (asked([256] * 12, datatype="UINT8", shape=[1, 2, 2, 3]), "0..255"),
        (asked([0.5] * 12, datatype="UINT8", shape=[1, 2, 2, 3]), "0..255"),
        (asked([], shape=[0]), "shape"),
        (asked(["AAAA"], parameters={"threshold": "high"}), "threshold"),
        (asked(["AAAA"]) + b"more", "KServe"),
    ],
)
def test_what_is_no_such_request_says_why(body: bytes, words: str, small: Asked) -> None:
    answered = small("/v2/models/model/infer", body)
    assert (answered.code, words in answered.json["error"]) == (400, True), answered.json


def test_binary_data_that_does_not_fit_says_why(small: Asked) -> None:
    text = asked(None, shape=[1], parameters={})
    for header, tail, words in (("x", b"", "length"), (str(len(text)), b"1234", "binary_data_size")):
        answered = small("/v2/models/model/infer", text + tail, inference_header_content_length=header)
        assert (answered.code, words in answered.json["error"]) == (400, True), answered.json
    text = json.dumps(
        {"inputs": [{"name": "i", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}]}
    ).encode()
    answered = small("/v2/models/model/infer", text + b"\xff\0\0\0ab", inference_header_content_length=str(len(text)))
    assert answered.code == 400
    assert "within a photo" in answered.json["error"]
