"""JupyterHub for a lab: whoever logs in has a project of their own and one that is shared, both on S3.

Three variables in the hub's environment say what differs between labs, see `hub.env`. All else is JupyterHub's own.
"""

import json
import os
import re
import sys
from pathlib import Path

c = get_config()  # noqa: F821 (JupyterHub provides it)

BUCKET = os.environ["ONLINEML_BUCKET"].rstrip("/")  # where all projects live, such as s3://lab
CREDENTIALS = Path(os.environ.get("ONLINEML_CREDENTIALS", "/etc/jupyterhub/credentials.json"))
IDLE_S = int(os.environ.get("ONLINEML_IDLE_S", "3600"))  # a server that nobody has used for so long is stopped

# ---- who may log in: the members of a group of this machine, by their passwords ----

c.JupyterHub.authenticator_class = "pam"
c.LocalAuthenticator.allowed_groups = {"lab"}
c.JupyterHub.bind_url = "http://127.0.0.1:8000"  # behind a web server that has the certificate

# ---- what a user's server finds ----

c.Spawner.default_url = "/lab"
c.Spawner.cmd = [str(Path(__file__).resolve().with_name("start-server.sh"))]
c.Spawner.http_timeout = 120


def with_storage(spawner):  # noqa: ANN001, ANN201 (JupyterHub reads this file, no type checker)
    """Tell a user's server, and so its kernels and background runs, where the projects are, and the user's own keys.

    JUPYTERHUB_USER is there already: as its value, the user's labels are signed.
    """
    name = spawner.user.name
    folder = name if re.fullmatch(r"[a-z0-9._-]+", name) else spawner.user.escaped_name
    spawner.environment |= {"ONLINEML_PROJECT": f"{BUCKET}/users/{folder}", "ONLINEML_SHARED": f"{BUCKET}/shared"}
    if CREDENTIALS.exists():  # read at each start, so that new keys need no new hub
        found = json.loads(CREDENTIALS.read_text())
        keys = {**found.get("*", {}), **found.get(name, {})}  # "*": what is the same for all, such as the endpoint
        spawner.environment |= {f"FSSPEC_S3_{option.upper()}": value for option, value in keys.items()}


c.Spawner.pre_spawn_hook = with_storage

# ---- idle servers are stopped ----

c.JupyterHub.load_roles = [
    {
        "name": "culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    }
]
c.JupyterHub.services = [
    {
        "name": "culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={IDLE_S}"],
    }
]
c.JupyterHub.cleanup_servers = False  # a restart of the hub leaves the users' servers alone
