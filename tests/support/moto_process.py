"""moto's S3 on loopback: ``python moto_process.py PORT``.

moto looks whether a condition holds and writes then, in several threads, so that now and then two writers win. Here one
write comes after another, as in the stores that it stands for.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from moto.core import serialize
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def one_write_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            return app(environ, start_response)
        # the whole body first: a slow writer must not keep the others waiting
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        with lock:
            return list(app(environ, start_response))

    return answer


if __name__ == "__main__":
    os.environ["MOTO_PORT"] = sys.argv[1]
    serialize.parse_to_aware_datetime = lru_cache(10_000)(serialize.parse_to_aware_datetime)
    run_simple(
        "127.0.0.1",
        int(sys.argv[1]),
        one_write_at_a_time(create_backend_app("s3")),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
