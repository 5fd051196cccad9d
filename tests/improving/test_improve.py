"""`improve` as a whole: no change is no work, each step is done once, and only the provably better is promoted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml import registry
from onlineml.errors import ConfigError, DataError, StoppedError
from onlineml.improving import attempt, judge
from onlineml.improving.challenger import train
from onlineml.improving.challenger.images import challenger_images
from onlineml.improving.gate.policy import Better, Gate
from onlineml.improving.improve import improve
from onlineml.improving.recipe import Recipe
from onlineml.registry.versions import promotion_history
from onlineml.runs.run import Run
from tiny import CLASSES, jpeg, picture
from tiny_projects import FACTORY, colour_model, colour_project, image_of, labels_of, with_champion


@pytest.fixture(scope="module")
def template(tmp_path_factory, decoded_photos):
    """A project with a champion that knows its labels."""
    return with_champion(colour_project(tmp_path_factory.mktemp("template")))


@pytest.fixture
def project(template, tmp_path):
    shutil.copytree(template.url, tmp_path / "project")
    return oml.Project.open(str(tmp_path / "project"))


def correct(project, uri="train/red/000.jpg", label="blue"):
    """Somebody changes a label; returns the image's id."""
    image_id = image_of(project, uri)
    project.labels.set(image_id, label)
    return image_id


def champions(project):
    """Versions in the order in which they became the champion."""
    return [line["version"] for line in promotion_history(project.url) if line["alias"] == "champion"]


def quick(project, *, gate=None, run=None, **recipe):
    """Improve in one epoch."""
    found = Recipe(backbone=FACTORY, epochs=1, **recipe)
    return improve(project, recipe=found, gate=gate or Gate(), run=run, progress="none")


def refuse(*_, **__):
    pytest.fail("it was done again")


# ---- nothing to do, and the first ----


def test_where_nothing_changed_nothing_is_done(project, monkeypatch):
    monkeypatch.setattr(attempt, "train_challenger", refuse)
    before = (len(project.models.list()), len(project.runs.list()), champions(project))

    outcome = quick(project)

    assert (outcome.verdict, outcome.promoted, outcome.run, outcome.challenger) == ("unchanged", False, "", "")
    assert outcome.dataset == project.champion().descriptor()["manifest_hash"]
    assert (len(project.models.list()), len(project.runs.list()), champions(project)) == before
    assert "exactly this dataset" in str(outcome)


def test_what_is_taken_back_is_no_change(project):
    image_id = correct(project)
    project.labels.undo(image_id)

    assert quick(project).verdict == "unchanged"


def test_the_first_model_is_trained_and_promoted(tmp_path, decoded_photos):
    project = colour_project(tmp_path)

    outcome = quick(project, size=32)

    assert (outcome.verdict, outcome.promoted, outcome.champion) == ("first", True, "")
    assert project.champion().version == outcome.challenger
    assert project.champion().descriptor()["manifest_hash"] == project.freeze().hash
    assert project.champion().descriptor()["parent"] is None
    assert outcome.scores.n_images == 30
    assert quick(project, size=32).verdict == "unchanged"


def test_a_first_model_that_may_not_be_promoted_waits_as_challenger(tmp_path, decoded_photos):
    project = colour_project(tmp_path, counts={"train": 12, "val": 4})

    outcome = quick(project, gate=Gate(promote=False), size=32)

    assert project.champion() is None
    assert (outcome.promoted, outcome.scores) == (False, None)
    assert oml.load_model(f"{project.url}@challenger", backbone=FACTORY).class_names == CLASSES
    assert "no test images" in outcome.reasons[0]


# ---- corrections ----


def test_a_corrected_label_is_in_what_the_challenger_was_trained_on(project):
    image_id = correct(project)

    outcome = quick(project)

    data = project.datasets.get(outcome.dataset)
    assert dict(zip(data.column("image_id"), data.column("label"), strict=True))[image_id] == "blue"
    (challenger,) = [v for v in project.models.list() if v.version == outcome.challenger]
    assert challenger.descriptor()["manifest_hash"] == outcome.dataset != outcome.champion_dataset
    assert outcome.changes == {"new": 0, "gone": 0, "relabelled": 1, "moved": 0}
    assert outcome.gate.policy.name == "not_worse"


def test_both_are_scored_on_the_test_labels_of_today(project):
    image_id = correct(project, "test/red/000.jpg", "green")

    outcome = quick(project)

    diff = outcome.comparison
    for scores in (diff.a, diff.b):
        assert scores.manifest_hash == outcome.dataset
        truth = dict(zip(scores.image_ids, [scores.class_names[k] for k in scores.labels], strict=True))
        assert truth[image_id] == "green"
    now = labels_of(project)
    champion = oml.load_model(project.models.list()[0], backbone=FACTORY)
    data = project.datasets.get(outcome.dataset)
    rows = np.flatnonzero(data.column("split") == "test")
    said = [p.label for p in oml.predict(champion, [data.urls()[i] for i in rows])]
    right = np.mean([label == now[data.column("image_id")[i]] for label, i in zip(said, rows, strict=True)])
    assert outcome.gate.champion == pytest.approx(right, abs=1e-12)


def test_classes_that_were_renamed_and_merged_since_the_champion(project):
    project.classes.rename("red", "scarlet")
    project.classes.merge(["green"], into="blue")

    outcome = quick(project, how="head")

    assert outcome.comparison.a.class_names == ("blue", "scarlet")
    assert outcome.comparison.b.class_names == ("blue", "scarlet")
    assert outcome.gate.champion == 1.0  # it knew all colours, and two of them are one now
    assert outcome.new_classes == ()


def add_yellow(project, n=12):
    yellow = [jpeg(picture((220, 200, 40), seed=9000 + i)) for i in range(n + 8)]
    project.images.upload(yellow[:n], label="amber", split="train")
    project.images.upload(yellow[n:], label="amber", split="test")


def test_new_rows_alone_leave_the_old_classes_to_the_bit(project):
    add_yellow(project)
    old = oml.load_model(project.champion(), backbone=FACTORY)

    outcome = quick(project, how="rows")

    assert outcome.new_classes == ("amber",)
    new = oml.load_model(f"{project.url}@challenger", backbone=FACTORY)
    at = [new.class_names.index(name) for name in old.class_names]
    assert torch.equal(new.head.weight[at], old.head.weight)
    assert torch.equal(new.head.bias[at], old.head.bias)
    assert torch.equal(new.network.mix.weight, old.network.mix.weight)
    image = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        # the same numbers, but for the last bit: a product of another shape is rounded in another order
        torch.testing.assert_close(new(image)[:, at], old(image), rtol=1e-6, atol=1e-6)
    assert outcome.gate.new_classes[0].score >= 0.75  # the new class is told from the others, too
    assert outcome.comparison.n_broken <= 1


def test_new_classes_do_not_cost_the_old_ones(project):
    add_yellow(project)

    outcome = quick(project, how="warm")

    assert outcome.gate.new_classes[0].name == "amber"
    assert outcome.gate.challenger >= outcome.gate.champion - 0.01
    assert outcome.trained["share"] in {1.0, 0.75, 0.5, 0.25}
    assert "aligned" in outcome.trained


def test_a_head_of_its_own_follows_corrections_in_one_step(tmp_path, decoded_photos):
    wrong = {f"train/red/{i:03}.jpg": "green" for i in range(6)} | {f"val/red/{i:03}.jpg": "green" for i in range(4)}
    project = with_champion(colour_project(tmp_path, labels=wrong))
    project.labels.set({image_of(project, uri): "red" for uri in wrong})

    outcome = quick(project, how="head")

    assert outcome.gate.challenger == 1.0
    assert outcome.trained["val_accuracy"] == 1.0
    champion = oml.load_model(project.models.list()[0], backbone=FACTORY)
    challenger = oml.load_model(f"{project.url}@challenger", backbone=FACTORY)
    assert torch.equal(champion.network.mix.weight, challenger.network.mix.weight)


@pytest.mark.parametrize("how", ["shrink", "full"])
def test_fresh_starts_go_on_from_no_version(project, how):
    correct(project)

    outcome = quick(project, how=how)

    challenger = next(v for v in project.models.list() if v.version == outcome.challenger)
    assert challenger.descriptor()["parent"] is None
    assert outcome.how == how


# ---- the decision ----


def test_what_cannot_be_told_is_an_ordinary_end(project):
    correct(project)

    outcome = quick(project, gate=Gate(policy="better"), how="head")

    assert outcome.verdict == "inconclusive"
    assert champions(project) == [outcome.champion]
    assert oml.load_model(f"{project.url}@challenger", backbone=FACTORY).reference.endswith(outcome.challenger)
    run = project.runs.list()[-1]
    assert run.status()["state"] == "finished"
    assert run.status()["verdict"] == "inconclusive"


def test_a_rule_of_the_users_blocks(project):
    correct(project)

    outcome = quick(project, gate=Gate(rules=[lambda diff: "not on a Friday"], policy=Better()), how="head")

    assert (outcome.verdict, outcome.promoted) == ("reject", False)
    assert "not on a Friday" in outcome.reasons[0]


def better_project(tmp_path):
    """A champion that took red for green, and labels that say so no longer."""
    wrong = {f"{split}/red/{i:03}.jpg": "green" for split, n in (("train", 12), ("val", 6)) for i in range(n)}
    project = with_champion(colour_project(tmp_path, labels=wrong))
    project.labels.set({image_of(project, uri): "red" for uri in wrong})
    return project


def test_the_provably_better_takes_the_place(tmp_path, decoded_photos):
    project = better_project(tmp_path)

    outcome = quick(project, gate=Gate(policy="better"), how="head")

    assert (outcome.verdict, outcome.promoted) == ("promote", True)
    assert project.champion().version == outcome.challenger
    assert project.champion().descriptor()["parent"].endswith(outcome.champion)
    assert champions(project) == [outcome.champion, outcome.challenger]


def test_it_may_be_asked_only_to_decide(tmp_path, decoded_photos):
    project = better_project(tmp_path)

    outcome = quick(project, gate=Gate(promote=False), how="head")

    assert (outcome.verdict, outcome.promoted) == ("promote", False)
    assert project.champion().version == outcome.champion
    assert "not replaced" in outcome.reasons[-1]


def test_of_two_schedulers_one_promotes(tmp_path, decoded_photos, monkeypatch):
    project = better_project(tmp_path)
    gate, inner = judge.gate, []

    def slow_gate(*args, **options):
        if not inner:  # while the first one decides, a second one begins and ends
            inner.append(None)
            inner[0] = quick(oml.Project.open(project.url), how="head", seed=1)
        return gate(*args, **options)

    monkeypatch.setattr(judge, "gate", slow_gate)
    outcome = quick(project, how="head")

    assert inner[0].promoted
    assert (outcome.verdict, outcome.promoted) == ("promote", False)
    assert project.champion().version == inner[0].challenger
    assert "compare the two" in outcome.reasons[0]
    assert len(champions(project)) == 2


def test_test_images_that_are_training_images_block(project, monkeypatch):
    leaked = image_of(project, "test/red/000.jpg")  # freezing sets copies aside: it takes a dataset of another making
    monkeypatch.setattr(attempt, "leaked_images", lambda data: (leaked,))
    monkeypatch.setattr(attempt, "train_challenger", refuse)
    correct(project)
    n_versions = len(project.models.list())

    outcome = quick(project)

    assert (outcome.verdict, outcome.promoted) == ("reject", False)
    assert leaked in outcome.reasons[0]
    assert len(project.models.list()) == n_versions


# ---- interrupted ----


@pytest.mark.parametrize("where", ["fit", "evaluate", "published", "scores_now", "gate", "promote", "save"])
def test_interrupted_at_any_step_it_goes_on_without_doing_anything_twice(where, tmp_path, decoded_photos, monkeypatch):
    project = better_project(tmp_path)
    run = project.runs.new()
    place = {
        "fit": "onlineml.improving.challenger.train.fit",
        "evaluate": "onlineml.improving.attempt.evaluate",
        "published": "onlineml.registry.versions.publish_version",
        "scores_now": "onlineml.improving.attempt.scores_now",
        "gate": "onlineml.improving.judge.gate",
        "promote": "onlineml.improving.attempt.Attempt._promote",
        "save": "onlineml.improving.outcome.Outcome.save",
    }[where]

    publish = registry.publish_version

    def killed(*given, **more):
        assert run.status()["state"] == "running"  # though its training may have finished
        if where == "published":
            publish(*given, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        with pytest.raises(KeyboardInterrupt):
            quick(project, run=run, how="warm")
    if where != "fit":
        monkeypatch.setattr(train, "fit", refuse)
    project.labels.set(image_of(project, "train/blue/000.jpg"), "red")  # what is said meanwhile is for the next time

    outcome = quick(oml.Project.open(project.url), run=Run.open(run.url))

    assert outcome.champion == project.models.list()[0].version
    assert [v.version for v in project.models.list()] == [outcome.champion, outcome.challenger]
    assert champions(project) == [outcome.champion, *([outcome.challenger] if outcome.promoted else [])]
    assert json.loads(project_file(run.url, "outcome.json").read_text())["challenger"] == outcome.challenger


def test_asked_to_stop_it_goes_on_later(project):
    correct(project)
    run = project.runs.new()
    run.request_stop()

    with pytest.raises(StoppedError):
        quick(project, run=run, how="head")
    assert run.status()["state"] == "stopped"
    assert run.status()["remedy"].startswith("to continue, call improve(project, run=…) with this run")

    assert quick(project, run=run, how="head").challenger
    assert run.status()["state"] == "finished"


# ---- told ----


def test_the_outcome_is_kept_and_shown(project):
    correct(project)

    outcome = quick(project, how="head")

    kept = json.loads((project_file(outcome.run, "outcome.json")).read_text())
    assert kept == json.loads(outcome.to_json())
    assert kept["gate"]["mcnemar_p"] == outcome.comparison.mcnemar.p_mid
    page = project_file(outcome.run, "outcome.html").read_text()
    assert outcome.reasons[0].split(":")[0] in page
    assert page.count("<main>") == 1
    for text in (str(outcome), repr(outcome), outcome._repr_html_()):
        assert outcome.challenger in text
    with pytest.raises(AttributeError):
        outcome.verdict = "promote"


def project_file(url, name):
    return Path(url) / name


def test_replay_leaves_out_what_the_champion_knows_and_keeps_what_is_new(project):
    changed = [correct(project), correct(project, "train/green/000.jpg", "red")]
    data = project.freeze()
    champion = oml.load_model(project.champion(), backbone=FACTORY)

    for replay, expected in ((0, 2), (9, 11), (1000, 36)):
        images = challenger_images(champion, data, Recipe(replay=replay), changed=changed)
        rows = images.rows_of("train")
        assert len(rows) == expected
        assert set(changed) <= set(data.column("image_id")[rows])
        assert len(images.rows_of("val")) == 18


def test_replay_draws_rare_classes_more_often(project):
    images = [image_of(project, f"train/red/{i:03}.jpg") for i in range(9)]
    project.images.delete(images)
    data = project.freeze()
    champion = oml.load_model(project.champion(), backbone=FACTORY)
    drawn = np.zeros(3)
    for seed in range(30):
        dm = challenger_images(champion, data, Recipe(replay=6, seed=seed))
        drawn += np.bincount(data.label_ids()[dm.rows_of("train")], minlength=3)
    share = drawn[data.class_names.index("red")] / drawn.sum()
    assert share > 0.2  # of the images they are a ninth


def test_rows_of_new_classes_where_there_are_none_are_refused(project):
    correct(project)
    with pytest.raises(ConfigError, match="use how='head'"):
        quick(project, how="rows")


def test_a_way_to_show_progress_that_there_is_not_is_refused_first(project):
    with pytest.raises(ConfigError, match="expected one of lines"):
        improve(project, progress="loud")


def test_without_test_images_nobody_can_tell(tmp_path, decoded_photos):
    project = colour_project(tmp_path, counts={"train": 12, "val": 4})
    quick(project, size=32)
    correct(project)

    with pytest.raises(DataError, match="move_to_split"):
        quick(project)


# ---- as a job ----


def test_it_is_a_job_of_its_own_process(project, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    correct(project)

    job = project.jobs.submit("improve", {"how": "head", "backbone": FACTORY})

    assert job.wait(600) == "finished", job.tail(50)
    result = job.result()
    assert result["verdict"] in {"promote", "inconclusive"}
    assert project.models.list()[-1].version == result["challenger"]
    assert project.datasets.get(result["dataset"]).hash == project.freeze().hash
    assert result["reasons"][0] in job.tail(50)
    assert json.loads(project_file(job.run.url, "outcome.json").read_text())["challenger"] == result["challenger"]


# ---- nothing to learn, or only names ----


def test_photos_without_labels_and_classes_without_photos_are_nothing_to_learn(project, monkeypatch):
    monkeypatch.setattr(attempt, "train_challenger", refuse)
    project.images.upload([jpeg(picture((10, 10, 10), seed=77))], split="train")
    project.classes.add("mauve")

    outcome = quick(project)

    assert (outcome.verdict, outcome.challenger, outcome.run) == ("unchanged", "", "")
    assert outcome.dataset != outcome.champion_dataset
    assert "1 new image is not annotated; no image shows 'mauve'" in outcome.reasons[0]


def test_a_rename_republishes_the_same_weights_under_the_new_names(project, monkeypatch):
    monkeypatch.setattr(attempt, "train_challenger", refuse)
    before = oml.load_model(project.champion(), backbone=FACTORY)
    project.classes.rename("red", "scarlet")

    outcome = quick(project)

    assert (outcome.verdict, outcome.promoted) == ("renamed", True)
    now = oml.load_model(project.champion(), backbone=FACTORY)
    assert now.class_names == tuple("scarlet" if name == "red" else name for name in before.class_names)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), now.parameters(), strict=True))
    assert outcome.scores.accuracy == 1.0
    assert project.champion().descriptor()["parent"] is None  # no generation of training
    assert "renamed since the champion" in str(outcome)
    assert quick(project).verdict == "unchanged"


def test_successors_of_a_calibrated_champion_are_calibrated_too(project):
    model = oml.load_model(project.champion(), backbone=FACTORY)
    oml.calibrate(model, project.freeze())
    project.promote(project.publish(model), reason="calibrated")
    project.classes.rename("red", "scarlet")
    for outcome in (quick(project), correct(project, label="blue") and quick(project)):
        now = oml.load_model(f"{project.url}/models/{outcome.challenger}", backbone=FACTORY)

        assert now.calibration.model == now.fingerprint()
        assert now.calibration.manifest_hash == outcome.dataset
    assert now.calibration.model != model.calibration.model


def test_a_champion_that_knows_no_class_of_today_and_an_empty_project_are_our_own_errors(project, tmp_path):
    stranger = colour_model(("teal", "pink"))
    project.promote(project.publish(stranger), reason="by hand")
    with pytest.raises(DataError, match="knows none of the 3 classes of today"):
        quick(project)

    empty = oml.Project.create(str(tmp_path / "empty"), task="classification")
    with pytest.raises(DataError, match="no annotated image"):
        quick(empty)
