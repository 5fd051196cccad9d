"""``onlineml serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    import argparse

__all__ = ["TOKEN", "add_serve"]

TOKEN = "ONLINEML_SERVE_TOKEN"  # noqa: S105 - the name of a variable


def add_serve(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    serve = commands.add_parser(
        "serve",
        help="answer requests with a model over HTTP, following promotions and rollbacks",
        epilog=f"A token is read from the variable {TOKEN} or from --token-file, never from the command line, which "
        "others can see.",
    )
    serve.add_argument("model", help="path or URL of a model, such as s3://lab/butterflies@champion")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine)")
    serve.add_argument("--port", type=int, default=8000, help="number to listen at (default: 8000)")
    serve.add_argument("--name", dest="called", default="", help="in the KServe protocol (default: the project's)")
    serve.add_argument(
        "--engine",
        default="auto",
        help="torch, or onnx, onnx-int8 or openvino for the version's export (default: its export onnx, or else torch)",
    )
    serve.add_argument("--device", default="auto", help="cpu or cuda (default: a GPU if there is one)")
    serve.add_argument("--token-file", help=f"a file whose text is the token (default: the variable {TOKEN})")
    serve.add_argument("--open-to-all", action="store_true", help="serve other machines without a token")
    serve.add_argument("--max-batch", type=int, default=32, help="photos predicted for together (default: 32)")
    serve.add_argument("--max-photos", type=int, default=64, help="photos of one request (default: 64)")
    serve.add_argument("--max-mb", type=float, default=64.0, help="megabytes of one request (default: 64)")
    serve.add_argument("--max-waiting", type=int, default=256, help="photos that may wait (default: 256)")
    serve.add_argument(
        "--look-every", type=float, default=10.0, metavar="SECONDS", help="between looks for a promotion (default: 10)"
    )
    serve.set_defaults(command=_serve)


def _serve(chosen: argparse.Namespace) -> int:
    from onlineml.serving.server import Limits, serve  # noqa: PLC0415 (each command loads what it needs)

    limits = Limits(
        max_batch=chosen.max_batch,
        max_photos=chosen.max_photos,
        max_mb=chosen.max_mb,
        max_waiting=chosen.max_waiting,
        look_every_s=chosen.look_every,
    )
    serve(
        chosen.model,
        host=chosen.host,
        port=chosen.port,
        name=chosen.called,
        engine=chosen.engine,
        device=chosen.device,
        token=_token(chosen.token_file),
        open_to_all=chosen.open_to_all,
        limits=limits,
    )
    return 0


def _token(file: str | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN) or None
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {file}: {error}; expected a file that holds the token") from error
    if not token:
        raise ConfigError(f"--token-file {file} is empty: expected a file that holds the token")
    return token
