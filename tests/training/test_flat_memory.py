"""Long work takes no more memory, descriptors and threads at its end than after its warm-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from places import SUPPORT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize("work", ["steps", "predictions", "rounds"])
def test_long_work_takes_no_more_at_its_end(work: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ONLINEML_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(SUPPORT / "flat_memory.py"), work, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    used = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(used) >= 5, done.stdout
    first, last = used[1], used[-1]
    assert last["rss"] <= 1.05 * first["rss"], used
    assert last["descriptors"] <= first["descriptors"], used
    assert last["threads"] <= first["threads"], used
