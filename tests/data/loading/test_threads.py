"""A process that is forked while others use OpenCV: the fork waits for them, and the child can use it at once."""

from __future__ import annotations

import os
import threading

import cv2
import numpy as np
import pytest

from onlineml.data.loading.threads import AT_WORK, augmented, opencv_threads
from processes import LONG_S

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # Python 3.12 on forks
]


def _scaled() -> bool:
    cv2.resize(np.zeros((9, 9, 3), np.uint8), (5, 5), interpolation=cv2.INTER_AREA)
    return cv2.getNumThreads() == 1


def _forked() -> int:
    """Fork a process that uses OpenCV in threads of its own, and return its exit status."""
    child = os.fork()
    if not child:
        os._exit(0 if augmented(_scaled) else 1)
    return os.waitpid(child, 0)[1]


def test_augmenting_is_done_in_few_threads_that_last_with_one_of_opencvs():
    threads = set()

    def work() -> bool:
        threads.add(threading.current_thread())
        return _scaled()

    assert all(augmented(work) for _ in range(200))
    assert len(threads) <= (os.cpu_count() or 1)  # a pool may start the next before the last has said it is idle
    assert all(thread.is_alive() and thread.name.startswith("onlineml-augment") for thread in threads)


def test_what_fails_there_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        augmented(lambda: 1 / 0)
    assert augmented(_scaled)


def test_a_fork_waits_for_threads_that_use_opencv_and_they_for_the_fork():
    at_work, may_end, forked = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        with AT_WORK:
            at_work.set()
            assert may_end.wait(LONG_S)

    def fork() -> None:
        assert _forked() == 0
        forked.set()

    opencv_threads()  # guards forks
    worker = threading.Thread(target=work)
    worker.start()
    assert at_work.wait(LONG_S)
    forking = threading.Thread(target=fork)
    forking.start()
    assert not forked.wait(0.2)
    late = threading.Thread(target=lambda: augmented(_scaled))  # begins after the fork
    late.start()
    may_end.set()
    for thread in (worker, forking, late):
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert forked.is_set()


def test_two_forks_at_once_leave_nothing_locked():
    statuses = []
    with AT_WORK:  # both wait for this
        forks = [threading.Thread(target=lambda: statuses.append(_forked())) for _ in range(2)]
        for fork in forks:
            fork.start()
        assert all(fork.is_alive() for fork in forks)
    for fork in forks:
        fork.join(LONG_S)
    assert statuses == [0, 0]
    assert augmented(_scaled)
