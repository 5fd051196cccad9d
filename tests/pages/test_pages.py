"""Every page and notebook cell shows what users wrote as text: nothing of it is markup."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import jinja2
import numpy as np
import pyarrow as pa
import pytest

import onlineml as oml
from evaluation_cases import Page, png
from onlineml.data.checks import check
from onlineml.data.formats.videos import VideoFinding, VideoFindings
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.data.manifest.changes import changes
from onlineml.data.manifest.manifest import Manifest
from onlineml.evaluation import (
    CocoScores,
    Detections,
    classification_scores,
    compare,
    detection_scores,
    multilabel_scores,
)
from onlineml.improving.gate.decide import gate
from onlineml.improving.outcome import Outcome
from onlineml.jobs.html import jobs_html, status_html
from onlineml.jobs.status import JobStatus
from onlineml.pages import markup, render, table
from onlineml.pages.render import _environment
from onlineml.project.frames import UploadedVideo
from onlineml.project.intake import UploadedFiles
from onlineml.registry.versions import ModelVersion
from onlineml.training.panel_html import PanelFacts, panel_html
from onlineml.widgets import Gallery, Relabel, Upload
from places import ROOT

EVIL = "<script>alert(1)</script>'\""
NAMES = [EVIL, "dog", "owl"]
IDS = [f"{EVIL}{i}" for i in range(4)]
WHERE = {"image_ids": IDS, "uris": IDS, "slices": {EVIL: [EVIL, None, "a", EVIL]}, "model_ref": EVIL, "split": EVIL,
         "manifest_hash": EVIL, "thumbnails": dict.fromkeys(IDS[:3], png()), "n_bootstrap": 3}  # fmt: skip


def classified(*, right):
    probabilities = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.3, 0.6, 0.1]])
    return classification_scores(probabilities, [0, 0 if right else 1, 1, 0], NAMES, **WHERE)


def labelled(*, right):
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.6], [0.6, 0.3, 0.1], [0.7 if right else 0.3, 0.6, 0.1]])
    truth = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 0]], bool)
    return multilabel_scores(probabilities, truth, NAMES, **WHERE)


def detected(*, right):
    boxes = np.array([[0, 0, 10, 10.0], [20, 20, 40, 40], [5, 5, 9, 9]])
    truth = Boxes(boxes, np.array([0, 1, 0]), np.zeros(3, bool), np.full(3, np.nan), np.array([0, 1, 2, 3, 3]),
                  np.ones(4, bool))  # fmt: skip
    found = Detections(
        np.array([0, 1, 3]), boxes + (0 if right else 30), np.array([0, 0, 0]), np.array([0.9, 0.8, 0.7]), 4
    )
    return detection_scores(truth, found, NAMES, sizes_hw=[(50, 80)] * 4, **WHERE)


def compared(make):
    a, b = make(right=True), make(right=True)
    if make is not classified:
        b = make(right=False)
    return compare(a, b, n_resamples=5)


def outcome():
    names = {f.name: EVIL for f in fields(Outcome) if f.type == "str"}
    decided = gate(classified(right=True), classified(right=True), rules=[lambda _: EVIL])
    return Outcome(**{**names, "verdict": "reject"}, promoted=False, reasons=(EVIL,), gate=decided, new_classes=(EVIL,))


def manifest(label=EVIL):
    rows = {"image_id": IDS, "uri": IDS, "label": [label, "dog", "dog", "owl"], "split": ["train", "val", None, "test"]}
    return Manifest(pa.table(rows), tuple(dict.fromkeys([label, "dog", "owl"])), root=f"memory://{EVIL}")


def status():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return JobStatus(EVIL, EVIL, "running", 1, now, EVIL, 7, 3.0, {"progress": 0.5}, EVIL, EVIL)


@pytest.fixture
def project(tmp_path):
    made = oml.Project.create(tmp_path / "it's <script>alert(1)</script>", title=EVIL, class_names=NAMES)
    made.images.upload(png(), label=EVIL, author=EVIL)
    return made


CELLS = {
    "classification": lambda: classified(right=False),
    "detection": lambda: detected(right=False),
    "multi-label": lambda: labelled(right=False),
    "comparison of classifiers": lambda: compared(classified),
    "comparison of detectors": lambda: compared(detected),
    "comparison of labels": lambda: compared(labelled),
    "gate": lambda: outcome().gate,
    "outcome": outcome,
    "COCO": lambda: CocoScores((EVIL,), 1, np.array([2]), *[0.5] * 12, *np.zeros((3, 1))),
    "manifest": manifest,
    "changes": lambda: changes(manifest("dog"), manifest()),
    "check": lambda: check(manifest(), max_bad=1.0),
    "videos": lambda: VideoFindings((VideoFinding(*[EVIL] * len(VideoFinding._fields)),), 1, 2),
    "model": lambda: ModelVersion(f"memory://{EVIL}", EVIL),
    "uploaded files": lambda: UploadedFiles((EVIL,), {EVIL: 1}, {EVIL: EVIL}),
    "uploaded video": lambda: UploadedVideo(EVIL, EVIL, (EVIL,), EVIL, ()),
}


def no_markup(text):
    assert "<script" not in text
    assert "alert(1)" in text
    page = Page(str(text))
    assert not page.open
    assert EVIL in page.text


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_and_a_page_have_no_markup_of_users(name):
    made = CELLS[name]()
    no_markup(made._repr_html_())
    if hasattr(made, "to_html"):
        no_markup(made.to_html())


def test_jobs_and_panels_have_no_markup_of_users():
    facts = PanelFacts(EVIL, rows=[{"train_loss": 1.0}], now={"seconds": 2.0}, notes=(EVIL,), log=EVIL, samples=png())
    for text in (status_html(status(), log=EVIL), jobs_html([status()]), panel_html(facts)):
        no_markup(text)


def test_a_project_and_its_widgets_have_no_markup_of_users(project):
    upload = Upload(project)
    upload.refused[EVIL] = EVIL
    views = [Gallery(project), Relabel(project), upload]
    for text in (project._repr_html_(), project.labels.state()._repr_html_(), *(view.static_html() for view in views)):
        assert "<script" not in text
        assert not Page(str(text)).open


def test_control_characters_are_visible_and_other_markup_stays():
    shown = "a\N{REPLACEMENT CHARACTER}\n&lt;"
    assert markup("<b>{}</b>", "a\x00\n<") == f"<b>{shown}</b>"
    assert f"<td>{shown}</td>" in table("", ["x"], [["a\x00\n<"]])
    assert "<th><b>x</b></th>" in table("", [markup("<b>x</b>")], [[1]])


def test_a_missing_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'header' is undefined"):
        render("pages/table.html", {"rows": [1], "head": "", "foot": ""})


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("templates/*.html")), ids=lambda path: path.name)
def test_templates_escape_everything(path):
    text = path.read_text(encoding="utf-8")
    _environment().from_string(text)
    assert "autoescape" not in text
    assert text.count("|safe") == text.count("'|safe")  # of a literal alone
