"""The connection to a Ray cluster."""

from __future__ import annotations

import importlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["connected", "ray_module"]


def ray_module(name: str = "ray") -> Any:
    """Import Ray, or one of its modules.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"running on a Ray cluster needs {error.name or name}: pip install 'ray[data,default,train]', on all nodes"
        ) from error


@contextmanager
def connected(address: str | None, runtime_env: Mapping[str, Any] | None) -> Iterator[Any]:
    """Connect to a cluster within the block, unless this process is; yields the package ``ray``.

    Args:
        address: ``"host:6379"``, ``"auto"`` for the one that this machine belongs to, or None for that of the
            environment variable ``RAY_ADDRESS`` or, without it, a new one of this machine alone, which asks for a token
            and ends with the block.
        runtime_env: what workers need that the cluster does not have, such as ``{"working_dir": "."}``; see Ray's
            documentation.

    Raises:
        ConfigError: there is no cluster, or another Ray version runs it.
        MissingDependencyError: Ray is not installed.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield ray
        return
    given = {} if runtime_env is None else {"runtime_env": dict(runtime_env)}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **given)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"the Ray cluster {address or ''} cannot be used: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
