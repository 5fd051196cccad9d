"""The gallery: filters, pages and pictures as messages, of manifests and projects, small and very large."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from front_end import FrontEnd
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError
from onlineml.project.project import Project
from onlineml.widgets import Gallery

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))


def manifest_of(n: int, root: Path, **columns: list[Any]) -> Manifest:
    """The i-th image is of the class c0, c1 or (unlabelled) none, in turn; every tenth is for testing."""
    table = pa.table(
        {
            "image_id": [f"id-{i}" for i in range(n)],
            "uri": [f"{i}.png" for i in range(n)],
            "split": ["test" if i % 10 == 0 else "train" for i in range(n)],
            "group": [f"g{i}" for i in range(n)],
            "label": pa.array([("c0", "c1", None)[i % 3] for i in range(n)], pa.string()),
            **columns,
        }
    )
    return Manifest(table, ("c0", "c1"), root=str(root))


def save_pictures(root: Path, n: int) -> None:
    root.mkdir(exist_ok=True)
    for i in range(n):
        Image.new("RGB", (40 + i, 30), (i, 100, 100)).save(root / f"{i}.png")


def test_an_empty_manifest_shows_no_image(tmp_path: Path) -> None:
    gallery = Gallery(manifest_of(0, tmp_path))
    front = FrontEnd(gallery)

    assert front.one("hello", "deck")["n"] == 0
    assert front.one("page", "page", filters={}, start=0)["total"] == 0
    assert front.told[-1][0]["last"]
    assert gallery.image_ids == ()
    assert "0 images" in gallery.static_html()


def test_facets_tell_how_many_images_each_value_has(tmp_path: Path) -> None:
    data = manifest_of(30, tmp_path, camera=["north"] * 10 + ["south"] * 20, shot=list(range(30)))

    told = FrontEnd(Gallery(data)).one("hello", "deck")

    facets = {one["name"]: dict(zip(one["values"], one["counts"], strict=True)) for one in told["facets"]}
    assert facets == {
        "class": {"c0": 10, "c1": 10, "(unlabelled)": 10},
        "split": {"train": 27, "test": 3},
        "camera": {"south": 20, "north": 10},  # `shot` is another number for each image: nothing to filter by
    }


def test_filters_hold_together_and_pages_are_cut_from_what_passes(tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", 30)
    gallery = Gallery(manifest_of(30, tmp_path / "images"), page_size=4)
    front = FrontEnd(gallery)

    page = front.one("page", "page", filters={"class": "c1", "split": "train"}, start=4)

    wanted = [i for i in range(30) if i % 3 == 1 and i % 10 != 0]
    assert page["total"] == len(wanted) == len(gallery.image_ids)
    assert [card["row"] for card in page["cards"]] == wanted[4:8]
    assert {card["title"] for card in page["cards"]} == {"c1"}
    pictures = [(told, buffers) for told, buffers in front.told if told["kind"] == "pictures"]
    sizes = [size for told, _ in pictures for size in told["sizes"]]
    assert sizes == [(30, 40 + i) for i in wanted[4:8]]
    shown = [Image.open(io.BytesIO(data)).size for _, buffers in pictures for data in buffers]
    assert shown == [(40 + i, 30) for i in wanted[4:8]]
    assert {told["of"] for told, _ in pictures} == {page["of"]}


def test_unknown_filters_are_refused_with_what_there_is(tmp_path: Path) -> None:
    data = manifest_of(6, tmp_path)

    with pytest.raises(ConfigError, match="class, split"):
        Gallery(data, where={"colour": "red"})
    with pytest.raises(ConfigError, match="the values are: c0, c1"):
        Gallery(data, where={"class": "c9"})
    with pytest.raises(ConfigError, match="page_size"):
        Gallery(data, page_size=0)
    (answer,) = FrontEnd(Gallery(data)).ask("open", row=99)
    assert answer["kind"] == "error"


def test_a_hundred_thousand_images_are_filtered_without_one_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(
        "onlineml.data.images.thumbnails.read_many",
        lambda urls, **_: read.extend(urls) or [OSError("none")] * len(urls),
    )
    n = 100_000
    gallery = Gallery(manifest_of(n, tmp_path), page_size=48)
    front = FrontEnd(gallery)
    front.ask("hello")
    assert read == []

    page = front.one("page", "page", filters={"class": "c0"}, start=33_312)

    assert page["total"] == 33_334
    assert [card["id"] for card in page["cards"]] == [f"id-{3 * i}" for i in range(33_312, 33_334)]
    assert len(read) == 22


def test_one_image_is_opened_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", 3)
    front = FrontEnd(Gallery(manifest_of(3, tmp_path / "images", camera=["a", "b", "b"])))

    opened = front.one("open", "open", row=1)

    assert opened["id"] == "id-1"
    assert opened["size"] == (30, 41)
    facts = dict(opened["facts"])
    assert facts["camera"] == "b"
    assert facts["split"] == "train"


def test_the_picture_that_is_left_holds_images_and_escapes_what_users_wrote(tmp_path: Path) -> None:
    save_pictures(tmp_path / "images", 3)
    data = manifest_of(3, tmp_path / "images").with_class_names(("c0", "c1", "<script>"))
    gallery = Gallery(data.with_labels({"id-1": "<script>"}))

    left = gallery._repr_mimebundle_()["text/html"]

    assert "<script" not in left
    assert "<style" not in left
    sources = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', left)
    assert [Image.open(io.BytesIO(base64.b64decode(one))).size for one in sources] == [(40, 30), (41, 30), (42, 30)]


def test_boxes_are_told_in_pixels_of_the_original_and_drawn_into_what_is_left(tmp_path: Path) -> None:
    Image.new("RGB", (400, 200), (0, 0, 0)).save(tmp_path / "0.png")
    Image.new("RGB", (50, 50), (0, 0, 0)).save(tmp_path / "1.png")
    rows = {
        "image_id": ["a", "b", "c"],
        "uri": ["0.png", "1.png", "1.png"],
        "split": ["train"] * 3,
        "group": ["a", "b", "c"],
        "boxes_xyxy": [[[100.0, 50.0, 300.0, 150.0]], [], None],
        "labels": [["cat"], [], None],
    }
    kinds = {"boxes_xyxy": pa.list_(pa.list_(pa.float64(), 4)), "labels": pa.list_(pa.string())}
    table = pa.table({name: pa.array(values, kinds.get(name)) for name, values in rows.items()})
    data = Manifest(table, ("cat",), root=str(tmp_path), task="detection")
    gallery = Gallery(data)
    front = FrontEnd(gallery)

    told = front.one("hello", "deck")
    cards = front.one("page", "page", filters={}, start=0)["cards"]

    (classes,) = [one for one in told["facets"] if one["name"] == "class"]
    assert dict(zip(classes["values"], classes["counts"], strict=True)) == {
        "cat": 1,
        "(no objects)": 1,
        "(unlabelled)": 1,
    }
    assert cards[0]["boxes"][0]["xyxy"] == [100.0, 50.0, 300.0, 150.0]
    assert [card["title"] for card in cards] == ["1 cat", "(no objects)", "(unlabelled)"]
    source = re.search(r"base64,([^\"]+)", gallery.static_html())
    assert source is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source[1]))).convert("RGB")).max(axis=2)
    rows_hit, columns_hit = np.nonzero(pixels > 100)
    scale = pixels.shape[1] / 400
    assert abs(columns_hit.min() - 100 * scale) <= 2
    assert abs(rows_hit.max() - 150 * scale) <= 2


def test_a_project_is_told_apart_by_state_and_looked_at_again(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project", class_names=["cat", "dog"])
    pictures = []
    for i in range(5):
        data = io.BytesIO()
        Image.new("RGB", (20, 20), (40 * i, 0, 0)).save(data, "PNG")
        pictures.append(data.getvalue())
    ids = project.images.upload(pictures[:2], label="cat") + project.images.upload(pictures[2:])
    project.labels.set(ids[0], "dog")
    project.labels.suggest({ids[2]: ("dog", 0.75), ids[3]: ("cat", 0.5)}, model="1")
    project.labels.skip(ids[3])
    project.images.delete(ids[4])
    gallery = Gallery(project)
    front = FrontEnd(gallery)

    told = front.one("hello", "deck")
    (states,) = [one for one in told["facets"] if one["name"] == "state"]
    assert dict(zip(states["values"], states["counts"], strict=True)) == {
        "suggested": 2,
        "skipped": 1,
        "corrected": 1,
        "labelled": 2,
        "unlabelled": 2,
        "deleted": 1,
    }
    assert set(gallery.image_ids) == set(ids[:4])  # deleted ones only where they are asked for
    page = front.one("page", "page", filters={"state": "suggested"}, start=0)
    assert {card["note"] for card in page["cards"]} == {"suggested: dog 0.75", "suggested: cat 0.50"}
    deleted = front.one("page", "page", filters={"state": "deleted"}, start=0)
    assert [card["id"] for card in deleted["cards"]] == [ids[4]]
    row = {card["id"]: card["row"] for card in front.one("page", "page", filters={}, start=0)["cards"]}[ids[0]]
    said = [text for _, text in front.one("open", "open", row=row)["facts"]]
    assert any("dog" in text for text in said)

    project.labels.accept(ids[2])
    again = front.one("reload", "deck")
    (states,) = [one for one in again["facets"] if one["name"] == "state"]
    assert dict(zip(states["values"], states["counts"], strict=True))["accepted"] == 1


def test_sets_of_labels_are_named_and_found_by_each_of_them(tmp_path: Path) -> None:
    rows = {name: ["a", "b", "c"] for name in ("image_id", "uri", "group")}
    labels = pa.array([["cat", "dog"], [], None], pa.list_(pa.string()))
    table = pa.table({**rows, "split": ["train"] * 3, "labels": labels})
    front = FrontEnd(Gallery(Manifest(table, ("cat", "dog"), root=str(tmp_path), task="multilabel")))

    told = front.one("hello", "deck")
    cards = front.one("page", "page", filters={}, start=0)["cards"]

    (classes,) = [one for one in told["facets"] if one["name"] == "class"]
    counts = {"cat": 1, "dog": 1, "(no labels)": 1, "(unlabelled)": 1}
    assert dict(zip(classes["values"], classes["counts"], strict=True)) == counts
    assert [card["title"] for card in cards] == ["cat, dog", "(no labels)", "(unlabelled)"]


def test_the_first_page_that_is_left_has_images_from_all_over_and_the_others_their_own(tmp_path: Path) -> None:
    gallery = Gallery(manifest_of(300, tmp_path, kind=["old"] * 200 + ["new"] * 100))
    assert "300 images; 24 from all over them" in gallery.static_html()
    gallery.show({}, page=2)
    assert "300 images; 49 to 72" in gallery.static_html()
    gallery.show({"split": "test"})
    assert "30 images (split: test); 24 from all over them" in gallery.static_html()
