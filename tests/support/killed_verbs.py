"""What a user does to a project or a run, said so that it can be killed anywhere, repeated, and compared.

Imported once by the process that the killed ones are forked from (`killed`), so it imports all that they need, and
starts no thread.
"""

from __future__ import annotations

import gc
import io as memory
import json
import math
import os
import pkgutil
import shutil
import warnings
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import s3fs  # noqa: F401 (so that not every process imports it)
import torch
import torchvision  # noqa: F401

import onlineml as oml
from made_videos import write_video
from onlineml.data.loading.decoded_cache import DecodedCache
from onlineml.improving.improve import improve
from onlineml.improving.recipe import Recipe
from onlineml.registry.versions import promotion_history
from onlineml.runs.run import Run
from onlineml.storage import io
from onlineml.storage.cache import ByteCache
from onlineml.storage.location import Location
from onlineml.training import checkpoints, training
from tiny import make_photos, stirred, tiny_data
from tiny_boxes import drawn_manifest, tiny_boxes, tiny_detector
from tiny_labels import label_data, label_manifest, label_model
from tiny_projects import FACTORY, colour_model, colour_project, fitted, image_of, with_champion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMES = {"seconds", "epoch_s", "images_per_s"}
_QUIET: Any = {"progress": "none", "accelerator": "cpu"}
_COUNTS = {"train": 6, "val": 3, "test": 5}  # photos of each class in the project


class Place(NamedTuple):
    """Where a verb works: a folder of its own on a store, and the files on this machine that it may read."""

    url: str
    options: dict[str, Any] | None
    inputs: str

    @property
    def location(self) -> Location:
        return Location(self.url, self.options)

    def project(self) -> oml.Project:
        return oml.Project.open(self.url, storage_options=self.options)


class Verb(NamedTuple):
    """Something that a user does.

    Attributes:
        act: does it, or goes on with it after a kill, as the documentation says.
        look: what a reader sees, as JSON, without times and names made by chance; raises if something is half done.
    """

    act: Callable[[Place], Any]
    look: Callable[[Place], Any]


# ---- what they work on ----


def prepare(inputs: str, template: str) -> None:
    """Write the files that the verbs read, and the project that those about projects are given a copy of."""
    files, project = Path(inputs), colour_project(Path(inputs) / "colours", counts=_COUNTS)
    make_photos(files / "photos", counts={"train": 9, "val": 4})
    make_photos(files / "new", counts={"train": 12})
    drawn_manifest(files / "boxes", counts={"train": 8, "val": 3}, size=64).save(str(files / "boxes/manifest"))
    label_manifest(files / "labels", splits={"train": 28, "val": 7}).save(str(files / "labels/manifest"))
    (files / "video.mp4").write_bytes(write_video(24))
    with_champion(project)
    fitted(colour_model(project.champion().descriptor()["class_names"]), project.freeze()).save(str(files / "model"))
    for number in range(5):  # each an object of the log
        project.labels.set(image_of(project, f"train/red/{number:03}.jpg"), "blue")
    project.images.upload([path.read_bytes() for path in sorted((files / "photos/val/green").iterdir())], label="green")
    other = oml.load_model(str(files / "model"), backbone=FACTORY)
    other.lr = 0.5
    project.publish(other)
    shutil.copytree(files / "colours", files / "elsewhere")
    _leave_behind(Path(project.url))
    Path(project.url).rename(template)


def _leave_behind(project: Path) -> None:
    """Leave what kills left long ago, for the sweep."""
    names = [f"log/annotations/.{number}.jsonl.{number:016x}.tmp" for number in range(1, 6)]
    for name in (
        *names,
        "models/8-abcdef/weights.safetensors",
        "models/8-abcdef/card.md",
        "models/9-abcdef/weights.safetensors",
    ):
        path = project / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
        os.utime(path, (1_700_000_000, 1_700_000_000))


# ---- trainings ----


def _fit(place: Place, make: Callable[[Place], tuple[Any, Any]]) -> None:
    """Train with a checkpoint after as many steps as the uploads allow."""
    _often()
    run = place.location / "run"
    if io.exists(run / "spec.json") and Run.open(run).status()["state"] == "finished":
        return
    model, data = make(place)
    oml.fit(model, data, run=run.url, epochs=3, patience=2, storage_options=place.options, **_QUIET)


def _often() -> None:
    checkpoints._SHARE = math.inf
    training.Checkpoints = partial(checkpoints.Checkpoints, every_s=0.0)  # type: ignore[misc]


def _classifier(place: Place) -> tuple[Any, Any]:
    return stirred(), tiny_data(oml.Manifest.from_folders(f"{place.inputs}/photos"))


def _detector(place: Place) -> tuple[Any, Any]:
    data = oml.Manifest.load(f"{place.inputs}/boxes/manifest")
    return tiny_detector(warmup_steps=3), tiny_boxes(data, size_hw=(64, 64))


def _multilabel(place: Place) -> tuple[Any, Any]:
    data = oml.Manifest.load(f"{place.inputs}/labels/manifest")
    return label_model(lr=1e-2, norm=True, dropout=0.3), label_data(data)


def _look_at_run(run: Run) -> dict[str, Any]:
    """The state, the rows and the models of a run; raises if a checkpoint, too, is half there."""
    assert isinstance(run.log(), str)
    names = [info.path for info in io.list_files(run.location)]
    for name in names:
        if name.endswith(".ckpt"):
            data = io.read_bytes(run.location / name)
            torch.load(memory.BytesIO(data), map_location="cpu", weights_only=True)
    rows = [{k: str(v) for k, v in row.items() if k not in TIMES} for row in run.metrics()]
    models = {name: _look_at_model(run.location / name) for name in names if name.endswith("model.json")}
    files = [name for name in names if not name.endswith(".ckpt") and ".onlineml-probe-" not in name]  # swept later
    return {"state": run.status()["state"], "files": files, "rows": rows, "models": models}


def _look_at_model(descriptor: Location) -> list[Any]:
    """The hash of a model's weights, which are what its description says, its classes and its dataset."""
    facts, weights = json.loads(io.read_bytes(descriptor)), io.read_bytes(descriptor.parent / "weights.safetensors")
    assert sha256(weights).hexdigest() == facts["weights_sha256"], f"{descriptor} is of other weights"
    return [facts["weights_sha256"][:12], facts["class_names"], facts["manifest_hash"]]


def _look_at_fit(place: Place) -> Any:
    run = place.location / "run"
    return _look_at_run(Run.open(run)) if io.exists(run / "spec.json") else None


# ---- projects ----


def _improve(place: Place) -> None:
    """Improve, going on with the run that was killed, if there is one."""
    _often()
    project = place.project()
    runs = [run for run in project.runs.list() if run.spec.get("kind") in {None, "improve"}]
    states = [run.status()["state"] for run in runs]
    if "finished" not in states:
        run = runs[-1] if runs else None
        improve(project, recipe=Recipe(backbone=FACTORY, epochs=2, how="warm"), run=run, progress="none")


def _publish(place: Place) -> None:
    place.project().publish(oml.load_model(f"{place.inputs}/model", backbone=FACTORY))


def _promote(place: Place) -> None:
    place.project().promote(2, reason="it is better")


def _delete(place: Place) -> None:
    project = place.project()
    for version in project.models.list():
        if version.version not in project.models.aliases().values():
            project.models.delete(version, reason="not needed")


def _relabel(place: Place) -> None:
    project = place.project()
    for number in range(6):
        project.labels.set(image_of(project, f"train/blue/{number:03}.jpg"), "green")


def _move(place: Place) -> None:
    """Give the photos the addresses of a copy of their folder, and some of them another split."""
    project, old = place.project(), f"{place.inputs}/colours"
    if any(uri.startswith(f"{old}/") for uri in project.labels.state().table["uri"].to_pylist()):
        project.images.moved(old, f"{place.inputs}/elsewhere")
    images = [image_of(project, f"train/green/{number:03}.jpg") for number in range(4)]
    project.images.move_to_split(dict.fromkeys(images, "test"), reason="more to test")


def _rename(place: Place) -> None:
    """Rename two classes, and merge another one into a new one."""
    project = place.project()
    for old, new in (("red", "crimson"), ("green", "lime")):
        if old in project.labels.state().class_names:
            project.classes.rename(old, new)
    if "blue" in project.labels.state().class_names:
        project.classes.merge(["blue"], into="dark")


def _sweep(place: Place) -> None:
    place.project().sweep(delete=True, older_than_s=3600)


def _look_at_leftovers(place: Place) -> dict[str, Any]:
    found = _look_at_project(place)
    left = place.project().sweep(older_than_s=86400 * 30).leftovers  # not those of the kills of this test
    return {**found, "leftovers": sorted(one.path for one in left)}


def _upload(place: Place) -> None:
    place.project().images.upload_files(f"{place.inputs}/new", labels_from_folders=True)


def _import_video(place: Place) -> None:
    place.project().images.upload_video(f"{place.inputs}/video.mp4", every_n=2, label="red")


def _begin(place: Place) -> None:
    """A new project, with the first images and a dataset."""
    found = oml.Manifest.from_folders(f"{place.inputs}/photos")
    project = oml.Project.create(f"{place.url}/other", exist_ok=True, storage_options=place.options)
    project.add(found)
    project.freeze()


def fold_of(project: oml.Project) -> dict[str, list[Any]]:
    """The label, split and address of each image."""
    rows = project.labels.state().table.select(["image_id", "label", "split", "uri"]).to_pylist()
    return {row["image_id"]: [row["label"], row["split"], row["uri"]] for row in rows}


def _look_at_project(place: Place) -> dict[str, Any]:
    """All that a reader sees: images, datasets, versions (by their weights, for a kill may use up a number), runs."""
    project = place.project()
    files = {info.path for info in io.list_files(project.location)}
    versions = {one.version: _look_at_model(one.location / "model.json") for one in project.models.list()}
    runs = [_look_at_run(run) for run in project.runs.list() if run.status()["state"] != "created"]
    blobs = sorted(path for path in files if path.startswith("blobs/"))
    for path in blobs:
        named = path.rpartition("/")[2].partition(".")[0]
        assert sha256(io.read_bytes(project.location / path)).hexdigest() == named, f"{path} is half there"
    assert not [path for path in files if path.endswith(".tmp")]
    promotion_history(project.location)
    project.sweep()
    return {
        "fold": fold_of(project),
        "classes": list(project.labels.state().class_names),
        "datasets": {name: project.datasets.get(name).hash for name in project.datasets.list()},
        "versions": sorted(versions.values()),
        "aliases": {alias: versions[name] for alias, name in project.models.aliases().items()},
        "blobs": blobs,
        "runs": runs,
        "other": _look_at_project(place._replace(url=f"{place.url}/other")) if "other/project.json" in files else None,
    }


# ---- caches ----

_PICTURES = [np.full((20 + i, 24, 3), i, np.uint8) for i in range(12)]
_CONTENTS = [bytes([i]) * 40_000 for i in range(12)]


def _caches(place: Place) -> tuple[DecodedCache, ByteCache]:
    folder = Path(place.url) / "cache"
    pictures = DecodedCache([str(i) for i in range(len(_PICTURES))], short_side=32, folder=folder)
    return pictures, ByteCache(folder / "bytes", limit_bytes=10**7)


def _cache(place: Place) -> None:
    pictures, contents = _caches(place)
    for i in range(len(_PICTURES)):
        pictures.put(i, _PICTURES[i])
        contents.put(f"s3://b/{i}", "1", _CONTENTS[i])


def _look_at_caches(place: Place) -> Any:
    pictures, contents = _caches(place)
    found = [pictures.get(i) for i in range(len(_PICTURES))]
    held = [contents.get(f"s3://b/{i}", "1") for i in range(len(_CONTENTS))]
    for one, expected in zip(found, _PICTURES, strict=True):
        assert one is None or np.array_equal(one, expected)
    for content, expected in zip(held, _CONTENTS, strict=True):
        assert content in {None, expected}
    return [one is not None for one in found + held]


# ---- the table ----


def _of_fit(make: Callable[[Place], tuple[Any, Any]]) -> Verb:
    return Verb(partial(_fit, make=make), _look_at_fit)


def _of_project(act: Callable[[Place], Any]) -> Verb:
    return Verb(act, _look_at_project)


VERBS: Mapping[str, Verb] = {
    "fit classification": _of_fit(_classifier),
    "fit detection": _of_fit(_detector),
    "fit multilabel": _of_fit(_multilabel),
    "improve": _of_project(_improve),
    "freeze": _of_project(lambda place: place.project().freeze()),
    "publish": _of_project(_publish),
    "promote": _of_project(_promote),
    "delete": _of_project(_delete),
    "relabel": _of_project(_relabel),
    "move": _of_project(_move),
    "rename": _of_project(_rename),
    "sweep": Verb(_sweep, _look_at_leftovers),
    "compact": _of_project(lambda place: place.project().labels.compact()),
    "upload": _of_project(_upload),
    "import video": _of_project(_import_video),
    "create and add": _of_project(_begin),
    "cache": Verb(_cache, _look_at_caches),
}
warnings.simplefilter("ignore")
for _name in ("pandas", "pyarrow.dataset", "safetensors.torch", "matplotlib.backends.backend_svg"):
    import_module(_name)
for _found in pkgutil.walk_packages(oml.__path__, "onlineml."):  # what is loaded only where it is needed
    if not _found.name.startswith("onlineml.widgets") and not _found.name.endswith("__main__"):
        import_module(_found.name)
THREADS = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
gc.freeze()
