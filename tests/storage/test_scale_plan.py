"""The calculator behind docs/storage/scale.md: it counts as the library does, and the page has its numbers."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from fault_proxy import FaultProxy, fault_proxy
from onlineml.data.annotations import freezing
from picture_files import noise, png
from places import ROOT

if TYPE_CHECKING:
    from s3_server import S3Server

sys.path.append(str(ROOT / "benchmarks"))

import _plan_counts
import _plan_simulated as simulated
import plan
from _plan_tables import Plan, printed

__all__ = ["fault_proxy"]

_KINDS = ("puts", "gets", "heads", "lists", "deletes")


@pytest.mark.s3
def test_each_step_makes_the_requests_that_are_planned(
    s3_server: S3Server, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLINEML_CACHE_GB", "0")
    monkeypatch.setattr(freezing, "_BATCH", 16)  # two files of what opening the images told
    options = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    pictures = [png(noise(number, (12, 12))) for number in range(25)]
    planned, counted = {}, {}
    steps = _plan_counts.counted(
        s3_server.new_bucket(), options, fault_proxy.seen, pictures=pictures, shard_bytes=5000, seen_batch=16
    )
    for step in steps:
        planned[step.name] = {kind: getattr(step.planned, kind) for kind in _KINDS}
        counted[step.name] = {kind: getattr(step.counted, kind) for kind in _KINDS}
    assert counted == planned
    assert len(counted) == 15


@pytest.fixture(scope="module")
def tables() -> dict[str, str]:
    return printed(Plan())


@pytest.fixture(scope="module")
def page() -> str:
    return plan.PAGE.read_text(encoding="utf-8")


def test_the_page_has_the_tables_that_are_calculated(page: str, tables: dict[str, str]) -> None:
    assert {found[2] for found in plan.MARK.finditer(page)} == set(tables)
    assert page == plan.renewed(page, tables), "python benchmarks/plan.py --write renews the page"


def test_every_number_of_the_page_is_calculated(page: str, tables: dict[str, str]) -> None:
    number = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)")
    prose = re.sub(r"(?m:^\d+\. )|```.*?```|\]\([^)]*\)|`[^`]*`", "", plan.MARK.sub("", page), flags=re.DOTALL)
    known = set(number.findall(" ".join(tables.values())))
    told = [one.rstrip(",") for one in number.findall(prose)]
    assert len(told) > 8
    assert sorted(set(told) - {one.rstrip(",") for one in known}) == []


def test_time_and_memory_are_within_a_fifth_of_what_was_measured() -> None:
    points = plan.measured_points()
    assert len(points) == 80
    assert [name for name, planned, found in points if abs(planned - found) > plan.MOST * found] == []


def test_a_batch_of_all_photos_has_the_classes_that_chance_gives_it() -> None:
    given = {"images": 1_000_000, "n_classes": 100, "per_shard": 100, "batch": 256}
    whole = simulated.mixing(**given, mixed_shards=0)
    assert whole.classes == pytest.approx(100 * (1 - 0.99**256), rel=0.01)
    assert whole.worth == pytest.approx(256, rel=0.1)
    alone = simulated.mixing(**given, mixed_shards=1)
    assert alone == simulated.Mixing(1.0, pytest.approx(1.0))
    # two photos of four shards are of one with the chance 1/4, and else of one class with 1/100
    alike = (1 / 4 + 3 / 4 / 100 - 1 / 100) / (1 - 1 / 100)
    few = simulated.mixing(**{**given, "batch": 100}, mixed_shards=4)
    assert few.worth == pytest.approx(100 / (1 + 99 * alike), rel=0.05)


def test_the_log_of_one_writer_is_merged_at_each_512th_label() -> None:
    found = simulated.day(people=1, labels=1100, page=10_000, merged_every=None)
    assert found.most == 512
    assert found.merges == 2
    # many who write little each notice nothing until they read it again
    assert simulated.day(people=100, labels=10_000, page=1000, merged_every=None).most == 10_000
    assert simulated.day(people=100, labels=10_000, page=48, merged_every=None).most == 4801
    assert simulated.day(people=100, labels=10_000, page=48, merged_every=500).most == 500


def test_merging_writes_each_entry_again_only_a_few_times() -> None:
    assert simulated.rewritten(labels=512, merged=512) == 2  # alone, and in the first checkpoint
    assert simulated.rewritten(labels=2048, merged=512) == 1 + (1 + 2 + 3 + 4) / 4


def test_all_kinds_of_requests_are_compared() -> None:
    assert {one.name for one in fields(_plan_counts.Requests)} == {*_KINDS, "written", "read"}
