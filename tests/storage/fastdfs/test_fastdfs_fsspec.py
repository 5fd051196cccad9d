"""fsspec's own suite for filesystems, run on ours: copy, get, put, open and pipe, with globs and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec
import pytest
from fsspec.tests import abstract

from onlineml.storage.fastdfs.administer import create_volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem

pytestmark = pytest.mark.fastdfs


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, fastdfs_trackers: str) -> FastDFSFileSystem:
        return fsspec.filesystem("fastdfs", trackers=fastdfs_trackers)

    @pytest.fixture
    def fs_path(self, fastdfs_trackers: str) -> str:
        return fsspec.url_to_fs(create_volume(fastdfs_trackers))[1]

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass
