"""Links, pictures and explained messages of the documentation: what they name is there."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from places import ROOT
from shown_blocks import pages

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = ROOT / "src" / "onlineml"
COPIED = ROOT / "docs" / "start" / "notebooks"  # when the documentation is built
TROUBLES = ROOT / "docs" / "start" / "troubleshooting.md"
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|:::).*?^\1$", re.MULTILINE | re.DOTALL)
_CAPTION_TREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MOST_BYTES = 300_000  # of all pictures


def texts() -> dict[Path, str]:
    """Pages and notebooks, without their blocks of code."""
    found = {page: page.read_text(encoding="utf-8") for page in [*pages(), ROOT / "CONTRIBUTING.md"]}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found[path] = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return {path: _FENCE.sub("", text) for path, text in found.items()}


def target(page: Path, link: str) -> Path:
    """The file that a link of a page leads to; the built copies of notebooks are the notebooks."""
    found = (page.parent / link).resolve()
    return ROOT / "notebooks" / found.name if found.parent == COPIED else found


@cache
def anchors(page: Path) -> set[str]:
    """Names by which GitHub and MyST address the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    found = []
    for link in _LINK.findall(text):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        at = target(page, path) if path else page
        if not at.exists() or (anchor and anchor not in anchors(at)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", texts(), ids=lambda page: page.name)
def test_every_link_and_picture_is_there(page: Path) -> None:
    assert broken_links(page, texts()[page]) == []


def test_every_test_that_a_promise_names_is_there() -> None:
    missing = []
    for page in ("reliability", "security"):
        text = (ROOT / "docs" / "storage" / f"{page}.md").read_text(encoding="utf-8")
        named = set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text))
        files = {name: (ROOT / name).read_text(encoding="utf-8") for name, _ in named if (ROOT / name).exists()}
        missing += [name for name in named if f"def {name[1]}" not in files.get(name[0], "")]
        begun = re.findall(r"`(test_\w+)…?", text)
        missing += [name for name in begun if not any(f"def {name}" in content for content in files.values())]
        assert len(named) > 10
    assert missing == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One heading\n", encoding="utf-8")

    assert broken_links(page, "[1](a.md#one-heading) [2](b.md) ![3](c.png) [4](#two) [5](https://a.b)") == [
        "b.md",
        "c.png",
        "#two",
    ]


def test_every_page_is_in_the_sidebar_once() -> None:
    listed = []
    for page in pages()[1:]:
        for tree in _CAPTION_TREE.findall(page.read_text(encoding="utf-8")):
            lines = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed += [(page.parent / re.sub(r".*<(.+)>", r"\1", line)).resolve() for line in lines]
    docs = [page.with_suffix("") for page in pages()[1:] if page.name != "index.md"]

    assert sorted(path for path in listed if path.parent != COPIED) == sorted(docs)


def test_the_pictures_are_small_and_all_are_shown() -> None:
    pictures = [path for path in (ROOT / "docs" / "_static").rglob("*") if path.suffix in {".png", ".webp"}]
    shown = {target(page, link) for page, text in texts().items() for link in _LINK.findall(text)}

    assert sum(path.stat().st_size for path in pictures) < _MOST_BYTES
    assert [path for path in pictures if path not in shown] == []


@cache
def templates() -> tuple[str, ...]:
    """Every text in the source, its values as NUL."""
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(v.value if isinstance(v, ast.Constant) else "\0" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def is_said(message: str) -> bool:
    """Whether a text of the source has the pieces of a message between its ``…``, in this order."""
    pieces = [piece.strip() for piece in message.split("…")]
    return any(_in_order(pieces, template) for template in templates())


def _in_order(pieces: list[str], text: str) -> bool:
    at = 0
    for piece in pieces:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True


MESSAGES = re.findall(r"^`(.+)`\n: ", TROUBLES.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_is_explained_is_one_of_ours(message: str) -> None:
    assert is_said(message)


def test_other_words_are_no_message_of_ours() -> None:
    assert len(MESSAGES) > 30
    assert not is_said("the run … is done; pass a new run, or the URL of a new one")
    assert not is_said("pass a new run … the run")
