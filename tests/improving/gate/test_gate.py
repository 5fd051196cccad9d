"""Verdicts with their reasons: what promotes, what blocks, and what the test set cannot tell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate_draws import promotes, single
from gate_pairs import NAMES, models
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation import classification_scores, detection_scores
from onlineml.evaluation.detection.detections import Detections
from onlineml.improving.gate.decide import gate, holm
from onlineml.improving.gate.policy import Better, NotWorse


def test_no_images_are_inconclusive():
    decided = gate(*models(0))

    assert decided.verdict == "inconclusive"
    assert decided.reasons == ("accuracy cannot be compared: too few images, groups or objects",)
    assert str(decided)
    assert decided._repr_html_()
    assert decided.to_record()["lower"] is None


def test_a_clear_gain_is_promoted():
    decided = gate(*models(1000, fixed=60, broken=20, wrong=50))

    assert decided.verdict == "promote"
    assert decided.promoted
    assert decided.difference == pytest.approx(0.04)
    assert 0 < decided.lower < 0.04 < decided.upper
    assert "better, by" in decided.reasons[0]


@pytest.mark.parametrize(("sure", "told"), [(0.6, []), (0.999, ["log loss rose all the same, 0.693 to 0.899"])])
def test_a_loss_that_falls_is_no_fall(sure, told):
    """A champion that hardly prefers the right class of 60 images in 100; a challenger sure of 87, and of the rest."""
    n = 400
    truth = np.arange(n) // 2 % 2
    results = []
    for n_right, chance in ((60, 0.501), (87, sure)):
        given = np.where((truth == 1) == (np.arange(n) % 100 < n_right), chance, 1 - chance)
        table = np.column_stack([1 - given, given])
        ids = [f"i{k}" for k in range(n)]
        results.append(classification_scores(table, truth, NAMES, n_bootstrap=0, image_ids=ids))

    decided = gate(*results)

    assert decided.verdict == "promote"
    assert [reason.partition(" (")[0] for reason in decided.reasons[1:] if reason.startswith("log loss")] == told


def test_a_small_gain_is_inconclusive_and_says_what_would_show_it():
    decided = gate(*models(400, fixed=14, broken=10, wrong=40))

    assert decided.verdict == "inconclusive"
    assert not decided.promoted
    assert decided.required_sample_size == pytest.approx(400 * (decided.minimum_detectable_effect / 0.01) ** 2, abs=1)
    assert "do not show that it is better" in decided.reasons[0]
    assert "detect a difference of 3 points" in decided.reasons[0]
    assert "this gain needs about" in decided.reasons[0]


def test_a_clear_loss_is_rejected():
    decided = gate(*models(1000, fixed=20, broken=60))

    assert decided.verdict == "reject"
    assert decided.upper < 0
    assert any("worse, by" in reason for reason in decided.reasons)


def test_a_small_loss_is_inconclusive():
    decided = gate(*models(400, fixed=10, broken=14, wrong=40))

    assert decided.verdict == "inconclusive"
    assert decided.required_sample_size is None


def test_not_worse_promotes_what_better_does_not():
    pair = models(2000, fixed=20, broken=20, wrong=100)

    assert gate(*pair).verdict == "inconclusive"
    decided = gate(*pair, policy=NotWorse(0.01))
    assert decided.verdict == "promote"
    assert decided.reasons[0].endswith("not worse by 1 point or more, with 95 % confidence")


def _guessing(n):
    """Scores of a model that guesses between two classes, of which a third of the images show the second."""
    rng = np.random.default_rng(1)
    truth = (np.arange(n) % 3 == 0).astype(np.int64)
    return classification_scores(np.eye(2)[rng.integers(0, 2, n)], truth, NAMES, n_bootstrap=100)


def test_not_worse_than_nothing_is_no_reason_to_promote():
    guessing = _guessing(1200)

    decided = gate(guessing, guessing, policy=NotWorse(0.01))

    assert decided.lower > -0.01
    assert (decided.verdict, decided.promoted) == ("inconclusive", False)
    assert decided.reasons[0].startswith("not worse by 1 point is no reason to promote this model: balanced accuracy")
    assert "a model that has learned nothing, which has up to 0.500" in decided.reasons[0]


def test_a_detector_within_a_point_of_zero_is_not_promoted_for_being_not_worse():
    n = 400
    truth = Boxes(
        boxes_xyxy=np.tile([[0.0, 0.0, 50.0, 50.0]], (n, 1)),
        label_ids=np.zeros(n, np.int64),
        crowd=np.zeros(n, bool),
        area=np.full(n, np.nan),
        offsets=np.arange(n + 1),
        annotated=np.ones(n, bool),
    )
    boxes = np.tile([[60.0, 60.0, 90.0, 90.0]], (n, 1))
    boxes[0] = truth.boxes_xyxy[0]  # one of 400 is found
    found = Detections(np.arange(n), boxes, np.zeros(n, np.int64), np.full(n, 0.9), n)
    nothing = detection_scores(truth, found, ["raccoon"], n_bootstrap=50)

    decided = gate(nothing, nothing, policy=NotWorse(0.01))

    assert 0 <= nothing.map_50_95 < 0.01
    assert not decided.promoted
    assert any("a model that has learned nothing" in reason for reason in decided.reasons)


def test_not_worse_wants_as_good_a_number_too():
    decided = gate(*models(4000, fixed=20, broken=21, wrong=100), policy=NotWorse(0.01))

    assert decided.lower > -0.01
    assert decided.verdict == "inconclusive"
    assert "within the margin, but not as good on these images" in decided.reasons[0]


@pytest.mark.parametrize(("n", "verdict"), [(200, "inconclusive"), (298, "inconclusive"), (300, "promote")])
def test_a_model_that_answers_the_same_is_not_worse_where_a_break_would_have_been_seen(n, verdict):
    assert gate(*models(n), policy=NotWorse(0.01)).verdict == verdict
    assert gate(*models(n)).verdict == "inconclusive"


@given(st.integers(0, 25), st.integers(0, 25), st.sampled_from([Better(), NotWorse(0.01), NotWorse(0.03, level=0.9)]))
@settings(max_examples=15, deadline=None)
def test_the_verdict_is_that_of_the_simulated_core(fixed, broken, policy):
    """The simulation judges counts; the gate, whole results. A class must not stand in the way."""
    decided = gate(*models(400, fixed=fixed, broken=broken), policy=policy, min_support=500)

    assert decided.promoted == promotes(single(broken, fixed, 400), policy)


def test_frames_of_one_video_count_as_one():
    """Thirty frames of three videos are fixed: much for single images, nothing for videos."""
    alone = models(400, fixed=30, wrong=20)
    videos = models(400, fixed=30, wrong=20, groups=[f"video-{i // 10}" for i in range(400)])

    assert gate(*alone).verdict == "promote"
    assert gate(*videos).verdict == "inconclusive"


def test_a_drop_in_a_class_blocks_a_gain():
    a, b = models(800, fixed=80, wrong=0)
    truth, names = a.labels, a.class_names
    said = b.predictions.copy()
    said[-30:] = 0  # of the 200 dogs
    worse_dogs = classification_scores(np.eye(2)[said], truth, names, image_ids=a.image_ids, n_bootstrap=0)

    decided = gate(a, worse_dogs)

    assert decided.lower > 0
    assert decided.verdict == "reject"
    assert [drop.part.value for drop in decided.drops] == ["dog"]
    assert decided.reasons[0].startswith("class 'dog' became worse: 1.000 to 0.850 on 200, 30 broken and 0 fixed (p ")
    assert gate(a, worse_dogs, min_support=201).verdict == "promote"


def test_a_drop_in_a_slice_blocks_and_a_slice_of_everything_is_not_tested():
    slices = {"camera": ["new"] * 700 + ["old"] * 100, "site": ["lab"] * 800}
    a, b = models(800, fixed=80, slices=slices)
    said = b.predictions.copy()
    said[700:720] = 0
    broken = classification_scores(
        np.eye(2)[said], a.labels, NAMES, image_ids=a.image_ids, n_bootstrap=0, slices=slices
    )

    decided = gate(a, broken, min_support=90)

    assert decided.verdict == "reject"
    assert any(reason.startswith("camera 'old' became worse") for reason in decided.reasons)
    assert {(t.part.column, t.part.value) for t in decided.tested} == {
        ("class", "cat"), ("class", "dog"), ("camera", "new"), ("camera", "old"),
    }  # fmt: skip
    assert len(decided.to_frame()) == 4


def test_one_drop_among_many_classes_is_chance():
    """Twenty classes of fifty; in one of them five images are broken, which alone would be p .016."""
    truth = np.repeat(np.arange(20), 50)
    names = [f"class {i}" for i in range(20)]
    said = truth.copy()
    said[:5] = 1
    a, b = (classification_scores(np.eye(20)[x], truth, names, n_bootstrap=0) for x in (truth, said))

    decided = gate(a, b)

    assert decided.tested[0].part.p_drop == pytest.approx(0.5**6)
    assert decided.tested[0].p_holm == pytest.approx(20 * 0.5**6)
    assert not decided.drops


def test_holm_by_hand():
    assert holm([]) == []
    # Holm (1979) as in textbooks: 4 x .005, 3 x .01, then the larger of 2 x .03 and .04
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_leaked_images_block_and_others_do_not():
    pair = models(1000, fixed=60, wrong=20)

    assert gate(*pair, leaked=["elsewhere"]).verdict == "promote"
    decided = gate(*pair, leaked=["i3", "elsewhere", "i7", "i3"])
    assert decided.verdict == "reject"
    assert decided.leaked == ("i3", "i7")
    assert decided.reasons[0].startswith("2 of 1,000 test images are also training images ('i3', 'i7')")


def test_rules_of_ones_own_block_and_none_promotes():
    seen = []

    def dogs_first(comparison):
        seen.append(comparison)
        dogs = comparison.by_class[1]
        return f"dogs fell to {dogs.b:.2f}" if dogs.b < 0.99 else None

    good, bad = models(1000, fixed=60), models(1000, fixed=60, wrong=100)

    assert gate(*good, rules=[dogs_first]).verdict == "promote"
    decided = gate(*bad, rules=[dogs_first, lambda comparison: None])
    assert decided.verdict == "reject"
    assert decided.reasons[0] == "rule dogs_first: dogs fell to 0.60"
    assert seen[-1] is decided.comparison
    assert gate(*models(400), rules=[dogs_first]).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (lambda comparison: 1 / 0, "rule <lambda> failed with ZeroDivisionError"),
        (lambda comparison: False, "returned False; expected a reason against promotion"),
        (lambda comparison: " ", "returned ' '; expected a reason"),
    ],
)
def test_a_rule_that_is_broken_stops_the_gate(rule, says):
    with pytest.raises(ConfigError, match=says):
        gate(*models(100), rules=[rule])


def test_new_classes_decide_nothing_and_are_told():
    decided = gate(*models(1000, fixed=60, names=("cat", "dog", "owl"), extra=40))

    assert decided.verdict == "promote"
    assert decided.difference == pytest.approx(0.06)
    assert [(new.name, new.n, new.score) for new in decided.new_classes] == [("owl", 40, 1.0)]
    assert {t.part.value for t in decided.tested} == {"cat", "dog"}
    assert "owl" in str(decided)
    assert decided.to_record()["new_classes"] == [{"name": "owl", "n": 40, "score": 1.0}]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Better(level=1.0),
        lambda: Better(level=0.05),
        lambda: NotWorse(0.0),
        lambda: NotWorse(-0.01),
        lambda: NotWorse(1),
        lambda: NotWorse(float("nan")),
        lambda: NotWorse(level=95),
    ],
)
def test_policies_outside_their_range_are_refused(make):
    with pytest.raises(ConfigError, match=r"expected a (confidence|difference)"):
        make()


def test_scores_that_cannot_decide_and_other_images_are_refused():
    with pytest.raises(ConfigError, match="score='macro_f1': expected one of accuracy"):
        gate(*models(100), score="macro_f1")
    with pytest.raises(DataError, match="cannot be compared"):
        gate(models(100)[0], models(99)[1])


def test_the_record_is_json_and_the_texts_escape():
    options = {"model_ref": "<b>7", "split": "test", "manifest_hash": "ab" * 32}
    decided = gate(*models(300, fixed=9, broken=1, **options), rules=[lambda c: "<script>no</script>"])
    record = json.loads(json.dumps(decided.to_record(), allow_nan=False))

    assert record["verdict"] == "reject"
    assert record["policy"] == {"name": "better", "level": 0.95}
    assert record["challenger_ref"] == "<b>7"
    assert record["n_fixed"] == 9
    assert record["mcnemar_p"] == pytest.approx(decided.comparison.mcnemar.p_mid)
    assert "<script>" not in decided._repr_html_()
    assert "REJECT (policy: better) on 300 images of the test split" in str(decided)
    assert gate(*models(300), policy=NotWorse(0.02)).to_record()["policy"] == {
        "name": "not_worse", "margin": 0.02, "level": 0.95,
    }  # fmt: skip


def detectors(n_images, *, lost_by_a, lost_by_b, seed=0):
    """Two detectors of one object an image, which they lose in a share of the images; scores are random."""
    rng = np.random.default_rng(seed)
    truth = Boxes(
        boxes_xyxy=np.tile([0.0, 0.0, 10.0, 10.0], (n_images, 1)),
        label_ids=np.arange(n_images) % 2,
        crowd=np.zeros(n_images, bool),
        area=np.full(n_images, np.nan),
        offsets=np.arange(n_images + 1),
        annotated=np.ones(n_images, bool),
    )
    results = []
    for share in (lost_by_a, lost_by_b):
        kept = np.flatnonzero(rng.random(n_images) >= share)
        boxes = truth.boxes_xyxy[kept] + rng.uniform(0, 1.5, (len(kept), 1)) * [0, 0, 1, 0]
        found = Detections(kept, boxes, truth.label_ids[kept], rng.random(len(kept)), n_images)
        thresholds = dict.fromkeys(("cell", "egg"), 0.2)
        results.append(detection_scores(truth, found, ("cell", "egg"), thresholds=thresholds, n_bootstrap=0))
    return results


def test_detectors_are_judged_by_their_average_precision():
    better, same = detectors(200, lost_by_a=0.4, lost_by_b=0.1), detectors(200, lost_by_a=0.2, lost_by_b=0.2)

    decided = gate(*better)
    assert decided.verdict == "promote"
    assert decided.score == "map_50_95"
    assert decided.difference == pytest.approx(better[1].map_50_95 - better[0].map_50_95)
    assert gate(*better, score="map_50").verdict == "promote"
    assert gate(*same).verdict == "inconclusive"
    assert gate(*better[::-1]).verdict == "reject"
    assert {drop.part.value for drop in gate(*better[::-1]).drops} == {"cell", "egg"}
    with pytest.raises(ConfigError, match="expected one of map_50_95, map_50, map_75"):
        gate(*better, score="ar_1")


def test_a_promotion_beside_a_falling_recall_is_explained():
    rng = np.random.default_rng(0)
    n = 300
    truth = Boxes(
        boxes_xyxy=np.tile([[10.0, 10, 50, 50]], (n, 1)), label_ids=np.zeros(n, np.int64), crowd=np.zeros(n, bool),
        area=np.full(n, np.nan), offsets=np.arange(n + 1), annotated=np.ones(n, bool),
    )  # fmt: skip
    scores = rng.uniform(0.3, 1, n)
    shifts = {"champion": 8.0, "challenger": 1.0}  # the challenger's boxes are tighter: a higher average precision
    results = []
    for which, shift in shifts.items():
        found = Detections(np.arange(n), truth.boxes_xyxy + np.array([0, 0, shift, 0]), truth.label_ids, scores, n)
        least = {"cell": 0.2 if which == "champion" else 0.6}  # and its threshold is higher: a lower recall
        results.append(detection_scores(truth, found, ("cell",), thresholds=least, n_bootstrap=0))

    decided = gate(*results)

    assert decided.verdict == "promote"
    recalls = [float((scores >= least).mean()) for least in (0.2, 0.6)]
    (said,) = [reason for reason in decided.reasons if reason.startswith("recall fell all the same")]
    assert f"{recalls[0]:.3f} to {recalls[1]:.3f} (more than chance)" in said
    assert "share of the objects that are found at the thresholds" in said
    assert "The gate decides by mAP 50" in said
    assert said in str(decided)
    assert "fell all the same" in decided._repr_html_()
    assert not any("fell" in reason for reason in gate(*results[::-1]).reasons)


def test_the_same_detector_again_is_no_proof_on_few_images():
    scores = detectors(60, lost_by_a=0.2, lost_by_b=0.2)[0]

    assert gate(scores, scores, policy=NotWorse(0.01)).verdict == "inconclusive"
    assert gate(scores, scores, policy=NotWorse(0.06)).verdict == "promote"


def test_too_few_groups_tell_nothing_of_a_detector():
    scores = detectors(4, lost_by_a=0.0, lost_by_b=0.0)

    assert "too few images, groups or objects" in gate(*scores).reasons[0]
