"""Reading from S3 through obstore: a third of the processor time that botocore takes for a small object, or less.

s3fs finds the endpoint, the region and the credentials, so that both read the same. Whatever obstore cannot be told,
and every answer but the content, is left to s3fs, which knows what to do.

obstore has threads that do not survive a fork: a child that uses it after its parent did waits forever (seen with
0.12). So a process uses it only if no process that it was forked from did; a forked worker of such a parent reads
through s3fs.

A thread of obstore that gives back the result of a read while the interpreter is finalized aborts the process
(pyo3-async-runtimes, issue 40; seen once in some hundred short commands): a process that used it waits a moment first.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from onlineml.storage.s3.client import Content
from onlineml.storage.s3.client import read as read_through_s3fs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_safe", "read"]

_SAID = {"region_name", "endpoint_url", "use_ssl"}  # of client_kwargs, what obstore learns from the client
_LASTS = timedelta(minutes=10)  # botocore renews credentials before they have less left
_AT_EXIT_S = 0.1  # a result is given back within a millisecond
_first_pid: list[int] = []  # the process that imported obstore
_stores: dict[tuple[Any, str], Any] = {}  # by filesystem and bucket; never emptied, as a forked child must drop none


def is_safe() -> bool:
    """Return whether this process may use obstore: no process that it was forked from has."""
    if not _first_pid:
        if "obstore" in sys.modules and os.getpid() != _main_pid():
            return False  # who brought it may be the parent that this process was forked from
        import obstore  # noqa: F401, PLC0415 (where S3 is read)

        _first_pid.append(os.getpid())
        atexit.register(time.sleep, _AT_EXIT_S)
    return _first_pid[0] == os.getpid()


def _main_pid() -> int:
    from multiprocessing import parent_process  # noqa: PLC0415

    return os.getpid() if parent_process() is None else -1


async def read(fs: Any, path: str, part: tuple[int, int] | None = None) -> Content:
    """Read as `onlineml.storage.s3.client.read`, through obstore where it can be told what s3fs's filesystem is told.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not is_safe():
        return await read_through_s3fs(fs, path, part)
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError  # noqa: PLC0415

    bucket, key, version_id = fs.split_path(path)
    if (fs, bucket) not in _stores:
        _stores[fs, bucket] = await _store(fs, bucket)
    store = _stores[fs, bucket]
    if store is None:
        return await read_through_s3fs(fs, path, part)
    options: Any = {"version": version_id} if version_id else {}
    if part is not None:
        options["range"] = part
    try:
        answer = await obstore.get_async(store, key, options=options)
        data = bytes(await answer.bytes_async())
    except FileNotFoundError as error:
        if "NoSuchBucket" not in str(error):
            raise FileNotFoundError(path) from error
        return await read_through_s3fs(fs, path, part)
    except (BaseError, ValueError):  # also a key with empty or dotted segments
        return await read_through_s3fs(fs, path, part)
    return Content(data, str(answer.meta["e_tag"] or "").strip('"'))


async def _store(fs: Any, bucket: str) -> Any:
    """Obstore's view of a bucket; None where it cannot be told something of s3fs's options."""
    from obstore.store import S3Store  # noqa: PLC0415

    await fs.set_session()
    client = await fs.get_s3(bucket)
    endpoint = client.meta.endpoint_url
    provider = None if fs.anon else _credentials_of(fs)
    if not _can_be_told(fs, bucket, client) or (provider and not await provider()):
        return None
    return S3Store(
        bucket,
        region=client.meta.region_name or "us-east-1",
        endpoint=endpoint,
        virtual_hosted_style_request=False,
        skip_signature=bool(fs.anon),
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=client.meta.config.connect_timeout),
            "read_timeout": timedelta(seconds=client.meta.config.read_timeout),
            "timeout": timedelta(minutes=10),
        },
        retry_config={"max_retries": 0},  # onlineml.storage.retries tries again, with s3fs
        credential_provider=provider,
    )


def _credentials_of(fs: Any) -> Callable[[], Any]:
    """Those that s3fs's session finds or was given, asked for again before they expire."""

    async def provide() -> dict[str, Any] | None:
        if fs.key and fs.secret:
            return {"access_key_id": fs.key, "secret_access_key": fs.secret, "token": fs.token, "expires_at": None}
        credentials = await fs.session.get_credentials()
        if credentials is None:
            return None
        frozen = await credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _LASTS,
        }

    return provide


def _can_be_told(fs: Any, bucket: str, client: Any) -> bool:
    config, endpoint = client.meta.config, client.meta.endpoint_url
    style = dict(config.s3 or {})
    return not (
        fs.client_kwargs.keys() - _SAID
        or fs.s3_additional_kwargs  # headers, such as keys of server-side encryption
        or fs.req_kw  # the requester pays
        or ":" in bucket  # access points
        or bucket.endswith("--x-s3")  # directory buckets
        or not (fs.anon or config.signature_version == "s3v4")
        or style.pop("addressing_style", None) == "virtual"
        or any(style.values())  # accelerated, dual-stack, …
        or config.proxies
        or config.client_cert
        or (endpoint.startswith("https:") and fs.session.get_config_variable("ca_bundle"))
    )
