"""Files of strangers into a project: what they are, their content says; what cannot be used stops nothing."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from PIL import Image

from onlineml.errors import BadImageError, ConfigError, DataError
from onlineml.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path


def image(seed: int, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (20, 20), (seed, 50, 50)).save(data, kind)
    return data.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def write_video(path: Path) -> None:
    """Ten grey frames in one second, each brighter than the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            pixels = np.full((48, 64, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", class_names=["cat"])


def labels(project: Project, ids: tuple[str, ...]) -> list[str | None]:
    rows = {row["image_id"]: row["label"] for row in project.labels.state().table.to_pylist()}
    return [rows[one] for one in ids]


def test_of_nothing_nothing_is_added(project: Project) -> None:
    uploaded = project.images.upload_files([])

    assert (uploaded.image_ids, uploaded.added, uploaded.refused) == ((), {}, {})
    assert len(uploaded.to_frame()) == 0


def test_good_ones_are_added_whatever_they_are_called_and_bad_ones_are_told(tmp_path: Path, project: Project) -> None:
    (tmp_path / "photo.txt").write_bytes(image(1))  # an image by its content
    (tmp_path / "notes.jpg").write_text("no image")
    (tmp_path / "cut.jpg").write_bytes(image(2, "JPEG")[:200])
    (tmp_path / "empty.png").write_bytes(b"")
    paths = [tmp_path / name for name in ("photo.txt", "notes.jpg", "cut.jpg", "empty.png", "missing.png")]

    uploaded = project.images.upload_files(paths, label="cat")

    assert labels(project, uploaded.image_ids) == ["cat"]
    assert dict(uploaded.added) == {str(paths[0]): 1}
    reasons = {name.rpartition("/")[2]: reason for name, reason in uploaded.refused.items()}
    assert reasons["notes.jpg"] == "neither an image, a zip archive nor a video"
    assert reasons["cut.jpg"].startswith("truncated")
    assert reasons["empty.png"] == "the file is empty"
    assert "missing.png" in reasons["missing.png"]
    assert uploaded.to_frame()["images"].tolist() == [1, 0, 0, 0, 0]
    assert "4 files refused" in str(uploaded)


def tar(files: dict[str, bytes], *, links: tuple[str, ...] = (), mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    return data.getvalue()


HOSTILE = {"../../out.png": image(1), "/abs.png": image(2), "a/b.png": image(3)}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tar(HOSTILE, links=("link.png",)), "tar"),
        (tar(HOSTILE)[:700], "tar"),
        (tar(HOSTILE, mode="w:gz"), "gzip"),
        (tar(HOSTILE, mode="w:xz"), "xz"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "7z"),
    ],
    ids=["tar", "cut off", "gzip", "xz", "7z"],
)
def test_other_archives_are_refused_with_the_remedy(data: bytes, kind: str, tmp_path: Path, project: Project) -> None:
    (tmp_path / "photos.tar").write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    remedy = f"{kind} archive: unpack it, and pass its folder, or pack it as .zip"

    uploaded = project.images.upload_files([tmp_path / "photos.tar", image(9)])

    assert {*uploaded.refused.values()} == {remedy}
    assert len(uploaded.image_ids) == 1
    with pytest.raises(DataError, match=remedy):
        project.add(tmp_path / "photos.tar")
    with pytest.raises(BadImageError, match=f"{kind} archive, not an image; unpack it"):
        project.images.upload([data])
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(tmp_path / "project")] == [
        path for path in before if not path.is_relative_to(tmp_path / "project")
    ]


def test_a_hostile_zip_leaves_what_is_fine_in_it(tmp_path: Path, project: Project) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "photos.zip").write_bytes(packed(HOSTILE | {"more.zip": packed(HOSTILE)}))

    uploaded = project.images.upload_files(tmp_path / "folder" / "photos.zip")

    assert len(uploaded.image_ids) == 1
    assert [name.rpartition(".zip/")[2] for name in uploaded.refused] == ["../../out.png", "/abs.png", "more.zip"]
    assert [path.name for path in tmp_path.rglob("*.png") if not path.is_relative_to(tmp_path / "project")] == []


def test_an_archive_with_folders_as_labels(project: Project) -> None:
    data = packed({
        "set/dog/1.png": image(1), "set/dog/2.png": image(2), "set/cat/3.png": image(3), "4.png": image(4),
        "../5.png": image(5), "readme.md": b"hello", "set/dog/young/cut.jpg": image(6, "JPEG")[:200],
        "set/dog/young/7.png": image(7),
    })  # fmt: skip

    uploaded = project.images.upload_files(data, label="cow", labels_from_folders=True)

    assert labels(project, uploaded.image_ids) == ["dog", "dog", "cat", "cow", "dog"]
    assert set(project.classes.names()) == {"cat", "dog", "cow"}
    assert {name.partition("/")[2]: reason[:9] for name, reason in uploaded.refused.items()} == {
        "../5.png": "its path ",
        "readme.md": "not of an",
        "set/dog/young/cut.jpg": "truncated",
    }


def test_an_archive_with_splits_has_the_classes_of_the_same_folder(project: Project) -> None:
    data = packed({"train/dog/1.png": image(1), "train/cat/2.png": image(2), "val/dog/a/3.png": image(3)})

    uploaded = project.images.upload_files(data, labels_from_folders=True)

    assert labels(project, uploaded.image_ids) == ["dog", "cat", "dog"]


def test_a_folder_whose_name_is_blank_is_no_class(project: Project) -> None:
    uploaded = project.images.upload_files(
        packed({" /1.png": image(1), "dog/2.png": image(2), "cat /3.png": image(3)}), labels_from_folders=True
    )

    assert labels(project, uploaded.image_ids) == [None, "dog", "cat"]
    assert uploaded.refused == {}


def test_an_archive_whose_folders_may_be_splits_or_classes_is_refused(project: Project) -> None:
    data = packed({f"{name}/1.png": image(place) for place, name in enumerate(["train/cat", "test/cat", "cow/old"])})

    uploaded = project.images.upload_files([data, image(9)], labels_from_folders=True)

    assert len(uploaded.image_ids) == 1
    assert "look like splits" in uploaded.refused["file 0"]


@pytest.mark.parametrize("n_between", [0, 40])
def test_a_photo_in_two_class_folders_has_no_label(n_between: int, project: Project) -> None:
    between = {f"dog/{n}.png": image(n) for n in range(10, 10 + n_between)}
    data = packed({"cat/1.png": image(1)} | between | {"dog/2.png": image(1), "dog/3.png": image(3)})

    uploaded = project.images.upload_files(data, labels_from_folders=True)

    assert [*labels(project, [uploaded.image_ids[0], uploaded.image_ids[-1]])] == [None, "dog"]
    reason = (
        "the same photo is in file 0/cat/1.png and file 0/dog/2.png, with the labels 'cat' and 'dog': it has none now"
    )
    assert uploaded.refused == {"file 0/cat/1.png": reason, "file 0/dog/2.png": reason}


def test_a_bomb_adds_nothing_and_says_so(project: Project) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(150 << 20))

    uploaded = project.images.upload_files([data.getvalue(), image(1)])

    assert len(uploaded.image_ids) == 1
    assert "bomb" in uploaded.refused["file 0"]


def test_a_folder_on_another_store_is_taken_whole(project: Project, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/inbox/a.png": image(1), "/inbox/dog/b.png": image(2), "/inbox/.hidden.png": image(3)})

    uploaded = project.images.upload_files("memory://inbox", labels_from_folders=True)

    assert labels(project, uploaded.image_ids) == ["inbox", "dog"]


def test_frames_of_videos_also_within_archives(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path)

    alone = project.images.upload_files(path, label="cat", every_s=0.2)
    within = project.images.upload_files(packed({"clips/clip.mp4": path.read_bytes()}), label="cat", every_s=0.2)

    assert len(alone.image_ids) > 1
    assert set(within.image_ids) == set(alone.image_ids)
    groups = {row["group"] for row in project.labels.state().table.to_pylist()}
    assert len(groups) == 1


def test_boxes_are_no_labels(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "boxes", task="detection")

    with pytest.raises(ConfigError, match="boxes"):
        project.images.upload_files(image(1), label="cat")
    assert len(project.images.upload_files(image(1)).image_ids) == 1
