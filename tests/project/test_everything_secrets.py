"""Everything once, with a secret wherever a user may put one: none is in any file, object or output afterwards."""

from __future__ import annotations

import base64
import contextlib
import http.server
import logging
import os
import pickle
import subprocess
import sys
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import s3fs
import torch
from pytorch_lightning.loggers import CSVLogger

import onlineml as oml
from late import Late
from onlineml.cli.main import main
from onlineml.storage import io
from onlineml.training.features import features_of
from places import SUPPORT
from tiny import jpeg, make_photos, picture
from tiny_projects import FACTORY, colour_net

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from s3_server import S3Server

nbformat = Late("nbformat")

PLANTED = "pLaNt3d"  # each secret begins so
USER = f"{PLANTED}User:{PLANTED}Password"
HUB_TOKEN = f"hf_{PLANTED}{'a' * 27}"
BASIC = base64.b64encode(USER.encode()).decode()


class _Guarded(http.server.SimpleHTTPRequestHandler):
    """A web server of files that wants a password, or a signature in the query."""

    def do_GET(self) -> None:
        if BASIC not in self.headers.get("Authorization", "") and "Signature" not in self.path:
            self.send_error(401, f"not for {self.path}")
            return
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815 (its name)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """``host:port`` of a web server with pictures, a table and weights."""
    site = tmp_path / "not searched/site"
    make_photos(site / "photos", counts={"train": 2, "val": 1, "test": 1})
    rows = [f"photos/{split}/{c}/000.jpg,{c},{split}" for split in ("train", "test") for c in ("red", "blue", "green")]
    (site / "table.csv").write_text("\n".join(["path,label,split", *rows]))
    (site / "extra.jpg").write_bytes(jpeg(picture((200, 40, 40), seed=7)))
    torch.save(colour_net(num_classes=3).state_dict(), site / "weights.pth")
    handler = lambda *given: _Guarded(*given, directory=str(site))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Stage:
    """A project on S3 with planted options, and all that was returned, shown or raised."""

    def __init__(self, s3: S3Server, web: str, folder: Path) -> None:
        self.bucket, self.web, self.folder = s3.new_bucket(), web, folder
        self.options: dict[str, Any] = {
            "key": f"{PLANTED}Key",
            "secret": f"{PLANTED}Secret",
            "token": f"{PLANTED}Token",
            "endpoint_url": s3.endpoint_url,
            "config_kwargs": {"user_agent_extra": "tests", "proxies": {"nohost.invalid": f"http://{USER}@proxy:1"}},
        }
        self.signed = f"http://{web}/extra.jpg?X-Amz-Signature={PLANTED}Signature&X-Amz-Credential={PLANTED}Credential"
        self.named = f"http://{USER}@{web}"
        self.shown: list[Any] = []

    def show(self, *objects: Any) -> None:
        for one in objects:
            self.shown += [str(one), repr(one)]
            for form in ("_repr_html_", "_repr_mimebundle_", "to_json", "to_frame"):
                with contextlib.suppress(AttributeError, TypeError):
                    self.shown.append(str(getattr(one, form)()))
            with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
                self.shown.append(pickle.dumps(one).decode("latin-1"))

    def fails(self, attempt: Callable[[], Any]) -> None:
        with pytest.raises((oml.errors.OnlineMLError, OSError, ValueError)) as caught:
            attempt()
        self.shown.append("".join(traceback.format_exception(caught.value)).replace(__file__, ""))
        self.shown += [_chain(caught.value), pickle.dumps(caught.value).decode("latin-1")]


def _chain(error: BaseException | None) -> str:
    if error is None:
        return ""
    return f"{error!r} {error.args} {vars(error)}\n{_chain(error.__cause__)}{_chain(error.__context__)}"


def _build(stage: _Stage) -> oml.Project:
    project = oml.Project.create(
        f"{stage.bucket}/project", class_names=["blue", "green", "red"], storage_options=stage.options
    )
    photos = make_photos(stage.folder / "photos", counts={"train": 6, "val": 3, "test": 4})
    for file in photos.rglob("*.jpg"):
        target = f"{stage.bucket}/project/photos/{file.relative_to(photos)}"
        io.write_bytes(target, file.read_bytes(), storage_options=stage.options)
    found = oml.Manifest.from_any(f"{stage.bucket}/project/photos", storage_options=stage.options)
    project.add(found)
    project.images.upload(stage.signed, label="red")
    chained = f"simplecache::{stage.named}/photos/train/red/000.jpg"
    project.images.upload(chained, label="red")
    table = oml.Manifest.from_table(f"{stage.named}/table.csv?X-Amz-Signature={PLANTED}Query")
    stage.show(project, found, table, table.check(), project.images, project.labels.state())
    table.save(stage.folder / "table")
    stage.show(oml.datamodule_for(table, size=32), io.list_files(project.location))
    return project


def _train(stage: _Stage, project: oml.Project) -> Any:
    data = project.freeze()
    weights = f"filecache::{stage.named}/weights.pth?X-Amz-Signature={PLANTED}Weights"
    model = oml.model_for(data, backbone=FACTORY, weights=project.location.to(weights))
    from_mirror = oml.model_for(data, backbone="squeezenet1_1")  # ONLINEML_WEIGHTS is a mirror that has none
    stage.show(from_mirror, from_mirror.origin, str(from_mirror.origin))
    run = project.runs.new()
    logger = CSVLogger(stage.folder / "logger")
    oml.fit(model, oml.datamodule_for(data, size=32, batch_size=4), run=run, epochs=1, logger=logger)
    features_of(model, data, np.arange(4))
    scores = oml.evaluate(model, data)
    version = project.publish(model, scores)
    project.promote(version, reason="the first")
    loaded = oml.load_model(project.models.get("champion"), backbone=FACTORY)
    rows = oml.predict(loaded, [stage.signed, f"{stage.named}/extra.jpg", f"{stage.web}nothing"])
    rows.save(stage.folder / "rows.csv")
    on_web = oml.Manifest.from_table(f"{stage.named}/table.csv")
    elsewhere = oml.evaluate(loaded, on_web)
    for number, one in enumerate((scores, elsewhere, oml.compare(scores, scores))):
        one.save_report(stage.folder / f"reports/{number}.html")
    loaded.save(stage.folder / "saved")
    outcome = oml.improve(project, recipe=oml.Recipe(epochs=1, size=32, backbone=FACTORY))
    queue = oml.review_queue(project, model=loaded, n=3)
    stage.show(data, model, run, run.status(), run.metrics(), version, version.descriptor(), loaded, scores, elsewhere)
    stage.show(rows, list(rows), rows.to_frame().to_csv(), outcome, queue, project.models.list(), project.runs.list())
    return loaded


def _show_widgets(stage: _Stage, project: oml.Project) -> None:
    from onlineml import widgets

    upload = widgets.Upload(project, label="red")
    upload.answer({"kind": "url", "url": stage.signed, "file": "a"}, [])
    run = project.runs.list()[0]
    views = [upload, widgets.Relabel(project), widgets.Gallery(project), widgets.ProgressPanel(run)]
    for view in views:
        stage.show(view, view.widget.get_state())


def _work(stage: _Stage, project: oml.Project) -> None:
    """Jobs that finish, that fail, and that tell what they were given; their processes, records and logs."""
    finished = project.jobs.submit("train", {"epochs": 1, "size": 32, "backbone": FACTORY})
    telling = project.jobs.submit("job_functions:tell", {})
    failing = project.jobs.submit("job_functions:tell", {"fails": True})
    states = [job.wait(600) for job in (finished, telling, failing)]
    assert states == ["finished", "finished", "failed"], finished.tail(40)
    for job in (finished, telling, failing):
        stage.show(job, job.status(), job.tail(100), project.jobs.list())
    stage.fails(lambda: project.jobs.submit("train", {"weights": f"{stage.named}/w.pth"}))
    stage.fails(lambda: project.jobs.submit("job_functions:tell", {"fails": {"cookie": f"{PLANTED}Cookie"}}))
    stage.fails(lambda: project.jobs.submit("job_functions:tell", {"fails": f"see {stage.named}"}))
    stage.fails(lambda: project.jobs.submit("job_functions:tell", {"fails": HUB_TOKEN}))


def _fail(stage: _Stage, project: oml.Project) -> None:
    options = stage.options
    wrong = {**options, "endpoint_url": f"http://{USER}@nothing.invalid:1"}
    patient = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 2}}
    for at, given in (
        (f"{stage.bucket}/nothing", options),
        ("s3://no-such-bucket-here/a", options),
        (f"{stage.bucket}/a", {**wrong, **patient}),
        (f"{stage.named.replace('Password', 'Wrong')}/extra.jpg", None),
        (f"simplecache::{stage.named.replace('Password', 'Wrong')}/extra.jpg", None),
        (f"https://{USER}@nothing.invalid/a?sig={PLANTED}Sig", None),
        (f"nosuch://{USER}@host/a", None),
        (f"http://{stage.web}/none.jpg?sv=2022-11-02&se=2030-01-01&sig={PLANTED}Sas%3D", None),
        (f"http://{stage.web}/none.jpg", {"client_kwargs": {"headers": {"Authorization": f"Bearer {PLANTED}Bearer"}}}),
        (f"http://{stage.web}/none.jpg", {"client_kwargs": {"auth": (f"{PLANTED}User", f"{PLANTED}Password")}}),
        (f"simplecache::{stage.bucket}/nothing", {"s3": options, "simplecache": {"same_names": True}}),
        (f"filecache::{stage.bucket}/nothing", {"target_protocol": "s3", "target_options": options}),
        ("abfs://box/a", {"connection_string": f"AccountName=a;AccountKey={PLANTED}Account;EndpointSuffix=x.invalid"}),
        ("abfs://box/a", {"account_name": "a", "sas_token": f"sv=2022-11-02&sig={PLANTED}Sas%3D"}),
        ("hf://datasets/a/b/c.jpg", {"token": HUB_TOKEN, "endpoint": "http://127.0.0.1:1"}),
        ("sftp://127.0.0.1:1/a", {"username": "ann", "password": f"{PLANTED}Sftp", "passphrase": f"{PLANTED}Phrase"}),
    ):
        stage.fails(lambda at=at, given=given: io.read_bytes(at, storage_options=given))
        stage.fails(lambda at=at, given=given: oml.load_model(at, storage_options=given))
    stage.fails(lambda: oml.Project.open(f"{stage.bucket}/nothing", storage_options=options))
    stage.fails(lambda: oml.Manifest.from_table(f"{stage.named}/none.csv?token={PLANTED}Query"))
    stage.fails(lambda: project.add(oml.Manifest.from_table(f"{stage.named}/table.csv")))
    stage.fails(lambda: project.images.upload(stage.signed.replace("extra", "none")))


def _call(stage: _Stage, environment: dict[str, str]) -> str:
    """The command line and a notebook, each in a process that has its credentials from the environment."""
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("project_url = ''", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(
                "import onlineml as oml\nproject = oml.Project.open(project_url)\n"
                "display(project, project.labels.state(), oml.widgets.Gallery(project), project.models.list())"
            ),
            nbformat.v4.new_code_cell("oml.storage = None\noml.Project.open(project_url + '/nothing')"),
        ]
    )
    path = stage.folder / "book.ipynb"
    nbformat.write(book, path)
    url = f"{stage.bucket}/project"
    refused = f"{stage.named}/p"
    printed = ""
    for arguments, code in (
        (["run", str(path), "-p", "project_url", url], 1),  # its last cell fails
        (["run", str(path), "-p", "project_url", refused, "--record", str(stage.folder / "record")], 1),
        (["run", str(path), "-p", "project_url", url, "-p", "hub", HUB_TOKEN], 1),
        (["run", str(path), "-p", "project_url", url, "-p", "tracking", f"http://{USER}@mlflow.invalid"], 1),
        (["doctor", url], None),
        (["doctor", f"{stage.named}/photos"], None),
        (["sweep", url], 0),
        (["jobs", url], 0),
        (["doctor", url, stage.signed], 2),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "onlineml", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert code is None or done.returncode == code, (arguments, done.stdout, done.stderr)
        printed += done.stdout + done.stderr
    return printed


@pytest.mark.slow
@pytest.mark.s3
def test_no_secret_is_written_or_printed(  # noqa: PLR0917 (fixtures)
    s3_server: S3Server,
    web: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("ONLINEML_CACHE", "TMPDIR", "HOME", "XDG_CACHE_HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
    for name in ("MLFLOW_TRACKING_URI", "https_proxy", "HTTPS_PROXY", "ONLINEML_WEIGHTS", "HF_ENDPOINT"):
        monkeypatch.setenv(name, f"http://{USER}@{web}")
    for name in ("HF_TOKEN", "AWS_SESSION_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, HUB_TOKEN)
    environment = {
        **os.environ,
        "FSSPEC_S3_KEY": f"{PLANTED}Key",
        "FSSPEC_S3_SECRET": f"{PLANTED}Environment",
        "FSSPEC_S3_ENDPOINT_URL": s3_server.endpoint_url,
    }
    caplog.set_level(logging.INFO)
    stage = _Stage(s3_server, web, tmp_path)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        project = _build(stage)
        _train(stage, project)
        _show_widgets(stage, project)
        _work(stage, project)
        with monkeypatch.context() as impatient:
            impatient.setenv("ONLINEML_PATIENCE_S", "2")
            _fail(stage, project)
        main(["doctor", f"{stage.named}/photos"])
        printed = _call(stage, environment)
    left = {"printed": printed + "".join(capfd.readouterr()), "logged": caplog.text}
    left |= {f"warned {number}": str(one.message) for number, one in enumerate(warned)}
    left |= {f"shown {number}": one for number, one in enumerate(stage.shown)}
    store = s3fs.S3FileSystem(**s3_server.storage_options)
    left |= {f"s3://{name}": store.cat_file(name).decode("latin-1") for name in store.find(stage.bucket)}
    files = [file for file in tmp_path.rglob("*") if file.is_file() and "not searched" not in str(file)]
    left |= {str(file): file.read_bytes().decode("latin-1") for file in files}
    secrets = (PLANTED, BASIC, b"pLaNt3d".hex())
    found = {name: text for name, text in left.items() if any(one in name + text for one in secrets)}
    assert len(files) > 30
    assert not found, {name: text[max(0, text.find(PLANTED) - 200) :][:400] for name, text in found.items()}
