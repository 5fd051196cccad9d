"""Views of a project on a disk that may only be read: they show everything, and say why an answer is not written."""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any

from PIL import Image

from front_end import FrontEnd
from onlineml.project.project import Project
from onlineml.storage import local as local_files
from onlineml.widgets import BoxEditor, Gallery, Relabel, Upload

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MISSING = "is mounted read-only"


def image(seed: int) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((24, 16), 80 + seed).save(data, "PNG")
    return data.getvalue()


def refuse(path: str, *_: Any, **__: Any) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


def project_of(folder: Path, task: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One with an image, whose disk was then made read-only. (Tests may run as root, whom modes do not stop.)"""
    monkeypatch.setenv("ONLINEML_CACHE", str(folder / "cache"))
    project = Project.create(folder / "project", task=task, class_names=["cat", "dog"])
    project.images.upload(image(1))
    for name in ("replace", "create", "swap"):
        monkeypatch.setattr(local_files, name, refuse)
    return project


def test_the_grid_shows_all_and_an_answer_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of(tmp_path, "classification", monkeypatch)
    grid = Relabel(project)
    front = FrontEnd(grid)
    (card,) = front.one("cards", "cards", start=0)["cards"]

    (told,) = front.ask("say", ids=[card["id"]], bases=[card["base"]], what="label", label="dog")

    assert told["kind"] == "error"
    assert MISSING in told["text"]
    assert told["of"] == "q-2"
    assert grid.n_saved == 0
    assert project.labels.state().table["label"].to_pylist() == [None]
    assert "1 image" in Gallery(project).static_html()


def test_the_editor_of_boxes_shows_the_image_and_says_why_it_saves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of(tmp_path, "detection", monkeypatch)
    editor = BoxEditor(project)
    front = FrontEnd(editor)
    shown = front.one("load", "image", place=0)

    (told,) = front.ask("save", id=shown["id"], boxes=[{"xyxy": [1, 2, 5, 6], "label": "cat"}], base=shown["base"])

    assert told["kind"] == "error"
    assert MISSING in told["text"]
    assert editor.n_saved == 0
    assert project.labels.state().row(shown["id"])["labels"] is None


def test_an_upload_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = project_of(tmp_path, "classification", monkeypatch)
    front = FrontEnd(Upload(project, label="cat"))

    told = front.ask("several", files=["f1"], names=["a.png"], label="cat", buffers=[image(2)])

    assert MISSING in str([one.get("text", "") for one in told] + [one.get("refused", "") for one in told])
    assert len(project.labels.state().table) == 1
