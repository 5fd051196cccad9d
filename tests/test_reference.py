"""The reference has every public name, and every name that a page uses exists and is in the reference."""

from __future__ import annotations

import inspect
import operator
import pkgutil
import re
from functools import cache
from typing import Any

import pytest

import onlineml
from places import ROOT
from shown_blocks import pages

REFERENCE = ROOT / "docs" / "reference"
_DIRECTIVE = re.compile(r"^\.\. auto(class|data|exception|function|module):: ([\w.]+)\n((?:   :.*\n)*)", re.MULTILINE)
_NAMED = re.compile(r"(?<![\w/`.-])(?:oml|onlineml)((?:\.[A-Za-z_]\w*)+)|`(?:oml|onlineml)((?:\.[A-Za-z_]\w*)+)")
_OF_A_PROJECT = (
    re.compile(r"(?<![\w./])project\.([a-z_]\w*(?:\.[a-z_]\w*)*)(?=[(`])(?<!json)"),
    re.compile(r"`((?:labels|images|classes|datasets|models|runs|jobs)\.(?!csv|txt|json|parquet)[a-z_]\w*)"),
)
GROUPS = {".formats", ".kinds"}  # of entry points: no modules


@cache
def reference() -> tuple[tuple[str, Any, tuple[str, ...]], ...]:
    """The name of each directive, what it is of, and which of its members are shown: all of them is ``*``."""
    found = []
    pages_of_it = "".join(path.read_text(encoding="utf-8") for path in sorted(REFERENCE.glob("*.md")))
    for _, name, options in _DIRECTIVE.findall(pages_of_it):
        members = re.search(r":members:(.*)\n", options)
        shown = tuple(re.findall(r"\w+", members[1])) or ("*",) if members else ()
        found.append((name, pkgutil.resolve_name(name), shown))
    return tuple(found)


def is_in_the_reference(value: Any, *, of: Any = None, name: str = "") -> bool:
    """Whether a value is, by itself or as a member of what is."""
    for path, documented, shown in reference():
        if value is documented or (inspect.ismodule(value) and f"{path}.".startswith(f"{value.__name__}.")):
            return True
        if inspect.ismodule(documented):
            names = documented.__all__ if shown == ("*",) else shown
            if any(value is getattr(documented, one) for one in names):
                return True
        elif of is documented and (shown == ("*",) or name in shown):
            return True
    return False


def named(page: str) -> set[str]:
    """Dotted names below ours that a text uses."""
    return {first or second for first, second in _NAMED.findall(page)} - GROUPS


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_name_that_a_page_uses_exists_and_is_in_the_reference(page: Any) -> None:
    for name in sorted(named(page.read_text(encoding="utf-8"))):
        value, above = (
            pkgutil.resolve_name(f"onlineml{name}"),
            pkgutil.resolve_name(f"onlineml{name.rpartition('.')[0]}"),
        )
        assert is_in_the_reference(value, of=above, name=name.rpartition(".")[2]), f"onlineml{name}"


@pytest.mark.parametrize("folder", ["README.md", "docs", "notebooks", "src"])
def test_every_method_of_a_project_that_a_text_names_exists(folder: str) -> None:
    """In pages and notebooks, and in the remedies of errors."""
    project = onlineml.Project.create("memory://methods-of-a-project", exist_ok=True)
    paths = [ROOT / folder, *(ROOT / folder).rglob("*.*")]
    texts = [path.read_text(encoding="utf-8") for path in paths if path.suffix in {".md", ".ipynb", ".py"}]
    for name in {one for text in texts for pattern in _OF_A_PROJECT for one in pattern.findall(text)}:
        assert operator.attrgetter(name)(project) is not None, f"project.{name}"


# Folders of single formats, tasks and pages: their names are reached by those of the packages above them.
INTERNAL = ("pages", "data.images", "data.formats.", "tasks.")


@cache
def public_packages() -> list[str]:
    found = [one.name for one in pkgutil.walk_packages(onlineml.__path__, "onlineml.") if one.ispkg]
    return ["onlineml", *(name for name in found if not name.removeprefix("onlineml.").startswith(INTERNAL))]


def test_every_public_name_is_in_the_reference() -> None:
    packages = [pkgutil.resolve_name(package) for package in public_packages()]
    names = [(package, name) for package in packages for name in getattr(package, "__all__", ())]
    missing = [
        f"{package.__name__}.{name}"
        for package, name in names
        if not is_in_the_reference(getattr(package, name), of=package, name=name)
    ]

    assert missing == []
