"""What a user does is killed at random moments and repeated: the same at the end as if nothing had happened.

A killed process dies at a random change of a file, which it leaves half written, or at a random time; on S3 at a random
request. Then a reader must see nothing half done and miss nothing, and the repeated, or resumed, verb must lead to what
an undisturbed one leads to: bit-identical weights and rows of metrics, the same images, labels, datasets, versions.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy, fault_proxy
from killed import Death, Life, Victim, deaths, zygote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["fault_proxy"]
pytestmark = pytest.mark.slow

# random moments by verb: on the local disk, and on S3
POINTS = {
    "cache": (16, 0),
    "promote": (12, 4),
    "publish": (12, 4),
    "delete": (12, 3),
    "compact": (16, 6),
    "freeze": (12, 4),
    "relabel": (12, 3),
    "move": (15, 3),
    "rename": (15, 3),
    "sweep": (15, 0),
    "create and add": (12, 3),
    "upload": (14, 4),
    "import video": (12, 3),
    "fit classification": (15, 4),
    "fit multilabel": (12, 0),
    "fit detection": (12, 0),
    "improve": (12, 0),
}
TOGETHER = [("upload", "compact"), ("relabel", "compact"), ("publish", "promote"), ("import video", "relabel")]
ENDS = {"fit": ("/model/", 13), "improve": ("/models/", 40)}  # where the end begins, and its changes
LOCAL = [(verb, n) for verb, (n, _) in POINTS.items()]
ON_S3 = [(verb, n) for verb, (_, n) in POINTS.items() if n]


class Stage:
    """The files that verbs read, and fresh copies of the project that they change."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inputs, self.template, self._n = folder, folder / "inputs", folder / "template", 0
        self.inputs.mkdir()
        Victim([("prepare", (str(self.inputs), str(self.template)))]).wait()

    def copy(
        self, bucket: tuple[str, dict[str, Any], FaultProxy] | None = None
    ) -> tuple[str, dict[str, Any] | None, str]:
        """A place with a copy of the project, on this disk or in a bucket."""
        self._n += 1
        if bucket is None:
            folder = self.folder / f"place-{self._n}"
            shutil.copytree(self.template, folder)
            return str(folder), None, str(self.inputs)
        import s3fs

        url, options = f"{bucket[0]}/place-{self._n}", bucket[1]
        for path in sorted(self.template.rglob("*")):
            if path.is_file() and path.suffix != ".tmp":  # no store but a disk has such
                name = path.relative_to(self.template).as_posix()
                s3fs.S3FileSystem(**options).pipe_file(f"{url}/{name}", path.read_bytes())
        return url, options, str(self.inputs)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("kills")
    with zygote(folder):
        yield Stage(folder)


def moments(verb: str, n: int, whole: Life, *, requests: bool = False) -> Iterator[Death]:
    after, changes = ENDS.get(verb.partition(" ")[0], ("", 10))
    end = (after, changes // 3) if requests else (after, changes)  # a file is written, synced and renamed
    return deaths(f"{verb} {requests}", n=n, whole=whole, end=end)


class Kills:
    """Kills of one verb on one store.

    Args:
        verb: see `killed_verbs.VERBS`.
        stage: where it works.
        bucket: on S3, and the proxy to it; None is the local disk.
    """

    def __init__(self, verb: str, stage: Stage, bucket: tuple[str, dict[str, Any], FaultProxy] | None = None) -> None:
        self.verb, self.stage, self.bucket = verb, stage, bucket
        self.proxy = None if bucket is None else bucket[2]

    def process(self, place: Any, *names: str, verb: str = "", death: Death | None = None) -> Victim:
        calls = [((verb or self.verb, name), place) for name in names]
        return Victim(calls, folder=place[0], death=death, proxy=self.proxy)

    def repeat(self, n: int) -> str:
        """Kill the verb at ``n`` moments, and compare with an undisturbed one; return the figures."""
        place = self.stage.copy(self.bucket)
        before = self.process(place, "look").wait().told
        whole = self.process(place, "act", "look").wait()
        hits = twice = 0
        for number, death in enumerate(moments(self.verb, n, whole, requests=self.bucket is not None)):
            place = self.stage.copy(self.bucket)
            hits += self.process(place, "act", death=death).wait().exitcode != 0
            nothing_is_lost(before, self.process(place, "look").wait().told, whole.told)
            if number % 4 == 0:  # what goes on is killed, too
                again = Death(change=number % max(1, whole.changes))
                twice += self.process(place, "act", death=again).wait().exitcode != 0
            found = self.process(place, "act", "look").wait().told
            assert found == whole.told, f"{self.verb}, {death}"
        where = "S3" if self.bucket else "local"
        return f"{self.verb}, {where}: {n} moments, {hits} killed, {twice} a second time; {whole.changes} changes"


def nothing_is_lost(before: Any, killed: Any, after: Any) -> None:
    """Each image has the label, split and address that it had or gets; none is missing, none came from nowhere."""
    if not isinstance(before, dict) or "fold" not in before:
        return
    assert before["fold"].keys() <= killed["fold"].keys() <= before["fold"].keys() | after["fold"].keys()
    for image_id, own in killed["fold"].items():
        ends = [state["fold"][image_id] for state in (before, after) if image_id in state["fold"]]
        assert all(fact in facts for fact, facts in zip(own, zip(*ends, strict=True), strict=True)), (own, ends)
    for name in ("datasets", "blobs", "versions"):
        assert all(one in killed[name] for one in before[name] if one in after[name]), name


@pytest.mark.parametrize(("verb", "n"), LOCAL, ids=[verb for verb, _ in LOCAL])
def test_killed_on_the_local_disk(verb: str, n: int, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Kills(verb, stage).repeat(n)
    with capsys.disabled():
        print(f"\n{figures}")  # noqa: T201 (for who runs it)


@pytest.mark.parametrize("verbs", TOGETHER, ids=" and ".join)
def test_two_that_are_killed_at_once(verbs: tuple[str, str], stage: Stage) -> None:
    kills, place = Kills(verbs[0], stage), stage.copy()
    before = kills.process(place, "look").wait().told
    lives = [kills.process(place, "act", "look", verb=verb).wait() for verb in verbs]
    expected = lives[-1].told
    for pair in zip(*(moments(verb, 4, life) for verb, life in zip(verbs, lives, strict=True)), strict=True):
        place = stage.copy()
        at_once = [kills.process(place, "act", verb=verb, death=death) for verb, death in zip(verbs, pair, strict=True)]
        for one in at_once:
            one.wait()
        nothing_is_lost(before, kills.process(place, "look").wait().told, expected)
        kills.process(place, "act", verb=verbs[0]).wait()
        assert kills.process(place, "act", "look", verb=verbs[1]).wait().told == expected, pair


@pytest.mark.s3
@pytest.mark.parametrize(("verb", "n"), ON_S3, ids=[verb for verb, _ in ON_S3])
def test_killed_on_s3(
    verb: str, n: int, *, stage: Stage, s3_server: S3Server, fault_proxy: FaultProxy, capsys: Any
) -> None:
    options = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    figures = Kills(verb, stage, (s3_server.new_bucket(), options, fault_proxy)).repeat(n)
    with capsys.disabled():
        print(f"\n{figures}")  # noqa: T201 (for who runs it)
