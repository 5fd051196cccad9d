"""Every widget for every task, in a real browser: what each key and button does, and what a person is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accessible import axe_violations, cut_off, illegible, nameless
from tasks_shown import picture, shown_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab_page import LabPage
    from lab_server import Lab
    from onlineml.project.project import Project

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SUPPORT = str(Path(__file__).parents[1] / "support")
LABELLED = ["classification", "multilabel"]
TASKS = [*LABELLED, "detection"]
WIDTHS = (640, 853, 1280)  # the second is what a zoom of 150 % leaves of the third


class Desk:
    """A person before one widget of one project."""

    def __init__(self, page: LabPage, lab: Lab, task: str, name: str) -> None:
        self.lab_page, self.page, self.task = page, page.page, task
        self.folder = lab.root / f"{name}-{task}-{len(list(lab.root.iterdir()))}"
        self.project, self.ids = shown_project(self.folder, task)

    def show(self, code: str) -> None:
        """Run a cell, in which `project` and `ids` are known."""
        lines = [f"import sys; sys.path.insert(0, {SUPPORT!r})", "from onlineml import Project"]
        lines += ["from onlineml.widgets import *", "from tasks_shown import *"]
        lines += [f"project = Project.open({str(self.folder)!r})", f"ids = {self.ids}", code]
        self.lab_page.show("\n".join(lines))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, selector: str) -> None:
        self.page.wait_for_selector(selector)

    def now(self) -> Project:
        return type(self.project).open(self.folder)

    def value(self, place: int) -> object:
        """The labels, or the classes of the boxes, of an image."""
        row = self.now().labels.state().row(self.ids[place])
        return row["label"] if self.task == "classification" else row["labels"]

    def focused(self) -> str:
        """The class names of what hears keys."""
        return str(self.page.evaluate("() => document.activeElement?.getAttribute('class') ?? ''"))

    def alerts(self) -> list[str]:
        """What is told as an error."""
        return self.page.locator(".oml-alert:visible").all_inner_texts()

    def button(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click()


@pytest.fixture
def desk(lab: Lab, shared_page: LabPage, request: pytest.FixtureRequest) -> Callable[[str], Desk]:
    return lambda task: Desk(shared_page, lab, task, request.node.originalname)


# ---- all of them ----

# what is run, what is seen when it is there, and what a person then does
WIDGETS = {
    "Gallery": ("Gallery(project)", ".oml-gallery .oml-card:nth-child(6) img", ["ArrowRight", "Enter", "ArrowRight"]),
    "Relabel": ("Relabel(project, ids)", ".oml-relabel .oml-card:nth-child(6) img", ["ArrowRight", "+"]),
    "BoxEditor": ("BoxEditor(project, ids)", ".oml-editor [aria-busy=false] [role=option]", ["Tab"]),
    "Upload": ("Upload(project)", ".oml-upload .oml-title:not(:empty)", []),
    "Results": ("Results(shown_scores(project))", ".oml-gallery .oml-card:nth-child(6) img", ["Enter"]),
    "ProgressPanel": ("ProgressPanel(shown_run(project))", ".oml-run .oml-panel img", []),
}
CASES = [(name, task) for name in WIDGETS for task in TASKS
         if {"Relabel": task in LABELLED, "BoxEditor": task == "detection"}.get(name, True)]  # fmt: skip


KEYS = ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "End", "Home", "Shift+ArrowRight", "Enter", "Escape"]
KEYS += ["PageDown", "PageUp", "+", "-", "0", "1", "7", "Space", "Backspace", "Delete", "Control+z", "Control+Shift+z"]
KEYS += ["a", "b", "d", "d", "x", "Shift+Enter", "/", "Escape", "Tab"]


def try_everything(at: Desk) -> list[str]:
    """Press each key and each button; returns what went wrong: an alert, or a button that kept the focus."""
    found = []
    for key in KEYS:
        at.page.locator(".oml [tabindex='0'], .oml[tabindex='0']").first.focus()
        at.press(key)
        found += [f"{key}: {text}" for text in at.alerts()]
    buttons = at.page.locator(".oml button:visible:enabled")
    labels = {str(one.get_attribute("aria-label") or one.inner_text()) for one in buttons.all()}
    for label in sorted(labels):
        button = at.page.locator(".oml").get_by_role("button", name=label, exact=True).first
        if not button.count() or not button.is_enabled():
            continue
        button.click()
        if not at.page.locator(".oml-question:visible").count():
            assert not at.page.locator(".oml button:focus").count(), f"{label} keeps the focus"
        at.press("Escape")
        found += [f"{label}: {text}" for text in at.alerts()]
    return found


@pytest.mark.parametrize(("name", "task"), CASES)
def test_each_widget_for_each_task(desk: Callable[[str], Desk], name: str, task: str) -> None:
    code, there, keys = WIDGETS[name]
    at = desk(task)
    at.show(code)
    at.wait(there)
    home = at.page.locator(".oml [tabindex='0'], .oml[tabindex='0']").first
    home.focus()
    at.press(*keys)
    if "Enter" in keys:
        at.page.locator(".oml-detail img").wait_for()
    if at.page.locator(".oml [role=option]").count():
        pointed = at.page.evaluate("() => document.activeElement.getAttribute('aria-activedescendant')")
        assert at.page.locator(f"[id='{pointed}'][aria-selected='true']").count() == 1
    at.press("?")
    assert at.page.locator(".oml-help[open]").is_visible()
    assert at.page.locator(".oml").get_attribute("aria-label")
    found = [f"no name: {role}" for role in nameless(at.page, ".oml")]
    for theme in ["Light", "Dark"]:
        at.lab_page.theme(theme)
        found += [f"{theme}: {one}" for one in illegible(at.page, ".oml") + axe_violations(at.page, ".oml")]
        for width in WIDTHS:
            at.lab_page.resize(width)
            found += [f"{width} pixels: {one} is cut off" for one in cut_off(at.page, ".oml")]
            at.lab_page.shot(f"widget-{name}-{task}-{width}-{theme.lower()}", at.page.locator(".oml"))
    at.lab_page.theme("Light")
    home.focus()  # JupyterLab may take it when the window changes
    at.press("?")
    assert not at.page.locator(".oml-help[open]").count()
    found += try_everything(at)
    assert len(at.lab_page.cells()) == 2, "keys of a widget are none of the notebook"
    assert not found, "\n".join(found)


def test_every_widget_says_that_the_kernel_was_restarted(desk: Callable[[str], Desk]) -> None:
    shown = {"detection": ["Gallery", "BoxEditor", "Upload", "Results", "ProgressPanel"]}
    shown |= {task: ["Relabel"] for task in LABELLED}
    lines = ["import time", "from IPython.display import display"]
    for task, names in shown.items():
        at = desk(task)
        lines += [f"project, ids = Project.open({str(at.folder)!r}), {at.ids}"]
        lines += [f"display({WIDGETS[name][0]})\ntime.sleep(0.5)  # anywidget gives each ten seconds" for name in names]
    at.show("\n".join(lines))
    for name in WIDGETS:
        at.wait(WIDGETS[name][1])
    at.lab_page.restart()
    told = at.page.get_by_role("alert").filter(has_text="The kernel was restarted")
    for place in range(sum(map(len, shown.values()))):
        told.nth(place).wait_for()


# ---- Relabel ----


def open_grid(desk: Desk, options: str = "") -> None:
    desk.show(f'grid = Relabel(project, ids, author="ann"{options})\ngrid')
    desk.wait(".oml-relabel .oml-card:nth-child(6) img")
    desk.page.locator(".oml-card").first.click()


@pytest.mark.parametrize("task", LABELLED)
def test_relabel_answers_by_keys_and_buttons_and_takes_back(desk: Callable[[str], Desk], task: str) -> None:
    at = desk(task)
    open_grid(at)
    several = task == "multilabel"
    for key in ["ArrowRight", "ArrowRight", "Enter"]:  # the third has a suggestion
        at.press(key)
    at.page.locator('.oml-card[aria-selected="true"]').wait_for()
    at.press("7")  # the fourth: a class that is called by a digit has that one
    if several:
        at.press("Enter")
    at.press("Enter" if several else " ")  # the fifth has none
    at.button("Skip")
    assert "oml-grid" in at.focused(), "a button gives the focus back"
    at.press("Backspace")
    at.wait('.oml-relabel[data-waiting="0"]')
    assert at.value(2) == (["7", "cow"] if several else "cow")
    assert at.value(3) == (["cow"] if several else "7")  # it was among the suggested ones
    assert not at.now().labels.state().conflicts


@pytest.mark.parametrize("task", TASKS)
def test_a_class_is_found_by_a_prefix_and_created_only_when_asked_for(desk: Callable[[str], Desk], task: str) -> None:
    at = desk(task)
    if task == "detection":
        at.show("BoxEditor(project, ids[:1])")
        at.wait('.oml-editor [aria-busy="false"] [role="option"]')
        at.page.locator(".oml-stage").focus()
        at.press("Tab")
    else:
        open_grid(at)
    at.press("/", "c", "Enter")  # cat and cow begin so: nothing happens yet
    field = at.page.locator(".oml-find")
    assert field.evaluate("(node) => document.activeElement === node")
    at.press("Escape", "/", *"cow")
    at.press("Enter")
    assert at.now().classes.names() == ("cat", "cow", "7")
    at.press("/", *"ox", "ArrowDown", "Enter")
    at.page.get_by_text("the class “ox” was added").wait_for()
    assert at.now().classes.names() == ("cat", "cow", "7", "ox")
    at.button("Undo")
    if task == "detection":
        at.button("Undo")
    at.button("Undo")
    at.page.get_by_text("is gone again").wait_for()
    assert at.now().classes.names() == ("cat", "cow", "7")


def two_views(desk: Desk, code: str) -> None:
    desk.show(f"from IPython.display import display\nview = {code}\ndisplay(view.widget)\nview")
    desk.page.wait_for_function("() => document.querySelectorAll('.oml').length === 2")


@pytest.mark.parametrize("task", LABELLED)
def test_two_views_of_a_grid_follow_each_other(desk: Callable[[str], Desk], task: str) -> None:
    at = desk(task)
    two_views(at, 'Relabel(project, ids, author="ann")')
    first, second = at.page.locator(".oml-relabel").first, at.page.locator(".oml-relabel").nth(1)
    for grid in (first, second):
        grid.locator(".oml-card:nth-child(6) img").wait_for()
    first.locator(".oml-card").nth(4).click()
    at.press("1")
    second.locator('.oml-card:nth-child(5):not([data-state="open"])').wait_for()
    second.locator(".oml-card").nth(4).click()
    at.press("7")
    card = first.locator(".oml-card:nth-child(5)")  # not the list of classes, which has a 7 from the beginning
    card.get_by_text("7", exact=True).or_(card.get_by_text("7, cat", exact=True)).first.wait_for()
    at.wait('.oml-relabel[data-waiting="0"]')
    assert at.value(4) == (["7", "cat"] if task == "multilabel" else "7")
    first.locator(".oml-card").nth(4).click()
    at.press("Backspace")  # its own answer, not that of the other view
    at.page.wait_for_function("() => true")
    assert not at.now().labels.state().conflicts


def test_two_views_of_an_editor_follow_each_other(desk: Callable[[str], Desk]) -> None:
    at = desk("detection")
    two_views(at, 'BoxEditor(project, ids[:1], author="ann")')
    first, second = at.page.locator(".oml-editor").first, at.page.locator(".oml-editor").nth(1)
    for editor in (first, second):
        editor.locator("[aria-busy=false] [role=option]").wait_for()
    first.locator(".oml-stage").focus()
    at.press("Tab", "7", "Enter")
    second.locator('[role=option][aria-label="7"]').wait_for()
    second.locator(".oml-stage").focus()
    at.press("Tab", "2", "Enter")
    first.locator('[role=option][aria-label="cow"]').wait_for()
    assert at.value(0) == ["cow"]
    assert not at.now().labels.state().conflicts


@pytest.mark.parametrize("task", LABELLED)
def test_a_page_is_accepted_from_a_score_on_and_not_over_labels(desk: Callable[[str], Desk], task: str) -> None:
    at = desk(task)
    open_grid(at)
    at.page.get_by_label("least score").fill("95")
    assert at.page.get_by_role("button", name="Accept page (0)").is_disabled()
    at.page.get_by_label("least score").fill("75")
    at.button("Accept page (3)")
    at.button("Accept the 2 others")
    at.wait('.oml-relabel[data-waiting="0"]')
    guessed, before = (["7", "cow"], ["cat"]) if task == "multilabel" else ("cow", "cat")
    assert [at.value(place) for place in (1, 2, 3)] == [before, guessed, guessed]
    at.button("Accept page (1)")
    at.button("Replace 1 label")
    at.wait('.oml-relabel[data-waiting="0"]')
    assert at.value(1) == guessed


def test_what_was_not_saved_when_the_kernel_ended_comes_back(desk: Callable[[str], Desk], tmp_path: Path) -> None:
    at = desk("classification")
    open_grid(at)
    at.lab_page.restart()
    at.page.get_by_role("alert").filter(has_text="The kernel was restarted").wait_for()
    at.page.locator(".oml-card").nth(4).click()
    at.press("2")
    at.page.get_by_text("1 answer of yours could not be saved").wait_for()
    open_grid(at)
    at.button("Save now")
    at.wait('.oml-card:nth-child(5)[data-state="corrected"]')
    assert at.value(4) == "cow"

    (tmp_path / "late.png").write_bytes(picture(99))
    at.show("Upload(project)")
    at.wait(".oml-upload .oml-title:not(:empty)")
    at.lab_page.restart()
    at.page.get_by_role("alert").filter(has_text="The kernel was restarted").wait_for()
    with at.page.expect_file_chooser() as chooser:
        at.button("Choose files")
    chooser.value.set_files([tmp_path / "late.png"])
    at.page.get_by_text("1 file not stored yet").wait_for()
    at.show("Upload(project)")
    at.button("Upload them")
    at.wait('.oml-upload[data-added="1"]')
    assert len(at.now().labels.state()) == 7


def test_boxes_that_were_changed_when_the_kernel_ended_come_back(desk: Callable[[str], Desk]) -> None:
    at = desk("detection")
    at.show("BoxEditor(project, ids[:1])")
    at.wait(".oml-editor [aria-busy=false] [role=option]")
    at.page.locator(".oml-stage").focus()
    at.press("Tab", "ArrowRight", "ArrowRight", "7")
    at.lab_page.restart()
    at.page.get_by_text("The boxes that you changed are kept").wait_for()
    at.show("BoxEditor(project, ids[:1])")
    at.page.get_by_text("Your changes that were not saved are back").wait_for()
    at.page.locator(".oml-stage").focus()
    at.press("Enter")
    at.wait('.oml-editor[data-answered="1"]')
    row = at.now().labels.state().row(at.ids[0])
    assert (row["boxes_xyxy"], row["labels"]) == ([[12.0, 8.0, 42.0, 30.0]], ["7"])
