"""Eight processes annotate, correct and freeze one project on S3 at once: nothing is lost, and all see the same."""

from __future__ import annotations

import hashlib
import io as _io
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from onlineml.project.project import Project
from processes import FRESH, LONG_S

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    from onlineml.data.annotations.state import Annotations
    from s3_server import S3Server

WORKERS, ROUNDS, SHARED = 8, 2, 6
CLASSES = ("cat", "dog", "owl", "fox")
SECONDS = 10  # after which no round is begun, however slow the machine is


def _image(seed: int) -> bytes:
    sink = _io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def fingerprint(state: Annotations) -> str:
    """Everything that a reader sees."""
    seen = {
        "table": state.table.to_pylist(),
        "deleted": state.deleted.to_pylist(),
        "classes": [state.class_names, state.class_ids, sorted(state.lineage.items())],
        "conflicts": sorted(state.conflicts.items()),
        "bases": state.revisions(state.table["image_id"].to_pylist()),
        "suggestions": state.suggestions.to_pylist(),
        "said": state.provenance.to_pylist(),
    }
    return hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()


def _work(worker: int, url: str, options: dict[str, Any], start: Barrier, answers: Queue[Any]) -> None:
    try:
        answers.put((worker, *_worked(worker, url, options, start)))
    except BaseException as error:
        start.abort()
        answers.put((worker, repr(error), [], {}))
        raise


def _worked(
    worker: int, url: str, options: dict[str, Any], start: Barrier
) -> tuple[str, list[str], dict[str, list[str]]]:
    project = Project.open(url, storage_options=options)
    shared = project.labels.state().table["image_id"].to_pylist()
    datasets: list[str] = []
    said: dict[str, list[str]] = {}

    def note(image_id: str, entries: list[str]) -> list[str]:
        said.setdefault(image_id, []).extend(entries)
        return entries

    start.wait(LONG_S)
    end = time.monotonic() + SECONDS
    for number in range(ROUNDS):
        if time.monotonic() > end:
            break
        one, other = (shared[(worker + number + step) % len(shared)] for step in (0, 1))
        (own,) = project.images.upload(_image(1000 + 100 * worker + number), label=f"new {worker}", author=f"w{worker}")
        note(own, [project.labels.set(own, CLASSES[number % 4], author=f"w{worker}")[0]])
        note(one, [project.labels.set(one, CLASSES[worker % 4], author=f"w{worker}")[0]])
        (entry,) = note(other, project.labels.accept(other, author=f"w{worker}"))
        if worker % 2:
            note(other, [project.labels.undo(entry, author=f"w{worker}")])
        else:
            note(other, project.labels.skip(other, author=f"w{worker}"))
        if worker == 0:
            project.classes.rename(project.classes.names()[1], f"dog {number}")  # others go on saying dog
        if worker == 1:
            project.labels.suggest({one: ("cat", 0.5), other: ("owl", 0.25)}, model=str(number))
        if worker == 2:
            project.images.move_to_split({one: ("train", "val", "test")[number % 3]}, reason="a race")
        if worker == 3:
            note(own, project.images.delete(own))
            note(own, project.images.restore(own))
        if number % 2 == worker % 2:
            datasets.append(project.freeze().hash)
        if worker in {4, 5}:
            project.labels.compact()
    start.wait(LONG_S)  # everybody is done
    return fingerprint(project.labels.state()), datasets, said


@pytest.mark.s3
def test_eight_processes_at_once(s3_server: S3Server) -> None:
    options = s3_server.storage_options
    url = f"{s3_server.new_bucket()}/p"
    project = Project.create(url, class_names=CLASSES, storage_options=options)
    project.images.upload([_image(number) for number in range(SHARED)], label="cat")
    start, answers = FRESH.Barrier(WORKERS), FRESH.Queue()
    workers = [FRESH.Process(target=_work, args=(n, url, options, start, answers)) for n in range(WORKERS)]
    for process in workers:
        process.start()
    told = [answers.get(timeout=LONG_S) for _ in workers]
    for process in workers:
        process.join(LONG_S)
    assert [process.exitcode for process in workers] == [0] * WORKERS, [seen for _, seen, _, said in told if not said]

    fresh = Project.open(url, storage_options=options)
    state = fresh.labels.state()
    assert {seen for _, seen, _, _ in told} == {fingerprint(state), fingerprint(project.labels.state())}
    for _, _, _, said in told:
        for image_id, entries in said.items():
            assert set(entries) <= set(state.history(image_id)["entry"])
    assert {f"new {worker}" for worker in range(WORKERS)} <= set(state.class_names)
    rounds = sum(len(entries) for _, _, _, said in told for entries in said.values()) / WORKERS
    assert len(state) > SHARED
    assert rounds >= 4  # each got something done
    for _, _, datasets, _ in told:
        for dataset in datasets:
            assert fresh.datasets.get(dataset).hash == dataset
            assert dataset in state.folded.frozen
    while fresh.labels.compact():
        pass
    assert fingerprint(Project.open(url, storage_options=options).labels.state()) == fingerprint(state)
