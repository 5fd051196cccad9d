"""The project's credentials go to stores of the project's own scheme only, whatever the addresses come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from onlineml.data.images.thumbnails import encoded
from onlineml.errors import NotFoundError, OnlineMLError
from onlineml.improving.challenger.strategy import generations
from onlineml.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path

SECRET = {"token": "hunter2-hunter2"}


class _Foreign(MemoryFileSystem):
    protocol = "foreign"
    store: dict[str, Any] = {}  # noqa: RUF012 (as fsspec's own has it)
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("foreign://", "memory://"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The addresses that were opened, with the options that the stores were told."""
    fsspec.register_implementation("foreign", _Foreign, clobber=True)
    found: list[tuple[str, dict[str, Any]]] = []
    opened = fsspec.core.url_to_fs

    def recorded(url: str, **options: Any) -> Any:
        found.append((url, options))
        return opened(url, **options)

    monkeypatch.setattr(fsspec.core, "url_to_fs", recorded)
    return found


def _photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return encoded(pixels)


def test_other_stores_are_not_told_the_projects_credentials(
    tmp_path: Path, asked: list[tuple[str, dict[str, Any]]]
) -> None:
    project = Project.create(f"memory://{tmp_path.name}/p", class_names=["cat"], storage_options=SECRET)
    for number, name in enumerate(("a.png", "folder/b.png", "c.png")):
        fsspec.filesystem("foreign").pipe_file(f"/{name}", _photo(number))
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}/own.png", _photo(3))
    (tmp_path / "local.png").write_bytes(_photo(4))
    local = str(tmp_path / "local.png")
    project.images.upload(["foreign://a.png", f"memory://{tmp_path.name}/own.png", local], label="cat")
    project.images.upload_files(["foreign://folder", "foreign://c.png"], label="cat")
    assert len(project.labels.state().table) == 5
    for source in ("foreign://a.mp4", "foreign://no.mp4"):
        with pytest.raises(OnlineMLError):
            project.images.upload_video(source)
    with pytest.raises(OnlineMLError):
        project.images.import_videos("foreign://folder")
    assert generations(project, "foreign://other/models/1-aaaaaa") == 0  # as a published model may name it
    with pytest.raises(NotFoundError):
        project.models.get("9")
    foreign = [(url, options) for url, options in asked if not url.startswith("memory://")]
    assert {url.split("://")[0] for url, _ in foreign} == {"foreign"}
    assert len(foreign) >= 6
    assert all(options == {} for _, options in foreign)
    own = [options for url, options in asked if url.startswith("memory://")]
    assert own
    assert all(options == SECRET for options in own)
