"""Requests of each step, counted at a proxy before a server of S3's kind, beside those of the calculator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import _plan_requests as plan
from _plan_requests import Holdings, Requests

from onlineml import registry
from onlineml.data.formats.export import image_chunks
from onlineml.data.loading.classification_datamodules import ClassificationDataModule
from onlineml.data.manifest.manifest import Manifest
from onlineml.project.project import Project
from onlineml.storage import io
from onlineml.storage.location import Location
from onlineml.widgets.gallery import Gallery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_BATCH = 4
_MODEL = {"model.json": b"{}", "weights.safetensors": b"weights"}


class Step(NamedTuple):
    """A step, what the calculator says of it, and what was counted."""

    name: str
    planned: Requests
    counted: Requests


class Counter:
    """What a proxy has seen: pairs of a method and a path, to which it adds."""

    def __init__(self, seen: Sequence[tuple[str, str]]) -> None:
        self._seen, self._at = seen, 0

    def since(self) -> Requests:
        """The requests since the last call."""
        new = self._seen[self._at :]
        self._at += len(new)
        lists = sum(method == "GET" and "/" not in path.strip("/") for method, path in new)
        n = {method: sum(one == method for one, _ in new) for method in ("PUT", "GET", "HEAD", "DELETE", "POST")}
        assert not n["POST"], "uploads in parts are not planned"  # noqa: S101
        return Requests(puts=n["PUT"], gets=n["GET"] - lists, heads=n["HEAD"], lists=lists, deletes=n["DELETE"])


def counted(
    bucket: str,
    options: Mapping[str, Any],
    seen: Sequence[tuple[str, str]],
    *,
    pictures: Sequence[bytes],
    shard_bytes: int,
    seen_batch: int = plan.SEEN_BATCH,
) -> Iterator[Step]:
    """Take a project in an empty bucket through its steps.

    Args:
        bucket: its URL.
        options: that lead through the proxy.
        seen: by the proxy.
        pictures: all different; one more than the project has first, which comes later.
        shard_bytes: of `Manifest.pack`.
        seen_batch: images in a file of what opening them told.
    """
    counter, n = Counter(seen), len(pictures) - 1
    held = Holdings(images=n, folders=2, seen_batch=seen_batch)

    def write(number: int) -> None:
        io.write_bytes(f"{bucket}/photos/c{number % 2}/{number:05}.png", pictures[number], storage_options=options)

    def step(name: str, planned: Requests, work: Callable[[], Any]) -> Step:
        counter.since()
        work()
        return Step(name, planned, counter.since())

    def found() -> Manifest:
        return Manifest.from_folders(f"{bucket}/photos", storage_options=options)

    def opened() -> Project:
        return Project.open(f"{bucket}/project", storage_options=options)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(n)))
    io.guarantees(f"{bucket}/project", storage_options=options)  # what a process does once
    io.exists(f"{bucket}/nothing", storage_options=options)
    yield step("import", plan.listing(held), found)
    first, names = found(), ["c0", "c1"]
    yield step(
        "create",
        plan.create(),
        lambda: Project.create(f"{bucket}/project", class_names=names, storage_options=options),
    )
    project = opened()
    yield step("add", plan.add(held, new=n), lambda: project.add(first))
    held = held.but(imports=1, log=1)
    project = opened()
    yield step("freeze", plan.freeze(held, new=n), project.freeze)
    held = held.but(seen=-(-n // seen_batch), log=2, datasets=1)
    project = opened()
    yield step("state", plan.state(held), project.labels.state)
    image_id = first.column("image_id")[0]
    yield step("label", plan.label(held), lambda: project.labels.set(image_id, "c1"))
    held = held.but(log=3)
    yield from _looked_at(opened(), held, step)
    write(n)
    held = held.but(images=n + 1)
    more, project = found(), opened()
    yield step("sync of one new", plan.add(held, new=1), lambda: project.add(more))
    held = held.but(imports=2, log=4)
    project = opened()
    yield step("freeze again", plan.freeze(held, new=1), project.freeze)
    held = held.but(log=5, seen=held.seen + 1)
    yield from _trained_on(opened().freeze(), held, Location(f"{bucket}/packed", options), shard_bytes, step)
    yield step(
        "publish", plan.publish(held, files=2, size=7), lambda: registry.publish_version(project.location, _MODEL)
    )
    project = opened()
    yield step("compact", plan.compact(held.log), project.labels.compact)


def _looked_at(project: Project, held: Holdings, step: Callable[..., Step]) -> Iterator[Step]:
    views: list[Any] = []
    yield step("gallery opened", plan.gallery(held), lambda: views.append(Gallery(project)))
    (view,) = views
    view.send = lambda *_: None
    ask = {"kind": "page", "start": 0, "filters": {}, "number": 1}
    yield step("gallery page", plan.gallery_page(held), lambda: view.answer(ask, ()))


def _trained_on(
    data: Manifest, held: Holdings, packed: Location, shard_bytes: int, step: Callable[..., Step]
) -> Iterator[Step]:
    batches = ClassificationDataModule(data, size_hw=(16, 16), batch_size=_BATCH, cache=False).train_dataloader()
    held = held.but(train=len(batches) * _BATCH)
    yield step("epoch", plan.epoch(held), lambda: list(batches))
    made: list[Manifest] = []
    sized = step(
        "pack",
        plan.pack(held, shards=0),
        lambda: made.append(data.pack(packed, shard_bytes=shard_bytes)),
    )
    shards = len({uri.partition("#")[0] for uri in made[0].column("uri")})
    yield sized._replace(planned=plan.pack(held, shards=shards))
    part = made[0].select(split="train")
    held = held.but(images=len(part))
    shards = len({uri.partition("#")[0] for uri in part.column("uri")})
    yield step("pass over a split", plan.passing(held, shards=shards), lambda: list(image_chunks(part)))
