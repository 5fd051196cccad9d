"""Texts have a contrast of 4.5, marks of 3 (WCAG 2.2, 1.4.3 and 1.4.11), on light pages and on dark ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.colors import to_hex

import onlineml
from onlineml.evaluation import classification_scores
from onlineml.evaluation.render import style
from onlineml.improving.gate import text as gate_text
from onlineml.training.panel_html import STATE_COLOURS

Rgb = tuple[float, float, float]

PAGES = ("#ffffff", "#f6f7f9", "#111111", "#191f25", "#101418")  # JupyterLab's, and those of reports
TEXTS = {"#ffffff": "#212121", "#111111": "#e0e0e0"}  # JupyterLab's on its pages: black and white of 87 %


def _rgb(color: str) -> Rgb:
    digits = color.lstrip("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return red, green, blue


def _mixed(color: str, share: float, below: str) -> Rgb:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(_rgb(color), _rgb(below), strict=True))
    return red, green, blue


def _light(color: Rgb) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str | Rgb, b: str | Rgb) -> float:
    dark, light = sorted(_light(_rgb(c) if isinstance(c, str) else c) for c in (a, b))
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_is_that_of_the_specification() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the well-known grey that just fails


@pytest.mark.parametrize("color", [*style.PALETTE, *STATE_COLOURS.values(), *gate_text._COLOURS.values()])
def test_marks_are_seen_on_every_page(color: str) -> None:
    assert min(contrast(color, page) for page in PAGES) >= 3


@pytest.mark.parametrize("color", [style.TEXT, style.INK, style.ALARM_TEXT, style.CALM_TEXT])
def test_texts_of_white_figures_are_read(color: str) -> None:
    assert contrast(color, "#ffffff") >= 4.5


@pytest.mark.parametrize("color", [style.ALARM, style.CALM, style.WARM])
def test_tags_of_boxes_are_read(color: str) -> None:
    assert contrast(style.TAG_TEXT, color) >= 4.5


@pytest.mark.parametrize("color", STATE_COLOURS.values())
def test_states_of_jobs_are_read(color: str) -> None:
    for page, text in TEXTS.items():
        assert contrast(_mixed(color, 0.55, text), page) >= 4.5


def _themes() -> list[dict[str, str]]:
    css = (Path(onlineml.__file__).parent / "evaluation/templates/style.css").read_text()
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", part)) for part in css.split("@media", 2)[:2])
    return [light, dark]


@pytest.mark.parametrize("theme", _themes(), ids=["light", "dark"])
def test_reports_are_read_in_both_themes(theme: dict[str, str]) -> None:
    for page in ("page", "card"):
        for name in ("text", "ink", "accent", "alarm", "calm", "warm"):
            assert contrast(theme[name], theme[page]) >= 4.5, (name, page)
    for color in (style.ACCENT, style.ALARM):
        assert style.shades(color)(1.0)[3] == pytest.approx(0.55)
        for share in (0.04, 0.3, 0.55):
            assert contrast(theme["text"], _mixed(color, share, theme["card"])) >= 4.5


def test_figures_are_white_and_their_texts_of_these_colours() -> None:
    scores = classification_scores([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [0, 1, 1], ["a", "b"], n_bootstrap=0)
    for name in scores.figure_names:
        figure = scores.figure(name)
        assert to_hex(figure.get_facecolor()) == "#ffffff"
        colors = {to_hex(text.get_color()) for axes in figure.axes for text in axes.texts if text.get_text()}
        assert all(contrast(color, "#ffffff") >= 4.5 for color in colors), name
