"""What all tests share: where the real images are."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from fastdfs_cluster import fastdfs_model, fastdfs_trackers
from s3_server import s3_server, swift_server
from stores import store

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["data_dir", "fastdfs_model", "fastdfs_trackers", "s3_server", "store", "swift_server"]

# a busy machine is no failure, and the same examples are tried everywhere; --hypothesis-profile=search tries others
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("any machine")

gc.disable()  # until all is imported, which a fifth of the time was spent in looking through

os.environ["ONLINEML_WEIGHTS"] = "random"  # no test asks a hub by itself, and all have the same start
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # older kernels warn about their debugger otherwise

ROOT = Path(__file__).parents[1]


def pytest_collection_finish() -> None:
    """Let garbage be collected from now on."""
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Nobody cuts the power in this process, and tens of thousands of small files wait for the disk otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path | None:
    """The folder of real images, or None: then a test makes samples of its own and says so."""
    folder = Path(os.environ.get("ONLINEML_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None
