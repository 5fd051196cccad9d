"""Photos on which two models differ decide between them, as if all had been labelled."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import onlineml as oml
from onlineml.errors import ConfigError, DataError, NotFoundError
from onlineml.evaluation.comparison.counts import paired_counts
from onlineml.improving.deciding.questions import Difference, Question, QuestionLog, answers_to
from onlineml.improving.gate import look_history, replayed
from tiny_projects import FACTORY, colour_model, colour_project, fitted

RECIPE, BETTER = oml.Recipe(backbone=FACTORY), oml.Gate(policy="better", robustness=0)
COUNTS = {"train": 12, "val": 2, "test": 20}  # of each of three colours
N_TESTED = 4  # of each colour whose label is known


def undecided(folder, *, n_tested=N_TESTED):
    """A project whose champion never says red; few test photos have a label. And the labels of the others."""
    truth = {f"test/{name}/{i:03}.jpg": name for name in ("red", "green", "blue") for i in range(COUNTS["test"])}
    hidden = {uri: name for uri, name in truth.items() if int(uri[-7:-4]) >= n_tested}
    project = colour_project(folder, counts=COUNTS, labels=dict.fromkeys(hidden))
    data = project.freeze()
    good = fitted(colour_model(data.class_names), data)
    bad = fitted(colour_model(data.class_names), data)
    bad.head.bias.data[data.class_names.index("red")] -= 1000.0
    for alias, model in (("champion", bad), ("challenger", good)):
        project.promote(project.publish(model, oml.evaluate(model, data)), alias=alias, reason="made so")
    table = project.labels.state().table
    pairs = zip(table["image_id"].to_pylist(), table["uri"].to_pylist(), strict=True)
    ids = {uri[uri.index("test/") :]: image_id for image_id, uri in pairs if "test/" in uri}
    return project, {ids[uri]: name for uri, name in hidden.items()}


def test_a_few_answers_decide_what_the_test_photos_left_open(tmp_path, decoded_photos):
    project, truth = undecided(tmp_path, n_tested=2)
    queue = oml.deciding_queue(project, n=1000, recipe=RECIPE)
    asked = [item.image_id for item in queue]

    assert {truth[image_id] for image_id in asked} == {"red"}
    assert len(asked) == 18 < len(truth) == 54
    assert queue.n_pool == len(truth)
    assert {item.reason for item in queue} == {"decides"}
    assert not any(item.suggestion for item in queue)  # nobody is told what a model says
    with pytest.raises(DataError, match=f"{len(asked)} of {len(asked)} photos are not answered yet"):
        oml.decide(project, gate=BETTER, recipe=RECIPE)

    project.labels.set({image_id: truth[image_id] for image_id in asked})
    outcome = oml.decide(project, gate=oml.Gate(robustness=0), recipe=RECIPE)

    assert str(outcome.gate.policy) == "better"  # what nobody learned from does not justify less
    assert (outcome.verdict, outcome.promoted) == ("promote", True)
    assert project.champion().version == outcome.challenger
    assert any(f"{len(truth)} further photos, of which the {len(asked)} on which" in text for text in outcome.reasons)
    assert "points with the further photos): better, by" in outcome.reasons[0]
    assert "on 6 images of the test split and 54 further photos" in outcome.gate._repr_html_()
    (look,) = look_history(project.url)
    assert replayed(look["gate"]) == "promote"
    assert project.runs.list()[-1].status()["state"] == "finished"
    assert project.runs.list()[-1].spec["kind"] == "decide"


def test_the_bounds_are_those_of_a_test_set_with_all_labels(tmp_path, decoded_photos):
    project, truth = undecided(tmp_path)
    asked = [item.image_id for item in oml.deciding_queue(project, n=1000, recipe=RECIPE)]
    project.labels.set({image_id: truth[image_id] for image_id in asked})
    few = oml.decide(project, gate=oml.Gate(policy="better", robustness=0, promote=False), recipe=RECIPE).gate

    # all labels, by another way: both models are evaluated on every test photo
    whole = project.freeze().with_labels(truth)
    splits = [split or "test" for split in whole.column("split")]
    everything = whole.with_column("split", pa.array(splits))
    models = [oml.load_model(f"{project.url}@{alias}", backbone=FACTORY) for alias in ("champion", "challenger")]
    diff = oml.compare(*(oml.evaluate(model, everything) for model in models))

    assert few.difference == pytest.approx(diff.difference, abs=1e-12)
    assert few.evidence.n_images == diff.n_images == len(truth) + 3 * N_TESTED
    assert (few.evidence.fixed.sum(), few.evidence.broken.sum()) == (diff.n_fixed, diff.n_broken)
    for tail in (0.05, 0.01):
        assert few.evidence.bounds(tail) == pytest.approx(diff.evidence["accuracy"].bounds(tail), abs=1e-12)


def test_scores_stay_those_of_the_labelled_test_photos(tmp_path, decoded_photos):
    project, truth = undecided(tmp_path)
    model = oml.load_model(f"{project.url}@champion", backbone=FACTORY)
    before = oml.evaluate(model, project.freeze())

    asked = [item.image_id for item in oml.deciding_queue(project, n=1000, recipe=RECIPE)]
    project.labels.set({image_id: truth[image_id] for image_id in asked})
    data = project.freeze()
    after = oml.evaluate(model, data)

    assert after.image_ids == before.image_ids
    assert after.accuracy == before.accuracy
    splits = dict(zip(data.column("image_id"), data.column("split"), strict=True))
    assert {splits[image_id] for image_id in asked} == {None}


def test_answers_that_no_model_learns_from_are_nothing_new(tmp_path, decoded_photos):
    project, truth = undecided(tmp_path)
    data = project.freeze()
    model = fitted(colour_model(data.class_names), data)
    project.promote(project.publish(model, oml.evaluate(model, data)), reason="knows all")
    asked = [item.image_id for item in oml.deciding_queue(project, n=10, challenger="1", recipe=RECIPE)]
    project.labels.set({image_id: truth[image_id] for image_id in asked})

    assert oml.improve(project, recipe=RECIPE).verdict == "unchanged"


def test_a_queue_ends_at_the_number_and_the_next_goes_on(tmp_path, decoded_photos):
    project, truth = undecided(tmp_path)
    first = [item.image_id for item in oml.deciding_queue(project, n=5, recipe=RECIPE)]
    project.labels.set({image_id: truth[image_id] for image_id in first})
    second = [item.image_id for item in oml.deciding_queue(project, n=5, recipe=RECIPE)]

    assert len(first) == len(second) == 5
    assert not set(first) & set(second)
    small, large = QuestionLog(project.location).questions()
    assert {one.image_id for one in small.differ} < {one.image_id for one in large.differ}
    assert set(small.agree) < set(large.agree)
    project.labels.set({image_id: truth[image_id] for image_id in second})
    assert oml.decide(project, gate=BETTER, recipe=RECIPE).gate.more.n_labelled == 10


def killed(*_, **__):
    raise KeyboardInterrupt


def test_photos_stay_in_the_sample_when_a_call_was_killed_before_they_left_the_test_split(tmp_path, decoded_photos):
    project, truth = undecided(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(project.images), "move_to_split", killed)
        with pytest.raises(KeyboardInterrupt):
            oml.deciding_queue(project, n=5, recipe=RECIPE)
    (question,) = QuestionLog(project.location).questions()
    project.labels.set({one.image_id: truth[one.image_id] for one in question.differ})

    assert oml.decide(project, gate=BETTER, recipe=RECIPE).gate.more.n_labelled == 5


def test_answers_by_hand():
    """Five photos: two fixed, one broken, one wrong with both, one on which both agree; and those that do not count."""
    rows = [  # image, label, split, said by champion and challenger
        ("a", "cat", None, "dog", "cat"),
        ("b", "cat", None, "dog", "cat"),
        ("c", "dog", None, "dog", "cat"),
        ("d", "cow", None, "dog", "cat"),
        ("e", None, "test", "dog", "dog"),
        ("moved", "cat", "train", "dog", "cat"),
        ("labelled meanwhile", "cat", "test", "dog", "dog"),
        ("unknown to the champion", "elk", None, "dog", "cat"),
    ]
    question = Question(
        "1", "2", [Difference(i, a, b) for i, _, _, a, b in rows if a != b], [i for i, _, _, a, b in rows if a == b]
    )
    more = answers_to(question, _manifest(rows), _state(), known=["cat", "dog", "cow"])

    assert set(more.image_ids) == {"a", "b", "c", "d", "e"}
    assert (int(more.counts.fixed.sum()), int(more.counts.broken.sum()), more.n_labelled) == (2, 1, 4)
    expected = paired_counts(*np.array([(0, 1), (0, 1), (1, 0), (0, 0), (0, 0)], bool).T, codes=np.arange(5))
    assert more.counts.bounds(0.05) == pytest.approx(expected.bounds(0.05), abs=1e-12)


def _manifest(rows):
    names, labels, splits, *_ = zip(*rows, strict=True)
    columns = {"image_id": names, "uri": [f"{name}.jpg" for name in names], "label": labels, "split": splits}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return oml.Manifest(table, class_names=["cat", "dog", "cow", "elk"])


def _state():
    return SimpleNamespace(lineage={}, folded=SimpleNamespace(skipped={}))


@pytest.mark.parametrize("skipped", [False, True])
def test_what_cannot_be_told_is_skipped(tmp_path, decoded_photos, skipped):
    project, truth = undecided(tmp_path)
    first, *rest = [item.image_id for item in oml.deciding_queue(project, n=6, recipe=RECIPE)]
    project.labels.set({image_id: truth[image_id] for image_id in rest})
    if not skipped:
        with pytest.raises(DataError, match="1 of 6 photos is not answered yet"):
            oml.decide(project, gate=BETTER, recipe=RECIPE)
        return
    project.labels.skip([first])
    more = oml.decide(project, gate=BETTER, recipe=RECIPE).gate.more
    assert (more.n_labelled, int((more.counts.fixed + more.counts.broken).sum())) == (6, 5)


def test_a_group_leaves_the_split_as_a_whole_and_stays_in_the_sample(tmp_path, decoded_photos):
    project, truth = undecided(tmp_path)
    frames = [image_id for image_id, name in truth.items() if name in {"red", "blue"}][:20]
    data = project.freeze()
    groups = {image_id: f"video {i % 5}" for i, image_id in enumerate(frames)}
    own = [
        groups.get(image_id, group)
        for image_id, group in zip(data.column("image_id"), data.column("group"), strict=True)
    ]
    grouped = oml.Project.create(str(tmp_path / "grouped"), task="classification")
    grouped.add(data.with_column("group", pa.array(own)))
    for alias in ("champion", "challenger"):
        model = oml.load_model(f"{project.url}@{alias}", backbone=FACTORY)
        grouped.promote(grouped.publish(model), alias=alias, reason="as there")

    first = oml.deciding_queue(grouped, n=1000, recipe=RECIPE)
    second = oml.deciding_queue(grouped, n=1000, recipe=RECIPE)

    assert first.n_pool == second.n_pool == len(truth)
    assert {item.image_id for item in first} == {item.image_id for item in second}
    now = grouped.freeze()
    splits = dict(zip(now.column("image_id"), now.column("split"), strict=True))
    assert sum(splits[image_id] is None for image_id in frames) == 20  # each video has a red frame
    assert 0 < len(set(frames) & {item.image_id for item in first}) < 20


def test_what_is_refused(tmp_path, decoded_photos):
    project, _ = undecided(tmp_path)
    with pytest.raises(ConfigError, match="n=0"):
        oml.deciding_queue(project, n=0, recipe=RECIPE)
    with pytest.raises(ConfigError, match="the champion: expected another version"):
        oml.deciding_queue(project, challenger="champion", recipe=RECIPE)
    with pytest.raises(DataError, match="no photo was asked for"):
        oml.decide(project, recipe=RECIPE)
    empty = oml.Project.create(str(tmp_path / "empty"), class_names=["a", "b"])
    with pytest.raises(NotFoundError):
        oml.deciding_queue(empty)
    boxes = oml.Project.create(str(tmp_path / "boxes"), task="detection", class_names=["a"])
    with pytest.raises(ConfigError, match="the project is for detection: of two such models"):
        oml.decide(boxes)
