"""Debian's Chromium, one JupyterLab for all browser tests, and a page for each, whose errors fail the test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab_page import LabPage
from lab_server import Lab, jupyter_lab

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
    page = LabPage(browser, lab, SHOTS)
    yield page
    page.shot(f"last-{request.node.name}")  # where it was, should it have failed
    page.close()
    assert not page.errors, "the page told of errors:\n" + "\n".join(page.errors)
