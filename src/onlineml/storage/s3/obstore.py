"""Reads from S3 through obstore, if configured: they take a quarter of s3fs's time for a small object.

obstore's threads do not survive a fork: a child that uses it after its parent did waits forever (seen with 0.12). A
process therefore uses it only if none of its parent processes did; a forked worker of such a parent reads through s3fs.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError, MissingDependencyError, StorageError
from onlineml.storage.s3.client import Content, ShortError
from onlineml.storage.s3.client import read as read_through_s3fs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VARIABLE", "chosen", "read"]

VARIABLE = "ONLINEML_S3_READER"
_READERS = ("s3fs", "obstore")
_FROM_FSSPEC = {"region_name", "endpoint_url"}  # options of client_kwargs that are passed to obstore
_first_pid: list[int] = []  # the process that imported obstore
_stores: dict[tuple[Any, str], Any] = {}  # by filesystem and bucket; never emptied, as a forked child must not drop any


def chosen() -> bool:
    """Return whether this process reads through obstore.

    Raises:
        ConfigError: the variable names an unknown reader.
        MissingDependencyError: obstore is configured but not installed.
    """
    reader = os.environ.get(VARIABLE) or "s3fs"
    if reader not in _READERS:
        raise ConfigError(f"{VARIABLE}={reader!r}: expected one of {', '.join(_READERS)}")
    if reader == "s3fs":
        return False
    if not _first_pid:
        if "obstore" in sys.modules and os.getpid() != _main_pid():
            return False  # it may have been imported by the parent that this process was forked from
        try:
            import obstore  # noqa: F401, PLC0415 (optional)
        except ImportError as err:
            raise MissingDependencyError(f"{VARIABLE}=obstore needs obstore: pip install 'onlineml[obstore]'") from err
        _first_pid.append(os.getpid())
    return _first_pid[0] == os.getpid()


def _main_pid() -> int:
    from multiprocessing import parent_process  # noqa: PLC0415

    return os.getpid() if parent_process() is None else -1


async def read(fs: Any, path: str, part: tuple[int, int] | None = None) -> Content:
    """Read as `onlineml.storage.s3.client.read` does, with the endpoint, region and credentials of s3fs's filesystem.

    Raises:
        ConfigError: the filesystem has options that obstore does not support.
    """
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError  # noqa: PLC0415

    bucket, key, version_id = fs.split_path(path)
    store = _stores.get((fs, bucket))
    if store is None:
        store = _stores[fs, bucket] = await _store(fs, bucket)
    options: Any = {"version": version_id} if version_id else {}
    if part is not None:
        options["range"] = part
    try:
        answer = await obstore.get_async(store, key, options=options)
    except (InvalidPathError, ValueError):  # it does not support keys with empty or dotted segments
        return await read_through_s3fs(fs, path, part)
    except (PermissionDeniedError, UnauthenticatedError) as err:
        raise PermissionError(_first_line(err)) from None
    except BaseError as err:
        raise StorageError(f"s3://{path}: {_first_line(err)}") from None
    try:
        data = bytes(await answer.bytes_async())
    except BaseError as err:
        raise ShortError(f"s3://{path}: {_first_line(err)}") from None
    return Content(data, str(answer.meta["e_tag"] or "").strip('"'))


def _first_line(err: Exception) -> str:
    return str(err).partition("\n")[0]


async def _store(fs: Any, bucket: str) -> Any:
    from obstore.store import S3Store  # noqa: PLC0415

    _refuse_unsupported_options(fs)
    await fs.set_session()
    client = await fs.get_s3(bucket)
    endpoint = fs.endpoint_url or fs.client_kwargs.get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL") or ""
    config: dict[str, Any] = {"region": client.meta.region_name or "us-east-1"}
    if endpoint:
        config |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if fs.anon:
        config["skip_signature"] = True
    waits: Any = {"allow_http": endpoint.startswith("http://"), "connect_timeout": "10s", "timeout": "600s"}
    provider: Any = None if fs.anon else _credentials_of(fs)
    return S3Store(bucket, **config, client_options=waits, credential_provider=provider)


def _credentials_of(fs: Any) -> Callable[[], Any]:
    """Return a provider of the credentials that s3fs's session has, which obstore calls again before they expire."""

    async def provide() -> dict[str, Any]:
        if fs.key and fs.secret:
            return {"access_key_id": fs.key, "secret_access_key": fs.secret, "token": fs.token, "expires_at": None}
        credentials = await fs.session.get_credentials()
        if credentials is None:
            raise PermissionError("no credentials for S3 were found; give key and secret in storage_options, or anon")
        frozen = await credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": getattr(credentials, "_expiry_time", None),
        }

    return provide


def _refuse_unsupported_options(fs: Any) -> None:
    unsupported = [f"client_kwargs[{name!r}]" for name in fs.client_kwargs.keys() - _FROM_FSSPEC]
    unsupported += [name for name in ("s3_additional_kwargs", "req_kw") if getattr(fs, name, None)]
    if unsupported:
        raise ConfigError(
            f"obstore does not support {', '.join(unsupported)} in the storage options; unset {VARIABLE} to use s3fs"
        )
