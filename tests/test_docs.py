"""The documentation is true: what its pages show is run, and what they name exists."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
import torch

import onlineml as oml
from lab import Lab
from lab_names import given, prepare
from onlineml.cli import main as cli
from onlineml.data.images.decode import POLICIES
from onlineml.errors import ConfigError, NotFoundError
from places import ROOT
from ray_nodes import two_nodes
from shown_blocks import (
    MARK,
    Block,
    blocks_of,
    check_run,
    commands_of,
    docstrings,
    pages,
    run_docstring,
    run_python,
    shown_before,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray_nodes import Nodes
    from s3_server import S3Server

PAGES = {page.name: page for page in pages()}
NOT_RUN = 3  # blocks: two install, one needs a camera; only ever fewer
WITHOUT_FILES = {"formats.md"}  # blocks that read files that only the tests of the formats make are run so far
SLOW = {"background.md"}  # it starts four processes
CLUSTER = {"ray.md"}


@pytest.fixture(scope="module")
def nodes(lab: Lab) -> Iterator[Nodes]:
    """Nodes that have the credentials of the lab's store in their environment."""
    assert lab
    with two_nodes() as found:
        yield found


@pytest.fixture(scope="module")
def lab(s3_server: S3Server, fastdfs_trackers: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        options = {name.lower(): value for name, value in s3_server.storage_options.items()}
        patch.setitem(fsspec.config.conf, "s3", options)  # read from the environment when fsspec was imported
        patch.setenv("ONLINEML_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ONLINEML_WIDGETS", "static")
        patch.setenv("ONLINEML_PROJECT", "s3://lab/users/ann")
        patch.setenv("ONLINEML_SHARED", "s3://lab/shared")
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield Lab(s3_server, fastdfs_trackers)


SMALLER = {
    r'(budget_s"?[=:] ?)\d+': r"\g<1>1",
    r"\b224\b": "32",
    r"num_workers=\d+": "num_workers=0",
    r'("?backbone"?)([=:] ?)"resnet18", "?weights"?[=:] ?"DEFAULT"': r'\1\2"auto"',
}


def smaller(code: str, addresses: dict[str, str]) -> str:
    """The same with less to compute, and on our servers: this alone differs from what a page shows."""
    for pattern, instead in SMALLER.items():
        code = re.sub(pattern, instead, code)
    for address, ours in addresses.items():
        code = code.replace(address, ours)
    return code


@pytest.mark.s3
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings(
    "ignore:`isinstance:FutureWarning",  # torch 2.15 to Lightning 2.6.6, in a trainer of the reader's
    "ignore:The '.*_dataloader' does not have many workers",
)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.slow] if name in SLOW else [pytest.mark.ray] if name in CLUSTER else [],
        )
        for name, page in PAGES.items()
        if blocks_of(page)
    ],
)
def test_what_a_page_shows_can_be_run(
    name: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if name == "export.md" and tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9):
        pytest.skip("torch's exporter came of age with 2.9")
    monkeypatch.setattr("onlineml.exporting.costs._MOST_S", 0.0)  # times are of no use here
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as in a notebook
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lab.reset(PAGES[name].read_text(encoding="utf-8"), tmp_path)
    names: dict[str, Any] = {"__name__": "shown"}
    try:
        if name in CLUSTER:
            nodes = request.getfixturevalue("nodes")
            monkeypatch.setenv("RAY_ADDRESS", nodes.address)
            monkeypatch.setenv("RAY_API_SERVER_ADDRESS", nodes.dashboard)
        for block in blocks_of(PAGES[name]):
            if not shown_before(block):
                with contextlib.suppress(NotFoundError) if name in WITHOUT_FILES else contextlib.nullcontext():
                    run_block(block, names, lab)
    finally:
        end_jobs(names)


def run_command(words: list[str]) -> None:
    """Run a command of ours; those that take minutes are understood, and run by the session of the notebooks."""
    if words[0] == "export":
        assert {word.partition("=")[0] for word in words[1:]} <= set(os.environ)  # those of the server
    elif words[0] == "python3":
        assert words[1] == "noxfile.py"
        assert set(words[2:] if "--" not in words else words[2 : words.index("--")]) <= sessions()
    elif words[0] == "python":  # a program that a page has made
        subprocess.run([sys.executable, *words[1:]], check=True, timeout=300)
    elif words[0] == "papermill":
        check_run(["run", Path(words[1]).stem, *words[3:]])
    elif words[:2] == ["onlineml", "run"]:
        check_run(words[1:])
    elif words[:2] == ["onlineml", "serve"]:  # it would not end
        assert cli._parser().parse_args(words[1:]).model.partition("@")[2] == "champion"
    elif words != ["onlineml", "demo"]:
        assert words[0] == "onlineml", f"{words} cannot be run: say in a comment that it is {MARK!r} and why"
        assert cli.main(words[1:]) == 0


def sessions() -> set[str]:
    """Names of nox's sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {one.name for one in functions if any("session" in ast.unparse(d) for d in one.decorator_list)}


def end_jobs(names: dict[str, Any]) -> None:
    """No process outlives the page that started it."""
    for project in [value for value in names.values() if isinstance(value, oml.Project)]:
        for status in project.jobs.list():
            if status.state in {"starting", "running"}:
                with contextlib.suppress(ConfigError):  # it has just ended, or is not of this machine
                    project.jobs.get(status.id).cancel(now=True)


def run_block(block: Block, names: dict[str, Any], lab: Lab) -> None:
    if block.language == "console":
        for command in commands_of(block):
            run_command(shlex.split(os.path.expandvars(command), comments=True))
        return
    prepare(block.page.name, lab, names)
    shown = replace(block, text=smaller(block.text, lab.addresses))
    write_module(shown)
    if block.is_run:
        run_python(shown, names, give=lambda name: given(block.page.name, name)(lab, names))


def write_module(block: Block) -> None:
    """A block that says that it is a file is one as well."""
    if name := re.match(r"# (\w+\.py)\n", block.text):
        Path(name[1]).write_text(block.text, encoding="utf-8")


def test_few_blocks_are_not_run_and_each_says_so_with_its_reason() -> None:
    left_out = [block for page in PAGES.values() for block in blocks_of(page) if not block.is_run]

    assert len(left_out) == NOT_RUN, left_out
    assert all(len(block.text.partition("\n")[0].partition(MARK)[2]) > 5 for block in left_out)


SHOWN = {name: text for name, text in docstrings(ROOT / "src") if ">>>" in text}


@pytest.mark.s3
@pytest.mark.parametrize("name", SHOWN)
def test_what_a_docstring_shows_can_be_run(name: str, lab: Lab, tmp_path: Path) -> None:
    lab.reset(SHOWN[name], tmp_path)
    names: dict[str, Any] = {"oml": oml}
    run_docstring(name, SHOWN[name], names, give=lambda missing: given("", missing)(lab, names))


def test_docstrings_show_code_only_in_examples_that_are_run() -> None:
    assert len(SHOWN) >= 9
    assert [name for name, text in docstrings(ROOT / "src") if "```" in text] == []


def test_the_extras_are_installed_from_the_folder_and_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    texts = [path.read_text(encoding="utf-8") for path in [*PAGES.values(), *(ROOT / "docs" / "examples").glob("*.*")]]
    named = [
        name for text in texts for names in re.findall(r"'[\w./]+\[([\w,]+)\]'", text) for name in names.split(",")
    ]

    assert named
    assert set(named) <= set(extras)
    assert [text[:80] for text in texts if "onlineml[" in text.replace("/src/onlineml[", "")] == []
    sources = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
    assert [name for name, text in sources.items() if "install 'onlineml[" in text] == []


def test_the_page_lists_every_policy_in_its_own_words() -> None:
    rows = [line for line in PAGES["images.md"].read_text(encoding="utf-8").splitlines() if line.startswith("| `")]

    assert rows == [f"| `{name}` | {policy.outcome} | {policy.text} |" for name, policy in POLICIES.items()]
