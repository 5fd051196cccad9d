"""How a run shows itself."""

from __future__ import annotations

import math
import signal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from onlineml.errors import ConfigError
from onlineml.runs.run import Run
from onlineml.training.progress import epoch_line, live_view, make_reporter, stopping_on_interrupt

if TYPE_CHECKING:
    from pathlib import Path

ROW = {
    "epoch": 3,
    "step": 40,
    "train_loss": 0.51234,
    "val_loss": 0.25,
    "val_accuracy": 0.9375,
    "lr": 1.5e-3,
    "progress": 0.4567,
    "images_per_s": 812.4,
    "epoch_s": 1.5,
    "seconds": 12.3,
}


def test_the_line_by_hand() -> None:
    expected = (
        "epoch   3   46 %  train_loss 0.5123  val_loss 0.2500  val_accuracy 0.9375  lr 1.5e-03  812 images/s  12 s"
    )

    assert epoch_line(ROW) == expected


def test_what_is_unknown_is_not_shown() -> None:
    line = epoch_line({k: v for k, v in ROW.items() if k != "val_accuracy"} | {"val_loss": math.nan})

    assert "val_" not in line
    assert "nan" not in line
    assert "train_loss 0.5123" in line


@pytest.mark.parametrize(("n", "stopped_at"), [(3, 3), (20, 20), (30, 30), (500, 500), (500, 333)])
def test_lines_are_at_most_twenty_spread_over_the_training_with_its_last_epoch(
    n: int, stopped_at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    show = make_reporter("lines")
    rows = [ROW | {"epoch": epoch, "progress": (epoch + 1) / n} for epoch in range(stopped_at)]
    for known in range(len(rows)):
        show(rows[: known + 1])
    show.close()

    lines = capsys.readouterr().out.splitlines()
    assert min(n, 15) * stopped_at // n <= len(lines) <= 20
    assert lines[0] == epoch_line(rows[0])
    assert lines[-1] == epoch_line(rows[-1])
    shown = [int(line.split()[1]) for line in lines]
    assert len(set(shown)) == len(shown)
    assert max(b - a for a, b in pairwise(shown)) <= max(1, n / 15)


def test_none_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    make_reporter("none")([ROW])

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", ["auto", "", "Lines", None])
def test_other_values_are_refused_with_the_valid_ones(value) -> None:
    with pytest.raises(ConfigError, match=r"progress=.*: expected one of lines, live, none"):
        make_reporter(value)


def test_live_needs_a_run() -> None:
    with pytest.raises(ConfigError, match="needs a run"):
        make_reporter("live")


def test_whatever_shows_things_live_is_found_by_its_path() -> None:
    assert all(callable(live_view(of)) for of in ("training", "job"))


def test_the_first_interrupt_asks_to_stop_and_the_second_interrupts(tmp_path: Path) -> None:
    run, before = Run.create(tmp_path / "run"), signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with stopping_on_interrupt(run):
            signal.raise_signal(signal.SIGINT)
            assert run.stop_requested
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        for other in (signal.SIG_IGN, lambda *_: None):  # that of a job
            signal.signal(signal.SIGINT, other)
            with stopping_on_interrupt(run):
                assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)
