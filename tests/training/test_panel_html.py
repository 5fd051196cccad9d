"""The panel of a training: how far, how long, curves of what is a number, and nothing that a page would run."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser

import pytest

from onlineml.training.panel_html import PanelFacts, duration, panel_html

ROW = {
    "epoch": 3,
    "train_loss": 0.51234,
    "val_loss": 0.25,
    "val_accuracy": 0.9375,
    "lr": 1.5e-3,
    "progress": 0.25,
    "images_per_s": 812.4,
    "seconds": 30.0,
}


class Balanced(HTMLParser):
    """Text and tags of a page whose tags must all be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        if tag != "img":
            self.open.append(tag)

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


def charts(page: str) -> list[str]:
    return [base64.b64decode(one).decode() for one in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)]


def test_before_the_first_figures_there_is_only_the_state() -> None:
    page = panel_html(PanelFacts())

    assert "running" in "".join(parsed(page).text)
    assert charts(page) == []
    assert "nan" not in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")]
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_by_the_share_that_is_done_or_by_the_budget() -> None:
    assert PanelFacts(now=ROW).left_s == pytest.approx(90)  # a quarter took 30 s
    assert PanelFacts(now=ROW, budget_s=50.0, since_s=5.0).left_s == pytest.approx(15)
    assert PanelFacts(now=ROW, budget_s=50.0, since_s=5.0).share == pytest.approx(0.7)
    assert math.isnan(PanelFacts(now=ROW | {"progress": 0.001}).left_s)
    assert math.isnan(PanelFacts(now=ROW, state="stopped").left_s)
    assert PanelFacts(state="finished").share == 1


def test_the_line_by_hand() -> None:
    page = panel_html(PanelFacts(now=ROW, rows=[ROW], epochs=12, title="train <b>"))

    text = "".join(parsed(page).text)
    line = "epoch 4 of 12 · 30 s, about 1 min 30 s left · 812 images/s · learning rate 1.5e-03 · loss 0.5123"
    assert line in text
    assert "train <b>" in text  # escaped
    assert "25" in text


def test_one_chart_for_what_belongs_together() -> None:
    page = panel_html(PanelFacts(rows=[ROW, ROW | {"epoch": 4}], now=ROW))

    loss, accuracy, rate = charts(page)
    assert loss.count("<polyline") == 2
    assert accuracy.count("<polyline") == 1
    assert rate.count("<circle") + rate.count("<polyline") == 1
    assert not any("<text" in chart for chart in charts(page))  # an image does not know whether the page is dark
    words = "".join(parsed(page).text)
    assert all(text in words for text in ("812", "epoch 2"))
    assert re.search(r"<svg|<script|<style", page) is None  # notebooks that are not trusted show none of these


@pytest.mark.parametrize("names", [["val_map"], ["val_map_50", "val_map_50_95"]])
def test_the_average_precisions_of_each_task_are_curves(names: list[str]) -> None:
    rows = [{"epoch": epoch, **dict.fromkeys(names, 0.25 + 0.1 * epoch)} for epoch in range(2)]
    html = panel_html(PanelFacts(rows=rows, now=rows[-1]))
    assert "average precision" in html
    assert all(f"{name} 0.35" in html for name in names)


def test_curves_have_only_points_that_are_numbers() -> None:
    rows = [{"val_accuracy": v} for v in (math.nan, 0.2, math.inf, 0.8)]

    (chart,) = charts(panel_html(PanelFacts(rows=rows)))

    (points,) = re.findall(r'points="([^"]+)"', chart)
    assert points == "71.3,86.0 206.0,8.0"  # second and last of four; the high value above
    assert "nan" not in chart
    assert "inf" not in chart


def test_very_many_epochs_are_thinned_to_what_can_be_seen_with_the_last_one() -> None:
    rows = [{"val_accuracy": i / 5000} for i in range(5000)]

    (chart,) = charts(panel_html(PanelFacts(rows=rows)))

    (points,) = re.findall(r'points="([^"]+)"', chart)
    assert len(points.split()) <= 401
    assert points.endswith("206.0,8.0")


def test_notes_log_and_samples() -> None:
    page = panel_html(PanelFacts(state="lost", notes=("its process is gone", ""), log="<line>", samples=b"\x89PNG..."))

    text = "".join(parsed(page).text)
    assert "its process is gone" in text
    assert "<line>" in text
    assert "data:image/png;base64," in page
