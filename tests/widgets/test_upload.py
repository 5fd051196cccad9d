"""The uploader without a browser: pieces in order make the file, anything else is refused and leaves nothing."""

from __future__ import annotations

import gc
import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from front_end import FrontEnd
from onlineml.errors import ConfigError
from onlineml.project.project import Project
from onlineml.widgets import Upload

if TYPE_CHECKING:
    from pathlib import Path


def image(seed: int, side: int = 20) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((side, side), 80 + seed).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", class_names=["cat"])


def labels(project: Project) -> set[str | None]:
    return set(project.labels.state().table["label"].to_pylist())


def test_it_begins_with_the_classes_and_leaves_a_word(project: Project) -> None:
    view = Upload(project, label="cat")

    told = FrontEnd(view).one("hello", "begin")

    assert (told["classes"], told["label"], told["labelled"], told["added"]) == (["cat"], "cat", True, 0)
    assert "upload_files" in view.static_html()


def test_small_files_come_together_and_each_is_told(project: Project) -> None:
    view = Upload(project)
    front = FrontEnd(view)

    told = front.ask(
        "several", files=["f1", "f2", "f3"], names=["a.png", "a.png", "notes.txt"], label="dog",
        buffers=[image(1), image(2), b"hello"],
    )  # fmt: skip

    done = {one["file"]: one for one in told if one["kind"] == "done"}
    assert {file: (one["images"], one["n_refused"]) for file, one in done.items()} == {
        "f1": (1, 0), "f2": (1, 0), "f3": (0, 1),
    }  # fmt: skip
    assert done["f3"]["refused"] == [("notes.txt", "neither an image, a zip archive nor a video")]
    assert told[-1] == {"kind": "total", "added": 2, "classes": ["cat", "dog"]}
    assert labels(project) == {"dog"}
    assert len(view.image_ids) == 2
    assert "notes.txt: neither" in view.static_html()


def test_pieces_in_order_make_the_file(project: Project) -> None:
    content = image(3, 300)
    view = Upload(project)
    front = FrontEnd(view)
    assert front.one("file", "got", file="f1", name="../../large.png", size=len(content))["received"] == 0
    half = len(content) // 2

    front.one("piece", "got", file="f1", offset=0, buffers=[content[:half]])
    assert front.one("piece", "got", file="f1", offset=half, buffers=[content[half:]])["received"] == len(content)
    done = front.one("end", "done", file="f1", label="cat")

    assert done["images"] == 1
    assert list(view._folder.iterdir()) == []
    assert (project.labels.state().table["width"].to_pylist(), labels(project)) == ([300], {"cat"})


def test_pieces_out_of_order_or_too_many_or_too_few_are_refused_and_nothing_stays(project: Project) -> None:
    view = Upload(project)
    front = FrontEnd(view)
    for number, asks in enumerate([
        [("piece", {"offset": 5, "buffers": [b"abc"]})],
        [("piece", {"offset": 0, "buffers": [b"x" * 11]})],
        [("piece", {"offset": 0, "buffers": [b"abc"]}), ("end", {})],
    ]):  # fmt: skip
        file = f"f{number}"
        front.ask("file", file=file, name="a.png", size=10)
        answers = [front.ask(kind, file=file, **facts) for kind, facts in asks]
        assert answers[-1][0]["kind"] == "error"
        assert "upload it again" in answers[-1][0]["text"]
        assert list(view._folder.iterdir()) == []
    (answer,) = front.ask("piece", file="f0", offset=0, buffers=[b"abc"])
    assert "unknown upload" in answer["text"]


def test_what_is_too_large_is_refused_before_it_is_sent_and_a_path_is_offered(tmp_path: Path, project: Project) -> None:
    view = Upload(project, max_bytes=100)
    front = FrontEnd(view)

    (answer,) = front.ask("file", file="f1", name="movie.mp4", size=101)
    assert "path or URL" in answer["text"]

    with zipfile.ZipFile(tmp_path / "large.zip", "w") as archive:
        archive.writestr("cow/1.png", image(1))
        archive.writestr("../2.png", image(2))
    told = front.ask("path", file="f2", url=str(tmp_path / "large.zip"), from_folders=True)
    (done,) = [one for one in told if one["kind"] == "done"]
    assert (done["images"], done["n_refused"]) == (1, 1)
    assert done["refused"][0][1] == "its path leads out of the archive"
    assert labels(project) == {"cow"}
    missing = front.one("path", "done", file="f3", url=str(tmp_path / "nowhere"))
    assert "nowhere" in missing["refused"][0][1]


def test_a_dropped_upload_leaves_nothing(project: Project) -> None:
    view = Upload(project)
    front = FrontEnd(view)
    front.ask("file", file="f1", name="a.png", size=10)
    front.ask("piece", file="f1", offset=0, buffers=[b"abc"])

    assert front.ask("drop", file="f1") == []
    assert list(view._folder.iterdir()) == []
    folder = view._folder
    front.view = None  # type: ignore[assignment]
    del view
    gc.collect()
    assert not folder.exists()


def test_boxes_are_drawn_later(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "boxes", task="detection")
    with pytest.raises(ConfigError, match="boxes"):
        Upload(project, label="cat")
    front = FrontEnd(Upload(project))

    assert not front.one("hello", "begin")["labelled"]
    told = front.ask("several", files=["f1"], names=["a.png"], label="cat", from_folders=True, buffers=[image(1)])
    assert told[-1]["added"] == 1


def test_what_the_folders_of_an_archive_mean_is_asked_and_other_files_do_not_wait(
    tmp_path: Path, project: Project
) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in [
            "photos/cat/1.png",
            "photos/cat/2.png",
            "photos/cow/3.png",
            "photos/cow/notes.txt",
            "photos/4.png",
        ]:
            archive.writestr(name, image(len(archive.namelist())))
    front = FrontEnd(Upload(project))
    both = {"files": ["f1", "f2"], "names": ["a.zip", "b.png"], "buffers": [data.getvalue(), image(9)]}

    told = front.ask("several", **both)

    (asked,) = [one for one in told if one["kind"] == "folders"]
    assert asked["file"] == "f1"
    assert {one["name"]: one["n"] for one in asked["folders"]} == {"cat": 2, "cow": 1}
    known = set(project.classes.names())
    assert all(one["known"] == (one["name"] in known) for one in asked["folders"])
    assert [one["file"] for one in told if one["kind"] == "done"] == ["f2"]
    assert front.one("folders", "done", file="f1", from_folders=True)["images"] == 4
    table = project.labels.state().table
    assert sorted(map(str, table["label"].to_pylist())) == ["None", "None", "cat", "cat", "cow"]


def test_folders_that_mean_nothing_leave_the_chosen_class_and_a_folder_asks_too(
    tmp_path: Path, project: Project
) -> None:
    for name in ["x/1.png", "y/2.png"]:
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        (tmp_path / "photos" / name).write_bytes(image(int(name[2])))
    front = FrontEnd(Upload(project))

    asked = front.one("path", "folders", file="f1", url=str(tmp_path / "photos"), label="cat")
    assert [one["name"] for one in asked["folders"]] == ["x", "y"]
    assert front.one("folders", "done", file="f1", from_folders=False, label="cat")["images"] == 2
    assert labels(project) == {"cat"}
    assert "y" not in project.classes.names()


def test_an_archive_about_which_nobody_decided_leaves_nothing(project: Project) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("cat/1.png", image(1))
    view = Upload(project)
    front = FrontEnd(view)
    front.ask("file", file="f1", name="a.zip", size=len(data.getvalue()))
    front.ask("piece", file="f1", offset=0, buffers=[data.getvalue()])
    assert front.one("end", "folders", file="f1")["folders"]
    assert list(view._folder.iterdir())

    front.ask("drop", file="f1")
    assert list(view._folder.iterdir()) == []
