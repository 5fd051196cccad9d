"""Figures, pages and cards: complete, safe, and legible in light and dark."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from evaluation_cases import HOSTILE, Page, pixels, png, predictions
from late import Late
from onlineml.errors import ConfigError
from onlineml.evaluation import ClassificationScores, classification_scores
from onlineml.evaluation.classification.gallery import mistakes_figure, small_image
from onlineml.evaluation.render import plots
from onlineml.evaluation.render.card import model_card
from onlineml.evaluation.render.report import report_html
from onlineml.evaluation.render.style import INK, svg
from onlineml.evaluation.render.text import percent, shorten

mpl = Late("matplotlib.figure")

NAMES = ["confusion", "classes", "pr", "worst", "slices", "reliability", "roc"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_nothing_say_so(nothing, name):
    figure = nothing.figure(name)
    assert isinstance(figure, mpl.Figure)
    assert figure.axes[0].texts
    pixels(figure)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_white_on_every_page_and_legible(scores, name):
    image = pixels(scores.figure(name)).astype(float)
    assert (image[0, 0] == 255).all()  # opaque, too
    assert ((255 - image[..., :3]).max(axis=2) > 80).mean() > 0.004  # ink that stands out


def test_there_is_no_other_figure(scores):
    with pytest.raises(ConfigError, match="no figure 'pie'; choose one of confusion"):
        scores.figure("pie")


def test_confusion_figure_writes_every_count(scores):
    figure = plots.confusion_figure(scores)
    written = sorted(int(text.get_text()) for text in figure.axes[0].texts)
    assert written == sorted(scores.confusion[scores.confusion > 0].tolist())


def test_confusion_figure_of_many_classes_pools_and_loses_no_image():
    probabilities, labels = predictions(n=600, n_classes=60, gain=3)
    scores = classification_scores(probabilities, labels, [f"class {i}" for i in range(60)], n_bootstrap=0)
    figure = plots.confusion_figure(scores, max_classes=8)
    axes = figure.axes[0]
    assert sum(int(text.get_text()) for text in axes.texts) == 600
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == 9
    pair = scores.confused_pairs(1)[0]
    assert {pair.truth, pair.predicted} <= set(shown)


def test_classes_figure_starts_with_the_worst(scores):
    labels = [label.get_text() for label in plots.classes_figure(scores).axes[0].get_yticklabels()]
    worst = min(range(5), key=lambda i: scores.f1[i])
    assert labels[0].startswith(shorten(scores.class_names[worst], 26))
    assert len(labels) == 5  # of the absent class nothing can be found


def test_mistakes_figure_without_thumbnails_names_the_images(scores):
    bare = scores.with_thumbnails({scores.mistakes[0].image_id: b"not an image"})
    assert any("s3://" in text.get_text() for axes in mistakes_figure(bare).axes for text in axes.texts)


def test_training_figure():
    rows = [
        {"epoch": 0, "step": 10, "train_loss": 2.0, "lr": 0.1, "seconds": 1.0},
        {"epoch": 1, "step": 20, "train_loss": 1.0, "val_loss": 1.5, "val_accuracy": 0.5},
        {"epoch": 2, "step": 30, "train_loss": float("nan"), "val_loss": None, "val_accuracy": 0.75},
        {"epoch": 3, "step": 40, "val_loss": 1.2, "val_accuracy": 0.6, "note": "text"},
    ]
    loss, accuracy, rate = plots.training_figure(rows).axes
    assert [line.get_xdata().tolist() for line in loss.lines] == [[0, 1], [1, 3]]
    assert accuracy.get_title(loc="right") == "best 0.750 at epoch 2"
    assert rate.lines[0].get_ydata().tolist() == [0.1]
    pixels(plots.training_figure(rows))
    averages = [{"epoch": i, "val_loss": 1.0, "val_map": score} for i, score in enumerate((0.25, 0.5))]
    _, score, _ = plots.training_figure(averages).axes
    assert (score.get_title(loc="left"), score.get_title(loc="right")) == (
        "Validation average precision",
        "best 0.500 at epoch 1",
    )
    for few in ([], [{"epoch": 0, "train_loss": 1.0}], [{}], [{"step": 1}, {"step": 2}]):
        pixels(plots.training_figure(few))


def test_svg_is_text_in_the_ink_of_the_page_and_the_same_each_time(scores):
    once, again = (svg(plots.pr_figure(scores), title='a "title" <b>', key="pr") for _ in range(2))
    assert once == again
    assert "var(--ink)" in once
    assert INK not in once
    assert "&lt;script&gt;" in once
    page = Page(once)
    assert page.elements[0][1]["aria-label"] == 'a "title" <b>'
    assert not page.open


def test_report_is_complete_and_loads_nothing(scores):
    text = report_html(scores, title="<i>Week 7</i>")
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not page.open
    assert not tags & {"script", "link", "iframe", "object", "i>", "u>"}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or "data:image/"
            assert value.startswith(("data:image/", "#")), (tag, value)
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    for heading in ("Which classes fail", "Which images are wrong", "What is taken for what", "All numbers"):
        assert heading in page.text
    for words in ("<i>Week 7</i>", percent(scores.accuracy), scores.expectation(), "absent", "<i>old</i>"):
        assert words in page.text
    assert sum(tag == "img" for tag, _ in page.elements) == min(48, scores.n_mistakes)
    assert "\N{REPLACEMENT CHARACTER}" in page.text  # the NUL of the hostile name


def test_what_users_wrote_is_never_markup(scores, nothing):
    for text in (scores.to_html(), scores._repr_html_()):
        assert "<script" not in text.lower()
        assert "<b>old" not in text
        assert "?<b>" not in text
        assert "\x00" not in text
        page = Page(text)
        assert not page.open
        assert "<script>alert('x" in page.text
    assert not Page(nothing.to_html()).open
    assert not Page(nothing._repr_html_()).open


def test_notebook_cell_sets_no_text_colour(scores):
    text = scores._repr_html_()
    assert ";color:" not in text
    assert '"color:' not in text
    assert "<style" not in text
    assert text.count("<img") == 8


def test_report_is_saved_to_a_file_or_a_folder(scores, tmp_path):
    assert scores.save_report(tmp_path / "a" / "page.html") == str(tmp_path / "a" / "page.html")
    where = scores.save_report(str(tmp_path / "b"))
    assert where.endswith("b/report.html")
    assert (tmp_path / "b" / "report.html").read_text(encoding="utf-8") == scores.to_html()


def test_large_thumbnails_are_made_small_and_others_refused(scores):
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    mime, data = small_image(buffer.getvalue(), side=160, max_bytes=12_000)
    with Image.open(io.BytesIO(data)) as image:
        assert (mime, image.size) == ("image/jpeg", (160, 120))
    assert small_image(png(), side=160, max_bytes=12_000) == ("image/png", png())
    assert small_image(b"<svg onload=alert(1)>", side=160, max_bytes=12_000) is None
    assert small_image(png()[:40], side=160, max_bytes=0) is None
    heavy = scores.with_thumbnails(dict.fromkeys(scores.image_ids, buffer.getvalue()))
    assert len(heavy.to_html()) < 2_000_000


def test_model_card(scores, nothing):
    descriptor = {"name": "digits|<b>", "class_names": scores.class_names, "seed": 0, "preprocessing": {"size": [64]}}
    card = model_card(descriptor, scores)
    assert card.startswith("---\nlibrary_name: onlineml")
    assert "# digits\\|&lt;b&gt;" in card
    assert "<script" not in card
    assert f"| accuracy | {scores.accuracy:.3f} |" in card
    assert "- seed: `0`" in card
    assert '- preprocessing: `{"size": [64]}`' in card
    assert "1 class had no images in the evaluation" in card
    for line in card.splitlines():
        if line.startswith("| ") and "recall" not in line:
            assert line.replace("\\|", "").count("|") in {4, 7}, line
    assert "Not evaluated" in model_card({}, words=ClassificationScores.words)
    with pytest.raises(ConfigError, match="needs words="):
        model_card({})
    assert "nothing is known" in model_card({}, nothing)


def test_words():
    assert percent(0.99999) == "99.9\N{NO-BREAK SPACE}%"
    assert percent(1.0) == "100\N{NO-BREAK SPACE}%"
    assert shorten("a" * 30 + "bcdef", 10) == "aaaaaa\N{HORIZONTAL ELLIPSIS}def"
    assert shorten("a\nb\x07", 10) == "a b\N{REPLACEMENT CHARACTER}"
    assert HOSTILE.startswith("<script>")
