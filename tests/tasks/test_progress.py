"""How a run shows itself."""

from __future__ import annotations

import math
import sys
from html.parser import HTMLParser

import IPython.display
import pytest

from onlineml.errors import ConfigError, MissingDependencyError
from onlineml.tasks.progress import epoch_line, make_reporter, panel_html

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


def test_lines_print_the_last_row_only(capsys: pytest.CaptureFixture[str]) -> None:
    show = make_reporter("lines")
    show([ROW])
    show([ROW, ROW | {"epoch": 4}])

    assert capsys.readouterr().out.splitlines() == [epoch_line(ROW), epoch_line(ROW | {"epoch": 4})]


def test_none_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    make_reporter("none")([ROW])

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", ["auto", "", "Lines", None])
def test_other_values_are_refused_with_the_valid_ones(value) -> None:
    with pytest.raises(ConfigError, match=r"progress=.*: expected one of lines, live, none"):
        make_reporter(value)


class Balanced(HTMLParser):
    """Text and tags of a page whose tags must all be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text.append(data)


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


def test_the_live_panel_is_one_display_that_is_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, updates = [], []

    class Handle:
        def update(self, value) -> None:
            updates.append(value.data)

    def display(value, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(value.data)
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    show = make_reporter("live")
    show([ROW])
    show([ROW, ROW | {"epoch": 4, "val_loss": math.nan}])

    assert len(shown) == 1
    assert len(updates) == 2
    page = parsed(updates[1])
    assert page.tags.count("svg") == 3  # train_loss, val_loss, val_accuracy
    assert epoch_line(ROW | {"epoch": 4, "val_loss": math.nan}) in page.text


def test_live_without_ipython_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython.display", None)

    with pytest.raises(MissingDependencyError, match="pip install ipython, or 'lines'"):
        make_reporter("live")


def test_curves_have_only_points_that_are_numbers() -> None:
    rows = [ROW | {"epoch": i, "val_loss": v} for i, v in enumerate([math.nan, 2.0, math.inf, 1.0])]
    page = panel_html([{k: v for k, v in row.items() if k != "val_accuracy"} for row in rows])

    assert parsed(page).tags.count("svg") == 2
    assert "nan" not in page
    assert "inf" not in page
    assert '"66.7,2.0 200.0,58.0"' in page  # second and last of four; the high value above


def test_without_any_number_there_is_no_curve() -> None:
    page = panel_html([ROW | dict.fromkeys(("train_loss", "val_loss", "val_accuracy"), math.nan)])

    assert "svg" not in parsed(page).tags
