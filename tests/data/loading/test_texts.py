"""Texts of many images in one piece of memory."""

from __future__ import annotations

import gc
import hashlib
import pickle
import sys

import numpy as np
import pyarrow as pa
import pytest

import onlineml as oml
from onlineml.data.loading import decoded_cache
from onlineml.data.loading.decoded_cache import DecodedCache, cache_names
from onlineml.data.loading.texts import Texts

N = 5000


@pytest.mark.parametrize("values", [[], ["a"], ["b:", "", "é\n", "/x"]])
def test_they_are_a_list(values: list[str]):
    for made in (values, pa.array(values, pa.string()), pa.chunked_array([values[:1], values[1:]], pa.string())):
        texts = Texts(made)
        assert list(texts) == values
        assert [texts[i] for i in range(len(texts))] == values
        assert list(texts[1:]) == values[1:]
        assert list(pickle.loads(pickle.dumps(texts))) == values  # noqa: S301 (a worker that is not forked)
        assert list(texts.matching("^[^/]|:")) == [one for one in values if one and (one[0] != "/" or ":" in one)]


def test_a_column_without_chunks_and_nulls():
    assert list(Texts(pa.chunked_array([], pa.string()))) == []
    assert list(Texts(pa.chunked_array([[None, "x"]]))) == ["", "x"]
    assert Texts(["x", "y"])[np.int64(1)] == "y"
    with pytest.raises(IndexError):
        Texts(["x"])[1]


def _manifest(root: str = "/photos") -> oml.Manifest:
    columns = {
        "image_id": [f"{i:032x}" for i in range(N)],
        "uri": [f"a/{i}.jpg" if i % 2 else f"s3://b/{i}.jpg" for i in range(N)],
        "version": [f"v{i}" if i % 3 else "" for i in range(N)],
        "sha256": [f"{i:064x}" if i % 5 else None for i in range(N)],
        "label": ["k"] * N,
        "split": ["train"] * N,
    }
    return oml.Manifest(pa.table(columns), ("k",), root=root)


@pytest.mark.parametrize("root", ["/photos", "s3://c/photos/", ""])
def test_addresses_and_versions_of_a_manifest(root: str):
    data, before = _manifest(root), f"{root.rstrip('/')}/" if root else ""
    assert data.urls() == [f"{before}a/{i}.jpg" if i % 2 else f"s3://b/{i}.jpg" for i in range(N)]
    assert data.versions() == [f"v{i}" if i % 3 else f"{i:064x}" if i % 5 else "" for i in range(N)]


def test_a_cache_is_found_again_by_names_that_are_hashed_piece_by_piece(monkeypatch: pytest.MonkeyPatch, tmp_path):
    data = _manifest().take(range(7))
    rows = zip(data.column("image_id"), data.column("version"), data.urls(), strict=True)
    names = [f"{image_id}\0{version}\0{url}\0whole" for image_id, version, url in rows]
    assert list(cache_names(data, "\0whole")) == names
    monkeypatch.setattr(decoded_cache, "_HASHED_AT_ONCE", 3)
    expected = hashlib.sha256(b"3 64\n" + "\n".join(names).encode()).hexdigest()[:32]
    assert DecodedCache(cache_names(data, "\0whole"), short_side=64, folder=tmp_path).path.stem == f"{expected}-64"


def test_a_loader_holds_no_object_for_each_image():
    """Workers would copy them page by page, since reading one counts its references."""
    data = oml.ClassificationDataModule(_manifest(), size_hw=(16, 16), num_workers=0, cache=False)
    gc.collect()
    before = sys.getallocatedblocks()
    loader = data.train_dataloader()
    gc.collect()
    assert sys.getallocatedblocks() - before < N / 5
    assert len(loader.dataset) == N
