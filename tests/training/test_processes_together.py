"""Training in several processes: the same steps, weights and scores as in one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from places import ROOT
from processes import LONG_S
from ranks import N_STEPS
from tiny import make_photos

SUPPORT = ROOT / "tests" / "support"


@pytest.mark.slow
def test_one_two_and_four_processes_come_to_the_same_weights(tmp_path):
    photos = make_photos(tmp_path / "photos", counts={"train": 24, "val": 6, "test": 6})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(SUPPORT)])}
    found = {}
    for n in (1, 2, 4):
        command = [sys.executable, str(SUPPORT / "ranks.py"), str(photos), str(tmp_path / f"{n}.pt"), str(n)]
        done = subprocess.run(command, env=environment, timeout=4 * LONG_S, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "sync_dist" not in done.stderr
        found[n] = torch.load(tmp_path / f"{n}.pt", weights_only=True)

    alone = found[1]
    assert alone["scores"]["test_accuracy"] > 0.9
    for n in (2, 4):
        assert found[n]["steps"] == alone["steps"] == N_STEPS
        assert found[n]["scores"]["test_accuracy"] == alone["scores"]["test_accuracy"]
        torch.testing.assert_close(found[n]["weights"], alone["weights"], rtol=0, atol=1e-5)
