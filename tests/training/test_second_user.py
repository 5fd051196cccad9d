"""A second user of the machine, in whose way the first one's caches are."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from places import SUPPORT

if TYPE_CHECKING:
    from pathlib import Path

OTHER = 12345
_READ_ALL = 4  # CAP_DAC_READ_SEARCH: the interpreter may lie in a folder of root's; what is written obeys the modes

WORK = f"""
import os, stat, sys, tempfile
sys.path[:0] = [{str(SUPPORT)!r}]
from pathlib import Path
import onlineml as oml
from tiny import make_photos, tiny_data, tiny_model
from tiny_projects import colour_model
base = Path(tempfile.mkdtemp())
manifest = oml.Manifest.from_folders(str(make_photos(base / "photos", counts={{"train": 3, "val": 1, "test": 1}})))
project = oml.Project.create(base / "project", class_names=manifest.class_names)
project.add(manifest)
model = tiny_model()
run = oml.fit(model, tiny_data(manifest, num_workers=2), epochs=1)
assert stat.S_IMODE(Path(run.url).parent.stat().st_mode) == 0o700
version = project.publish(model, oml.evaluate(model, manifest))
assert len([*oml.predict(model, [str(base / "photos/test")])]) == 3
"""


def _become_other() -> None:
    """Run in the child: another user, who has no home and may write only where the modes allow it."""
    libc = ctypes.CDLL(None)
    libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setgid(OTHER)
    os.setuid(OTHER)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[_READ_ALL] * 3, 0, 0, 0)
    libc.capset(header, sets)
    libc.prctl(47, 2, 2, 0, 0)  # PR_CAP_AMBIENT_RAISE


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="only root becomes another user")
def test_a_second_user_does_everything_and_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "caches" / f"decoded-{OTHER}").mkdir(parents=True)  # root's
    (tmp_path / "caches" / f"bytes-{OTHER}").touch()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary").chmod(0o1777)
    environment = {
        **os.environ,
        "ONLINEML_CACHE": str(tmp_path / "caches"),
        "TMPDIR": str(tmp_path / "temporary"),
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": str(tmp_path / "temporary"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        env=environment,
        preexec_fn=_become_other,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("decoded images are not cached") == 1, done.stderr
    assert [*(tmp_path / "caches" / f"decoded-{OTHER}").iterdir()] == []
