"""The log of looks: numbers of looks in the life of a test set, across promotions, corrections and new images."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gate_pairs import models
from onlineml.errors import ConflictError
from onlineml.improving.gate.decide import gate
from onlineml.improving.gate.looks import LookLog, look_history
from onlineml.improving.gate.policy import Better, NotWorse
from onlineml.improving.gate.promise import Look
from onlineml.improving.gate.replay import replayed
from onlineml.storage.location import Location
from onlineml.storage.log.log import AppendLog

IDS = [f"i{k}" for k in range(1000)]


@pytest.fixture
def log(tmp_path):
    return LookLog(Location.of(tmp_path))


@pytest.fixture(scope="module")
def pair():
    return models(1000, fixed=30, broken=25)


def key(challenger="2-b", champion="1-a", dataset="d", test_hash="t"):
    return {"champion": champion, "challenger": challenger, "dataset": dataset, "test_hash": test_hash}


def look_at(log, ids=IDS, *, pair, **named):
    """The number of a look."""
    return log.taken(lambda look: gate(*pair, look=look, n_resamples=0), image_ids=ids, key=key(**named)).look.number


def test_each_challenger_is_one_more_look_and_a_resumed_one_keeps_its_number(log, pair):
    assert [look_at(log, pair=pair, challenger=name) for name in ("2", "3", "3", "4", "2")] == [1, 2, 2, 3, 1]
    assert len(log.entries()) == 3


def test_promotions_corrections_and_a_few_new_images_do_not_begin_anew(log, pair):
    look_at(log, pair=pair)

    assert look_at(log, pair=pair, champion="2-b", challenger="3") == 2
    assert look_at(log, pair=pair, test_hash="corrected", challenger="4") == 3
    assert look_at(log, [*IDS, *(f"new{k}" for k in range(900))], pair=pair, challenger="5") == 4
    assert look_at(log, IDS[300:], pair=pair, challenger="6") == 5


def test_a_test_set_that_doubled_or_was_replaced_begins_anew_and_the_old_one_goes_on(log, pair):
    look_at(log, pair=pair)

    assert look_at(log, [*IDS, *(f"new{k}" for k in range(1200))], pair=pair, challenger="3") == 1
    assert look_at(log, [f"other{k}" for k in range(50)], pair=pair, challenger="4") == 1
    assert look_at(log, pair=pair, challenger="5") == 2


def test_a_small_test_set_is_recognized_by_all_of_its_images(log, pair):
    look_at(log, IDS[:3], pair=pair)

    assert look_at(log, IDS[:4], pair=pair, challenger="3") == 2
    assert look_at(log, [*IDS[:2], "x", "y"], pair=pair, challenger="4") == 1


def test_of_two_looks_at_the_same_time_one_is_the_next(log, pair, tmp_path, monkeypatch):
    other, numbers = LookLog(Location.of(tmp_path)), []

    def judge(look):
        numbers.append(look.number)
        if len(numbers) == 1:
            look_at(other, pair=pair, challenger="other")
        return gate(*pair, look=look, n_resamples=0)

    decided = log.taken(judge, image_ids=IDS, key=key())

    assert (numbers, decided.look.number) == ([1, 2], 2)
    with pytest.raises(ConflictError):
        log._log.append_after({}, series="looks", after=None)


def test_what_the_log_holds_gives_the_same_verdicts_again(log, tmp_path):
    pairs = [models(1000, fixed=60, broken=20), models(400, fixed=14, broken=10), models(1000, fixed=20, broken=60)]
    for place, pair in enumerate(pairs):
        for policy in (Better(), NotWorse(0.02)):

            def judge(look, pair=pair, policy=policy):
                return gate(*pair, look=look, policy=policy, n_resamples=0)

            log.taken(judge, image_ids=IDS, key=key(challenger=f"{place}{policy}"))

    history = look_history(str(tmp_path))

    assert [one["number"] for one in history] == [1, 2, 3, 4, 5, 6]
    verdicts = [one["gate"]["verdict"] for one in history]
    assert {"promote", "inconclusive", "reject"} == set(verdicts)
    assert [replayed(json.loads(json.dumps(one["gate"]))) for one in history] == verdicts


def test_records_of_before_are_judged_as_before():
    for pair, policy in ((models(1000, fixed=60, broken=20), Better()), (models(300), NotWorse(0.02))):
        decided = gate(*pair, policy=policy)
        record = decided.to_record()
        for name in ("look", "spent", "n_not_worse", "n_blocks", "evidence"):
            del record[name]
        assert replayed(record) == decided.verdict == "promote"
    blocked = gate(*models(1000, fixed=60, broken=20), leaked=["i0"]).to_record()
    del blocked["n_blocks"]
    assert replayed(blocked) == "reject"


def test_the_same_gain_needs_more_at_a_later_look_and_says_what_is_spent(pair):
    gain = models(1000, fixed=44, broken=22)
    first, late = (gate(*gain, look=Look(number)) for number in (1, 80))

    assert (first.verdict, late.verdict) == ("promote", "inconclusive")
    assert late.lower < first.lower
    assert any("look 80" in reason and "72 % of the promise is spent" in reason for reason in late.reasons)
    assert any("new test photos are worth more than another night" in reason for reason in late.reasons)
    assert gate(*gain).look is None


def test_models_that_were_not_worse_in_a_row_are_told():
    decided = gate(*models(1000), policy=NotWorse(0.01), look=Look(3, n_not_worse=2))

    assert any("3 models in a row" in reason and "3 points" in reason for reason in decided.reasons)


def test_looks_are_told_and_stored(pair):
    record = gate(*pair, look=Look(7)).to_record()

    assert (record["look"], record["spent"]) == (7, Look(7).spent)
    assert sum(group[3] for group in record["evidence"]["groups"]) == 1000
    assert dataclasses.astuple(Look(7)) == (7, 0)


def test_an_entry_that_is_no_look_is_left_out_and_followed(log, pair, tmp_path):
    look_at(log, pair=pair)
    foreign, last = AppendLog(Location.of(tmp_path) / "log/looks"), log.entries()[-1].id
    for wrong in ({"gate": 3}, {**key(), "life": "", "gate": {}}, {**key(), "life": 7, "gate": None}):
        last = foreign.append_after(wrong, series="looks", after=last)

    with pytest.warns(RuntimeWarning, match="3 entries of .*log/looks are no looks, and left out"):
        assert look_at(log, pair=pair, challenger="3") == 2
    with pytest.warns(RuntimeWarning, match="no looks"):
        assert [look["number"] for look in look_history(tmp_path)] == [1, 2]
