"""What a person in a notebook reads while waiting."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from onlineml.lazy import told_if_slow


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(__import__("sys").modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


@pytest.mark.usefixtures("kernel")
def test_slow_work_is_told_once_and_quick_work_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with told_if_slow("Quick", after_s=60):
        pass
    with told_if_slow("Loading the model", after_s=0):
        for timer in threading.enumerate():
            if isinstance(timer, threading.Timer):
                timer.join()

    assert capsys.readouterr().out == "Loading the model …\n"


@pytest.mark.usefixtures("kernel")
def test_work_that_fails_is_not_told_later() -> None:
    timers = []

    def fail() -> None:
        with told_if_slow("Loading", after_s=60):
            timers.extend(t for t in threading.enumerate() if isinstance(t, threading.Timer))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    timers[0].join()  # cancelled: it ends at once


def test_programs_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with told_if_slow("Loading the model", after_s=0):
        assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer)]

    assert capsys.readouterr().out == ""
