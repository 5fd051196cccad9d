"""The blocks of code that a page of the documentation shows, and running them as a reader would."""

from __future__ import annotations

import ast
import builtins
import contextlib
import doctest
import io
import re
import symtable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.cli import main as cli
from onlineml.jobs.notebooks import parameters_of
from places import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

MARK = "not run by the tests: "  # said in a comment that the reader sees, with the reason
LANGUAGES = ("python", "console")

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOW = "_show_"


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: the file.
        line: number of its first line.
        language: what its fence says.
        text: its lines.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        return MARK not in self.text.partition("\n")[0]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """README and those of docs/, in whatever folder."""
    found = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", *sorted(found, key=lambda path: path.name)]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [(text.count("\n", 0, one.start(2)) + 1, one[1], one[2]) for one in _FENCE.finditer(text)]
    return [Block(page, line, language, shown) for line, language, shown in found if language in LANGUAGES]


def shown_before(block: Block) -> bool:
    """Whether a page that comes earlier shows the same."""
    earlier = pages()[: pages().index(block.page)]
    return any(block.text == other.text for page in earlier for other in blocks_of(page))


def commands_of(block: Block) -> list[str]:
    """The lines of a console block that are run; none of a block that is not run."""
    return [line for line in block.text.splitlines() if line.strip() and block.is_run]


def check_run(words: list[str]) -> None:
    """What follows ``onlineml`` is understood, and names notebooks and parameters that there are."""
    chosen = cli._parser().parse_args(words)
    assert chosen.command is cli._run
    assert {name for name, _ in chosen.parameters} <= set(parameters_of(chosen.notebook))


def missing_names(statement: ast.stmt, known: Mapping[str, Any]) -> list[str]:
    """Names that a statement reads and nobody has defined."""
    top = symtable.symtable(ast.unparse(statement), "block", "exec")
    defined = {one.get_name() for one in top.get_symbols() if one.is_namespace() or one.is_imported()}
    if hasattr(statement, "body"):  # a loop sets its names before it reads them, an assignment after
        defined |= {one.get_name() for one in top.get_symbols() if one.is_assigned()}
    read = {one.get_name() for one in top.get_symbols() if one.is_referenced()}
    for scope in _scopes_in(top):
        read |= {one.get_name() for one in scope.get_symbols() if one.is_global()}
    return sorted(name for name in read - defined if name not in known and not hasattr(builtins, name))


def _scopes_in(outer: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for scope in outer.get_children():
        yield scope
        yield from _scopes_in(scope)


def run_python(block: Block, names: dict[str, Any], *, give: Callable[[str], Any]) -> None:
    """Run a block statement by statement; what it prints is compared with the comment below that shows it.

    Args:
        block: of Python.
        names: of the page; those that it defines are added.
        give: makes the value of a name that the page uses and nobody has defined.
    """
    names[_SHOW] = _show
    tree = ast.parse("\n" * (block.line - 1) + block.text, filename=str(block.page))
    for statement in tree.body:
        for name in missing_names(statement, names):
            names[name] = give(name)
        if isinstance(statement, ast.Expr):  # shown, as at the end of a cell
            call = ast.Call(ast.Name(_SHOW, ast.Load()), [statement.value], [])
            statement.value = ast.fix_missing_locations(ast.copy_location(call, statement.value))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module([statement], []), str(block.page), "exec"), names)  # noqa: S102 (our own pages)
        if wanted := shown_below(block, statement.end_lineno or 0):
            check = doctest.OutputChecker().check_output
            same = check(wanted, printed.getvalue(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            assert same, f"{block} shows\n{wanted}but prints\n{printed.getvalue()}"


def shown_below(block: Block, line: int) -> str:
    """The comment that begins on the line below, without its signs: what the statement prints."""
    rows: list[str] = []
    for row in block.text.splitlines()[line - block.line + 1 :]:
        if not row.startswith("# "):
            break
        rows.append(row.removeprefix("# ").replace("…", "...") + "\n")
    return "".join(rows)


def _show(value: Any) -> None:
    """What a notebook shows of the last value of a cell."""
    if hasattr(value, "_repr_html_"):
        value._repr_html_()
    repr(value)


def docstrings(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and docstrings of all modules, classes and functions in a folder, in the files that show any code."""
    texts = [(path, path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.py"))]
    for path, text in texts:
        for node in ast.walk(ast.parse(text)) if ">>>" in text or "```" in text else ():
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.stem}.{getattr(node, 'name', '')}", ast.get_docstring(node) or ""


def run_docstring(name: str, text: str, names: dict[str, Any], *, give: Callable[[str], Any]) -> None:
    """Run the examples of a docstring as doctest does, with what they use and nobody has defined."""
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    for example in test.examples:
        for statement in ast.parse(example.source).body:
            test.globs.update({missing: give(missing) for missing in missing_names(statement, test.globs)})
            test.globs.update(dict.fromkeys(_assigned(statement)))
    printed: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=printed.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(printed)


def _assigned(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
