"""A Ray cluster of two nodes on this machine: two raylets, with a token."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Nodes", "two_nodes"]


class Nodes(NamedTuple):
    """The cluster.

    Attributes:
        cluster: Ray's own, to add and remove nodes.
        address: for `onlineml.ray.RayTrain` and the like.
        dashboard: for `onlineml.ray.RayJobs`.
    """

    cluster: Any
    address: str
    dashboard: str


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_worker_niceness", "0")  # by default workers wait for everything else on the machine
    cluster = _started(attempts=4)
    try:
        yield Nodes(cluster, cluster.address, f"http://{cluster.head_node.address_info['webui_url']}")
    finally:
        cluster.shutdown()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _started(attempts: int) -> Any:
    """Start the nodes; a busy machine does not start one within the 15 s that Ray allows."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        dashboard = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": _free_port()}
        cluster.add_node(num_cpus=2, object_store_memory=300 << 20, **dashboard)
        cluster.add_node(num_cpus=2, object_store_memory=300 << 20)
        cluster.wait_for_nodes()
    except Exception:
        cluster.shutdown()
        if attempts == 1:
            raise
        return _started(attempts - 1)
    return cluster
