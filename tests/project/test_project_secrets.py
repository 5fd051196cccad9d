"""Secrets that users put into URLs and options: the main verbs are run once, and all that they left is searched."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

import onlineml as oml
from onlineml.cli.main import main
from onlineml.errors import DataError
from onlineml.runs.run import Run
from onlineml.storage import io
from onlineml.storage.location import Location
from tiny import jpeg, make_photos, picture
from tiny_projects import FACTORY, colour_net

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# the decoded form of one is another text
SECRETS = [f"s3cr3t{number:02}" for number in range(12)] + ["s3cr3t/12", "s3cr3t%2F12"]
HOST = f"vault://ann:{SECRETS[0]}@host"
OPTIONS: dict[str, Any] = {
    "token": SECRETS[1],
    "connection_string": f"Account=ann;AccountKey={SECRETS[2]};Suffix=x",
    "headers": {"Authorization": f"Bearer {SECRETS[3]}", "X-Team": SECRETS[4]},
    "client_kwargs": {"proxies": [f"http://ann:{SECRETS[5]}@proxy"], "config": {"passphrase": SECRETS[6]}},
    "auth": ("ann", SECRETS[7]),
}
WEIGHTS = f"simplecache::vault://ann:{SECRETS[8]}@host/weights.pth?X-Vault-Signature={SECRETS[9]}"
SIGNED = f"{HOST}/signed.jpg?id={SECRETS[10]}&token={SECRETS[11]}"
ENCODED = f"vault://ann:{SECRETS[13]}@host/nothing"


class _Vault(MemoryFileSystem):
    """A store that ignores user name, password and query, and repeats them and its options when it fails."""

    protocol = "vault"
    store: dict[str, Any] = {}  # noqa: RUF012 (as fsspec's own has it)
    pseudo_dirs = [""]  # noqa: RUF012
    url = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        path = path.partition("?")[0].replace("vault://", "memory://")
        return MemoryFileSystem._strip_protocol(path.rpartition("@")[2] if "@host" in path else path)

    @classmethod
    def _get_kwargs_from_urls(cls, path: str) -> dict[str, str]:
        return {"url": path}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> Any:
        if "broken" in path or "forbidden" in path:
            try:
                raise KeyError(f"{self.storage_options}")  # noqa: TRY301 (as a client raises)
            except KeyError as error:
                kind = PermissionError if "forbidden" in path else OSError
                raise kind(f"401 from {self.storage_options['url']} for {self.storage_options}") from error
        return super().cat_file(path, start=start, end=end)


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store, with photos and weights."""
    fsspec.register_implementation("vault", _Vault, clobber=True)
    monkeypatch.setattr(_Vault, "store", {})
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    fs = _Vault()
    for file in make_photos(tmp_path / "photos", counts={"train": 3, "val": 1, "test": 2}).rglob("*.jpg"):
        fs.pipe_file(f"/host/project/{file.relative_to(tmp_path)}", file.read_bytes())
    fs.pipe_file("/host/signed.jpg", jpeg(picture((200, 40, 40), seed=7)))
    torch.save(colour_net(num_classes=3).state_dict(), tmp_path / "weights.pth")
    fs.pipe_file("/host/weights.pth", (tmp_path / "weights.pth").read_bytes())
    return fs


def _told(error: BaseException | None) -> str:
    """Everything that an error and those that it came from tell."""
    if error is None:
        return ""
    return f"{error} {error!r} {error.args}\n{_told(error.__cause__)}{_told(error.__context__)}"


def _main_verbs(shown: list[Any]) -> oml.Project:
    project = oml.Project.create(f"{HOST}/project", class_names=["blue", "green", "red"], storage_options=OPTIONS)
    found = oml.Manifest.from_folders(f"{HOST}/project/photos", storage_options=OPTIONS)
    project.add(found)
    project.images.upload(SIGNED, label="red")
    data = project.freeze()
    model = oml.model_for(data, backbone=FACTORY, weights=project.location.to(WEIGHTS))
    run = project.runs.new()
    oml.fit(model, oml.datamodule_for(data, size=32, batch_size=4), run=run, epochs=1)
    version = project.publish(model, oml.evaluate(model, data))
    project.promote(version, reason="the first")
    loaded = oml.load_model(version, backbone=FACTORY)
    scores = oml.evaluate(loaded, data)
    again = project.publish(loaded, scores)
    rows = oml.predict(loaded, [f"{HOST}/signed.jpg", f"{HOST}/project/photos/test"], storage_options=OPTIONS)
    frame = rows.to_frame()
    rows.save(f"{HOST}/project/rows.csv", storage_options=OPTIONS)
    shown += [project, found, data, run, run.spec, run.status(), version, again, again.descriptor(), scores, rows]
    shown += [frame.to_csv(), scores.to_json(), oml.compare(scores, scores), project.jobs.list(), list(rows)]
    shown += [one._repr_html_() for one in (project, found, data, version, scores, rows)]
    pickled = (
        project,
        run,
        version,
        scores,
        list(rows),
        project.location,
        found,
        data,
        oml.datamodule_for(data, size=32),
    )
    shown += [pickle.dumps(one).decode("latin-1") for one in pickled]
    return project


def _failures(project: oml.Project) -> list[Callable[[], Any]]:
    at = project.location
    return [
        lambda: io.read_bytes(at / "broken"),
        lambda: io.read_bytes(at / "forbidden"),
        lambda: io.read_bytes(at / "nothing"),
        lambda: io.read_bytes(ENCODED.replace("nothing", "broken")),
        lambda: io.read_bytes(SIGNED.replace("signed", "broken"), storage_options=OPTIONS),
        lambda: io.create_bytes(at / "project.json", b""),
        lambda: io.publish(at / "models/1", {}, descriptor="model.json"),
        lambda: oml.Project.create(at.url, class_names=["a", "b"], storage_options=OPTIONS),
        lambda: oml.Project.open(f"{HOST}/elsewhere", storage_options=OPTIONS),
        lambda: oml.load_model(ENCODED),
        lambda: oml.model_for(project.datasets.get(project.datasets.list()[0]), backbone=FACTORY, weights=ENCODED),
        lambda: oml.Manifest.from_any(ENCODED),
        lambda: oml.Manifest.from_table(f"{HOST}/project/photos.csv?token={SECRETS[11]}"),
        lambda: oml.Manifest.from_table(SIGNED),
        lambda: project.add(_at(SIGNED)),
        lambda: project.images.upload(SIGNED.replace("signed", "forbidden")),
        lambda: list(oml.predict(_untrained(project)[0], [f"{HOST}/broken.jpg"], storage_options=OPTIONS)),
        lambda: project.jobs.submit("train", {"weights": WEIGHTS}),
        lambda: project.jobs.submit("train", {"backbone": SECRETS[1]}),
        lambda: Run.create(at / "runs/x", spec={"headers": {"a": SECRETS[3]}}),
        lambda: oml.fit(*_untrained(project), run=at.to(project.runs.list()[0].url)),
    ]  # fmt: skip


def _at(url: str) -> oml.Manifest:
    import pandas as pd

    frame = pd.DataFrame({"path": [url], "label": ["red"]})
    return oml.Manifest.from_pandas(frame, path="path", label="label")


def _untrained(project: oml.Project) -> tuple[Any, Any]:
    data = project.datasets.get(project.datasets.list()[0])
    return oml.model_for(data, backbone=FACTORY), oml.datamodule_for(data, size=32)


def test_secrets_are_neither_stored_nor_shown(
    vault: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="onlineml")
    shown: list[Any] = []
    project = _main_verbs(shown)
    for attempt in _failures(project):
        with pytest.raises((oml.errors.OnlineMLError, OSError)) as caught:
            attempt()
        shown.append(_told(caught.value))
    with pytest.raises(ValueError), Run.create(project.location / "runs/failing", spec={}).recorded(call="again"):  # noqa: PT011
        raise ValueError(f"{HOST}/x?token={SECRETS[11]} {OPTIONS}")  # a user's own, which the record quotes
    main(["doctor", f"{HOST}/project"])
    main(["doctor", ENCODED])
    main(["jobs", f"{HOST}/project"])
    left = {"printed": "".join(capfd.readouterr()), "logged": caplog.text}
    left |= {f"shown {number}": f"{one}\n{one!r}" for number, one in enumerate(shown)}
    left |= {name: bytes(file.getbuffer()).decode("latin-1") for name, file in vault.store.items()}
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    left |= {str(file): file.read_bytes().decode("latin-1") for file in files}
    found = {(name, secret) for name, text in left.items() for secret in SECRETS if secret in text}
    assert not found, {name: [left[name][max(0, left[name].find(secret) - 200) :][:300]] for name, secret in found}


def test_a_project_does_not_record_credentials_of_images(vault: Any) -> None:
    del vault
    project = oml.Project.create(f"{HOST}/project", class_names=["red", "blue"])
    with pytest.raises(DataError, match="upload_files"):
        project.add(_at(SIGNED))
    project.add(_at("vault://host/signed.jpg?id=7"))
    assert project.labels.state().table["uri"].to_pylist() == ["vault://host/signed.jpg?id=7"]


def test_pickles_of_locations_hold_no_credentials() -> None:
    assert pickle.loads(pickle.dumps(Location(SIGNED, OPTIONS))) == Location("vault://host/signed.jpg")  # noqa: S301
