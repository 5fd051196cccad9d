"""What goes to a device: programs without onlineml that answer as it does, a zip, releases and their updates."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import onlineml as oml
from onlineml.cli import main as cli
from onlineml.errors import AlreadyExistsError, NotFoundError, StorageError
from onlineml.exporting.bundle import PROGRAMS, programs
from tiny import COLOURS, picture
from tiny_boxes import SIZE, any_objects, drawn
from tiny_labels import scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onlineml.tasks.base import VisionModule
    from tiny_boxes import Trained

pytest.importorskip("onnx")
if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
    pytest.skip("torch's exporter came of age with 2.9", allow_module_level=True)
pytest.importorskip("onnxruntime")

# As on a device: what the library stands on cannot be imported.
_ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(("onlineml", "torch", "torchvision", "cv2", "onnx", "msgspec", "fsspec")))
sys.path.insert(0, sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_alone(folder: Path, photos: Sequence[Path]) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", _ALONE, str(folder), str(folder / "predict.py"), *map(str, photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def odd_photos(folder: Path, pixels: np.ndarray) -> list[Path]:
    """One picture as files of all kinds."""
    folder.mkdir()
    image = Image.fromarray(pixels)
    written = []

    def save(one: Image.Image, name: str, **options: Any) -> None:
        one.save(folder / name, **options)
        written.append(folder / name)

    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        save(image, f"turned_{turn}.jpg", exif=exif.tobytes(), quality=95)
    save(image, "turned.png", exif=exif.tobytes())
    save(image, "turned.tif", tiffinfo={0x0112: 6})
    save(image.convert("L"), "grey.jpg")
    save(image.convert("L"), "grey.png")
    save(image.convert("P", palette=Image.Palette.ADAPTIVE), "palette.png")
    save(image.convert("P", palette=Image.Palette.ADAPTIVE), "palette_clear.png", transparency=0)
    save(image.convert("CMYK"), "cmyk.jpg", quality=95)
    clear = np.dstack([pixels, np.linspace(0, 255, pixels[:, :, 0].size).reshape(pixels.shape[:2]).astype(np.uint8)])
    save(Image.fromarray(clear), "rgba.png")
    save(Image.fromarray(clear).convert("LA"), "la.png")
    save(Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257), "grey_16.png")
    save(image, "lossy.webp", quality=90)
    wide = np.concatenate([pixels] * 5, axis=1)
    save(Image.fromarray(wide), "panorama.png")
    times = int(np.ceil(np.sqrt(1_200_000 / pixels[:, :, 0].size)))  # larger ones are reduced before they are resized
    large = cv2.resize(pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    save(Image.fromarray(large), "large.jpg")
    save(Image.fromarray(large), "large.png")
    cv2.imwrite(str(folder / "rgb_16.png"), pixels[:, :, ::-1].astype(np.uint16) * 257)
    (folder / "cut_off.jpg").write_bytes((folder / "large.jpg").read_bytes()[:-2000])
    (folder / "text.jpg").write_text("no photo")
    return [*written, folder / "rgb_16.png", folder / "cut_off.jpg", folder / "text.jpg"]


def one_label(row: Any, answer: dict[str, Any]) -> None:
    assert answer["label"] == row.label
    assert answer["score"] == pytest.approx(row.score, abs=0.01)
    assert [one["label"] for one in answer["top"]] == [name for name, _ in row.top]


def several_labels(row: Any, answer: dict[str, Any]) -> None:
    assert [one["label"] for one in answer["labels"]] == list(row.labels)
    found = {one["label"]: one["score"] for one in answer["top"]}
    assert found == pytest.approx(dict(row.top), abs=0.01)


def boxes(row: Any, answer: dict[str, Any]) -> None:
    assert (answer["height"], answer["width"]) == row.size_hw
    assert [one["label"] for one in answer["objects"]] == list(row.labels)
    assert np.allclose([one["score"] for one in answer["objects"]], row.scores, atol=0.01)
    if len(row):
        shift = np.abs(np.array([one["box"] for one in answer["objects"]]) - row.boxes_xyxy).max()
        assert shift < max(0.1, 0.01 * max(row.size_hw) / SIZE)  # of the photo, or a hundredth in the network's input


@pytest.mark.parametrize("task", ["one label", "several labels", "boxes"])
def test_a_device_answers_as_the_library_does(  # noqa: PLR0917 - fixtures
    task: str,
    known: oml.ImageClassifier,
    manifest: oml.Manifest,
    labelled: tuple[VisionModule, oml.Manifest],
    trained: Trained,
    data_dir: Path | None,
    tmp_path: Path,
) -> None:
    model, data, pixels, same = {
        "one label": (known, manifest, picture(COLOURS["red"], seed=7), one_label),
        "several labels": (*labelled, scene(("blue", "red"), seed=1), several_labels),
        "boxes": (trained.model, trained.manifest, drawn((90, 120), any_objects((90, 120), seed=3)), boxes),
    }[task]
    oml.export(model, tmp_path / "out", data=data, split="val")
    photos = odd_photos(tmp_path / "photos", pixels)
    photos += [] if data_dir is None else sorted((data_dir / "awkward").glob("*.*"))
    answers = run_alone(tmp_path / "out", photos)
    rows = list(oml.predict(model, [str(path) for path in photos]))
    assert len(answers) == len(rows) == len(photos)
    for photo, row, answer in zip(photos, rows, answers, strict=True):
        assert answer["photo"] == str(photo)
        assert ("error" in answer) == (row.error is not None), (photo, answer, row)
        if row.error is None:
            same(row, answer)
    assert sum("error" in answer for answer in answers) >= 2


def test_the_runner_is_short() -> None:
    lengths = {name: len(content.splitlines()) for name, content in programs().items()}
    assert lengths["predict.py"] <= 80
    assert lengths["photos.py"] <= 80


def test_a_zip(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    at = tmp_path / "model.zip"
    done = oml.export(known, at, data=manifest)
    assert done.url == str(at)
    assert next(iter(oml.predict(done.load(), manifest))).label == next(iter(oml.predict(known, manifest))).label
    with pytest.raises(AlreadyExistsError, match="contains an export already"):
        oml.export(known, at, data=manifest)
    with zipfile.ZipFile(at) as archive:
        members = archive.infolist()
        content = {one.filename: archive.read(one) for one in members}
    names = {"model.onnx", "export.json", "certificate.json", "certificate.html", "README.md", *PROGRAMS}
    assert {one.filename for one in members} == names  # no folders, no paths
    assert {one.external_attr >> 16 for one in members} == {0o100644}
    assert {one.date_time for one in members} == {(1980, 1, 1, 0, 0, 0)}
    assert "python predict.py" in content["README.md"].decode()
    oml.export(known, tmp_path / "again.zip", data=manifest)
    with zipfile.ZipFile(tmp_path / "again.zip") as archive:
        assert archive.read("model.onnx") == content["model.onnx"]
    at.write_bytes(at.read_bytes()[:-50])
    with pytest.raises(StorageError, match="is no zip, or damaged"):
        oml.load_export(at)
    with zipfile.ZipFile(at, "w", zipfile.ZIP_DEFLATED) as archive:  # of which a few bytes may become any number
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(StorageError, match="does not compress"):
        oml.load_export(at)


def test_a_zip_depends_on_its_files_alone(tmp_path: Path) -> None:
    from onlineml.exporting import bundle
    from onlineml.storage.location import Location

    for name, order in (("a.zip", ("x", "y")), ("b.zip", ("y", "x"))):
        bundle.publish(Location.of(tmp_path / name), {one: one.encode() for one in order})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


# ---- releases and updates ----


class Shop(http.server.SimpleHTTPRequestHandler):
    """A web server of a folder, with ETags; it counts what it sends."""

    sent: list[tuple[str, int]]
    root: Path

    def do_GET(self) -> None:
        path = self.root / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        same = self.headers.get("If-None-Match") == tag
        self.sent.append((path.name, 0 if same else len(body)))  # before the other side can go on
        self.send_response(304 if same else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", "0" if same else str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if same else body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[str, Path, list[tuple[str, int]]]]:
    sent: list[tuple[str, int]] = []
    (root := tmp_path / "shop").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Of", (Shop,), {"root": root, "sent": sent})) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", root, sent
        server.shutdown()
        thread.join()


def device(folder: Path) -> Any:
    """The program of a device, as it was unpacked there."""
    folder.mkdir()
    for name, content in programs().items():
        (folder / name).write_bytes(content)
    spec = importlib.util.spec_from_file_location("update", folder / "update.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_devices_follow_releases(
    known: oml.ImageClassifier,
    manifest: oml.Manifest,
    labelled: tuple[VisionModule, oml.Manifest],
    shop: tuple[str, Path, list[tuple[str, int]]],
    tmp_path: Path,
) -> None:
    url, root, sent = shop
    one = oml.export(known, tmp_path / "one.zip", data=manifest)
    two = oml.export(labelled[0], tmp_path / "two", data=labelled[1])
    assert oml.release(one, root) == str(root / "latest.json")
    update = device(tmp_path / "device")
    assert "is in use" in update.update(url)
    first = (tmp_path / "device" / "current.txt").read_text()
    photo = str(next(Path(manifest.root).rglob("*.jpg")))
    (answer,) = run_alone(tmp_path / "device", [Path(photo)])
    assert answer["label"] == next(iter(oml.predict(known, [photo]))).label
    sent.clear()
    assert "is the newest" in update.update(url)
    assert sent == [("latest.json", 0)]  # one request, and no bytes
    oml.release(one, root)  # again: nothing new
    assert "is the newest" in update.update(url)

    assert cli.main(["release", two.url, str(root)]) == 0
    (root / json.loads((root / "latest.json").read_text())["folder"] / "update.py").write_text("print('other code')")
    assert "is in use" in update.update(url)
    assert "labels" in run_alone(tmp_path / "device", [Path(photo)])[0]
    assert (tmp_path / "device" / "update.py").read_bytes() == programs()["update.py"]
    assert not list((tmp_path / "device").glob("model-*/*.py"))  # never code
    oml.release(one, root)  # back
    sent.clear()
    assert "is in use" in update.update(url)
    assert [name for name, _ in sent] == ["latest.json"]  # it was still there
    assert (tmp_path / "device" / "current.txt").read_text() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folder": "../x"}, "names the folder"),
        ({"folder": "x/../../model-0123456789ab"}, "names the folder"),
        ({"folder": "model-0123456789ab"}, "404"),
        ({"format": 2}, "of another kind"),
        ({"files": {}}, "of another kind"),
        ("damaged", "checksum"),
        ("longer", "has more than"),
        ("no json", "Expecting value"),
    ],
)
def test_a_device_keeps_what_it_has(
    change: Any, message: str, shop: tuple[str, Path, list[tuple[str, int]]], tmp_path: Path
) -> None:
    url, root, _ = shop
    update = device(tmp_path / "device")
    names = ("model.onnx", "export.json")
    latest: dict[str, Any] = {
        "format": 1,
        "version": "7-3fa9c1",
        "folder": "model-aaaaaaaaaaaa",
        "files": {name: {"sha256": hashlib.sha256(b"good").hexdigest(), "bytes": 4} for name in names},
    }
    (root / "model-aaaaaaaaaaaa").mkdir()
    for name in names:
        (root / "model-aaaaaaaaaaaa" / name).write_bytes(b"good")
    (root / "latest.json").write_text(json.dumps(latest))
    assert update.update(url) == "model-aaaaaaaaaaaa (7-3fa9c1) is in use"
    before = files_of(tmp_path / "device")
    latest["folder"] = "model-bbbbbbbbbbbb"
    (root / "model-bbbbbbbbbbbb").mkdir()
    for name in names:
        wrong = (
            {"damaged": b"evil", "longer": b"good and more"}.get(change, b"good")
            if isinstance(change, str)
            else b"good"
        )
        (root / "model-bbbbbbbbbbbb" / name).write_bytes(wrong)
    latest |= change if isinstance(change, dict) else {}
    (root / "latest.json").write_text("" if change == "no json" else json.dumps(latest))
    if change == "no json":
        (root / "latest.json").write_text("<html>")
    with pytest.raises(Exception, match=message):
        update.update(url)
    assert files_of(tmp_path / "device") == before


def test_a_device_recovers_by_itself(shop: tuple[str, Path, list[tuple[str, int]]], tmp_path: Path) -> None:
    url, root, sent = shop
    update = device(home := tmp_path / "device")
    (root / (name := "model-aaaaaaaaaaaa")).mkdir()
    files = {"model.onnx": b"graph", "export.json": b"{}"}
    for file, content in files.items():
        (root / name / file).write_bytes(content)
    listed = {file: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for file, data in files.items()}
    (root / "latest.json").write_text(json.dumps({"format": 1, "version": "7", "folder": name, "files": listed}))
    for draft in (f"draft-{os.getpid()}", "draft-0", "draft-1"):  # power was lost; in a container, numbers come again
        (home / draft).mkdir()
    os.utime(home / "draft-0", (0, 0))
    assert "is in use" in update.update(url)
    assert [path.name for path in home.glob("draft-*")] == ["draft-1"]  # of another run, perhaps
    before = files_of(home)
    shutil.rmtree(home / name)
    assert "is the newest" in update.update(url)
    assert files_of(home) == before
    (home / "seen.json").write_bytes(b"\0\0")
    sent.clear()
    assert "is the newest" in update.update(url)
    assert files_of(home) == before
    assert [one for one, _ in sent] == ["latest.json"]


def test_an_update_without_an_address_says_how_it_is_called(tmp_path: Path) -> None:
    device(tmp_path / "device")
    ended = subprocess.run(
        [sys.executable, "update.py"], cwd=tmp_path / "device", capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "usage: python update.py URL" in ended.stderr) == (1, True)


def test_a_release_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no export at"):
        oml.release(tmp_path / "nothing", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_device_with_openvino(known: oml.ImageClassifier, manifest: oml.Manifest, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    done = oml.export(known, tmp_path / "out", data=manifest, format="openvino")
    assert "It needs numpy, openvino and Pillow" in (tmp_path / "out" / "README.md").read_text()
    oml.release(done, tmp_path / "shop")
    assert "is in use" in device(tmp_path / "device").update((tmp_path / "shop").as_uri())
    photos = sorted(Path(manifest.root).rglob("*.jpg"))[:5]
    rows = list(oml.predict(known, [str(path) for path in photos]))
    for row, answer in zip(rows, run_alone(tmp_path / "device", photos), strict=True):
        one_label(row, answer)
