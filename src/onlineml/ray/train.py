"""Training on a Ray cluster, by Ray Train."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from torch import distributed

from onlineml.arguments.checks import flag, whole
from onlineml.errors import TrainingError
from onlineml.ray.cluster import connected, ray_module
from onlineml.runs.run import ENDED, Run
from onlineml.storage.location import Location
from onlineml.training.elsewhere import attended
from onlineml.training.processes import ALONE, Processes, groups_store
from onlineml.training.processes import connected as together
from onlineml.training.team import assist

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onlineml.training.progress import Progress

__all__ = ["RayTrain"]


class RayTrain:
    """An engine of trainings: ``oml.fit(model, data, run=…, engine=RayTrain(4))``.

    Ray starts the processes and, if one or its node is lost, starts them again, and the training goes on from its last
    checkpoint to the same weights. The run and the photos must be where all nodes reach them, such as in a bucket.

    Args:
        n: number of processes, which share the photos of each step.
        use_gpu: whether each takes a GPU.
        num_cpus: processor cores of each; also the number of its threads.
        address: of the cluster, see `onlineml.ray.cluster.connected`.
        max_failures: how often lost processes are started again; -1 for any number.
        runtime_env: what workers need that the cluster does not have, such as ``{"working_dir": "."}``.
    """

    def __init__(
        self,
        n: int,
        *,
        use_gpu: bool = False,
        num_cpus: int = 1,
        address: str | None = None,
        max_failures: int = 3,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        self.n = whole("n", n, least=1)
        self.on_gpu = flag("use_gpu", use_gpu)
        self.num_cpus = whole("num_cpus", num_cpus, least=1)
        self.address, self.runtime_env = address, runtime_env
        self.max_failures = whole("max_failures", max_failures, least=-1)

    def run(self, train: Callable[[Run, Processes, Progress, Any], None], record: Run) -> None:
        """See `onlineml.training.engine.Engine.run`.

        Raises:
            TrainingError: processes were lost more often than allowed, or the cluster has no room for them.
        """
        trains, torchs = ray_module("ray.train"), ray_module("ray.train.torch")
        options = record.location.options
        told = {"train": train, "url": record.url, "options": None if options is None else dict(options)}
        needs = {"CPU": self.num_cpus, **({"GPU": 1} if self.on_gpu else {})}
        with connected(self.address, self.runtime_env), tempfile.TemporaryDirectory(prefix="onlineml-ray-") as folder:
            trainer = torchs.TorchTrainer(
                _work,
                train_loop_config={**told, "on_gpu": self.on_gpu},
                torch_config=torchs.TorchConfig(backend="cpu:gloo,cuda:nccl" if self.on_gpu else "gloo"),
                scaling_config=trains.ScalingConfig(
                    num_workers=self.n, use_gpu=self.on_gpu, resources_per_worker=needs
                ),
                run_config=trains.RunConfig(
                    name=record.id,
                    storage_path=folder,  # of Ray's own notes, which nobody reads
                    failure_config=trains.FailureConfig(max_failures=self.max_failures),
                ),
            )
            try:
                trainer.fit()
            except Exception as error:
                raise TrainingError(f"Ray Train gave up: {error}") from error


def _work(told: dict[str, Any]) -> None:
    """Train in one of Ray's processes.

    An error is not raised where the record tells it, because Ray would start all processes again.
    """
    context = ray_module("ray.train").get_context()
    rank, n, at = context.get_world_rank(), context.get_world_size(), Location.of(told["url"], told["options"])
    # one a node, as Lightning counts: Ray may place different numbers on different nodes
    processes = Processes(rank, n, n_nodes=n) if n > 1 else ALONE
    devices: Any = [context.get_local_rank()] if told["on_gpu"] else 1
    try:
        if n == 1:
            _lead(told["train"], Run.open(at), processes, devices)
            return
        with together(processes, groups_store(rank, n), on_gpu=told["on_gpu"]):
            if rank:
                assist(told["train"], processes, devices)
            else:
                _lead(told["train"], Run.open(at), processes, devices)
    except Exception:
        if distributed.is_initialized():
            distributed.destroy_process_group()  # so that the others do not wait for this process
        if rank == 0 and Run.open(at).status()["state"] not in ENDED:
            raise


def _lead(train: Callable[..., None], record: Run, processes: Processes, devices: Any) -> None:
    with attended(record):
        train(record, processes, "none", devices)
