"""OpenStack Swift with its S3 API, in one process on loopback: ``python swift_process.py FOLDER SECRET``.

Prints the port of the S3 API when it serves. Accounts and containers are in SQLite files in FOLDER, objects in memory.
The user is ``test:tester``. It checks signatures; it looks before it writes, so that two creators may win.
"""

import sys
from pathlib import Path

import eventlet

eventlet.monkey_patch()

from eventlet import wsgi  # noqa: E402 (after the sockets were replaced, as eventlet wants it)
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

BACKENDS = {"account": "account", "container": "container", "object": "mem_object"}  # the server that keeps each
BACKEND = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}
mount_check = false
[app:main]
use = egg:swift#{server}
"""
PROXY = """
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper kept_facts listing_formats s3api tempauth slo versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:kept_facts]
paste.filter_factory = swift_process:kept_facts
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:slo]
use = egg:swift#slo
[filter:versioned_writes]
use = egg:swift#versioned_writes
"""


class KeptFacts(dict):
    """What Swift knows of accounts and containers, in place of memcached: without it each request asks twice for it."""

    def set(self, key, value, **_):
        self[key] = value

    def delete(self, key, **_):
        self.pop(key, None)

    def get(self, key, default=None, **_):
        return super().get(key, default)


def kept_facts(_, **__):
    """A filter of Swift's pipeline, in paste's form."""
    facts = KeptFacts()

    def filtered(app):
        def answer(environ, start_response):
            environ["swift.cache"] = facts
            return app(environ, start_response)

        return answer

    return filtered


def listen():
    return eventlet.listen(("127.0.0.1", 0), backlog=256)


def serve(folder: Path, secret: str) -> None:
    utils.HASH_PATH_SUFFIX = b"of the tests"
    (folder / "device").mkdir(parents=True)
    for ring, server in BACKENDS.items():
        socket = listen()
        _, port = socket.getsockname()
        place = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "device", "weight": 1.0}
        builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
        builder.add_dev(place | {"replication_ip": "127.0.0.1", "replication_port": port})
        builder.rebalance()
        builder.get_ring().save(str(folder / f"{ring}.ring.gz"))
        settings = folder / f"{ring}.conf"
        settings.write_text(BACKEND.format(folder=folder, server=server))
        eventlet.spawn(wsgi.server, socket, loadapp(str(settings)), utils.NullLogger(), log_output=False)
    settings = folder / "proxy.conf"
    settings.write_text(PROXY.format(folder=folder, secret=secret))
    front = listen()
    app = loadapp(str(settings), allow_modify_pipeline=False)
    print(front.getsockname()[1], flush=True)  # noqa: T201 (to the fixture)
    wsgi.server(front, app, utils.NullLogger(), log_output=False)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve(Path(sys.argv[1]), sys.argv[2])
