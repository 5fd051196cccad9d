"""Processes of tests: fresh ones, and how to see that one has ended, whether or not somebody has reaped it."""

from __future__ import annotations

import multiprocessing
import time

import psutil

LONG_S = 600  # for anything that takes seconds on an idle machine

# Fresh processes by the dozen: each is a fork of one that has imported these and has done nothing with them.
FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(
    ["cv2", "obstore", "onlineml.project.project", "onlineml.storage.log.log", "pandas", "pyarrow", "pytest", "s3fs"]
)


def ended(process: psutil.Process) -> bool:
    """Whether it runs no more. A dead orphan stays a zombie until it is reaped; without an init, for ever."""
    try:
        return process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD} or not process.is_running()
    except psutil.NoSuchProcess:
        return True


def wait_until_ended(process: psutil.Process, most_s: float = LONG_S) -> None:
    end = time.monotonic() + most_s
    while not ended(process):
        assert time.monotonic() < end, f"still there: {process}"
        time.sleep(0.05)
