"""Successors of a multi-label champion: corrections, new classes, merged ones, and what annotators could not know."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.improving.challenger.images import challenger_images
from onlineml.improving.challenger.multilabel import merged_columns
from onlineml.improving.challenger.score import scores_now
from onlineml.improving.challenger.successor_pieces import successor_pieces
from onlineml.improving.gate.policy import Gate
from onlineml.improving.improve import improve
from onlineml.improving.recipe import Recipe
from tiny import CLASSES
from tiny_labels import FACTORY, SUBSETS, label_project, photo_of, with_label_champion


@pytest.fixture(scope="module")
def template(tmp_path_factory, decoded_photos):
    """A project with a champion that knows its labels."""
    return with_label_champion(label_project(tmp_path_factory.mktemp("template")))


@pytest.fixture
def project(template, tmp_path):
    shutil.copytree(template.url, tmp_path / "project")
    return oml.Project.open(str(tmp_path / "project"))


def quick(project, **recipe):
    """Improve in one epoch; so few test photos allow no narrow margin."""
    found = Recipe(backbone=FACTORY, epochs=1, **recipe)
    return improve(project, recipe=found, gate=Gate(margin=0.2), progress="none")


def add_class(project, name="cyan", like="green", n=84):
    """Somebody adds a class, and gives that label to all photos that show another."""
    project.classes.add(name)
    shown = [i for i in range(n) if like in SUBSETS[i % len(SUBSETS)]]
    project.labels.add({photo_of(project, i): [name] for i in shown})
    return shown


def test_the_first_model_and_what_it_knows(tmp_path, decoded_photos):
    project = label_project(tmp_path)
    outcome = quick(project, size=32)

    assert (outcome.verdict, outcome.promoted) == ("first", True)
    model = oml.load_model(f"{project.url}@champion", backbone=FACTORY)
    assert isinstance(model, oml.MultilabelClassifier)
    assert set(model.thresholds) == set(CLASSES)
    assert quick(project, size=32).verdict == "unchanged"


def test_a_correction_leads_to_a_challenger_that_the_gate_judges(project):
    image_id = photo_of(project, 1)
    project.labels.remove({image_id: ["blue"]})
    outcome = quick(project)

    assert outcome.verdict in {"promote", "reject", "inconclusive"}
    assert outcome.how == "warm"
    assert outcome.changes == {"new": 0, "gone": 0, "relabelled": 1, "moved": 0}
    assert outcome.gate.score == outcome.comparison.main == "map"
    assert {"val_loss", "val_map", "share"} <= set(outcome.trained)
    assert (Path(outcome.run) / "outcome.html").exists()
    challenger = oml.load_model(f"{project.url}@challenger", backbone=FACTORY)
    assert challenger.thresholds is not None


def test_a_new_class_is_learned_and_promoted(project):
    shown = add_class(project)
    outcome = quick(project, how="rows")

    assert (outcome.verdict, outcome.promoted, outcome.new_classes) == ("promote", True, ("cyan",))
    assert outcome.trained["new_classes"] == 1
    model = oml.load_model(f"{project.url}@champion", backbone=FACTORY)
    assert model.class_names == (*CLASSES, "cyan")
    scores = oml.evaluate(model, project.datasets.get(outcome.dataset), n_bootstrap=0)
    assert scores.per_class["cyan"]["ap"] > 0.95  # it is where green is
    assert scores.per_class["cyan"]["support"] == sum(i >= 63 for i in shown)


def test_old_classes_stay_to_the_bit_where_only_rows_are_fitted(project):
    champion = oml.load_model(project.champion(), backbone=FACTORY)
    add_class(project)
    quick(project, how="rows")
    made = oml.load_model(f"{project.url}@challenger", backbone=FACTORY)

    assert torch.equal(made.head.weight[:3], champion.head.weight)
    assert torch.equal(made.network.mix.weight, champion.network.mix.weight)
    assert [made.thresholds[name] for name in CLASSES] == pytest.approx([champion.thresholds[name] for name in CLASSES])


def test_a_new_head_is_fitted_to_features(project):
    add_class(project)
    outcome = quick(project, how="head")

    assert outcome.trained["val_map"] > 0.95
    made = oml.load_model(f"{project.url}@challenger", backbone=FACTORY)
    data = project.datasets.get(outcome.dataset)
    assert oml.evaluate(made, data, split="val", n_bootstrap=0).map == pytest.approx(
        outcome.trained["val_map"], abs=1e-5
    )
    assert set(made.thresholds) == {*CLASSES, "cyan"}


def test_rows_of_no_new_class_are_refused(project):
    project.labels.remove({photo_of(project, 1): ["blue"]})
    with pytest.raises(ConfigError, match="how='rows' fits the rows of new classes, and 0 of 3 are new"):
        quick(project, how="rows")


def test_what_nobody_could_know_is_no_absence(project):
    project.classes.add("cyan")
    project.labels.add({photo_of(project, i): ["cyan"] for i in (2, 4)})
    project.labels.accept([photo_of(project, i) for i in (0, 1, 3)])  # who looked for it, and saw none
    data = project.freeze()
    known = successor_pieces(project).known_classes(project.labels.state(), data)
    champion = oml.load_model(project.champion(), backbone=FACTORY)
    images = challenger_images(champion, data, Recipe(), known=known)

    cyan = dict(zip(data.column("image_id"), images.labels[:, data.class_names.index("cyan")], strict=True))
    numbers = {i: cyan[photo_of(project, i)] for i in range(6)}
    assert [numbers[i] for i in (0, 1, 2, 3, 4)] == [0, 0, 1, 0, 1]
    assert np.isnan(numbers[5])
    assert cyan[photo_of(project, 50)] == 0  # validation and test say no more than their labels
    assert not np.isnan(images.labels[:, :3]).any()


def test_a_champion_under_the_names_of_today(project):
    champion = oml.load_model(project.champion(), backbone=FACTORY)
    before = oml.evaluate(champion, project.freeze(), n_bootstrap=0)
    project.classes.rename("red", "scarlet")
    project.classes.merge(["blue", "green"], into="cold")
    data = project.freeze()
    scores = scores_now(champion, data, lineage=project.labels.state().lineage, n_bootstrap=0)

    assert set(scores.class_names) == {"scarlet", "cold"}
    old = dict(zip(before.image_ids, before.probabilities, strict=True))
    cold, scarlet = (scores.class_names.index(name) for name in ("cold", "scarlet"))
    for image_id, row in zip(scores.image_ids, scores.probabilities, strict=True):
        blue, green, red = old[image_id]
        assert row[cold] == pytest.approx(max(blue, green))
        assert row[scarlet] == pytest.approx(red)
    assert scores.thresholds["scarlet"] == champion.thresholds["red"]
    assert scores.thresholds["cold"] == min(champion.thresholds["blue"], champion.thresholds["green"])


def test_images_of_classes_that_the_champion_never_knew_are_left_out(project):
    champion = oml.load_model(project.champion(), backbone=FACTORY)
    project.classes.add("cyan")
    alone, beside, none = (photo_of(project, i) for i in (64, 65, 63))
    project.labels.set({alone: ["cyan"], beside: ["green", "cyan"]})
    scores = scores_now(champion, project.freeze(), lineage=project.labels.state().lineage, n_bootstrap=0)

    assert alone not in scores.image_ids
    assert {beside, none} <= set(scores.image_ids)
    assert scores.class_names == CLASSES


def test_columns_of_merged_and_gone_classes():
    table = np.array([[0.1, 0.7, 0.4, 0.9]], np.float32)

    assert merged_columns(table, ["a", "b", "a", None]) == pytest.approx(np.array([[0.4, 0.7]], np.float32))
    assert merged_columns(table[:0], ["a", None, None, None]).shape == (0, 1)


def test_what_learned_more_takes_the_place_of_what_knew_little(project):
    lazy = oml.load_model(project.champion(), backbone=FACTORY)
    lazy.head.weight.data[0].zero_()  # it says nothing of blue
    lazy.manifest_hash = "0" * 64
    project.promote(project.publish(lazy), reason="to be beaten")
    outcome = improve(project, recipe=Recipe(how="head", backbone=FACTORY), gate=Gate(policy="better"), progress="none")

    assert (outcome.verdict, outcome.promoted) == ("promote", True)
    assert outcome.gate.champion < outcome.gate.challenger
