"""`onlineml.jobs.papermill`: notebooks on any storage."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import fsspec.config
import pytest

from late import Late
from onlineml.errors import NotFoundError
from onlineml.jobs.papermill import FsspecHandler

if TYPE_CHECKING:
    from s3_server import S3Server
    from stores import Store

nbformat = Late("nbformat")


def _notebook() -> str:
    cells = [
        nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('ümläut', x + 1)"),
    ]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.writes(book)


def test_the_handler_reads_what_it_writes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "s3", store.storage_options or {})
    url = f"{store.url}/folder/a.ipynb"
    assert FsspecHandler.listdir(f"{store.url}/folder") == []
    with pytest.raises(NotFoundError):
        FsspecHandler.read(url)
    FsspecHandler.write("ümläut", url)
    assert store.raw_read("folder/a.ipynb") == "ümläut".encode()
    assert FsspecHandler.read(url) == "ümläut"
    assert FsspecHandler.listdir(f"{store.url}/folder") == [url]
    assert FsspecHandler.pretty_path("sftp://me:secret@host/a.ipynb") == "sftp://host/a.ipynb"


def test_papermill_asks_our_handler_first() -> None:
    iorw = pytest.importorskip("papermill.iorw")
    for url in (
        "s3://bucket/a.ipynb",
        "memory://a.ipynb",
        "gs://bucket/a.ipynb",
        "abfs://box/a.ipynb",
        "file:///a.ipynb",
    ):
        assert iorw.papermill_io.get_handler(url) is FsspecHandler
    for path in ("s3_notes.ipynb", "./a.ipynb", "/a.ipynb"):
        assert iorw.papermill_io.get_handler(path) is not FsspecHandler


@pytest.mark.s3
def test_a_notebook_runs_from_s3_to_s3(s3_server: S3Server) -> None:
    pytest.importorskip("papermill")
    bucket = s3_server.new_bucket()
    fs = fsspec.filesystem("s3", **s3_server.storage_options)
    fs.pipe_file(f"{bucket}/in.ipynb", _notebook().encode())
    command = [sys.executable, "-m", "papermill", f"{bucket}/in.ipynb", f"{bucket}/out/done.ipynb", "-p", "x", "41"]
    environment = {**os.environ, **s3_server.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    executed = nbformat.reads(fs.cat_file(f"{bucket}/out/done.ipynb").decode(), as_version=4)
    assert executed.cells[-1].outputs[0].text == "ümläut 42\n"
