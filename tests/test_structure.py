"""The house keeps its shape: numbers that may only fall, and floors that know only those below them.

Lower a number here when you make it smaller; nobody raises one.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest

from places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = ROOT / "src" / "onlineml"

# From the ground up: a package imports those of lower floors only, and no neighbour of its own.
FLOORS = (
    {"errors", "lazy", "pages"},
    {"arguments"},
    {"storage"},
    {"data"},
    {"models", "evaluation", "registry", "runs"},
    {"tasks"},
    {"training"},
    {"jobs"},
    {"project"},
    {"inference"},
    {"improving", "exporting"},
    {"widgets", "serving", "ray"},
    {"worker"},
    {"cli"},
    {"__main__"},
)

# What may only fall.
AT_MOST = {
    "task switches": 1,
    "private modules imported by another package": 0,
    "imports of a higher floor or a neighbour": 0,
    "modules at the package's root": 3,
    "modules of more than 300 lines": 3,
    "functions of more than 60 lines": 5,
}

TASKS = {"classification", "detection", "multilabel"}
TYPES_OF_TASKS = {"ImageClassifier", "ObjectDetector", "Detector", "ClassificationDataModule", "DetectionDataModule"}
TYPES_OF_TASKS |= {"ClassificationScores", "DetectionScores", "MultilabelScores", "Predictions", "DetectionRows"}
TYPES_OF_TASKS |= {"MultilabelClassifier", "MultilabelDataModule", "LabelRows"}
TASK_CONSTANTS = {"DETECTION", "CLASSIFICATION", "MULTILABEL"}


_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_LOOKED_AT = (
    *(ast.Import, ast.ImportFrom, ast.If, ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef),
    *(ast.Compare, ast.Call, ast.Dict, ast.arg, ast.match_case),
)


class Import(NamedTuple):
    """An import of one of our modules.

    Attributes:
        importer: dotted name of the module that imports.
        imported: dotted name of the module that is imported.
        typing: whether type checkers alone see it.
    """

    importer: str
    imported: str
    typing: bool


@cache
def modules() -> dict[str, Path]:
    """Paths by dotted name, the package itself as ``onlineml``."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


@cache
def nodes(name: str) -> tuple[ast.AST, ...]:
    """The nodes that the counts below look at; walking a tree takes time, so it is done once."""
    return tuple(node for node in ast.walk(tree(name)) if isinstance(node, _LOOKED_AT))


def _typing_nodes(name: str) -> set[ast.AST]:
    """Everything below ``if TYPE_CHECKING:``."""
    blocks = [n for n in nodes(name) if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


@cache
def imports() -> tuple[Import, ...]:
    found = []
    for name in modules():
        typing = _typing_nodes(name)
        for node in nodes(name):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "onlineml":
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [target if target in modules() else str(node.module) for target in targets]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names if alias.name.split(".")[0] == "onlineml"]
            else:
                continue
            found += [Import(name, target, node in typing) for target in targets]
    return tuple(found)


def package(name: str) -> str:
    """The package on a floor that a module belongs to; empty for ``onlineml`` itself, which names them all."""
    return name.split(".")[1] if "." in name else ""


def floor(name: str) -> int:
    (found,) = [i for i, packages in enumerate(FLOORS) if package(name) in packages]
    return found


# ---- what is counted ----


def _names_a_task(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value in TASKS
    if isinstance(node, ast.Set | ast.Tuple | ast.List):
        return any(_names_a_task(one) for one in node.elts)
    return isinstance(node, ast.Name) and node.id in TASK_CONSTANTS


def _switches(node: ast.AST) -> Iterator[ast.AST]:
    """The node itself where it asks which task this is."""
    if isinstance(node, ast.Compare):
        if any(_names_a_task(one) for one in (node.left, *node.comparators)):
            yield node
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        if {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)} & TYPES_OF_TASKS:
            yield node
    elif isinstance(node, ast.Dict):
        if any(key is not None and _names_a_task(key) for key in node.keys):
            yield node
    elif isinstance(node, ast.arg) and node.arg in {"boxes", "detection", "detector"}:
        if node.annotation is not None and ast.unparse(node.annotation) == "bool":
            yield node
    elif isinstance(node, ast.match_case):
        yield from (n for n in ast.walk(node.pattern) if _names_a_task(n))


def task_switches() -> list[str]:
    found = []
    for name in modules():
        for node in nodes(name):
            found += [f"{name}:{getattr(one, 'lineno', '?')}" for one in _switches(node)]
    return found


def private_across_packages() -> list[str]:
    found = []
    for importer, imported, _ in imports():
        *folder, last = imported.split(".")
        home = importer if modules()[importer].name == "__init__.py" else importer.rpartition(".")[0]
        if last.startswith("_") and home != ".".join(folder):
            found.append(f"{importer} imports {imported}")
    return found


def upward_imports() -> list[str]:
    found = []
    for importer, imported, typing in imports():
        if not package(importer) or not package(imported) or package(importer) == package(imported) or typing:
            continue
        if floor(imported) >= floor(importer):
            found.append(f"{importer} imports {imported}")
    return found


def modules_at_the_root() -> list[str]:
    return [path.name for path in SOURCE.glob("*.py") if path.name != "__main__.py"]  # where Python looks for it


def long_modules() -> list[str]:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    return [f"{name}: {n} lines" for name, n in lengths.items() if n > 300]


def long_functions() -> list[str]:
    found = []
    for name in modules():
        for node in nodes(name):
            if isinstance(node, _FUNCTIONS):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 60:
                    found.append(f"{name}.{node.name}: {lines} lines")
    return found


COUNTED = {
    "task switches": task_switches,
    "private modules imported by another package": private_across_packages,
    "imports of a higher floor or a neighbour": upward_imports,
    "modules at the package's root": modules_at_the_root,
    "modules of more than 300 lines": long_modules,
    "functions of more than 60 lines": long_functions,
}


@pytest.mark.parametrize("what", COUNTED)
def test_the_number_may_only_fall(what: str) -> None:
    found = COUNTED[what]()
    assert len(found) <= AT_MOST[what], "\n".join([f"{len(found)} {what}, {AT_MOST[what]} allowed:", *found])


def test_every_package_has_a_floor() -> None:
    assert {package(name) for name in modules()} - {""} == set().union(*FLOORS)


def _circle(arrows: dict[str, set[str]]) -> list[str]:
    """Names that lead back to the first of them; empty where none do."""

    def search(name: str, path: list[str], done: set[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for following in sorted(arrows.get(name, ())):
            if circle := search(following, [*path, name], done):
                return circle
        done.add(name)
        return []

    done: set[str] = set()
    return next((circle for name in sorted(arrows) if (circle := search(name, [], done))), [])


def test_a_circle_is_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_packages_need_each_other_even_for_types() -> None:
    arrows: dict[str, set[str]] = defaultdict(set)
    for importer, imported, _ in imports():
        a, b = package(importer), package(imported)
        if a and b and a != b:
            arrows[a].add(b)
    circle = _circle(arrows)
    between = [f"{one.importer} imports {one.imported}" for one in imports() for a, b in pairwise(circle)
               if (package(one.importer), package(one.imported)) == (a, b)]  # fmt: skip
    assert not circle, "\n".join([" -> ".join(circle), *between])


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    questions = ("What", "Which", "Where", "How", "Whether", "Who", "When", "Why")
    found = []
    for name in modules():
        for node in nodes(name):
            if isinstance(node, ast.Module | ast.ClassDef | _FUNCTIONS):
                first = (ast.get_docstring(node) or "").split(maxsplit=1)[:1]
                if first and first[0].rstrip(",.:") in questions:
                    found.append(f"{name}.{getattr(node, 'name', '')}")
    assert not found, "\n".join(found)


def test_no_two_files_of_tests_have_one_name() -> None:
    """Prevent a collection error: pytest imports test files by their names alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
