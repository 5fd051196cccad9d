"""A model that was trained in any way becomes the champion only through the gate."""

from __future__ import annotations

import pytest

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.improving.gate import Gate
from onlineml.improving.recipe import Recipe
from onlineml.registry.promotions import promotion_history
from onlineml.widgets import AnswersAwaitedError, answer_first
from tiny_projects import FACTORY, colour_project, image_of, with_champion

RECIPE = Recipe(backbone=FACTORY)


def challenger_of(project):
    """A model that is trained anew, and the dataset that it was trained on."""
    data = project.freeze()
    model = oml.model_for(data, backbone=FACTORY, seed=1)
    batches = oml.datamodule_for(data, size=32, batch_size=12, num_workers=0)
    oml.fit(model, batches, run=project.runs.new(), epochs=1, progress="none")
    return model, data


def test_the_first_model_is_promoted(tmp_path, decoded_photos):
    project = colour_project(tmp_path)

    outcome = oml.challenge(project, *challenger_of(project), recipe=RECIPE)

    assert (outcome.verdict, outcome.promoted) == ("first", True)
    assert project.champion().version == outcome.challenger
    assert outcome.scores.n_images == 30
    assert project.runs.list()[-1].status()["state"] == "finished"


def test_a_model_that_is_not_better_waits_as_challenger(tmp_path, decoded_photos):
    project = with_champion(colour_project(tmp_path))
    before = project.champion().version

    outcome = oml.challenge(project, *challenger_of(project), gate=Gate(policy="better"), recipe=RECIPE)

    assert outcome.verdict in {"inconclusive", "reject"}
    assert not outcome.promoted
    assert project.champion().version == before
    assert project.models.aliases()["challenger"] == outcome.challenger != before
    assert outcome.comparison is not None


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


def test_a_better_model_takes_the_place_also_when_the_call_was_interrupted(tmp_path, decoded_photos, monkeypatch):
    wrong = {f"{split}/red/{i:03}.jpg": "green" for split, n in (("train", 12), ("val", 6)) for i in range(n)}
    project = with_champion(colour_project(tmp_path / "wrong", labels=wrong))
    good = with_champion(colour_project(tmp_path / "good"))
    project.labels.set({image_of(project, uri): "red" for uri in wrong})
    before = project.champion().version

    model, data, run = oml.load_model(f"{good.url}@champion", backbone=FACTORY), project.freeze(), project.runs.new()
    with monkeypatch.context() as patch:
        patch.setattr("onlineml.improving.judge.gate", raising(RuntimeError("broken in")))  # after publishing
        with pytest.raises(RuntimeError, match="broken in"):
            oml.challenge(project, model, data, recipe=RECIPE, run=run)
    assert run.status()["state"] == "failed"
    other = oml.load_model(f"{project.url}@champion", backbone=FACTORY)
    with pytest.raises(ConfigError, match="resume it with the same model"):
        oml.challenge(project, other, data, recipe=RECIPE, run=run)
    with pytest.raises(ConfigError, match="the run is of the dataset"):
        oml.challenge(project, model, data.select(split="train"), recipe=RECIPE, run=run)
    with pytest.raises(ConfigError, match=f"run={run.id} is of challenge: expected an interrupted run of improve"):
        oml.improve(project, recipe=RECIPE, run=run)
    outcome = oml.challenge(project, model, data, recipe=RECIPE, run=project.runs.get(run.id))

    assert [version.version for version in project.models.list()] == [before, outcome.challenger]
    assert (outcome.verdict, outcome.promoted, outcome.champion) == ("promote", True, before)
    named = [line["version"] for line in promotion_history(project.url) if line["alias"] == "champion"]
    assert named[-1] == outcome.challenger


def test_only_a_person_in_front_of_a_notebook_is_waited_for(monkeypatch):
    monkeypatch.setenv("ONLINEML_WIDGETS", "static")
    answer_first()
    monkeypatch.setenv("ONLINEML_WIDGETS", "live")
    with pytest.raises(AnswersAwaitedError, match="run the cells below") as caught:
        answer_first()
    assert caught.value._render_traceback_() == [str(caught.value)]
