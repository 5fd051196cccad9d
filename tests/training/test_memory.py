"""Freed memory that stays, seen by what the system counts: pages handed out, and pages held."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")

PAGES = (8 << 20) // os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0  # of a block
CODE = """
import contextlib, json, resource
import torch
from onlineml.training.memory import keeping_freed_memory

def faults(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        blocks = [torch.ones(2 << 20) for _ in range(8)]  # 8 MB each, as a network's activations
        del blocks
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / n

def held():
    return int(open("/proc/self/statm").read().split()[1])

found = {"before": faults(4)}
with contextlib.suppress(KeyError), keeping_freed_memory():
    with keeping_freed_memory():  # two at a time, as two trainings in threads
        faults(1)
    found |= {"within": faults(10), "held_within": held()}
    raise KeyError
print(json.dumps(found | {"held_after": held()}))
"""


def measured(**environment: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_blocks_are_handed_out_once_and_given_back_in_the_end() -> None:
    found = measured()

    assert found["within"] < found["before"] / 20
    assert found["held_within"] - found["held_after"] > 8 * PAGES * 0.9


@pytest.mark.parametrize(
    "given", [{"MALLOC_MMAP_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"}]
)
def test_what_the_user_has_set_stands(given: dict[str, str]) -> None:
    found = measured(**given)

    assert found["within"] > found["before"] / 2
