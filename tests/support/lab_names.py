"""What a page's blocks use without defining it: a reader has such a model, image or table; here they are tiny."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd
import torch
from torch.utils.data import TensorDataset

import onlineml as oml
import tiny
from lab import AT, SPECIES, photo_files, trained_model
from onlineml.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab import Lab

    Given = Callable[[Lab, dict[str, Any]], Any]


def project(lab: Lab, names: dict[str, Any]) -> oml.Project:
    return names.get("project") or oml.Project.open("s3://lab/butterflies")


def image_id(lab: Lab, names: dict[str, Any], *, label: str = "viceroy") -> str:
    """A training image of a class."""
    rows = project(lab, names).labels.state().table.select(["image_id", "uri"]).to_pylist()
    return next(str(row["image_id"]) for row in rows if f"train/{label}" in row["uri"])


def white_id(lab: Lab, names: dict[str, Any]) -> str:
    return image_id(lab, names, label="small white")


def image_ids(lab: Lab, names: dict[str, Any]) -> list[str]:
    return [image_id(lab, names), white_id(lab, names)]


def data(lab: Lab, names: dict[str, Any]) -> oml.Manifest:
    found = project(lab, names).datasets
    return found.get(found.list()[0])


def model(lab: Lab, names: dict[str, Any]) -> Any:
    return oml.load_model("s3://lab/butterflies@champion")


def tiny_model(lab: Lab, names: dict[str, Any]) -> Any:
    """One that learns at once, and little."""
    return tiny.tiny_model(class_names=data(lab, names).class_names)


def scores(lab: Lab, names: dict[str, Any], *, seed: int = 0) -> Any:
    """Of a model; another seed is another model."""
    images = data(lab, names)
    return oml.evaluate(trained_model(images, seed=seed), images, split="test")


def later_scores(lab: Lab, names: dict[str, Any]) -> Any:
    return scores(lab, names, seed=1)


def detector(lab: Lab, names: dict[str, Any]) -> Any:
    """It has learned nothing; so it finds more than enough."""
    from tiny_boxes import tiny_detector

    found = tiny_detector(class_names=[*SPECIES, "hornet"])
    found.size_hw = (64, 64)
    return found.eval()


def multilabel_model(lab: Lab, names: dict[str, Any]) -> Any:
    from tiny_labels import label_model

    found = label_model()
    found.size_hw = (32, 32)
    return found.eval()


def hornets(lab: Lab, names: dict[str, Any]) -> oml.Project:
    """A detection project."""
    found = oml.Project.create("s3://lab/hornets", task="detection")
    found.images.upload([photo_files()["test/monarch/000.jpg"]], boxes=([[8.0, 8.0, 20.0, 16.0]], ["hornet"]))
    return found


def frame(lab: Lab, names: dict[str, Any]) -> pd.DataFrame:
    rows = [("train/monarch/000.jpg", "cat", "train", "north"), ("train/viceroy/000.jpg", "dog", "train", "south")]
    return pd.DataFrame(rows, columns=["path", "label", "split", "camera"])


def other(lab: Lab, names: dict[str, Any]) -> oml.Manifest:
    rows = frame(lab, names).replace({"000.jpg": "001.jpg"}, regex=True)
    return oml.Manifest.from_pandas(rows, root="s3://lab/photos")


def torch_dataset(lab: Lab, names: dict[str, Any]) -> Any:
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8))
    return TensorDataset(pictures, torch.arange(4) % 2)


def validated(lab: Lab, names: dict[str, Any]) -> oml.Manifest:
    """Photos of which enough are for validation to calibrate on."""
    for s, (split, n) in enumerate({"train": 1, "val": 20, "test": 4}.items()):
        for c, (name, colour) in enumerate(SPECIES.items()):
            folder = Path("many") / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = tiny.picture(colour, seed=7000 + 1000 * s + 100 * c + i)
                (folder / f"{i}.jpg").write_bytes(tiny.jpeg(pixels))
    found = oml.Manifest.from_folders(str(Path("many").resolve()))
    return found.with_column("camera", ["north", "south"] * (len(found) // 2))


def calibrated_detector(lab: Lab, names: dict[str, Any]) -> Any:
    """One that found forty objects of each class."""
    from onlineml.evaluation.calibration import Calibration
    from onlineml.evaluation.calibration.curves import curve_of

    found, scores = detector(lab, names), np.linspace(0.1, 0.9, 40)
    curve = curve_of(scores, np.arange(40), np.append(scores, [0.2, 0.3]), n_photos=40)
    curves = dict.fromkeys(found.class_names, curve)
    model = found.fingerprint()
    found.calibration = Calibration(model=model, split="val", manifest_hash="", n_photos=40, classes=curves)
    return found


def batches(lab: Lab, names: dict[str, Any]) -> Any:
    return oml.datamodule_for(data(lab, names), size=32)


def boxes_data(lab: Lab, names: dict[str, Any]) -> oml.Manifest:
    lab.store(AT["s3://lab/annotations.json"]())
    return oml.Manifest.from_coco("s3://lab/annotations.json", images="s3://lab/photos")


def hub_configuration(lab: Lab, names: dict[str, Any]) -> Any:
    from traitlets.config import Config

    return Config()


EVERYWHERE: dict[str, Given] = {
    "oml": lambda lab, names: oml,
    "project": project,
    "image_id": image_id,
    "image_ids": image_ids,
    "data": data,
    "model": model,
    "scores": scores,
    "detector": detector,
    "batches": batches,
    "hornets": hornets,
    "multilabel_model": multilabel_model,
}
BY_PAGE: dict[str, dict[str, Given]] = {
    "labels.md": {
        "white_id": white_id,
        "last_friday": lambda lab, names: datetime.now(UTC),
        "old_data": data,
    },
    "improve.md": {
        "first_scores": scores,
        "second_scores": later_scores,
        "champion_scores": lambda lab, names: names["first_scores"],
        "challenger_scores": lambda lab, names: names["second_scores"],
        "label_ids": lambda lab, names: np.arange(40) % 4,
        "image_ids": lambda lab, names: [f"image-{i}" for i in range(40)],
        "probabilities": lambda lab, names: np.random.default_rng(0).dirichlet(np.ones(4), size=40),
        "features": lambda lab, names: np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32),
        "class_names": lambda lab, names: names["data"].class_names,
    },
    "deciding.md": {
        "model": lambda lab, names: trained_model(data(lab, names), seed=1),
        "new_photos": lambda lab, names: [tiny.jpeg(tiny.picture((9 * i,) * 3, seed=9000 + i)) for i in range(12)],
        "answers": lambda lab, names: {item.image_id: next(iter(SPECIES)) for item in names["queue"]},
    },
    "formats.md": {
        "frame": frame,
        "other": other,
        **dict.fromkeys(("dataset", "train_set", "test_set"), torch_dataset),
    },
    "widgets.md": {"model": tiny_model, "before": scores, "after": later_scores},
    "detection_scores.md": {"data": boxes_data},
    "augmentation.md": {"hornets_data": boxes_data},
    "scheduling.md": {
        "project_url": lambda lab, names: "s3://lab/butterflies",
        "photos": lambda lab, names: "s3://lab/photos",
        "budget_s": lambda lab, names: 1,
    },
    "calibrated.md": {"data": validated, "detector": calibrated_detector},
    "jupyterhub.md": {"c": hub_configuration},
}


def prepare_fastdfs(lab: Lab, names: dict[str, Any]) -> None:
    """Tables on the page's volume, and a file without a name, as another program stores it."""
    if "url" not in names or "id" in names:
        return
    fs, root = fsspec.url_to_fs(names["url"])
    fs.pipe_file(f"{root}/photo.jpg", photo_files()["test/monarch/000.jpg"])
    names["id"] = fs.unstrip_protocol(fs.info(f"{root}/photo.jpg")["file_id"])
    fs.pipe_file(f"{root}/tables/photos.csv", b"path,label\n../photo.jpg,monarch\n")
    fs.pipe_file(f"{root}/tables/ids.csv", f"path,label\n{names['id']},monarch\n".encode())
    lab.addresses["fastdfs://10.0.0.1:22122/group1/M00/02/44/wKgBcE4Wz3aAXnfPAAHYvQQn2A2345.jpg"] = names["id"]


def prepare_correction(lab: Lab, names: dict[str, Any]) -> None:
    """Somebody corrected a label since the champion was trained."""
    if not names.get("corrected"):
        names["corrected"] = project(lab, names).labels.set(image_id(lab, names), "monarch")


def prepare_slurm(lab: Lab, names: dict[str, Any]) -> None:
    """Programs of that name, which queue everything and start nothing."""
    for name, does in {"sbatch": "echo 17", "squeue": "echo 17", "scancel": "true"}.items():
        Path(name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        Path(name).chmod(0o755)


def prepare_server(lab: Lab, names: dict[str, Any]) -> None:
    """A server of the champion, and a photo."""
    address = "http://127.0.0.1:8000"
    if address in lab.addresses:
        return
    import uvicorn

    from onlineml.serving import Limits, create_app

    Path("garden.jpg").write_bytes(photo_files()["test/monarch/000.jpg"])
    app = create_app("s3://lab/butterflies@champion", limits=Limits(look_every_s=3600))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    lab.addresses[address] = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


PREPARED: dict[str, Callable[[Lab, dict[str, Any]], None]] = {
    "fastdfs.md": prepare_fastdfs,
    "background.md": prepare_slurm,
    "improve.md": prepare_correction,
    "serve.md": prepare_server,
}


def prepare(page: str, lab: Lab, names: dict[str, Any]) -> None:
    """Do what a page needs before each of its blocks."""
    if page in PREPARED:
        PREPARED[page](lab, names)


def given(page: str, name: str) -> Given:
    """The maker of a name's value on a page.

    Raises:
        NotFoundError: neither the page nor this module defines it.
    """
    known = {**EVERYWHERE, **BY_PAGE.get(page, {})}
    if name not in known:
        raise NotFoundError(f"{page} uses {name!r} and does not define it: define it there or in {Path(__file__).name}")
    return known[name]
