"""Images in shards: the same manifest, the same images, fewer requests."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onlineml as oml
from fault_proxy import FaultProxy, fault_proxy
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import AlreadyExistsError, ConfigError, DataError, NotFoundError, StorageError
from onlineml.inference.sources import items_of
from onlineml.storage import io
from onlineml.storage.shards import Place, packed_url, place_of, spans
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

    from s3_server import S3Server
    from stores import Store

__all__ = ["fault_proxy"]
PICTURES = [png(noise(i)) for i in range(24)]


def _photos(store: Store) -> Manifest:
    for i, picture in enumerate(PICTURES):
        store.raw_write(f"photos/{'cats' if i % 2 else 'dogs'}/{i:02}.png", picture)
    return Manifest.from_folders(f"{store.url}/photos", storage_options=store.storage_options)


def _contents(manifest: Manifest) -> list[Any]:
    return io.read_many(manifest.urls(), versions=manifest.versions(), storage_options=manifest.storage_options)


def test_a_packed_manifest_is_the_same_dataset(store: Store, tmp_path: Path) -> None:
    options = store.storage_options
    photos = _photos(store)
    packed = photos.pack(f"{store.url}/packed", shard_bytes=5000, storage_options=options)
    assert packed.hash == photos.hash
    assert _contents(packed) == _contents(photos)
    assert len({uri.partition("#")[0] for uri in packed.column("uri")}) > 3
    for loaded in (packed, Manifest.load(f"{store.url}/packed", storage_options=options)):
        assert loaded == photos
        assert loaded.urls() == packed.urls()
    assert io.read_bytes(packed.urls()[3], storage_options=options) == _contents(photos)[3]
    checked = packed.check()
    assert len(checked.manifest) == len(photos)
    assert len(checked.table) == 0
    packed.to_folders(str(tmp_path / "out"))
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert names == [f"{i:02}.png" for i in range(24)]
    again = packed.pack(f"{store.url}/again", storage_options=options)
    assert _contents(again) == _contents(photos)
    with pytest.raises(AlreadyExistsError, match="again"):
        photos.pack(f"{store.url}/again", storage_options=options)


def test_training_sees_the_same_batches(store: Store, tmp_path: Path) -> None:
    photos = _photos(store)
    packed = photos.pack(f"{store.url}/packed", storage_options=store.storage_options)
    batches = []
    for number, manifest in enumerate((photos, packed)):
        dm = oml.ClassificationDataModule(manifest, size_hw=(16, 16), batch_size=4, cache_dir=tmp_path / str(number))
        batches.append([(b["image"].numpy(), b["image_id"].tolist()) for b in dm.train_dataloader()])
    assert len(batches[0]) == len(batches[1]) > 2
    for (image, ids), (same_image, same_ids) in zip(*batches, strict=True):
        assert ids == same_ids
        np.testing.assert_array_equal(image, same_image)


def test_packed_images_may_be_predicted_by_their_urls(store: Store) -> None:
    packed = _photos(store).pack(f"{store.url}/packed", storage_options=store.storage_options)
    assert [item.name for item in items_of(packed.urls(), storage_options=store.storage_options)] == packed.urls()
    assert [io.name(url) for url in packed.urls()] == [io.name(uri) for uri in _photos(store).column("uri")]


@pytest.mark.s3
def test_a_shard_is_few_requests(s3_server: S3Server, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for i, picture in enumerate(PICTURES):
        (tmp_path / "a" / f"{i:02}.png").write_bytes(picture)
    options = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    photos = Manifest.from_folders(str(tmp_path))
    packed = photos.pack(f"{s3_server.new_bucket()}/packed", storage_options=options)
    fault_proxy.seen.clear()
    assert _contents(packed) == _contents(photos)
    assert fault_proxy.count("GET") == len(fault_proxy.seen) == 1
    assert _contents(packed) == _contents(photos)  # from this machine, each image for itself
    assert len(fault_proxy.seen) == 1
    assert _contents(packed.take([3])) == _contents(photos.take([3]))
    assert len(fault_proxy.seen) == 1


def test_odd_names_and_sizes(store: Store) -> None:
    names = ["a#offset=1&length=2.png", "b [x]*?.png", "empty.png", "ü.png", "c.png"]
    contents = [b"1", b"22" * 3000, b"", "ü".encode(), b"x" * 7000]
    for name, content in zip(names, contents, strict=True):
        store.raw_write(f"p/{name}", content)
    table = pa.table({"image_id": names, "uri": names, "label": ["x"] * 5})
    photos = Manifest(table, ("x",), root=f"{store.url}/p", storage_options=store.storage_options)
    packed = photos.pack(f"{store.url}/packed", shard_bytes=6500, storage_options=store.storage_options)
    assert _contents(packed) == contents
    assert all(place_of(url).part for url in packed.urls())
    assert io.read_many(packed.urls(), first_bytes=2, storage_options=store.storage_options) == [
        content[:2] for content in contents
    ]
    nothing = photos.take([]).pack(f"{store.url}/nothing", storage_options=store.storage_options)
    assert len(nothing) == 0


def test_a_pack_that_was_killed_is_none_and_may_be_made_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = _photos(store)
    options = store.storage_options

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            photos.pack(f"{store.url}/packed", shard_bytes=5000, storage_options=options)
    shards = [name for name in store.raw_names() if name.startswith("packed/")]
    assert len(shards) > 3
    with pytest.raises(NotFoundError):
        Manifest.load(f"{store.url}/packed", storage_options=options)
    photos.pack(f"{store.url}/packed", shard_bytes=5000, storage_options=options)
    assert {name for name in store.raw_names() if name.startswith("packed/shards")} == set(shards)


def test_what_cannot_be_packed(store: Store) -> None:
    photos = _photos(store)
    options = store.storage_options
    with pytest.raises(ConfigError, match="shard_bytes"):
        photos.pack(f"{store.url}/packed", shard_bytes=0, storage_options=options)
    checked = photos.check().manifest
    first = checked.column("uri")[0]
    store.raw_write(f"photos/{first}", png(noise(99)))
    fresh = replace(checked, table=checked.table.set_column(2, "version", pa.array([""] * len(checked))))
    with pytest.raises(DataError, match="changed since"):
        fresh.pack(f"{store.url}/packed", storage_options=options)
    io.delete(f"{store.url}/photos/{first}", storage_options=options)
    with pytest.raises(NotFoundError, match=first):
        fresh.pack(f"{store.url}/packed", storage_options=options)
    assert not io.exists(f"{store.url}/packed/dataset.json", storage_options=options)


def test_a_shard_that_is_cut_short_is_an_error_of_its_images(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE_GB", "0")
    packed = _photos(store).pack(f"{store.url}/packed", storage_options=store.storage_options)
    (shard,) = [name for name in store.raw_names() if name.startswith("packed/shards")]
    store.raw_write(shard, store.raw_read(shard)[:-10])
    last = max(range(24), key=lambda i: place_of(packed.urls()[i]).part or (0, 0))
    found = io.read_many([packed.urls()[last]], storage_options=store.storage_options)[0]
    assert isinstance(found, StorageError)
    with pytest.raises(StorageError, match="truncated"):
        io.read_bytes(packed.urls()[last], storage_options=store.storage_options)


# ---------------------------------------------------------------------------------------------------- places and spans


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://b/a.jpg", Place("s3://b/a.jpg")),
        ("s3://b/s.bin#offset=5&length=7", Place("s3://b/s.bin", (5, 12))),
        ("s3://b/s.bin#offset=5&length=0/a.jpg", Place("s3://b/s.bin", (5, 5))),
        ("s3://b/s#1.bin#offset=5&length=7/a.jpg", Place("s3://b/s#1.bin", (5, 12))),
        ("s3://b/#offset=5&length=7x/a.jpg", Place("s3://b/#offset=5&length=7x/a.jpg")),
        ("s3://b/a#offset=-5&length=7", Place("s3://b/a#offset=-5&length=7")),
    ],
)
def test_places(url: str, place: Place) -> None:
    assert place_of(url) == place


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.sampled_from(["a.jpg", "", "ü &=.png"]))
def test_places_are_read_as_they_were_written(offset: int, length: int, name: str) -> None:
    url = packed_url("s3://b/shards/x.bin", offset=offset, length=length, name=name)
    assert place_of(url) == Place("s3://b/shards/x.bin", (offset, offset + length))


def test_spans_of_nothing() -> None:
    assert spans([]) == []


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**6))))
def test_every_range_lies_in_its_span(pairs: list[tuple[int, int]]) -> None:
    ranges = [(start, start + length) for start, length in pairs]
    found = spans(ranges)
    assert sorted(i for span in found for i in span.wanted) == list(range(len(ranges)))
    for span in found:
        assert span.start == min(ranges[i][0] for i in span.wanted)
        assert span.stop == max(ranges[i][1] for i in span.wanted)
        assert span.stop - span.start <= 16_000_000
    for one, following in pairwise(found):  # what could have been one request is one
        together = max(ranges[following.wanted[0]][1], one.stop) - one.start
        assert following.start - one.stop > 128_000 or together > 16_000_000
