"""Videos in a project: groups of images that are labelled, deleted and divided as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("av")

import onlineml as oml
from made_videos import number_in, numbered, write_video
from onlineml.data.images.decode import decode
from onlineml.data.video.video import Video
from onlineml.errors import BadVideoError, ConfigError, DataError, UnknownClassError
from onlineml.inference.video import FrameAnswer, VideoAnswers

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


@pytest.fixture(scope="module")
def video() -> bytes:
    return write_video(60, faststart=True)


@pytest.fixture(scope="module")
def other() -> bytes:
    return write_video(45, kind="vp9.webm", picture=lambda number: numbered(number + 1000))


def project_in(store: Store, **options: object) -> oml.Project:
    return oml.Project.create(f"{store.url}/project", storage_options=store.storage_options, **options)


def rows_of(project: oml.Project) -> list[dict]:
    return project.labels.state().table.to_pylist()


def test_a_video_is_uploaded_relabelled_deleted_and_brought_back(store: Store, video: bytes) -> None:
    project = project_in(store)
    added = project.images.upload_video(video, label="cat")
    assert len(added.image_ids) == 4
    assert added.findings == ()
    assert added.video == f"blobs/{added.group[:2]}/{added.group}.mp4"
    assert store.raw_read(f"project/{added.video}") == video
    assert [(row["label"], row["group"], row["frame"], row["time_s"], row["video"]) for row in rows_of(project)] == [
        ("cat", added.group, number, number / 30, added.video) for number in (0, 15, 30, 45)
    ]
    assert {row["split"] for row in rows_of(project)} == {added.split}
    names = store.raw_names()
    assert project.images.upload_video(video, label="cat") == added  # the same again changes nothing
    assert store.raw_names() == names

    project.classes.add("dog")
    project.labels.set(project.images.of_group(added.group), "dog")
    assert {row["label"] for row in rows_of(project)} == {"dog"}
    project.images.delete(project.images.of_group(added.group))
    assert rows_of(project) == []
    with pytest.raises(DataError, match="no images of the group"):
        project.labels.set(project.images.of_group(added.group), "cat")

    again = project.images.upload_video(video)
    assert again.image_ids == added.image_ids
    assert {row["label"] for row in rows_of(project)} == {"dog"}  # as they were
    project.images.upload_video(video, label="bird")
    assert {row["label"] for row in rows_of(project)} == {"bird"}
    data = project.freeze()
    assert len(data) == 4
    assert [number_in(decode(store.raw_read(f"project/{uri}")).pixels) for uri in data.column("uri")] == [0, 15, 30, 45]


def test_answers_become_suggestions_of_the_very_frames(tmp_path: Path, video: bytes) -> None:
    project = oml.Project.create(tmp_path / "project", class_names=["dark", "light"])
    added = project.images.upload_video(video)

    class Guess:
        def __init__(self, score: float) -> None:
            self.label, self.score, self.top, self.error, self.uri = "light", score, (("light", score),), None, ""

    made = [FrameAnswer(n / 30, n, Guess(n / 100)) for n in (0, 15, 30, 45)]
    rows = VideoAnswers(lambda: iter(made), video=Video(video), class_names=["dark", "light"], columns={}, model="m")
    answers = rows.by_image(added.group)
    assert list(answers) == list(added.image_ids)
    assert project.labels.suggest(answers, model="7")
    project.labels.accept(added.image_ids[2])
    assert [row["label"] for row in rows_of(project)] == [None, None, "light", None]


def test_further_frames_of_a_video_join_its_split(tmp_path: Path, video: bytes) -> None:
    project = oml.Project.create(tmp_path / "project")
    first = project.images.upload_video(video, every_s=1.0, split="test")
    second = project.images.upload_video(video, every_n=20)
    assert second.group == first.group
    assert {(row["group"], row["split"]) for row in rows_of(project)} == {(first.group, "test")}
    assert [row["frame"] for row in rows_of(project)] == [0, 30, 20, 40]
    with pytest.raises(ConfigError, match="move_to_split"):
        project.images.upload_video(video, split="train")
    with pytest.raises(ConfigError, match="split"):
        project.images.upload_video(video, split="holdout")
    project.images.upload_video(video, split="test")


def test_what_one_person_corrected_stays_where_others_are_imported(tmp_path: Path, video: bytes, other: bytes) -> None:
    (tmp_path / "in/cat").mkdir(parents=True)
    (tmp_path / "in/dog").mkdir()
    (tmp_path / "in/cat/a.mp4").write_bytes(video)
    (tmp_path / "in/dog/b.webm").write_bytes(other)
    (tmp_path / "in/dog/broken.mp4").write_bytes(b"nothing")
    project = oml.Project.create(tmp_path / "project")
    findings = project.images.import_videos(tmp_path / "in")
    assert (findings.n_videos, findings.n_frames) == (3, 7)
    assert [(row.finding, row.outcome) for row in findings.rows] == [("unreadable", "quarantined")]
    assert project.classes.names() == ("cat", "dog")
    corrected = rows_of(project)[0]["image_id"]
    project.labels.set(corrected, "dog")
    deleted = rows_of(project)[-1]["image_id"]
    project.images.delete(deleted)
    files = sorted((tmp_path / "project").rglob("*.parquet"))
    project.images.import_videos(tmp_path / "in")
    assert sorted((tmp_path / "project").rglob("*.parquet")) == files
    assert {row["image_id"]: row["label"] for row in rows_of(project)}[corrected] == "dog"
    assert deleted not in {row["image_id"] for row in rows_of(project)}
    assert len(rows_of(project)) == 6
    split_of: dict[str, str] = {}
    assert all(split_of.setdefault(row["group"], row["split"]) == row["split"] for row in rows_of(project))


def test_an_import_joins_the_split_that_a_person_gave(tmp_path: Path, video: bytes) -> None:
    (tmp_path / "in/train/cat").mkdir(parents=True)
    (tmp_path / "in/train/cat/a.mp4").write_bytes(video)
    project = oml.Project.create(tmp_path / "project")
    project.images.upload_video(video, every_s=1.0, split="test")
    project.images.import_videos(tmp_path / "in")
    assert {row["split"] for row in rows_of(project)} == {"test"}


def test_a_project_of_boxes(tmp_path: Path, video: bytes) -> None:
    project = oml.Project.create(tmp_path / "project", task="detection", class_names=["digit"])
    with pytest.raises(ConfigError, match="boxes"):
        project.images.upload_video(video, label="digit")
    added = project.images.upload_video(video, keep=False, every_s=1.0)
    assert added.video.startswith("blobs/")  # bytes have no other place
    project.labels.set(added.image_ids[0], ([[1, 2, 30, 40]], ["digit"]))
    assert [row["boxes_xyxy"] for row in rows_of(project)] == [[[1, 2, 30, 40]], None]
    (tmp_path / "in/digit").mkdir(parents=True)
    (tmp_path / "in/digit/a.mp4").write_bytes(video)
    project.images.import_videos(tmp_path / "in")
    assert len(rows_of(project)) == 4
    assert project.classes.names() == ("digit",)


def test_a_video_that_stays_where_it_is(tmp_path: Path, video: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(video)
    project = oml.Project.create(tmp_path / "project")
    added = project.images.upload_video(tmp_path / "a.mp4", keep=False)
    assert added.video == str(tmp_path / "a.mp4")
    assert not list((tmp_path / "project").rglob("*.mp4"))
    assert "4 frames" in str(added)
    assert str(tmp_path) in added._repr_html_()


def test_what_is_no_video_changes_nothing(tmp_path: Path, video: bytes) -> None:
    project = oml.Project.create(tmp_path / "project")
    with pytest.raises(BadVideoError):
        project.images.upload_video(b"no video", label="cat")
    assert project.classes.names() == ()
    added = project.images.upload_video(video)
    with pytest.raises(UnknownClassError):
        project.labels.set(project.images.of_group(added.group), "never heard of")
    with pytest.raises(DataError, match="no images of the group"):
        project.images.delete(project.images.of_group("nobody"))
