"""Which way is taken where nobody says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import onlineml as oml
from onlineml.improving.challenger.strategy import chosen_how, generations
from onlineml.improving.gate.policy import Gate
from onlineml.improving.improve import improve
from onlineml.improving.recipe import Recipe
from tiny import CLASSES
from tiny_projects import FACTORY, colour_model, colour_project, labels_of, with_champion


@pytest.fixture
def project(tmp_path, decoded_photos):
    return with_champion(colour_project(tmp_path))


def how(project, champion, class_names=CLASSES, *, relabelled=0.0, **options):
    data = SimpleNamespace(class_names=class_names)
    return chosen_how(project, champion, data, Recipe(**options), project.labels.state(), relabelled=relabelled)


def test_time_and_network_decide(project):
    champion = oml.load_model(project.champion(), backbone=FACTORY)

    assert how(project, champion) == "warm"
    assert how(project, champion, (*CLASSES, "new")) == "warm"
    assert how(project, champion, budget_s=10.0) == "head"
    assert how(project, champion, budget_s=60.0) == "warm"
    assert how(project, champion, relabelled=0.5) == "warm"  # it may have begun with published weights


def test_what_was_learned_by_heart_from_scratch_is_shrunk():
    champion = colour_model(CLASSES)
    champion.backbone_name = "slim_resnet18"
    labels = SimpleNamespace(state=lambda: SimpleNamespace(lineage={}))
    project = SimpleNamespace(labels=labels, storage_options=None)

    assert how(project, champion, relabelled=0.2) == "shrink"
    assert how(project, champion, relabelled=0.2, budget_s=10.0) == "head"


def test_a_network_that_cannot_grow_begins_anew_where_classes_are_new(project):
    champion = oml.load_model(project.champion(), backbone=FACTORY)
    champion.head_name = ""

    assert how(project, champion, (*CLASSES, "new")) == "full"
    assert how(project, champion) == "warm"


def test_after_four_versions_from_one_another_a_fresh_one(project):
    images = list(labels_of(project).items())
    for number in range(5):
        assert generations(project, project.champion().url) == number
        image_id, label = images[number]
        project.labels.set(image_id, next(name for name in CLASSES if name != label))
        recipe, gate = Recipe(backbone=FACTORY, epochs=1), Gate(policy="not_worse", margin=0.5)
        outcome = improve(project, recipe=recipe, gate=gate, progress="none")
        assert outcome.how == ("full" if number == 4 else "warm")
        if not outcome.promoted:
            project.promote(outcome.challenger, reason="the test wants it")
    assert generations(project, project.champion().url) == 0
