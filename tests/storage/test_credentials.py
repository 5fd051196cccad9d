"""Secrets in what is stored and shown: found wherever a user may put one, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from onlineml.errors import ConfigError
from onlineml.jobs.notebooks import run_notebook
from onlineml.runs.run import Run
from onlineml.storage import io
from onlineml.storage.credentials import publishable, refuse_secrets, secrets_of
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t"  # noqa: S105
TOKENS = (
    *(
        f"{start}{'a1B2' * 9}"
        for start in ("hf_", "ghp_", "github_pat_", "glpat-", "xoxb-", "sk-", "sk-proj-", "ya29.")
    ),
    f"AKIA{'A1B2' * 4}",
    f"AIza{'a1B2' * 8}c3d",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP",
    f"https://hooks.slack.com/services/T00/B00/{SECRET}{SECRET}",
)
HERE = Location("/project")
OPENED = Location(f"s3://ann:{SECRET}@bucket/runs/1", {"secret": "hunter2", "client_kwargs": {"headers": {"a": "tok"}}})


@pytest.mark.parametrize(
    "value",
    [
        f"see https://ann:{SECRET}@host/a",
        f"--url=s3://key:{SECRET}@bucket",
        f"(git+https://{SECRET}@github.com/a/b.git)",
        f"filecache::simplecache::https://host/w?X-Amz-Signature={SECRET}",
        f"//ann:{SECRET}@host/x",
        f"https:/ann:{SECRET}@host/x",
        f"https%3A%2F%2Fann%3A{SECRET}%40host",
        f"rtsp://ann:{SECRET}@camera/1",
        f"Bearer {SECRET}{SECRET}",
        f"DefaultEndpointsProtocol=https;AccountKey={SECRET};EndpointSuffix=x",
        "-----BEGIN RSA PRIVATE KEY-----",
        f"sv=2022-11-02&ss=b&sig={SECRET}{SECRET}%3D",
        *(f"see {token}, please" for token in TOKENS),
        {f"https://ann:{SECRET}@host/a": 1},
        [[{"auth": ["ann", SECRET]}]],
        *({name: SECRET} for name in ("sas", "pwd", "cookie", "connection_str", "session_id", "api-key", "http_proxy")),
        *({name: SECRET} for name in ("storage_options", "passphrase", "X-Amz-Signature", "headers", "hf_token")),
    ],
)
def test_what_is_refused_where_it_would_be_stored(value: Any) -> None:
    with pytest.raises(ConfigError, match="would be stored") as caught:
        refuse_secrets(value, HERE)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"token_length": 3, "key": "n", "author": "ann", "header": True, "session": "monday", "tokens": 7, "keys": []},
        ["s3://bucket/a b@c.jpg", "/data/a:b@c.jpg", "ann@example.org", "12:30", "https://host:8080/a?id=7#t=1.5"],
        ["abfss://container@account.dfs.core.windows.net/a", "github://org:repo@main/a.jpg", "timm:resnet18.a1_in1k"],
        "package.module:function, 3 // 4, a bearer of news, basic facts",
        "hf_hub, hf-hub:timm/resnet18.a1_in1k, sk-learn, ghp_1, eyJ, sig=3.2, significant=123456789, mask-rcnn",
        {"password": None, "token": ""},
    ],
)
def test_what_is_no_secret_is_stored(value: Any) -> None:
    refuse_secrets(value, HERE)
    assert publishable(value, HERE) == value


def test_a_record_keeps_queries_and_loses_secrets() -> None:
    told = {
        "a": [
            "https://host/a?id=7",
            f"https://host/a?token={SECRET}",
            f"see https://host/a?token={SECRET} and hunter2",
        ],
        "n": 3,
        "tok": OPENED.url,
    }
    assert publishable(told, OPENED) == {
        "a": ["https://host/a?id=7", "https://host/a", "see https://host/a and ***"],
        "n": 3,
        "***": "s3://bucket/runs/1",
    }


def test_a_run_records_no_secret(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", spec={})
    run.location = Location(run.url, {"secret": "hunter2"})
    text = f"s3://ann:{SECRET}@b/x hunter2 {TOKENS[0]}"
    run.set_status("running", facts={"at": text})
    run.log_metrics({"step": 1, "note": text})
    run.note({"more": text})
    run.write_heartbeat(facts={"at": text})
    run.log_line(text)
    run.log_text(f"{text}\n")
    files = [file.read_text() for file in (tmp_path / "run").iterdir()]
    assert len(files) == 4
    assert not [file for file in files if SECRET in file or "hunter2" in file or "a1B2" in file]
    assert run.metrics()[0]["note"] == "s3://b/x *** ***"


def test_the_configuration_of_fsspec_is_secret_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(MemoryFileSystem):
        protocol = "told"

        def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
            raise OSError(f"401 for {self.storage_options}") from KeyError(f"{self.storage_options}")

    fsspec.register_implementation("told", Told, clobber=True)
    monkeypatch.setitem(fsspec.config.conf, "told", {"nested": {"password": SECRET}})
    assert secrets_of(Location("simplecache::told://a")) == {SECRET}
    with pytest.raises(OSError, match="401 for") as caught:
        io.read_bytes("told://a")
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_a_listing_shows_no_credentials() -> None:
    shown = repr(io.FileInfo(f"s3://ann:{SECRET}@b/a.jpg", "a.jpg", 1, "v"))
    assert SECRET not in shown
    assert "a.jpg" in shown


def test_an_executed_notebook_would_hold_its_parameters_and_addresses(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": "project_url = ''", "metadata": {"tags": ["parameters"]}, "outputs": []}
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    for parameters, output in (
        ({"project_url": f"s3://key:{SECRET}@bucket/project"}, f"{tmp_path}/out.ipynb"),
        ({}, f"s3://key:{SECRET}@bucket/out.ipynb"),
    ):
        with pytest.raises(ConfigError, match="would be stored"):
            run_notebook(str(notebook), output, parameters=parameters)
