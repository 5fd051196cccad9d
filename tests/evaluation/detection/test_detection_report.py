"""Figures, page and card of a detector: complete, safe, and legible in light and dark."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from detection_cases import boxes_of, found_of, fuzzed
from evaluation_cases import HOSTILE, Page, pixels, png
from late import Late
from onlineml.errors import ConfigError
from onlineml.evaluation import Detections, DetectionScores, detection_scores
from onlineml.evaluation.detection import plots
from onlineml.evaluation.detection.gallery import boxes_svg, caption
from onlineml.evaluation.detection.tables import SeenBox, WorstImage
from onlineml.evaluation.detection.text import box_words, costliest, errors_in_matrix, expectation
from onlineml.evaluation.render.card import model_card
from onlineml.evaluation.render.report import report_html

mpl = Late("matplotlib.figure")

NAMES = ["confusion", "classes", "pr", "worst", "slices", "errors", "thresholds"]
CLASSES = ["cat", HOSTILE, "日本", "absent"]


@pytest.fixture(scope="module")
def nothing() -> DetectionScores:
    return detection_scores(boxes_of([]), Detections.nothing(0), ["a", "b"], slices={"camera": []})


@pytest.fixture(scope="module")
def scores() -> DetectionScores:
    """30 images in 15 groups; a class without objects, one with a hostile name, thumbnails of most images."""
    rng = np.random.default_rng(0)
    truth, found = [], []
    for _ in range(30):
        corners = rng.uniform(0, 500, (rng.integers(0, 8), 2))
        objects = [(x, y, x + 60, y + 50, int(rng.integers(3))) for x, y in corners]
        guesses = [
            (*(np.array(box[:4]) + rng.normal(0, 4, 4)), box[4] if rng.random() < 0.9 else 0, rng.uniform(0.4, 1))
            for box in objects
            if rng.random() < 0.85
        ]
        guesses += [(x, y, x + 40, y + 40, int(rng.integers(3)), rng.uniform(0, 0.6)) for x, y in corners[:2] / 2]
        truth.append(objects)
        found.append(guesses)
    ids = [f"image-{i}" for i in range(30)]
    return detection_scores(
        boxes_of(truth),
        found_of(found),
        CLASSES,
        image_ids=ids,
        uris=[f"s3://lab/{i}.jpg?<b>" for i in range(30)],
        sizes_hw=[(600, 600)] * 30,
        groups=[i // 2 for i in range(30)],
        slices={"camera": ["<i>old</i>", "new", None] * 10},
        thumbnails=dict.fromkeys(ids[:27], png()),
        n_bootstrap=60,
        split="test",
        manifest_hash="0123abcd" * 8,
        model_ref="s3://lab/models/7-<u>",
    )


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
    with pytest.raises(ConfigError, match="no figure 'roc'; choose one of confusion"):
        scores.figure("roc")


def test_confusion_figure_has_a_place_for_missed_objects_and_boxes_of_nothing(scores):
    axes = scores.figure("confusion").axes[0]
    assert sorted(int(t.get_text()) for t in axes.texts) == sorted(scores.confusion[scores.confusion > 0].tolist())
    assert axes.get_xticklabels()[-1].get_text() == "missed"
    assert axes.get_yticklabels()[-1].get_text() == "no object"


@pytest.mark.parametrize("seed", range(5))
def test_every_wrong_box_of_the_errors_is_a_cell_of_the_matrix_and_the_page_says_which(seed):
    truth, found, n_classes = fuzzed(seed)
    judged = detection_scores(truth, found, [f"c{i}" for i in range(n_classes)], n_bootstrap=0)
    wrong = {error.name: error.n for error in judged.errors}
    missed, matrix = wrong.pop("missed"), judged.confusion.tolist()
    confused = sum(n for i, row in enumerate(matrix[:-1]) for j, n in enumerate(row[:-1]) if i != j)
    assert sum(wrong.values()) == confused + sum(matrix[-1])
    said = [int(word.strip(",.;:")) for word in errors_in_matrix(judged).split() if word.strip(",.;:").isdigit()]
    assert said == [sum(wrong.values()), confused, sum(matrix[-1]), sum(row[-1] for row in matrix), missed]


def test_confusion_figure_of_many_classes_loses_no_object_and_no_box():
    rng = np.random.default_rng(1)
    boxes = [(*(xy := rng.uniform(0, 900, 2)), *(xy + 50), int(rng.integers(40))) for _ in range(300)]
    found = [(*b[:4], b[4] if rng.random() < 0.7 else int(rng.integers(40)), 0.9) for b in boxes[:250]]
    many = detection_scores(boxes_of([boxes]), found_of([found]), [f"class {i}" for i in range(40)], n_bootstrap=0)
    axes = many.figure("confusion").axes[0]
    assert sum(int(text.get_text()) for text in axes.texts) == many.confusion.sum()
    assert len(axes.get_yticklabels()) == 22
    assert [t.get_text() for t in axes.get_yticklabels()[-2:]] == ["all others", "no object"]


def test_curves_mark_the_thresholds(scores):
    for name, dots in (
        ("pr", (scores.recall, scores.precision)),
        ("thresholds", (scores.per_class.threshold, scores.f1)),
    ):
        marked = {tuple(line.get_xydata()[0]) for line in scores.figure(name).axes[0].lines if line.get_marker() == "o"}
        assert marked == {(dots[0][i], dots[1][i]) for i in range(3)}


def test_errors_figure_shows_each_cost(scores):
    bars = scores.figure("errors").axes[0].patches
    assert [bar.get_width() / 100 for bar in bars] == pytest.approx([error.ap_50_cost for error in scores.errors])


def test_worst_figure_draws_every_box_where_it_is(scores):
    shown = [image for image in scores.worst if image.image_id in scores.thumbnails]
    axes = plots.worst_figure(scores, limit=2).axes
    drawn = {tuple(np.round([*p.get_xy(), p.get_width(), p.get_height()], 6)) for p in axes[0].patches}
    boxes = [box.box_xyxy for box in shown[0].boxes]
    assert drawn == {tuple(np.round([x1, y1, x2 - x1, y2 - y1], 6)) for x1, y1, x2, y2 in boxes}
    assert (axes[0].get_xlim(), axes[0].get_ylim()) == ((0, 600), (600, 0))
    assert axes[0].get_title(loc="left") == caption(shown[0])


def test_worst_figure_without_thumbnails_or_sizes_names_the_images():
    truth, found, n_classes = fuzzed(5, n_images=4)
    bare = detection_scores(truth, found, [f"c{i}" for i in range(n_classes)], uris=["a", "b", "c", "d"], n_bootstrap=0)
    texts = {text.get_text() for axes in bare.figure("worst").axes for text in axes.texts}
    assert {image.uri for image in bare.worst} <= texts


def test_report_is_complete_and_loads_nothing(scores):
    text = report_html(scores, title="Cells & <things>")
    page = Page(text)
    assert not page.open
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object"}
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or "data:"
            assert value.startswith(("data:image/", "#")) or value == "data:", (tag, value)
    for words in ("Why it is wrong", "Which classes fail", "Which images are wrong", "What is taken for what",
                  "Where it is better or worse", "All numbers", "Cells & <things>", "these very images"):  # fmt: skip
        assert words in page.text
    assert f"{scores.map_50_95:.4f}" in page.text
    assert len(text.encode()) < 2_000_000
    assert sum(tag == "image" for tag, _ in page.elements if tag == "image") > 0


def test_what_users_wrote_is_never_markup(scores, nothing):
    for text in (scores.to_html(), scores._repr_html_()):
        assert "<script" not in text.lower()
        assert "<i>old" not in text
        assert "?<b>" not in text
        assert "\x00" not in text
        page = Page(text)
        assert not page.open
        assert "<script>alert('x" in page.text
    assert not Page(nothing.to_html()).open
    assert not Page(nothing._repr_html_()).open
    assert "nothing is known" in nothing._repr_html_()


def test_notebook_cell_sets_no_text_colour_and_draws_the_worst_images(scores):
    text = scores._repr_html_()
    assert ";color:" not in text
    assert '"color:' not in text
    assert "<style" not in text
    assert text.count("<image ") == 6


def test_report_is_saved(scores, tmp_path):
    where = scores.save_report(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == scores.to_html()
    assert where.endswith("page.html")


def test_model_card_of_a_detector(scores, nothing):
    card = model_card({"name": "cells|<b>", "class_names": scores.class_names, "seed": 0}, scores)
    assert "pipeline_tag: object-detection" in card
    assert "# cells\\|&lt;b&gt;" in card
    assert "Finds objects of 4 classes: cat" in card
    assert f"| mAP 50\u201395 | {scores.map_50_95:.3f} |" in card
    assert "| class | objects | AP 50\u201395 | AP 50 | recall | precision | F1 | threshold |" in card
    assert "1 class had no objects in the evaluation" in card
    assert "<script" not in card
    assert "nothing is known" in model_card({}, nothing)
    unknown = model_card({"class_names": ["a"]}, words=DetectionScores.words)
    assert unknown.startswith("---\nlibrary_name: onlineml\npipeline_tag: object-detection")
    assert "Not evaluated" in unknown


def image_with(boxes, *, size_hw=(100, 200)) -> WorstImage:
    return WorstImage("id", "", size_hw, 3, 1, 2, tuple(boxes))


def test_drawn_boxes_say_what_they_are():
    missed = SeenBox("missed", (0, 0, 50, 50), "cat", float("nan"), "")
    wrong = SeenBox("class", (150, 90, 200, 100), "dog", 0.514, "cat")
    hit = SeenBox("hit", (60, 60, 70, 70), "cat", 0.9, "cat")
    assert box_words(missed) == "cat missed"
    assert box_words(wrong) == "dog 0.51: wrong class (is cat)"
    assert box_words(hit) == "cat 0.90: right"
    assert caption(image_with([])) == "1 missed, 2 false; 3 objects"
    page = Page(boxes_svg(image_with([missed, wrong, hit]), "data:image/png;base64,AAAA"))
    assert not page.open
    assert page.elements[0][1]["viewbox"] == "0 0 200 100"
    assert "dog 0.51: wrong class (is cat)" in page.text
    places = [{k: float(a[k]) for k in ("x", "y", "width", "height")} for tag, a in page.elements if tag == "rect"]
    assert {"x": 150.0, "y": 90.0, "width": 50.0, "height": 10.0} in places
    tags = [a for tag, a in page.elements if tag == "rect" and a.get("fill", "none") != "none"]
    assert len(tags) == 2  # hits have none
    for tag in tags:
        assert 0 <= float(tag["x"]) <= float(tag["x"]) + float(tag["width"]) <= 200
        assert 0 <= float(tag["y"]) <= float(tag["y"]) + float(tag["height"]) <= 100


def test_of_hundreds_of_false_boxes_those_of_highest_score_are_drawn():
    false = [SeenBox("background", (1.0, 1.0, 5.0, 5.0), f"c{n}", 0.9 - n / 1000, "") for n in range(300)]
    missed = SeenBox("missed", (2.0, 2.0, 9.0, 9.0), "owl", float("nan"), "")
    image = image_with([missed, *false, SeenBox("hit", (3.0, 3.0, 9.0, 9.0), "cat", 0.1, "cat")])

    text = boxes_svg(image, "")

    assert text.count("<title>") == 27
    assert "owl" in text
    assert "c24" in text
    assert "c25" not in text
    assert caption(image) == "1 missed, 2 false (25 drawn); 3 objects"


def test_of_an_image_of_unknown_size_the_boxes_alone_are_drawn():
    box = SeenBox("background", (10, 20, 300, 200), "cat", 0.5, "")
    text = boxes_svg(image_with([box], size_hw=(0, 0)), "data:image/png;base64,AAAA")
    assert "<image" not in text
    assert 'viewBox="0 0 315 210"' in text


def test_words(scores, nothing):
    assert "nothing is known" in expectation(nothing)
    assert costliest(nothing) == ""
    truth = boxes_of([[(0, 0, 9, 9, 0)]])
    silent = detection_scores(truth, Detections.nothing(1), ["a"], n_bootstrap=0)
    assert expectation(silent) == "Of 100 objects like these, expect about 0 to be found; it drew no boxes."
    assert costliest(silent) == ""  # with no box and nothing left to find, no AP is defined
    empty = detection_scores(boxes_of([[]]), found_of([[(0, 0, 9, 9, 0, 0.9)]]), ["a"], n_bootstrap=0)
    assert expectation(empty).startswith("The images show no objects")
    assert costliest(scores).startswith("Costliest: ")


def test_a_page_of_many_large_thumbnails_stays_small(scores):
    noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    heavy = scores.with_thumbnails(dict.fromkeys(scores.image_ids, buffer.getvalue()))
    assert len(heavy.to_html().encode()) < 2_500_000
