"""`create_app`, `serve`: the model that an alias stands for, behind HTTP."""

from __future__ import annotations

import copy
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.arguments.checks import number, whole
from onlineml.errors import ConfigError, MissingDependencyError
from onlineml.serving.current import CurrentModel

if TYPE_CHECKING:
    from fastapi import FastAPI

    from onlineml.serving.current import Engine
    from onlineml.storage.location import Options

__all__ = ["Limits", "create_app", "serve"]

_MB = 1_000_000
_LAST_PORT = 65_535
_GRACE_S = 30  # for requests that are being answered when the server is told to end


@dataclass(frozen=True)
class Limits:
    """Bounds of what a server takes.

    Args:
        max_batch: photos that are predicted for together, from several requests.
        max_photos: photos of one request; beyond it, the answer is 413.
        max_mb: megabytes of one request; beyond it, the answer is 413.
        max_waiting: photos that wait for their turn; beyond it, the answer is 503.
        look_every_s: seconds between two looks at which version the alias stands for.

    Raises:
        ConfigError: a number is not positive.
    """

    max_batch: int = 32
    max_photos: int = 64
    max_mb: float = 64.0
    max_waiting: int = 256
    look_every_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("max_batch", "max_photos", "max_waiting"):
            whole(name, getattr(self, name), least=1)
        number("max_mb", self.max_mb, "megabytes, above 0", least=1e-3)
        number("look_every_s", self.look_every_s, "seconds, at least 0.1", least=0.1)

    @property
    def max_bytes(self) -> int:
        """Bytes of one request."""
        return int(self.max_mb * _MB)


def create_app(
    model: Any,
    *,
    name: str = "",
    engine: Engine = "auto",
    device: str | None = "auto",
    token: str | None = None,
    limits: Limits | None = None,
    storage_options: Options = None,
) -> FastAPI:
    """Return the server's application, for any ASGI server, with the model opened.

    Args:
        model: a reference such as ``"s3://lab/butterflies@champion"``, whose promotions and rollbacks it follows, a
            version, a loaded model, or an export.
        name: of the model in the KServe protocol; ``""`` for the project's, else ``"model"``.
        engine: see `onlineml.serving.current.CurrentModel`.
        device: of the network: ``"auto"`` for a GPU if there is one; see `onlineml.predict`.
        token: that requests must have as ``Authorization: Bearer TOKEN``; None to answer anybody.
        limits: what it takes; None for the defaults.
        storage_options: of the filesystem.

    Raises:
        ConfigError: an argument is not usable.
        NotFoundError: there is no such model.
        MissingDependencyError: FastAPI, python-multipart or prometheus-client is not installed.
    """
    app_module = _needed()
    if token is not None and not token.strip():
        raise ConfigError("the token is empty: expected some secret text, or None to answer anybody")
    current = CurrentModel(model, engine=engine, device=device, storage_options=storage_options)
    made: FastAPI = app_module.application(
        current, name=name or _name_of(current.reference), token=token, limits=limits or Limits()
    )
    return made


def serve(
    model: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str = "",
    engine: Engine = "auto",
    device: str | None = "auto",
    token: str | None = None,
    open_to_all: bool = False,
    limits: Limits | None = None,
    storage_options: Options = None,
) -> None:
    """Serve a model until SIGINT or SIGTERM; requests that are being answered are answered first.

    Args:
        model: a reference such as ``"s3://lab/butterflies@champion"``, or see `create_app`.
        host: address to listen at; ``"0.0.0.0"`` for all of the machine.
        port: number to listen at.
        name: of the model in the KServe protocol, see `create_app`.
        engine: see `onlineml.serving.current.CurrentModel`.
        device: of the network, see `create_app`.
        token: that requests must have, see `create_app`.
        open_to_all: serve without a token at an address that other machines reach.
        limits: what it takes; None for the defaults.
        storage_options: of the filesystem.

    Raises:
        ConfigError: an argument is not usable, another program listens at the port, or there is no token at an address
            that other machines reach.
        NotFoundError: there is no such model.
        MissingDependencyError: a package of ``onlineml[serve]`` is not installed.
    """
    if token is None and not open_to_all and not _is_loopback(host):
        raise ConfigError(
            f"host={host!r} can be reached by other machines and there is no token: set ONLINEML_SERVE_TOKEN (or "
            "token=), listen at 127.0.0.1, or allow anybody by --open-to-all (open_to_all=True)"
        )
    _needed()
    import uvicorn  # noqa: PLC0415

    _check_free(host, port)  # before the model is opened, which takes long
    app = create_app(
        model,
        name=name,
        engine=engine,
        device=device,
        token=token,
        limits=limits,
        storage_options=storage_options,
    )
    logged: Any = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    logged["loggers"]["onlineml.serving"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    options: Any = {"timeout_graceful_shutdown": _GRACE_S, "server_header": False}
    uvicorn.run(app, host=host, port=port, log_config=logged, **options)


def _check_free(host: str, port: int) -> None:
    """Raise ConfigError if there is no such address, or another program listens there."""
    if whole("port", port) > _LAST_PORT:
        raise ConfigError(f"port={port}: expected a number up to {_LAST_PORT}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port}: {error.strerror}; choose another --port (port=) or --host (host=), or "
            "end the program that listens there"
        ) from error


def _needed() -> Any:
    try:
        import python_multipart  # noqa: F401, PLC0415
        import uvicorn  # noqa: F401, PLC0415

        from onlineml.serving import app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("onlineml"):
            raise
        raise MissingDependencyError(
            f"serving needs {error.name}: pip install fastapi uvicorn python-multipart prometheus-client, or "
            "pip install '.[serve]' in the folder of onlineml"
        ) from error
    return app


def _name_of(reference: str) -> str:
    """Return the project's name, of ``s3://lab/butterflies@champion`` or of a version's folder."""
    folder = reference.rpartition("@")[0] or reference.rpartition("/models/")[0]
    return folder.rstrip("/").rpartition("/")[2] or "model"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
