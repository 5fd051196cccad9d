"""The lab of the documentation: a bucket ``s3://lab`` with photos, tables and projects, all of them tiny."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd
import s3fs

import onlineml as oml
import tiny
from onlineml.jobs.launch import launch
from onlineml.runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from s3_server import S3Server

SPECIES = {
    "monarch": (210, 60, 50),
    "viceroy": (60, 190, 70),
    "small white": (50, 80, 200),
    "large white": (210, 190, 60),
}
COUNTS = {"train": 8, "val": 3, "test": 5}  # of each class
JOB = "20261124-021507-3f9a"  # of a training that is over
_CREATED = re.compile(r'create\("s3://lab/([\w/]+)"')


@cache
def photo_files() -> dict[str, bytes]:
    """By path: a folder a split, and in it one a class."""
    found = {}
    for s, (split, n) in enumerate(COUNTS.items()):
        for c, (name, colour) in enumerate(SPECIES.items()):
            for i in range(n):
                pixels = tiny.picture(colour, seed=1000 * s + 100 * c + i)
                found[f"{split}/{name}/{i:03}.jpg"] = tiny.jpeg(pixels)
    return found


def video() -> bytes:
    """Two seconds, at ten frames a second."""
    from made_videos import write_video

    return write_video(20, ticks=10, faststart=True)


def coco(paths: list[str]) -> bytes:
    """A COCO file with one box on each of these images."""
    names = sorted({path.split("/")[-2] for path in paths})
    boxes = [
        {"id": i, "image_id": i, "category_id": names.index(path.split("/")[-2]), "bbox": [8, 8, 20, 16], "area": 320}
        for i, path in enumerate(paths)
    ]
    images = [{"id": i, "file_name": path, "width": 44, "height": 40} for i, path in enumerate(paths)]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    return json.dumps({"images": images, "annotations": boxes, "categories": categories}).encode()


def coco_2017() -> dict[str, bytes]:
    """Both of the files and folders of COCO's last edition, as its users have them."""
    found = {}
    for split in ("train", "val"):
        photos = {path.replace("/", "-"): data for path, data in photo_files().items() if path.startswith(split)}
        found |= {f"{split}2017/{name}": data for name, data in photos.items()}
        table = json.loads(coco([path for path in photo_files() if path.startswith(split)]))
        for image in table["images"]:
            image["file_name"] = image["file_name"].replace("/", "-")
        found[f"annotations/instances_{split}2017.json"] = json.dumps(table).encode()
    return found


def ground_truth(path: str) -> bytes:
    """A line of SageMaker's Ground Truth: one box on an image."""
    box = {"class_id": 0, "left": 8, "top": 8, "width": 20, "height": 16}
    facts = {"class-map": {"0": "monarch"}, "type": "groundtruth/object-detection", "human-annotated": "yes"}
    size = {"width": 44, "height": 40, "depth": 3}
    row = {"source-ref": f"s3://elsewhere/{path}", "box": {"image_size": [size], "annotations": [box]}}
    return json.dumps({**row, "box-metadata": {**facts, "objects": [{"confidence": 1}]}}).encode() + b"\n"


# What a page finds if it names it: by the address that it writes, the files that are there.
AT = {
    "s3://lab/garden.mp4": lambda: {"garden.mp4": video()},
    "s3://lab/videos": lambda: {"videos/monarch/1.mp4": video()},
    "s3://lab/annotations.json": lambda: {"annotations.json": coco(list(photo_files()))},
    "s3://lab/tags.csv": lambda: {"tags.csv": b"path,labels\nnew/0.jpg,cat|dog\nnew/1.jpg,cat\nnew/2.jpg,[]\n"},
}
BESIDE = {
    '"garden.jpg"': lambda: {"garden.jpg": photo_files()["test/monarch/000.jpg"]},
    '"garden.mp4"': lambda: {"garden.mp4": video()},
    '"photos/"': lambda: {f"photos/{i}.jpg": data for i, data in enumerate(list(photo_files().values())[:3])},
    '"export/train.manifest"': lambda: {"export/train.manifest": ground_truth("train/monarch/000.jpg")},
    '"train2017"': coco_2017,
}


class Lab:
    """A bucket that each page finds as if nobody had been there before.

    Args:
        server: the one that holds it; fsspec's configuration names it.
        trackers: of a FastDFS cluster.
    """

    def __init__(self, server: S3Server, trackers: str) -> None:
        self.fs = s3fs.S3FileSystem(**server.storage_options, use_listings_cache=False)
        self.addresses = {"10.0.0.1:22122,10.0.0.2:22122": trackers}  # by what a page writes, ours
        self.fs.mkdir("lab")
        self.store({f"photos/{path}": data for path, data in photo_files().items()})
        new = [data for path, data in photo_files().items() if path.startswith("test/")][::4]
        self.store({f"new/{i}.jpg": data for i, data in enumerate(new)})
        _make_project("s3://lab/butterflies")
        oml.Project.create("s3://lab/shared")
        self._first = {path: self.fs.cat_file(path) for path in self.fs.find("lab")}
        self._tags = self._tags_now()

    def _tags_now(self) -> dict[str, str]:
        """What tells the content of each object."""
        return {path: facts["ETag"] for path, facts in self.fs.find("lab", detail=True).items()}

    def reset(self, page: str, folder: Path) -> None:
        """Make it as it was at first, and a folder too, with what a page's text names, less what it creates."""
        created = tuple(f"lab/{name}/" for name in _CREATED.findall(page))
        objects = {path: data for path, data in self._first.items() if not path.startswith(created)}
        there = self._tags_now()
        if strange := sorted(set(there) - set(objects)):
            self.fs.rm(strange)
        self.fs.pipe({path: data for path, data in objects.items() if there.get(path) != self._tags[path]})
        for address, made in AT.items():
            if address in page:
                self.store(made())
        for name, made in BESIDE.items():
            for path, data in made().items() if name in page else ():
                (folder / path).parent.mkdir(exist_ok=True)
                (folder / path).write_bytes(data)

    def store(self, files: dict[str, bytes]) -> None:
        """Store files by their paths in the bucket."""
        self.fs.pipe({f"lab/{path}": data for path, data in files.items()})


def _make_project(url: str) -> None:
    """One with a champion, and the record of a background training."""
    project = oml.Project.create(url, task="classification")
    rows = [(path, *path.split("/")[:2], "north" if "0.jpg" in path else "south") for path in photo_files()]
    table = pd.DataFrame(rows, columns=["path", "split", "label", "camera"])
    project.add(oml.Manifest.from_pandas(table, root="s3://lab/photos"))
    data = project.freeze()
    model = trained_model(data)
    project.promote(project.publish(model, oml.evaluate(model, data, split="test")), reason="the first")
    over = Run.create(f"{url}/runs/{JOB}", spec={"job": {"function": "train", "arguments": {}}})
    launch(over, function="train", arguments={}, attempt=1, executor=Idle())
    over.log_metrics({"step": 1, "epoch": 0, "train_loss": 1.2})
    over.flush()
    over.set_status("finished", facts={"attempt": 1})


class Idle:
    """An executor of other people's machines, where all has ended."""

    name = "idle"

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, str]:
        return {"host": "elsewhere"}

    def alive(self, handle: Mapping[str, str]) -> bool:
        return False

    def stop(self, handle: Mapping[str, str], *, now: bool) -> None:
        raise AssertionError("nothing runs")


def trained_model(data: oml.Manifest, *, seed: int = 0) -> oml.ImageClassifier:
    """Random features, and a head that was fitted to the training images."""
    from tiny_projects import fitted

    model = oml.model_for(data, seed=seed)
    model.size_hw = (32, 32)
    return fitted(model.eval(), data)
