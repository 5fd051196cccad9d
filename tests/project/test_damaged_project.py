"""Damaged files of a project: each is refused with one of our errors that names it, or read."""

from __future__ import annotations

import shutil
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytorch_lightning as pl
import torch

import onlineml as oml
from fuzzing import attack
from onlineml.data.annotations.classes import Classes
from onlineml.evaluation import ClassificationScores, DetectionScores, MultilabelScores
from onlineml.registry import aliases, promotion_history
from onlineml.registry.promotions import AliasState
from onlineml.storage.location import Location
from onlineml.storage.log.log import AppendLog
from tiny import TinyNet
from tiny_boxes import SlimResNet

if TYPE_CHECKING:
    from collections.abc import Callable

FIXTURES = Path(__file__).parents[1] / "fixtures"


def _read_project(url: Path) -> None:
    project = oml.Project.open(url)
    state = project.labels.state()
    state.counts()
    project.labels.conflicts()
    project.labels.suggestions()
    for image_id in state.table["image_id"].to_pylist()[:2]:
        project.labels.history(image_id)


def _read_promotions(url: Path) -> None:
    aliases(url)
    promotion_history(url)


def _read_datasets(url: Path) -> None:
    project = oml.Project.open(url)
    for name in project.datasets.list():
        data = project.datasets.get(name)
        data.counts()
        project.datasets.provenance(data)


def _read_runs(url: Path) -> None:
    for run in oml.Project.open(url).runs.list():
        run.metrics()
        run.heartbeat()
        run.is_active()


def _read_jobs(url: Path) -> None:
    project = oml.Project.open(url)
    jobs = project.jobs.list()
    str(jobs).encode()
    jobs._repr_html_()
    for status in jobs:
        project.jobs.get(status.id).result()


def _read_model(url: Path) -> None:
    detector = url.name == "detection"
    network: Any = SlimResNet(2, width=8, depths=(1, 1, 1, 1)) if detector else TinyNet(4)
    oml.load_model(next((url / "models").iterdir()), backbone=network)


READERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "project": (_read_project, ("project.json",)),
    "log": (_read_project, ("log/annotations/*.jsonl",)),
    "tables": (_read_project, ("log/imports/*", "log/suggestions/*", "log/seen/*")),
    "promotions": (_read_promotions, ("log/promotions/*",)),
    "datasets": (_read_datasets, ("datasets/*/dataset.json",)),
    "tables of datasets": (_read_datasets, ("datasets/*/manifest.parquet", "datasets/*/provenance.parquet")),
    "runs": (_read_runs, ("runs/*/s*.json", "runs/*/metrics.jsonl", "runs/*/heartbeat.json")),
    "jobs": (_read_jobs, ("runs/*/*.json",)),
    "model": (_read_model, ("models/*/model.json",)),
    "weights": (_read_model, ("models/*/weights.safetensors",)),
}


def _attack(task: str, name: str, folder: Path, *, long: bool = False) -> None:
    read, patterns = READERS[name]
    shutil.copytree(FIXTURES / "format_1" / task, folder / task)
    files = {path: path.read_bytes() for pattern in patterns for path in (folder / task).glob(pattern)}
    read(folder / task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out is told so
        attack(files, lambda: read(folder / task), long=long)


@pytest.mark.parametrize("name", READERS)
def test_only_our_errors_come_out_and_name_the_file(name: str, tmp_path: Path) -> None:
    _attack("detection" if name in {"datasets", "promotions"} else "classification", name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("task", ["classification", "detection"])
def test_only_our_errors_come_out_of_any_file(name: str, task: str, tmp_path: Path) -> None:
    _attack(task, name, tmp_path, long=True)


def _attack_scores(name: str, folder: Path, *, long: bool = False) -> None:
    kinds: dict[str, Any] = {
        "classified": ClassificationScores,
        "detected": DetectionScores,
        "labelled": MultilabelScores,
    }
    file = folder / "evaluation.json"
    content = (FIXTURES / "scores_1" / f"{name}.json").read_bytes()
    attack({file: content}, lambda: kinds[name].from_json(file.read_bytes()), long=long, named="the evaluation")


@pytest.mark.parametrize("name", ["classified", "detected", "labelled"])
def test_only_our_errors_come_out_of_scores(name: str, tmp_path: Path) -> None:
    _attack_scores(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classified", "detected", "labelled"])
def test_only_our_errors_come_out_of_any_scores(name: str, tmp_path: Path) -> None:
    _attack_scores(name, tmp_path, long=True)


def _attack_checkpoint(folder: Path, *, long: bool = False) -> None:
    file, model = folder / "last.ckpt", oml.ImageClassifier(class_names=("a", "b", "c"), backbone=TinyNet(3))
    model.size_hw = (32, 32)
    checkpoint = {"state_dict": model.state_dict(), "pytorch-lightning_version": pl.__version__}
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, file)

    def read() -> None:
        oml.ImageClassifier.load_from_checkpoint(file, backbone=TinyNet(3))

    read()
    attack({file: file.read_bytes()}, read, long=long)


def test_only_our_errors_come_out_of_a_checkpoint(tmp_path: Path) -> None:
    _attack_checkpoint(tmp_path)


@pytest.mark.slow
def test_only_our_errors_come_out_of_any_checkpoint(tmp_path: Path) -> None:
    _attack_checkpoint(tmp_path, long=True)


def test_promotions_that_are_none_are_left_out_alone(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "format_1" / "classification", tmp_path / "p")
    before = aliases(tmp_path / "p")
    log = AppendLog(tmp_path / "p" / "log" / "promotions")
    good = log.read()[0].record
    wrong = ({"version": 7}, {"series": "other"}, {"after": []})
    for forged in ({}, {"alias": ["x"], "series": "x"}, *(good | change for change in wrong)):
        log.append(forged)
    with pytest.warns(RuntimeWarning, match="4 entries of .*log/promotions are no promotions"):
        assert aliases(tmp_path / "p") == before
    with pytest.warns(RuntimeWarning, match="no promotions"):
        assert [one["in_effect"] for one in promotion_history(tmp_path / "p")] == [True, False]


def test_a_promotion_follows_an_entry_that_is_none(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "log" / "promotions")
    log.append_after({"version": 7}, series="champion", after=None)
    with pytest.warns(RuntimeWarning, match="no promotions"):
        state = AliasState(Location.of(tmp_path), "champion")
    state.follow(event="promoted", version="1-a", reason="", author="ada")
    with pytest.warns(RuntimeWarning, match="no promotions"):
        assert aliases(tmp_path) == {"champion": "1-a"}


def test_a_dataset_that_a_log_names_is_inside_the_project(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "format_1" / "classification", tmp_path / "p")
    frozen = {"event": "frozen", "author": "eve", "time": "2026-01-01T00:00:00+00:00", "classes": [], "max_bad": 0.0}
    for dataset in ("../../../etc", "/etc", "file:///etc"):
        AppendLog(tmp_path / "p" / "log" / "annotations").append(frozen | {"dataset": dataset})
    with pytest.warns(RuntimeWarning, match="3 entries of the annotations are left out"):
        oml.Project.open(tmp_path / "p").labels.state()


def test_a_long_chain_of_merged_classes_takes_no_quadratic_time() -> None:
    classes = Classes()
    for number in range(5000):
        live = {"expected_revision": None, "live": True, "place": number}
        classes.merge(f"{number:026}", f"class {number}", f"class {number + 1}", **live)
    begun = time.process_time()
    assert classes.present("class 0") == "class 5000"
    assert time.process_time() - begun < 20  # minutes, if each step looks through the steps before it
