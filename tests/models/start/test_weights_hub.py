"""Downloads of weights from a hub that breaks off, lies, fails, is silent or is not there."""

from __future__ import annotations

import random
import threading
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from onlineml.errors import WeightsError
from onlineml.models.start import hub as downloads
from onlineml.models.start.hub import ENVIRONMENT, fetch
from weights_hub import Hub, weights_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = random.Random(0).randbytes(300_000)
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv(ENVIRONMENT, "")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(downloads, "_silent", {})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with weights_hub() as hub:
        hub.files["/w.pth"] = CONTENT
        yield hub


def test_a_file_is_fetched_once(served: Hub, tmp_path: Path):
    target = tmp_path / "deep/w.pth"
    for _ in range(2):
        assert fetch(f"{served.url}/w.pth", target, sha256=DIGEST[:8]).read_bytes() == CONTENT
    assert len(served.asked) == 1
    assert [path.name for path in target.parent.iterdir()] == ["w.pth"]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(served: Hub, tmp_path: Path, ranges: bool):
    served.ranges, served.cuts = ranges, [100_000, 50_000]
    assert fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT
    asked = [span for _, span in served.asked]
    assert asked == ["", "bytes=100000-", "bytes=150000-" if ranges else "bytes=50000-"]


def test_a_later_process_goes_on(served: Hub, tmp_path: Path):
    served.cuts, served.fails = [200_000], []
    target = tmp_path / "w.pth"
    (tmp_path / "w.pth.part").write_bytes(CONTENT[:123_456])
    served.cuts = []
    assert fetch(f"{served.url}/w.pth", target, sha256=DIGEST).read_bytes() == CONTENT
    assert served.asked == [("/w.pth", "bytes=123456-")]


def test_what_is_whole_already_is_only_checked(served: Hub, tmp_path: Path):
    (tmp_path / "w.pth.part").write_bytes(CONTENT)
    assert fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT


def test_a_part_of_another_file_is_fetched_anew(served: Hub, tmp_path: Path):
    (tmp_path / "w.pth.part").write_bytes(b"something else")
    assert fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT
    assert [span for _, span in served.asked] == ["bytes=14-", ""]


@pytest.mark.parametrize("damaged", [b"", b"cut", CONTENT[:-1]])
def test_a_damaged_file_in_the_cache_is_replaced(served: Hub, tmp_path: Path, damaged: bytes):
    (tmp_path / "w.pth").write_bytes(damaged)
    assert fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT


def test_a_wrong_checksum_is_an_error_and_keeps_nothing(served: Hub, tmp_path: Path):
    served.files["/w.pth"] = b"evil" * 1000
    with pytest.raises(WeightsError, match="its checksum is not"):
        fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST)
    assert not (tmp_path / "w.pth").exists()
    assert (tmp_path / "w.pth.part").read_bytes() == b""
    assert len(served.asked) == 2


def test_the_checksum_of_hugging_faces_redirect_counts(served: Hub, tmp_path: Path):
    served.lied = [b"damaged on the way"]
    assert fetch(f"{served.url}/redirected/w.pth", tmp_path / "w.pth").read_bytes() == CONTENT
    assert len(served.asked) == 4


def test_a_failing_server_is_asked_again_and_a_missing_file_is_not(served: Hub, tmp_path: Path):
    served.fails = [503, 500]
    assert fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT
    served.asked.clear()
    served.fails = [503] * 9
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        fetch(f"{served.url}/w.pth", tmp_path / "other.pth", sha256=DIGEST)
    assert len(served.asked) == 3
    served.fails = []
    with pytest.raises(WeightsError, match=r"/gone\.pth cannot be downloaded \(Not Found\)"):
        fetch(f"{served.url}/gone.pth", tmp_path / "gone.pth")


def test_a_silent_hub_costs_its_seconds_once_a_process(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloads, "_ANSWER_S", {False: 0.2, True: 0.2})
    served.silent_s = 1.0
    with pytest.raises(WeightsError, match="no answer within"):
        fetch(f"{served.url}/w.pth", tmp_path / "w.pth", patient=False)
    begin = time.monotonic()
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1:\d+ cannot be reached \(no answer within"):
        fetch(f"{served.url}/x.pth", tmp_path / "x.pth", patient=False)
    assert time.monotonic() - begin < 0.2  # without waiting
    served.silent_s = 0.0
    assert fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT  # asked for by name


@pytest.mark.parametrize("name", [ENVIRONMENT, "HF_HUB_OFFLINE"])
def test_offline_asks_nobody(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "offline" if name == ENVIRONMENT else "1")
    with pytest.raises(WeightsError, match="the environment says offline"):
        fetch(f"{served.url}/w.pth", tmp_path / "w.pth")
    assert served.asked == []
    (tmp_path / "w.pth").write_bytes(CONTENT)
    assert fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT


def test_the_environments_proxy_is_asked(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", served.url)
    monkeypatch.setenv("no_proxy", "")
    assert fetch("http://hub.invalid/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes() == CONTENT
    assert served.asked == [("http://hub.invalid/w.pth", "")]


def test_two_at_once_fetch_one_file(served: Hub, tmp_path: Path):
    served.silent_s = 0.05
    found: list[bytes] = []

    def get() -> None:
        found.append(fetch(f"{served.url}/w.pth", tmp_path / "w.pth", sha256=DIGEST).read_bytes())

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4
    assert len(served.asked) == 1


def test_passwords_stay_out_of_messages(served: Hub, tmp_path: Path):
    address = served.url.replace("http://", "http://me:secret@")
    with pytest.raises(WeightsError) as caught:
        fetch(f"{address}/gone.pth?token=abc", tmp_path / "w.pth")
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)
