"""FastDFS as an fsspec filesystem, ``fastdfs://``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.storage.fastdfs.administer import collect_garbage as collect_garbage
    from onlineml.storage.fastdfs.administer import create_volume as create_volume
    from onlineml.storage.fastdfs.filesystem import FastDFSFileSystem as FastDFSFileSystem

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "FastDFSFileSystem": "filesystem",
        "collect_garbage": "administer",
        "create_volume": "administer",
    },
)
