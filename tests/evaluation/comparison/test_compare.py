"""Two models compared image by image: counted by hand, in any order, and refused where they are not about the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import onlineml as oml
from detection_cases import boxes_of, found_of, fuzzed
from evaluation_cases import HOSTILE, Page, pixels, png, predictions
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation import classification_scores, detection_scores
from onlineml.evaluation.detection.detections import Detections
from onlineml.storage import io

NAMES = ("cat", "dog", "fox")
#      both right | fixed | broken | both wrong
TRUTH = [0, 0, 1, 1, 2, 2, 0, 1]
FIRST = [0, 0, 1, 1, 0, 1, 1, 2]
SECOND = [0, 1, 1, 0, 2, 1, 0, 2]


def answers(predicted, *, n_classes=3, sure=0.8):
    """(N, C) probabilities."""
    table = np.full((len(predicted), n_classes), (1 - sure) / (n_classes - 1))
    table[np.arange(len(predicted)), predicted] = sure
    return table


def scored(predicted, truth=TRUTH, names=NAMES, **options):
    options = {"image_ids": [f"image-{i}" for i in range(len(truth))], "n_bootstrap": 0, **options}
    return classification_scores(answers(predicted, n_classes=len(names)), truth, names, **options)


@pytest.fixture(scope="module")
def pair():
    slices = {"camera": ["old", "old", "old", "old", "new", "new", "new", "new"]}
    return scored(FIRST, slices=slices), scored(SECOND, slices=slices)


def test_nothing_compares_to_nothing(nothing):
    compared = oml.compare(nothing, nothing)

    assert compared.n_images == compared.n_fixed == compared.n_broken == 0
    assert np.isnan(compared.difference)
    assert np.isnan(compared.negative_flip_rate)
    assert "no images" in str(compared)
    assert compared.to_html()
    assert compared._repr_html_()
    assert len(compared.images_frame()) == 0


def test_images_are_counted_as_by_hand(pair):
    compared = oml.compare(*pair)

    assert compared.fixed_ids == ("image-4", "image-6")
    assert compared.broken_ids == ("image-1", "image-3")
    assert (compared.n_fixed, compared.n_broken, compared.n_right, compared.n_unchanged) == (2, 2, 2, 4)
    assert compared.negative_flip_rate == 0.25
    assert compared.mcnemar.p_exact == 1.0
    assert compared.difference == 0.0
    assert compared.score("accuracy").a == compared.score("accuracy").b == 0.5


def test_classes_and_slices_are_counted_as_by_hand(pair):
    compared = oml.compare(*pair)

    classes = [(p.value, p.n, p.fixed, p.broken, p.unchanged) for p in compared.by_class]
    assert classes == [("cat", 3, 1, 1, 1), ("dog", 3, 0, 1, 2), ("fox", 2, 1, 0, 1)]
    slices = [(p.column, p.value, p.n, p.fixed, p.broken) for p in compared.by_slice]
    assert slices == [("camera", "new", 4, 2, 0), ("camera", "old", 4, 0, 2)]
    assert compared.by_class[1].a == pytest.approx(2 / 3)
    assert compared.by_class[1].b == pytest.approx(1 / 3)
    assert compared.by_class[1].difference == pytest.approx(-1 / 3)
    assert len(compared.parts_frame()) == 5


def test_frames_say_what_the_fields_say(pair):
    compared = oml.compare(*pair)

    assert compared.to_frame().loc["accuracy", "difference"] == 0.0
    frame = compared.images_frame()
    assert frame.loc["image-1"].tolist() == ["", 0, 1, "broken"]
    assert frame["change"].value_counts().to_dict() == {"unchanged": 4, "fixed": 2, "broken": 2}


def test_what_was_said_of_changed_images_broken_ones_first(pair):
    changed = oml.compare(*pair).changed

    assert [image.change for image in changed] == ["broken", "broken", "fixed", "fixed"]
    first = changed[0]
    assert (first.image_id, first.truth) == ("image-1", "cat")
    assert first.prediction_a.startswith("cat 80.0")
    assert first.prediction_b.startswith("dog 80.0")


def test_scores_are_those_of_each_model_alone():
    probabilities, labels = predictions(n=300, n_classes=4, seed=3)
    others = predictions(n=300, n_classes=4, seed=4)[0] * 0.3 + probabilities * 0.7
    groups = [i // 3 for i in range(300)]
    a, b = (
        classification_scores(p, labels, list("abcd"), groups=groups, n_bootstrap=0) for p in (probabilities, others)
    )

    compared = oml.compare(a, b)

    for change in compared.scores:
        assert change.a == pytest.approx(a.score(change.name), abs=1e-12)
        assert change.b == pytest.approx(b.score(change.name), abs=1e-12)
        assert change.difference == pytest.approx(change.b - change.a, abs=1e-12)
        assert change.low <= change.difference <= change.high
    assert {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "top_3"} == {
        c.name for c in compared.scores
    }
    assert compared.score("accuracy").low > -1


def test_the_order_of_images_and_classes_does_not_matter(pair):
    a, b = pair
    order = [5, 2, 7, 0, 1, 6, 3, 4]
    turned = ("fox", "cat", "dog")
    renumbered = [turned.index(NAMES[i]) for i in SECOND]
    truth = [turned.index(NAMES[i]) for i in TRUTH]
    shuffled = classification_scores(
        answers([renumbered[i] for i in order]),
        [truth[i] for i in order],
        turned,
        image_ids=[f"image-{i}" for i in order],
        slices={"camera": [b.slices["camera"][i] for i in order]},
        n_bootstrap=0,
    )

    straight, crooked = oml.compare(a, b), oml.compare(a, shuffled)

    assert crooked.scores == straight.scores
    assert crooked.by_class == straight.by_class
    assert crooked.by_slice == straight.by_slice
    assert crooked.images_frame().equals(straight.images_frame())


def test_new_classes_and_their_images_stand_apart():
    names = ("owl", *NAMES)
    a = scored(FIRST)
    b = scored([i + 1 for i in SECOND] + [0, 2], [i + 1 for i in TRUTH] + [0, 0], names)

    compared = oml.compare(a, b)

    assert compared.class_names == NAMES
    assert compared.n_images == 8
    assert compared.difference == 0.0
    assert [(c.name, c.n, c.score) for c in compared.new_classes] == [("owl", 2, 0.5)]
    assert "owl" in str(compared)
    assert "owl" in compared.to_html()


def test_an_old_image_called_by_a_new_class_is_broken():
    b = scored([3, *SECOND[1:]], TRUTH, (*NAMES, "owl"))

    assert oml.compare(scored(FIRST), b).broken_ids == ("image-0", "image-1", "image-3")


def _without_groups(scores):
    return dataclasses.replace(scores, groups=None)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda: scored(SECOND[:6], TRUTH[:6]), "2 images are in the first result alone: 'image-6', 'image-7'"),
        (lambda: scored([*SECOND, 0], [*TRUTH, 0]), "1 image is in the second result alone: 'image-8'"),
        (lambda: scored(SECOND, [1, *TRUTH[1:]]), "1 image has different labels: 'image-0' ('cat', 'dog')"),
        (lambda: scored(SECOND, names=("cat", "dog", "wolf")), "lacks 1 class of the first: 'fox'"),
        (lambda: scored(SECOND, groups=["v"] * 8), "8 images are in different groups: 'image-0', 'image-1'"),
        (lambda: 0.93, "was given a float; expected two results of onlineml.evaluate"),
        (lambda: detection_scores(boxes_of([[]]), found_of([[]]), ["a"]), "pass two results of one task"),
    ],
)
def test_results_of_something_else_are_refused_and_the_difference_is_told(other, says):
    with pytest.raises(DataError) as refused:
        oml.compare(scored(FIRST), other())

    assert says in str(refused.value)


def test_all_differences_stand_in_one_message():
    with pytest.raises(DataError, match=r"labels.*groups.*Evaluate both models on the same split") as refused:
        oml.compare(scored(FIRST), scored([*SECOND, 1], [2, *TRUTH[1:], 1], groups=list("aabbccdde")))

    assert "second result alone" in str(refused.value)


def test_a_negative_number_of_resamples_is_refused(pair):
    with pytest.raises(ConfigError, match="n_resamples is -1"):
        oml.compare(*pair, n_resamples=-1)


def test_the_same_seed_gives_the_same_bounds():
    probabilities, labels = predictions(n=120, n_classes=3, seed=1)
    a = classification_scores(probabilities, labels, NAMES, n_bootstrap=0)
    b = classification_scores(predictions(n=120, n_classes=3, seed=1, gain=1.0)[0], labels, NAMES, n_bootstrap=0)

    assert oml.compare(a, b, seed=4).scores == oml.compare(a, b, seed=4).scores
    assert oml.compare(a, b, seed=4).scores != oml.compare(a, b, seed=5).scores


def test_saved_without_probabilities_it_compares_what_is_left(pair):
    a, b = (type(s).from_json(s.to_json(arrays=False)) for s in pair)

    assert [c.name for c in oml.compare(a, b).scores] == ["accuracy", "balanced_accuracy", "macro_f1"]


@pytest.fixture(scope="module")
def hostile():
    """Names that would break a page, thumbnails, and many changes."""
    probabilities, labels = predictions(n=240, n_classes=4, seed=1)
    noisy = probabilities * 0.4 + predictions(n=240, n_classes=4, seed=2, gain=0.5)[0] * 0.6
    ids = [f"image-{i}" for i in range(240)]
    options = {
        "groups": [str(i // 4) for i in range(240)],
        "image_ids": ids,
        "uris": [f"s3://lab/{i}.jpg?<b>" for i in range(240)],
        "slices": {"camera": ["<i>old</i>" if i % 3 else "new" for i in range(240)]},
        "thumbnails": dict.fromkeys(ids[:200], png()),
        "n_bootstrap": 0,
        "model_ref": "<u>model",
        "split": "test",
    }
    names = ["cat", HOSTILE, "日本", "$x_$"]
    return tuple(classification_scores(p, labels, names, **options) for p in (probabilities, noisy))


def test_the_page_loads_nothing_runs_nothing_and_shows_everything(hostile):
    compared = oml.compare(*hostile)
    page = Page(compared.to_html())

    assert not page.open
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "u><", "i><"}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    sources = [a["src"] for tag, a in page.elements if tag == "img"]
    assert len(sources) > 10
    assert all(source.startswith("data:image/") for source in sources)
    for text in (
        "What was broken",
        "What was fixed",
        "Which classes changed",
        "Where it changed",
        "<i>old</i>",
        "<u>model",
    ):
        assert text in page.text
    assert f"{compared.n_broken:,}" in page.text
    assert len(compared.to_html()) < 2_000_000
    assert not Page(compared._repr_html_()).open


def test_the_page_is_written_to_a_file_or_into_a_folder(hostile, tmp_path):
    compared = oml.compare(*hostile)

    assert compared.save_report(tmp_path / "diff.html").endswith("diff.html")
    where = compared.save_report("memory://compared")
    assert where.endswith("comparison.html")
    assert io.read_bytes(where).decode() == (tmp_path / "diff.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["classes", "slices", "broken", "fixed"])
def test_figures_have_ink(hostile, name):
    assert np.ptp(pixels(oml.compare(*hostile).figure(name))) > 0


def test_figures_of_nothing_say_so(nothing):
    for name in ("classes", "slices", "broken", "fixed"):
        assert np.ptp(pixels(oml.compare(nothing, nothing).figure(name))) > 0
    with pytest.raises(ConfigError, match="no figure 'x'; choose one of classes, slices, broken, fixed"):
        oml.compare(nothing, nothing).figure("x")


def test_thumbnails_of_both_results_and_further_ones(pair):
    a, b = (scores.with_thumbnails({key: png()}) for scores, key in zip(pair, ("image-1", "image-4"), strict=True))

    compared = oml.compare(a, b).with_thumbnails({"image-6": png()})

    assert set(compared.thumbnails) == {"image-1", "image-4", "image-6"}


# Detection: (x1, y1, x2, y2, label[, score])
OBJECTS = [[(0, 0, 10, 10, 0), (20, 0, 30, 10, 1)], [(0, 0, 10, 10, 0)], []]
FOUND_A = [[(0, 0, 10, 10, 0, 0.9)], [(0, 0, 10, 10, 0, 0.8)], []]
FOUND_B = [[(0, 0, 10, 10, 0, 0.9), (20, 0, 30, 10, 1, 0.7)], [(40, 40, 50, 50, 0, 0.8)], []]


def detected(found, objects=OBJECTS, names=("cell", "egg"), **options):
    options = {"thresholds": dict.fromkeys(names, 0.5), "n_bootstrap": 0, "image_ids": list("pqr"), **options}
    return detection_scores(boxes_of(objects), found_of(found), names, **options)


def test_objects_and_images_of_detectors_are_counted_as_by_hand():
    compared = oml.compare(detected(FOUND_A), detected(FOUND_B))

    assert (compared.n_items, compared.n_fixed, compared.n_broken, compared.n_right) == (3, 1, 1, 1)
    assert compared.mistakes_a.tolist() == [1, 0, 0]
    assert compared.mistakes_b.tolist() == [0, 2, 0]
    assert compared.fixed_ids == ("p",)
    assert compared.broken_ids == ("q",)
    assert [(p.value, p.n, p.fixed, p.broken) for p in compared.by_class] == [("cell", 2, 0, 1), ("egg", 1, 1, 0)]
    assert [(c.change, c.image_id, c.prediction_a, c.prediction_b) for c in compared.changed] == [
        ("broken", "q", "no mistakes", "1 missed, 1 false"),
        ("fixed", "p", "1 missed", "no mistakes"),
    ]
    assert compared.negative_flip_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(4))
def test_scores_of_detectors_are_those_of_each_model_alone(seed):
    truth, found, n_classes = fuzzed(seed, n_images=40)
    rng = np.random.default_rng(seed)
    worse = Detections(
        found.image_index,
        found.boxes_xyxy + rng.normal(size=(len(found), 2))[:, [0, 1, 0, 1]] * 3,
        found.label_ids,
        rng.permutation(found.scores),
        found.n_images,
    )
    names = [f"class {i}" for i in range(n_classes)]
    slices = {"place": [str(i % 3) for i in range(40)]}
    a, b = (detection_scores(truth, f, names, slices=slices, n_bootstrap=0) for f in (found, worse))

    compared = oml.compare(a, b, n_resamples=120)

    for change in compared.scores:
        assert change.a == pytest.approx(a.score(change.name), abs=1e-12, nan_ok=True)
        assert change.b == pytest.approx(b.score(change.name), abs=1e-12, nan_ok=True)
        assert change.low <= change.difference <= change.high or np.isnan(change.low)
    assert [p.b for p in compared.by_class] == pytest.approx(b.per_class.ap.tolist(), nan_ok=True)
    assert [p.a for p in compared.by_slice] == pytest.approx([s.map_50_95 for s in a.by_slice], nan_ok=True)
    assert sum(p.n for p in compared.by_class) == compared.n_items == a.n_objects
    assert sum(p.fixed for p in compared.by_class) == compared.n_fixed
    assert sum(p.broken for p in compared.by_slice) == compared.n_broken


def test_the_same_detector_differs_by_nothing_and_that_is_not_certain():
    truth, found, n_classes = fuzzed(5, n_images=30)
    scores = detection_scores(truth, found, [f"c{i}" for i in range(n_classes)], n_bootstrap=0)

    change = oml.compare(scores, scores, n_resamples=100).score("map_50_95")

    assert change.difference == 0
    assert change.low == pytest.approx(-(1 - 0.025 ** (1 / 30)))
    assert change.high == -change.low


def test_new_classes_of_a_detector_stand_apart():
    names = ("owl", "cell", "egg")
    objects = [[(*box[:4], box[4] + 1) for box in image] for image in OBJECTS]
    objects[2] = [(5, 5, 9, 9, 0)]
    found = [[(*box[:4], box[4] + 1, box[5]) for box in image] for image in FOUND_B]
    found[2] = [(5, 5, 9, 9, 0, 0.9), (60, 60, 70, 70, 0, 0.95)]

    with_new, without = (
        oml.compare(detected(FOUND_A), b) for b in (detected(found, objects, names), detected(FOUND_B))
    )

    assert [(c.name, c.n) for c in with_new.new_classes] == [("owl", 1)]
    assert with_new.new_classes[0].score == pytest.approx(0.5)
    assert [dataclasses.replace(c, low=0, high=0) for c in with_new.scores] == [
        dataclasses.replace(c, low=0, high=0) for c in without.scores
    ]
    assert with_new.mistakes_b.tolist() == without.mistakes_b.tolist()


def test_an_image_of_new_classes_alone_may_be_new():
    names = ("cell", "egg", "owl")
    objects, found = [*OBJECTS, [(0, 0, 9, 9, 2)]], [*FOUND_B, [(0, 0, 9, 9, 2, 0.9)]]
    b = detected(found, objects, names, image_ids=list("pqrs"))

    compared = oml.compare(detected(FOUND_A), b)

    assert compared.image_ids == ("p", "q", "r")
    assert compared.new_classes[0].score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda: detected(FOUND_B, [[(0, 0, 10, 11, 0), (20, 0, 30, 10, 1)], *OBJECTS[1:]]), "boxes in the truth: 'p'"),
        (lambda: detected(FOUND_B, [*OBJECTS[:2], [(1, 1, 2, 2, 1)]]), "boxes in the truth: 'r'"),
        (lambda: detected(FOUND_B[:2], OBJECTS[:2], image_ids=["p", "q"]), "in the first result alone: 'r'"),
        (lambda: oml.evaluation.DetectionScores.from_json(detected(FOUND_B).to_json(arrays=False)),
         "second result was saved without detections"),
    ],
)  # fmt: skip
def test_other_boxes_are_refused(other, says):
    with pytest.raises(DataError) as refused:
        oml.compare(detected(FOUND_A), other())

    assert says in str(refused.value)


def test_pages_and_figures_of_detectors():
    a, b = (
        detected(f, thumbnails=dict.fromkeys("pqr", png()), sizes_hw=[(60, 80)] * 3, names=(HOSTILE, "egg"))
        for f in (FOUND_A, FOUND_B)
    )
    compared = oml.compare(a, b, n_resamples=100)
    page = Page(compared.to_html())

    assert not page.open
    assert "script" not in {tag for tag, _ in page.elements}
    assert sum(tag == "svg" for tag, _ in page.elements) == 4  # two images, before and after
    assert sum(tag == "svg" for tag, _ in Page(compared._repr_html_()).elements) == 2  # the broken one, likewise
    assert "1 missed, 1 false" in page.text
    assert "1 fixed, 1 broken" in str(compared)
    assert not Page(compared._repr_html_()).open
    for name in ("classes", "slices", "broken", "fixed"):
        assert np.ptp(pixels(compared.figure(name))) > 0
