"""A search: the better go on, the winner goes through the gate, and an interrupted one does nothing twice."""

from __future__ import annotations

import json

import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError, DivergedError, StoppedError
from onlineml.improving.searching import Candidate, attempt
from tiny_boxes import drawn_manifest
from tiny_labels import label_project
from tiny_projects import FACTORY, colour_project

SLOW, GOOD = 1e-6, 100.0  # factors of the rate: the head learns nothing, or enough
CANDIDATES = [Candidate(backbone=FACTORY, size=32, lr_factor=factor) for factor in (SLOW, GOOD, 2 * SLOW)]


@pytest.fixture
def quick(monkeypatch):
    """Trainings of fifteen epochs, however long they take."""
    fit = attempt.fit

    def by_epochs(model, images, *, run, budget_s, progress):
        return fit(model, images, run=run, epochs=15, progress=progress)

    monkeypatch.setattr(attempt, "fit", by_epochs)
    monkeypatch.setattr(attempt, "trial_seconds", lambda *_, **__: 1.0)


@pytest.fixture
def trained(quick, monkeypatch):
    """The learning rates that were trained with, in order."""
    rates, fit = [], attempt.fit

    def counting(model, *arguments, **options):
        rates.append(model.lr)
        return fit(model, *arguments, **options)

    monkeypatch.setattr(attempt, "fit", counting)
    return rates


def test_the_best_of_three_is_published_and_promoted(tmp_path, decoded_photos, quick):
    project = colour_project(tmp_path)

    found = oml.search(project, budget_s=60, candidates=CANDIDATES, progress="none")

    assert found.best == CANDIDATES[1]
    table = found.leaderboard()
    assert table["rounds"].tolist() == [2, 1, 1]
    assert table["accuracy"][0] > 0.9
    assert (table["low"] <= table["accuracy"]).all()
    assert found.outcome.promoted
    assert project.champion().version == found.outcome.challenger
    kept = oml.load_model(project.champion(), backbone=FACTORY).chosen_settings()
    assert kept.lr_factor == GOOD  # what wins is kept by successors
    run = project.runs.get(found.run.rsplit("/", 1)[-1])
    assert run.status()["state"] == "finished"
    stored = json.loads((tmp_path / "project" / "runs" / run.id / "search.json").read_text())
    assert [row["run"] for row in stored["leaderboard"]] == table["run"].tolist()
    assert "lr x 100" in str(found)
    assert "lr x 100" in found._repr_html_()


def test_an_interrupted_search_goes_on_where_it_was(tmp_path, decoded_photos, trained, monkeypatch):
    project = colour_project(tmp_path)
    counting = attempt.fit

    def stopped_once(*arguments, **options):
        if len(trained) == 1:
            monkeypatch.setattr(attempt, "fit", counting)
            raise StoppedError("stopped")
        return counting(*arguments, **options)

    monkeypatch.setattr(attempt, "fit", stopped_once)
    record = project.runs.new()
    with pytest.raises(StoppedError, match=record.id):
        oml.search(project, budget_s=60, candidates=CANDIDATES[:2], run=record, progress="none")
    assert record.status()["state"] == "stopped"
    n_runs = len(project.runs.list())
    for other in ({"budget_s": 90}, {"candidates": CANDIDATES}, {"dataset": "0" * 64}):
        with pytest.raises(ConfigError, match=r"(search of this run has|not those of this run's search).*run=None"):
            oml.search(project, run=project.runs.get(record.id), **{"budget_s": 60, **other})

    found = oml.search(project, budget_s=60, run=project.runs.get(record.id), progress="none")

    assert found.best == CANDIDATES[1]
    assert len(trained) == 3  # each once, and the winner a second time
    assert len(project.runs.list()) == n_runs + 2  # the winner's second trial, and the gate's
    assert len(project.models.list()) == 1


def test_a_candidate_that_diverges_is_out(tmp_path, decoded_photos, quick, monkeypatch):
    fit = attempt.fit

    def diverging(model, *arguments, **options):
        if model.lr > 10:
            raise DivergedError("the loss is not finite")
        return fit(model, *arguments, **options)

    monkeypatch.setattr(attempt, "fit", diverging)
    wild = Candidate(backbone=FACTORY, size=32, lr_factor=1e7)
    project = colour_project(tmp_path)

    found = oml.search(project, budget_s=60, candidates=[wild, CANDIDATES[1]], progress="none")

    assert found.best == CANDIDATES[1]
    assert found.leaderboard()["error"].tolist() == ["", "the loss is not finite"]
    with pytest.raises(ConfigError, match="no candidate could be trained"):
        oml.search(project, budget_s=60, candidates=[wild], progress="none")


def test_what_a_later_round_spoils_is_not_taken(tmp_path, decoded_photos, quick, monkeypatch):
    fit, project = attempt.fit, colour_project(tmp_path)

    def spoiling(model, *arguments, **options):
        done = fit(model, *arguments, **options)
        if len(project.runs.list()) == 4:  # the search, two trials, and this one
            with torch.no_grad():
                model.network.head.bias.copy_(torch.tensor([99.0, 0, 0]))
        return done

    monkeypatch.setattr(attempt, "fit", spoiling)

    found = oml.search(project, budget_s=60, candidates=CANDIDATES[:2], progress="none")

    assert [trial.score for trial in found.trials][-1] == pytest.approx(1 / 3)
    assert found.leaderboard()["accuracy"][0] == found.trials[1].score > 0.8
    assert found.outcome.scores.accuracy > 0.8
    assert f"accuracy {found.outcome.scores.accuracy:.3f} (" in str(found.outcome)


def test_no_round_is_begun_without_time_for_longer_trials(tmp_path, decoded_photos, quick, monkeypatch):
    seconds = iter([2.0, 1.0])
    monkeypatch.setattr(attempt, "trial_seconds", lambda *_, **__: next(seconds))

    found = oml.search(colour_project(tmp_path), budget_s=60, candidates=CANDIDATES[:2], progress="none")

    assert found.leaderboard()["rounds"].tolist() == [1, 1]
    assert found.best == CANDIDATES[1]


def test_weights_are_averaged(tmp_path, decoded_photos, quick):
    project = colour_project(tmp_path)
    alike = [CANDIDATES[1], Candidate(backbone=FACTORY, size=32, lr_factor=GOOD / 2)]

    found = oml.search(project, budget_s=60, candidates=alike, soup=True, progress="none")

    assert found.averaged[0] == found.winner
    assert set(found.averaged) <= {0, 1}
    assert found.outcome.scores.accuracy > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget_s": 0}, "budget_s=0"),
        ({"budget_s": 5, "candidates": CANDIDATES}, "at least 6 s"),
        ({"budget_s": 60, "candidates": []}, "empty"),
        ({"budget_s": 60, "candidates": [Candidate(), Candidate()]}, "one twice"),
        ({"budget_s": 60, "candidates": [{"size": 96}]}, "a list of Candidate"),
        ({"budget_s": 60, "candidates": [Candidate(backbone="resnet81")]}, "resnet18"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_training(tmp_path, decoded_photos, trained, arguments, message):
    with pytest.raises(ConfigError, match=message):
        oml.search(colour_project(tmp_path), progress="none", **arguments)
    assert not trained


@pytest.mark.parametrize("task", ["multilabel", "detection"])
def test_other_tasks(tmp_path, decoded_photos, monkeypatch, task):
    fit = attempt.fit
    monkeypatch.setattr(attempt, "fit", lambda model, images, *, run, budget_s, progress: fit(
        model, images, run=run, epochs=1, progress=progress))  # fmt: skip
    if task == "multilabel":
        project, backbone = label_project(tmp_path), FACTORY
    else:
        project, backbone = oml.Project.create(str(tmp_path / "project"), task=task), "tiny_projects:narrow_net"
        project.add(drawn_manifest(tmp_path / "photos", counts={"train": 8, "val": 2, "test": 2}))

    found = oml.search(project, budget_s=60, candidates=[Candidate(backbone=backbone, size=32)], progress="none")

    assert found.outcome.verdict == "first"
    assert found.metric == found.outcome.scores.headline[0]
    assert found.metric in str(found)


def test_a_split_without_images_is_named(tmp_path, decoded_photos):
    project = colour_project(tmp_path, counts={"train": 4, "test": 4})
    with pytest.raises(ConfigError, match="'val' has no annotated images"):
        oml.search(project, budget_s=60)
