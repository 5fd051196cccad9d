"""Work on parts of many images, spread over the workers of a Ray cluster by Ray Data."""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.arguments.checks import whole
from onlineml.arguments.counted import count
from onlineml.errors import OnlineMLError
from onlineml.ray.cluster import connected, ray_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from onlineml.ray.parts import Parts

__all__ = ["RayWorkers", "spread"]


@dataclass(frozen=True)
class RayWorkers:
    """The workers of `onlineml.ray.predict` and `onlineml.ray.evaluate`.

    Attributes:
        most: their largest number; None for as many as the cluster has room for.
        num_cpus: processor cores of each; also the number of its threads.
        num_gpus: GPUs of each; a share, such as 0.5, lets several use one.
        address: of the cluster, see `onlineml.ray.cluster.connected`.
        runtime_env: what workers need that the cluster does not have, such as ``{"working_dir": "."}``.
    """

    most: int | None = None
    num_cpus: int = 1
    num_gpus: float = 0
    address: str | None = None
    runtime_env: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        whole("most", self.most, least=1, optional=True)
        whole("num_cpus", self.num_cpus, least=1)


def spread(
    parts: Parts, work: Callable[[Any, Parts, int], bytes], model: Any, workers: RayWorkers, *, tells: bool
) -> None:
    """Do what is missing of the parts; a part whose worker is lost is given to another one.

    Args:
        parts: of the work.
        work: takes the model, the parts and the number of one, and returns its result; picklable.
        model: which each worker gets once.
        workers: how many, and where.
        tells: whether to print how far it is.
    """
    todo = parts.missing()
    if not todo:
        return
    with connected(workers.address, workers.runtime_env) as ray:
        data = ray_module("ray.data")
        context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        room = int(ray.cluster_resources().get("CPU", 1) // workers.num_cpus)
        if workers.num_gpus:
            room = min(room, int(ray.cluster_resources().get("GPU", 0) / workers.num_gpus))
        most = max(1, min(room if workers.most is None else workers.most, len(todo)))
        held = ray.put(pickle.dumps((model, parts, work)))
        done = data.from_items([{"part": part} for part in todo], override_num_blocks=len(todo)).map(
            _Worker,
            fn_constructor_args=([held], workers.num_gpus > 0),
            compute=data.ActorPoolStrategy(min_size=1, max_size=most),
            num_cpus=workers.num_cpus,
            num_gpus=workers.num_gpus,
        )
        try:
            _follow(done.iter_rows(), parts, n_done=parts.n - len(todo), tells=tells)
        except Exception as error:
            raise _own(error) from error


def _follow(rows: Iterable[Any], parts: Parts, *, n_done: int, tells: bool) -> None:
    """Wait for the parts, and print how far they are."""
    for _ in rows:
        n_done += 1
        if tells:
            images = count(min(n_done * parts.part_size, parts.n_images), "image")
            sys.stdout.write(f"part {n_done:,} of {parts.n:,}: {images} of {parts.n_images:,}\n")
            sys.stdout.flush()


def _own(error: BaseException) -> BaseException:
    """The error of ours that a worker raised, in what Ray made of it; else that."""
    found: BaseException | None = error
    while found is not None:
        cause = getattr(found, "cause", None)  # Ray's own words for what it wraps, which has the traceback as its text
        for one in (cause, found):
            if isinstance(one, OnlineMLError):
                return one
        found = cause or found.__cause__
    return error


class _Worker:
    """One of Ray's actors; it holds the model."""

    def __init__(self, held: list[Any], on_gpu: bool) -> None:
        self.model, self.parts, self.work = pickle.loads(ray_module().get(held[0]))  # noqa: S301 (of who called)
        if on_gpu:
            self.model.to("cuda")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = int(row["part"])
        self.parts.commit(part, self.work(self.model, self.parts, part))
        return {"part": part}
