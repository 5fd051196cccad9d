"""Thirty nights of `4_improve`'s verbs on a project with planted wrong labels: each verdict is in the log."""

from __future__ import annotations

import numpy as np
import pytest

import onlineml as oml
from onlineml.improving.gate.looks import look_history
from onlineml.improving.gate.promise import Look
from onlineml.improving.gate.replay import replayed
from onlineml.registry.versions import promotion_history
from tiny import CLASSES
from tiny_projects import FACTORY, colour_project, with_champion

NIGHTS = 30


def wrong_labels(n_train: int) -> dict[str, str]:
    """Of most red photos, that they were green: the first champion has learnt it."""
    most = {"train": 3 * n_train // 4, "val": 6}
    return {f"{split}/red/{i:03}.jpg": "green" for split, n in most.items() for i in range(n)}


@pytest.mark.slow
def test_every_promotion_of_thirty_nights_is_in_the_log_with_its_evidence(tmp_path, decoded_photos):
    counts = {"train": 40, "val": 8, "test": 40}
    project = with_champion(colour_project(tmp_path, counts=counts, labels=wrong_labels(40)))
    uris = dict(zip(*(project.labels.state().table[name].to_pylist() for name in ("image_id", "uri")), strict=True))
    truth = {image_id: uri.split("/")[-2] for image_id, uri in uris.items()}
    outcomes = []

    for night in range(NIGHTS):
        queue = oml.review_queue(project, n=4, seed=night, model=oml.load_model(project.champion(), backbone=FACTORY))
        answers = {item.image_id: truth[item.image_id] for item in queue}
        project.labels.set(answers)
        outcome = oml.improve(
            project,
            recipe=oml.Recipe(how="head", backbone=FACTORY, epochs=1, seed=night),
            gate=oml.Gate(policy="better"),
            progress="none",
        )
        outcomes.append(outcome)

    looked = [outcome for outcome in outcomes if outcome.gate is not None]
    log = look_history(project.url)
    assert [one["gate"]["verdict"] for one in log] == [outcome.verdict for outcome in looked]
    assert [one["number"] for one in log] == list(range(1, len(looked) + 1))  # promotions do not begin anew
    assert [replayed(one["gate"]) for one in log] == [one["gate"]["verdict"] for one in log]
    assert [one["gate"]["spent"] for one in log] == pytest.approx([Look(t + 1).spent for t in range(len(log))])

    promoted = [one["challenger"] for one in log if one["gate"]["verdict"] == "promote"]
    champions = [line["version"] for line in promotion_history(project.url) if line["alias"] == "champion"]
    assert champions[1:] == promoted
    assert 1 <= len(promoted) < 5
    assert not [outcome.reasons for outcome in outcomes if outcome.verdict == "reject"]
    final = oml.evaluate(oml.load_model(project.champion(), backbone=FACTORY), project.freeze())
    assert final.accuracy > 0.9
    assert np.isfinite([one["gate"]["lower"] for one in log]).all()
    assert final.class_names == CLASSES
