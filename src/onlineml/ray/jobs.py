"""Background runs as Ray Jobs, on a cluster."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError
from onlineml.jobs.launch import ORDER
from onlineml.ray.cluster import ray_module
from onlineml.storage.urls import redacted, storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["RayJobs"]

_OVER = ("STOPPED", "SUCCEEDED", "FAILED")


class RayJobs:
    """Runs jobs on a Ray cluster, see `onlineml.jobs.Executor`: ``project.jobs.submit(…, executor=RayJobs(address))``.

    The project must be where the cluster reaches it, such as in a bucket, and onlineml must be installed there. A job
    that the cluster lost, as with its node, is ``"lost"`` and can be resumed. Ray keeps what a job is started with and
    shows it to whoever may see its dashboard: a project that was opened with ``storage_options`` is refused.

    Args:
        address: the cluster's dashboard, ``"http://host:8265"``; None for that of the environment variable
            ``RAY_API_SERVER_ADDRESS``. A token is taken from ``RAY_AUTH_TOKEN`` or ``~/.ray/auth_token``.
        num_cpus: processor cores that the job waits for and keeps; with 0, here and in the next two, it runs on the
            head node.
        num_gpus: GPUs.
        memory: bytes.
        runtime_env: what the job needs that the cluster does not have, such as ``{"working_dir": "."}`` for functions
            of your own; see Ray's documentation.
        python: the program on the cluster that has onlineml.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: float = 1,
        num_gpus: float = 0,
        memory: int = 0,
        runtime_env: Mapping[str, Any] | None = None,
        python: str = "python",
    ) -> None:
        self.address = address
        self.num_cpus, self.num_gpus, self.memory = num_cpus, num_gpus, memory
        self.runtime_env = dict(runtime_env or {})
        self.python = python

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> dict[str, Any]:
        """See `onlineml.jobs.Executor.start`; the output before the run's own log is in `output`."""
        del log
        order = json.loads(environment[ORDER])
        if order["storage_options"] or storable(order["run"]) != order["run"]:
            raise ConfigError(
                "the project was opened with storage_options or a password in its address, which Ray would keep and "
                "show in its dashboard: give the cluster its credentials by a role, environment variables or fsspec's "
                "configuration, and open the project without them"
            )
        variables = {
            **self.runtime_env.get("env_vars", {}),
            "PYTHONUNBUFFERED": "1",
            "MPLBACKEND": "agg",
            **environment,
        }
        submitted = self._client().submit_job(
            entrypoint=shlex.join([self.python, *command[1:]]),
            runtime_env={**self.runtime_env, "env_vars": variables},
            metadata={"run": redacted(order["run"])},
            entrypoint_num_cpus=self.num_cpus,
            entrypoint_num_gpus=self.num_gpus,
            entrypoint_memory=self.memory,
        )
        return {"submission_id": submitted}

    def alive(self, handle: Mapping[str, Any]) -> bool | None:
        """See `onlineml.jobs.Executor.alive`; None while the cluster does not answer."""
        try:
            return _status(self._client(), handle) not in (*_OVER, "")
        except (ConfigError, RuntimeError, OSError):
            return None

    def stop(self, handle: Mapping[str, Any], *, now: bool) -> None:
        """See `onlineml.jobs.Executor.stop`; without ``now``, the job finds the request in its run's folder.

        Ray's own way to stop a job kills it after three seconds, in which a checkpoint may not be stored.
        """
        client = self._client() if now else None
        if client is None or _status(client, handle) in (*_OVER, ""):
            return
        job = client.get_job_info(str(handle["submission_id"]))
        if "onlineml" not in job.entrypoint:  # the number comes from the storage, where others may write
            raise ConfigError(
                f"the Ray job {job.submission_id} is not onlineml's but {job.entrypoint[:100]!r}: the record is wrong"
            )
        client.stop_job(job.submission_id)

    def output(self, handle: Mapping[str, Any]) -> str:
        """Return what the job wrote before it opened its run's log, such as that onlineml is not installed."""
        try:
            return str(self._client().get_job_logs(str(handle.get("submission_id"))))
        except (ConfigError, RuntimeError):
            return ""

    def _client(self) -> Any:
        submission = ray_module("ray.job_submission")
        try:
            return submission.JobSubmissionClient(self.address)
        except (ConnectionError, RuntimeError) as error:
            raise ConfigError(f"the Ray cluster at {self.address or 'RAY_API_SERVER_ADDRESS'}: {error}") from error


def _status(client: Any, handle: Mapping[str, Any]) -> str:
    """Ray's word for the state of a job; empty if the cluster does not know it."""
    try:
        return str(client.get_job_status(str(handle["submission_id"])).value)
    except RuntimeError as error:
        if "does not exist" in str(error) or "404" in str(error):
            return ""
        raise
