"""A JupyterHub for tests, from the configuration that its page gives: hub, proxy, culler, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_server import NEWS, free_port, write_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3_server import S3Server

__all__ = ["Hub", "jupyter_hub"]

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "jupyterhub" / "jupyterhub_config.py"
_START_S = 180  # on a busy machine
# What differs from the example: users need not exist on this machine, ports are free ones, and a test may look.
_CONFIG = """
load_subconfig({example!r})
c = get_config()
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.DummyAuthenticator.password = "a password of the tests"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.Spawner.args = ["--allow-root", "--LabApp.expose_app_in_browser=True"]
c.Spawner.environment = {{"JUPYTERHUB_ACTIVITY_INTERVAL": "3", "OMP_NUM_THREADS": "1"}}
c.Spawner.http_timeout = 300
c.JupyterHub.last_activity_interval = 3
c.JupyterHub.services.append({{"name": "tester", "api_token": {token!r}}})
c.JupyterHub.load_roles[0]["services"].append("tester")  # what suffices for the culler suffices for the test
"""


@dataclass(frozen=True)
class Hub:
    """A running hub.

    Attributes:
        port: of the proxy, where users come in.
        home: of the hub's files; users' folders lie in ``users``.
        prefix: the environment of JupyterHub.
        bucket: where the projects are.
        token: of the hub's own API.
    """

    port: int
    home: Path
    prefix: Path
    bucket: str
    token: str = "t" * 32  # (of a hub that lives for these tests)
    password: str = "a password of the tests"  # noqa: S105 (as above)

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def user_home(self, user: str) -> Path:
        return self.home / "users" / user

    def ask(self, path: str, method: str = "GET") -> Any:
        """Ask the hub's own API.

        Raises:
            OSError: it does not answer, or refuses.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, f"/hub/api{path}", headers={"Authorization": f"token {self.token}"})
            answer = connection.getresponse()
            body = answer.read()
        if answer.status >= 400:
            raise OSError(f"{method} {path}: {answer.status} {body[:200]!r}")
        return json.loads(body or b"null")

    @contextlib.contextmanager
    def culled(self) -> Iterator[None]:
        """Meanwhile, servers that have been idle for a second are stopped: the hub's own culler waits for an hour."""
        command = [str(self.prefix / "bin/python"), "-m", "jupyterhub_idle_culler", "--timeout=1", "--cull-every=1"]
        environment = {**os.environ, "JUPYTERHUB_API_TOKEN": self.token}
        with subprocess.Popen([*command, f"--url={self.address('/hub/api')}"], env=environment) as process:
            try:
                yield
            finally:
                process.terminate()

    def has_server(self, user: str) -> bool:
        return bool(self.ask(f"/users/{user}")["servers"])


@contextlib.contextmanager
def jupyter_hub(home: Path, s3_server: S3Server, *, prefix: Path) -> Iterator[Hub]:
    """A hub whose every file lies in `home`, and its users' projects on S3.

    Args:
        home: a folder.
        s3_server: where the projects lie.
        prefix: the environment with JupyterHub; `nox -s hub` makes it.
    """
    hub = Hub(free_port(), home, prefix, s3_server.new_bucket())
    for user in ("ann", "ben"):
        write_settings(hub.user_home(user) / ".jupyter/lab/user-settings", NEWS, {"fetchNews": "false"})
    config = _CONFIG.format(
        example=str(EXAMPLE),
        homes=str(home / "users" / "{username}"),
        port=hub.port,
        hub_port=free_port(),
        proxy_port=free_port(),
        proxy=str(prefix / "node_modules/.bin/configurable-http-proxy"),
        token=hub.token,
    )
    (home / "config.py").write_text(config)
    keys = {"key": s3_server.key, "secret": s3_server.storage_options["secret"]}
    credentials = {"*": {"endpoint_url": s3_server.endpoint_url}, "ann": keys, "ben": keys}
    (home / "credentials.json").write_text(json.dumps(credentials))
    environment = {
        **os.environ,
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "ONLINEML_BUCKET": hub.bucket,
        "ONLINEML_CREDENTIALS": str(home / "credentials.json"),
    }
    with (home / "hub.log").open("w") as log:
        process = subprocess.Popen(
            [str(prefix / "bin/jupyterhub"), "-f", str(home / "config.py")],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=environment,
        )
        try:
            _wait_for(hub, process)
            yield hub
        finally:
            _stop_servers(hub)
            process.terminate()  # it ends its proxy and its culler
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(hub: Hub, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            hub.ask("/users")
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterHub did not answer: {(hub.home / 'hub.log').read_text()[-3000:]}")


def _stop_servers(hub: Hub) -> None:
    """The configuration has them outlive the hub."""
    for user in ("ann", "ben"):
        with contextlib.suppress(OSError):
            hub.ask(f"/users/{user}/server", "DELETE")
