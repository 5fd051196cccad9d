"""Debian's Chromium, one JupyterLab for all browser tests, and a page for each, whose errors fail the test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab_page import LabPage
from lab_server import Lab, jupyter_lab, write_notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

SHOTS = Path(__file__).parents[2] / ".browser"  # git ignores it; CI keeps it
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--no-first-run"]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyter_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def lab_page(browser: Browser, lab: Lab, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """A page of the test's own."""
    page = LabPage(browser, lab, SHOTS)
    yield from _watched(page, request)
    page.close()


@pytest.fixture(scope="session")
def one_page(browser: Browser, lab: Lab) -> Iterator[LabPage]:
    """A page with one notebook, and so one kernel, for the tests that ask for none of their own."""
    page = LabPage(browser, lab, SHOTS)
    write_notebook(lab.root / "shared.ipynb", ["", ""])
    page.open("shared.ipynb")
    yield page
    page.close()


@pytest.fixture
def shared_page(one_page: LabPage, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    yield from _watched(one_page, request)


def _watched(page: LabPage, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """The page, and afterwards what it told."""
    yield page
    page.shot(f"last-{request.node.name}")  # where it was, should it have failed
    told = page.errors.copy()
    page.errors.clear()  # those of this test alone
    assert not told, "the page told of errors:\n" + "\n".join(told)
