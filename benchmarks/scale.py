"""How time and memory of each step grow with the number of photos: listing, import, freeze, loader, fold, gallery.

The photos are hard links to copies of a few small JPEGs, a folder a class, so that a million of them are only entries
of folders; what opening each once tells is written where `Project.freeze` keeps it. Each step runs in a process of its
own, whose peak memory counts (of the loader: what it shares with its workers once, and what each has of its own). A
growth exponent of 1 is linear; the aim is 1.05. Measure on a quiet machine: the load is beside each number.

    python benchmarks/scale.py --sizes 100000 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from _race import machine, photos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

N_CLASSES = 100
MOST_LINKS = 60_000  # of a file; ext4 allows 65,000
AIM = 1.05


# ---- what is measured ----


def make(folder: Path, n: int) -> None:
    """``n`` hard links in class folders below ``photos``, and the digest of each source by its number of links."""
    root, sources = folder / "photos", folder / "sources"
    sources.mkdir()
    given = sorted(file for file in photos(None, folder).rglob("*.[jJ]*") if file.stat().st_size < 20_000)
    files = []
    for number in range(-(-n // MOST_LINKS) + 8):
        files.append(str(sources / f"{number}.jpg"))
        shutil.copyfile(given[number % len(given)], files[-1])
    for label in range(N_CLASSES):
        (root / f"class_{label:03}").mkdir(parents=True)
    for i in range(n):
        os.link(files[i % len(files)], f"{root}/class_{i % N_CLASSES:03}/photo_{i:08}.jpg")


def saved(folder: Path) -> Any:
    from onlineml.data.manifest.manifest import Manifest

    return Manifest.load(str(folder / "manifest"))


def project_in(folder: Path) -> Any:
    from onlineml.project.project import Project

    return Project.open(str(folder / "project"))


def note_seen(folder: Path) -> None:
    """What a first freeze would have noted, had it opened each photo: with a sha256 that no other photo has."""
    from onlineml.data.annotations.seen import SEEN, write_seen

    ids = project_in(folder).labels.state().table["image_id"].to_pylist()
    for start in range(0, len(ids), 500_000):
        own = ids[start : start + 500_000]
        told = {
            "image_id": own,
            "sha256": [hashlib.sha256(one.encode()).hexdigest() for one in own],
            "width": [100] * len(own),
            "height": [100] * len(own),
            "findings": [[]] * len(own),
            "version": [None] * len(own),
        }
        write_seen(pa.Table.from_pydict(told, schema=SEEN), project_in(folder).location / "log/seen")


def correct(folder: Path) -> None:
    """A correction of each image, as `benchmarks/annotations.py` writes them."""
    from onlineml.data.annotations.state import record
    from onlineml.storage.log.log import AppendLog

    log = AppendLog(str(folder / "project" / "log" / "annotations"))
    ids, base = project_in(folder).labels.state().table["image_id"].to_pylist(), log.read()[-1].id
    for start in range(0, len(ids), 50_000):
        facts = ({"image_id": one, "label": "class_000", "base": base} for one in ids[start : start + 50_000])
        log.append_many(record("corrected", author="ann", facts=said) for said in facts)
    while log.compact():
        pass


def add_photo(folder: Path) -> None:
    """One more photo, whose content no other has."""
    source = next((folder / "sources").iterdir())
    (folder / "photos" / "class_000" / "new.jpg").write_bytes(source.read_bytes() + b"new")


# ---- the steps; each yields where its measured part begins, and again where it ends ----


def listing(folder: Path) -> Iterator[None]:
    from onlineml.storage import io

    yield
    assert len(io.list_files(str(folder / "photos"))) >= N_CLASSES  # noqa: S101
    yield


def import_(folder: Path) -> Iterator[None]:
    from onlineml.data.manifest.manifest import Manifest

    yield
    found = Manifest.from_folders(str(folder / "photos"))
    yield
    found.save(str(folder / "manifest"))


def load(folder: Path) -> Iterator[None]:
    yield
    saved(folder)
    yield


def add(folder: Path) -> Iterator[None]:
    from onlineml.project.project import Project

    found = saved(folder)
    project = Project.create(str(folder / "project"), class_names=found.class_names)
    yield
    project.add(found, author="ann")
    yield
    note_seen(folder)


def freeze(folder: Path) -> Iterator[None]:
    project = project_in(folder)
    yield
    project.freeze()
    yield
    add_photo(folder)


def sync(folder: Path) -> Iterator[None]:
    from onlineml.data.manifest.manifest import Manifest

    project = project_in(folder)
    yield
    assert project.add(Manifest.from_folders(str(folder / "photos")), author="ann") == 1  # noqa: S101
    yield


def freeze_again(folder: Path) -> Iterator[None]:
    project = project_in(folder)
    yield
    project.freeze()
    yield


def changes(folder: Path) -> Iterator[None]:
    project = project_in(folder)
    before, after = (project.datasets.get(one) for one in list(project.datasets.list())[-2:])
    yield
    str(project.datasets.changes(before, after))
    yield


def splits(folder: Path) -> Iterator[None]:
    found = saved(folder)
    yield
    found.with_splits(keep=False)
    yield


def first_batch(folder: Path, num_workers: int) -> Iterator[None]:
    """The photos as they are after a freeze: with the sha256 of what is really there."""
    from onlineml.data.loading.classification_datamodules import ClassificationDataModule

    found = saved(folder)
    sources = (folder / "sources").iterdir()
    digests = {file.stat().st_ino: hashlib.sha256(file.read_bytes()).hexdigest() for file in sources}
    told = [digests.get(Path(url).stat().st_ino, "0" * 64) for url in found.urls()]
    found = found.with_column("sha256", pa.array(told))
    yield
    # without its cache of decoded images, whose pages the machine counts as memory and takes back when it needs them
    data = ClassificationDataModule(found, size_hw=(64, 64), batch_size=64, num_workers=num_workers, cache=False)
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    yield
    for _ in itertools.islice(batches, 400):  # each worker has seen some thousands of rows
        pass
    print(json.dumps(memory_mb()), flush=True)
    loader.close()


def memory_mb() -> dict[str, float]:
    """Memory of this process and its workers, where what several share counts once, and of that the workers' own."""
    import psutil

    me = psutil.Process()
    workers = [one.memory_full_info() for one in me.children(recursive=True)]
    whole = me.memory_full_info().pss + sum(one.pss for one in workers)
    return {"peak_mb": whole / 1e6, "workers_mb": sum(one.uss for one in workers) / 1e6}


def fold(folder: Path) -> Iterator[None]:
    project = project_in(folder)
    yield
    project.labels.state()
    yield


def gallery(folder: Path) -> Iterator[None]:
    from onlineml.widgets.gallery import Gallery

    project = project_in(folder)
    project.labels.state()
    yield
    Gallery(project)
    yield


def page(folder: Path) -> Iterator[None]:
    from onlineml.widgets.gallery import Gallery

    view = Gallery(project_in(folder))
    view.send = lambda *_: None
    ask = {"kind": "page", "start": 48 * 100, "filters": {"class": "class_000"}, "number": 1}
    yield
    view.answer(ask, ())
    yield


def peer_folder(folder: Path) -> Iterator[None]:
    from torchvision.datasets import ImageFolder

    yield
    ImageFolder(str(folder / "photos"))
    yield


def peer_batch(folder: Path) -> Iterator[None]:
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    how = transforms.Compose([transforms.RandomResizedCrop(64), transforms.PILToTensor()])
    found = ImageFolder(str(folder / "photos"), transform=how)
    yield
    batches = iter(DataLoader(found, batch_size=64, shuffle=True, num_workers=4))
    next(batches)
    yield
    for _ in itertools.islice(batches, 400):
        pass
    print(json.dumps(memory_mb()), flush=True)


STEPS: dict[str, Callable[[Path], Iterator[None]]] = {
    "listing": listing,
    "import": import_,
    "load": load,
    "add": add,
    "freeze": freeze,
    "sync of one new": sync,
    "freeze again": freeze_again,
    "changes": changes,
    "splits": splits,
    "first batch, 0 workers": lambda folder: first_batch(folder, 0),
    "first batch, 4 workers": lambda folder: first_batch(folder, 4),
    "fold": fold,
    "gallery opened": gallery,
    "gallery page": page,
    "torchvision ImageFolder": peer_folder,
    "torchvision first batch, 4 workers": peer_batch,
}
FIRST = {"fold": correct}  # by step, what is made for it


def step(name: str, folder: Path) -> None:
    """One measurement, in this process."""
    work = STEPS[name](folder)
    next(work)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start, cpu = time.perf_counter(), time.process_time()
    next(work)
    found = {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu, "before_mb": before}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({**found, "peak_mb": peak}), flush=True)
    with contextlib.suppress(StopIteration):
        next(work)


# ---- the table ----


def measured(name: str, folder: Path) -> dict[str, float] | None:
    """One step in a process of its own; None if it fails."""
    load = os.getloadavg()[0]
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name} failed: {done.stderr[-800:]}", flush=True)
        return None
    found: dict[str, float] = {"load": load}
    for line in done.stdout.splitlines():
        with contextlib.suppress(ValueError):
            found |= json.loads(line)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--only", nargs="+", default=list(STEPS), choices=list(STEPS), help="in the order of the table")
    parser.add_argument("--keep", type=Path, help="a folder for the photos and projects, which stay there")
    parser.add_argument("--json", type=Path, help="also write the result here")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step(given.step, given.folder)
        return
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in given.only}
    with tempfile.TemporaryDirectory() as scratch:
        for n in sorted(given.sizes):
            folder = (given.keep or Path(scratch)) / str(n)
            if not folder.exists():
                folder.mkdir(parents=True)
                make(folder, n)
            for name in given.only:
                if name in FIRST and not (folder / f"{name}.made").exists():
                    FIRST[name](folder)
                    (folder / f"{name}.made").touch()
                result = measured(name, folder)
                print(f"{n:>10,}  {name:<36} {told(result)}", flush=True)
                found[name] |= {n: result} if result else {}
            if given.keep is None:
                shutil.rmtree(folder)
    results = [{"step": name, "sizes": own, "growth": growth(own)} for name, own in found.items()]
    for one in results:
        print(f"{one['step']:<36} grows with the power {one['growth']:.2f} (aim {AIM})")
    line = json.dumps([{**one, "machine": machine()} for one in results])
    if given.json is not None:
        given.json.write_text(line + "\n", encoding="utf-8")


def told(result: dict[str, float] | None) -> str:
    if result is None:
        return "failed"
    memory = f"{result['peak_mb']:9,.0f} MB (before {result['before_mb']:,.0f})"
    own = f" (workers' own {result['workers_mb']:,.0f})" if result.get("workers_mb") else ""
    return f"{result['seconds']:9.2f} s {result['cpu_s']:9.2f} s of CPU {memory}{own}  load {result['load']:.1f}"


def growth(own: dict[int, dict[str, float]]) -> float:
    """The slope of log seconds of the processor over log size, from the smallest to the largest; nan for one size."""
    if len(own) < 2:
        return math.nan
    small, large = min(own), max(own)
    return float(np.log(own[large]["cpu_s"] / own[small]["cpu_s"]) / np.log(large / small))


if __name__ == "__main__":
    main()
