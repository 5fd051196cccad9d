"""A manifest as batches: the same for any workers, cache or restart; corrections and overwritten files arrive."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch

import onlineml as oml
from albumentations_quietly import a
from awkward_files import AWKWARD
from onlineml.data.augment.classification import fit_to_size
from onlineml.data.images.decode import decode
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError, StorageError, TooManyBadImagesError
from onlineml.storage import io
from picture_files import noise, plain, png, pool
from privileges import modes_obeyed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stores import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # torch's advice where the cores are fewer
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # Python 3.12 on forks
]

Make = "Callable[..., oml.ClassificationDataModule]"


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., oml.ClassificationDataModule]:
    """A datamodule of small images that caches in the test's own folder."""

    def build(manifest: Manifest, **options) -> oml.ClassificationDataModule:
        defaults = {"size_hw": (12, 12), "batch_size": 4, "seed": 5, "cache_dir": tmp_path / "cache"}
        return oml.ClassificationDataModule(manifest, **{**defaults, **options})

    return build


def _batches(dm: oml.ClassificationDataModule, epoch: int = 0, split: str = "train", **options) -> list[dict]:
    loader = dm.loader(split, train=split == "train", **options)
    loader.order.set_epoch(epoch)
    return list(loader)


def _facts(batches: list[dict]) -> list[tuple]:
    return [(b["image"].numpy().tobytes(), b["label"].tolist(), list(b["image_id"])) for b in batches]


def _by_id(batches: list[dict]) -> dict[str, np.ndarray]:
    return {i: image.numpy() for batch in batches for i, image in zip(batch["image_id"], batch["image"], strict=True)}


def test_no_images(make: Make, tmp_path: Path):
    dm = make(pool(tmp_path / "none", []))
    assert len(dm.rows_of("train")) == 0
    assert dm.val_dataloader() == []
    assert dm.findings.columns.tolist() == ["image_id", "uri", "finding", "detail"]
    assert len(dm.findings) == 0
    with pytest.raises(
        DataError, match=r"the split 'train' has no annotated images; the manifest of 0 images has \{\}"
    ):
        dm.train_dataloader()


def test_a_split_without_images_is_named_with_the_others(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [noise(i) for i in range(4)])
    manifest = manifest.with_column("split", ["train", "test", "val", None]).with_labels({"image-2": None})
    dm = make(manifest)
    message = r"'val' has no annotated images; the manifest of 4 images has \{'test': 1, 'train': 1, 'val': 0\}; assign"
    with pytest.raises(DataError, match=message):
        dm.loader("val")
    assert dm.val_dataloader() == []
    assert [list(b["image_id"]) for b in dm.test_dataloader()] == [["image-1"]]
    assert repr(dm) == "ClassificationDataModule({'train': 1, 'val': 0, 'test': 1}, size_hw=(12, 12), batch_size=4)"


def test_evaluation_shows_each_image_once_fitted_in_order(make: Make, tmp_path: Path):
    pictures = [noise(i, (11 + i, 15)) for i in range(9)]  # not above the scale at which images are kept
    dm = make(pool(tmp_path / "p", pictures, split="test"))
    for _ in range(2):  # from the files, then from the cache
        batches = _batches(dm, split="test")
        assert [i for b in batches for i in b["index"].tolist()] == list(range(9))
        assert [len(b["label"]) for b in batches] == [4, 4, 1]
        assert [v for b in batches for v in b["label"].tolist()] == [i % 2 for i in range(9)]
        for image_id, image in _by_id(batches).items():
            expected = fit_to_size(pictures[int(image_id.removeprefix("image-"))], (12, 12))
            assert np.array_equal(image.transpose(1, 2, 0), expected)


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_identical_for_any_number_of_workers(make: Make, tmp_path: Path, workers: int):
    manifest = pool(tmp_path / "p", [noise(i, (30, 24 + i)) for i in range(22)])
    alone = make(manifest, cache=False).train_dataloader()
    others = make(manifest, num_workers=workers).train_dataloader()  # fills a cache, then reads it
    for epoch in range(2):
        for loader in (alone, others):
            loader.order.set_epoch(epoch)
        assert _facts(list(alone)) == _facts(list(others))
    for loader in (alone, others):
        loader.load_state_dict({"epoch": 2, "batch": 2})
    rest = _facts(list(others))
    assert len(rest) == 3
    assert rest == _facts(list(alone))


def test_a_cache_changes_no_pixel(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [noise(i, (40 + i, 37)) for i in range(10)])
    without = _facts(_batches(make(manifest, cache=False)))
    dm = make(manifest)
    assert _facts(_batches(dm)) == without
    for file in (tmp_path / "p").iterdir():
        file.unlink()
    assert _facts(_batches(dm)) == without
    assert _facts(_batches(make(manifest, cache_dir=str(tmp_path / "cache")))) == without
    assert len(dm.findings) == 0


def test_adding_images_changes_no_other_images_augmentation(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [noise(i) for i in range(12)])
    some = manifest.take([9, 2, 5, 0, 7])
    first, more = _by_id(_batches(make(some))), _by_id(_batches(make(manifest, batch_size=5)))
    assert len(first) == 4  # of five, the last batch is left out
    common = first.keys() & more.keys()
    assert len(common) >= 3
    assert all(np.array_equal(first[i], more[i]) for i in common)
    assert len({image.tobytes() for image in more.values()}) == len(more)


def test_ids_alike_at_their_start_are_augmented_apart(make: Make, tmp_path: Path):
    """The same picture under numbered ids, of which the first sixteen digits are the same."""
    manifest = pool(tmp_path / "p", [noise(1)] * 8)
    ids = [f"{i:024}" for i in range(6)] + ["-1", "+a"]
    dm = make(manifest.with_column("image_id", ids).with_column("group", ids), batch_size=8)
    assert len({image.tobytes() for image in _by_id(_batches(dm)).values()}) == 8


def test_augmentation_changes_with_epoch_and_seed(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [noise(i) for i in range(8)])
    first = _by_id(_batches(make(manifest)))
    assert all(np.array_equal(image, first[i]) for i, image in _by_id(_batches(make(manifest))).items())
    for other in (_batches(make(manifest), epoch=1), _batches(make(manifest, seed=6))):
        assert not any(np.array_equal(image, first[i]) for i, image in _by_id(other).items())
    still = [_by_id(_batches(make(manifest), epoch=epoch, augmented=False)) for epoch in (0, 1)]
    assert all(np.array_equal(still[0][i], still[1][i]) for i in still[0])


def test_a_corrected_label_is_trained_on_with_the_pixels_of_before(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [plain(i * 10) for i in range(8)])
    before = make(manifest, batch_size=8)
    old = _batches(before)[0]
    corrected = manifest.with_labels({"image-3": "class0"})
    for file in (tmp_path / "p").iterdir():  # only the cache can have them now
        file.unlink()
    after = make(corrected, batch_size=8)
    new = _batches(after)[0]
    assert corrected.hash != manifest.hash
    assert after._cache.path == before._cache.path
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert list(new["image_id"]) == list(old["image_id"])
    assert torch.equal(new["image"], old["image"])
    changed = [i for i, x, y in zip(new["image_id"], old["label"], new["label"], strict=True) if x != y]
    assert changed == ["image-3"]
    assert int(new["label"][list(new["image_id"]).index("image-3")]) == 0


def test_an_overwritten_file_gets_new_pixels(make: Make, store: Store):
    for i in range(4):
        store.raw_write(f"class{i % 2}/{i}.png", png(plain(i * 50)))

    def values() -> dict[str, int]:
        manifest = Manifest.from_folders(store.url, storage_options=store.storage_options)
        manifest = manifest.with_column("split", ["test"] * 4)
        uris = dict(zip(manifest.column("image_id"), manifest.column("uri"), strict=True))
        return {uris[i]: int(image.max()) for i, image in _by_id(_batches(make(manifest), split="test")).items()}

    expected = {f"class{i % 2}/{i}.png": i * 50 for i in range(4)}
    assert values() == expected
    store.raw_write("class0/2.png", png(plain(222)))
    assert values() == expected | {"class0/2.png": 222}


def test_two_manifests_with_the_same_ids_do_not_share_pixels(make: Make, tmp_path: Path):
    """Ids that a user chose, as numbers from 0, name other images in another folder."""
    first = make(pool(tmp_path / "p", [plain(10), plain(20)]), batch_size=2)
    second = make(pool(tmp_path / "q", [plain(30), plain(40)]), batch_size=2)
    assert {int(image.max()) for image in _by_id(_batches(first, augmented=False)).values()} == {10, 20}
    assert {int(image.max()) for image in _by_id(_batches(second, augmented=False)).values()} == {30, 40}


def test_balance_draws_every_class_as_often(make: Make, tmp_path: Path):
    """90, 9 and 1 images; 40 epochs of 100 draws: chi-square of 2 degrees of freedom, .999 quantile 13.82."""
    names = ["a"] * 90 + ["b"] * 9 + ["c"]
    ids = [f"image-{i}" for i in range(100)]
    table = pa.table({"image_id": ids, "uri": ids, "label": names, "split": ["train"] * 100})
    manifest = Manifest(table, ("a", "b", "unused", "c"), root=str(tmp_path))
    order = make(manifest, balance=True, batch_size=10).train_dataloader().order
    labels = manifest.label_ids()
    counts = np.zeros(4)
    for epoch in range(40):
        order.set_epoch(epoch)
        counts += np.bincount(labels[order.order()], minlength=4)
    assert counts[2] == 0
    drawn = counts[[0, 1, 3]]
    assert drawn.sum() == 4000
    assert ((drawn - 4000 / 3) ** 2 / (4000 / 3)).sum() < 13.82
    plain_order = make(manifest, batch_size=10).train_dataloader().order
    assert np.bincount(labels[plain_order.order()], minlength=4).tolist() == [90, 9, 0, 1]
    test_order = make(manifest, balance=True).loader("train").order  # balance is for training alone
    assert test_order.order().tolist() == list(range(100))


def test_an_image_of_several_classes_is_drawn_as_its_rarest(tmp_path: Path):
    lists = [["a"], ["a", "b"], ["a"], [], None, ["a"]]
    table = pa.table({"image_id": list("abcdef"), "uri": list("abcdef"), "labels": pa.array(lists)})
    manifest = Manifest(table, ("a", "b"), root=str(tmp_path), task="multilabel").with_column("split", ["train"] * 6)
    dm = oml.MultilabelDataModule(manifest, balance=True)
    assert dm.rows_of("train").tolist() == [0, 1, 2, 3, 5]
    assert dm._balancing(dm.rows_of("train")).tolist() == [0.25, 1.0, 0.25, 1.0, 0.25]
    with pytest.raises(DataError, match=r"a ClassificationDataModule is for .* 'classification'; found 'multi"):
        oml.ClassificationDataModule(manifest)


def test_a_datamodule_is_printed(make: Make, tmp_path: Path):
    table = pa.table({"image_id": ["a"], "uri": ["a"], "label": ["cat"]})
    manifest = Manifest(table, ("cat", "dog"), root=str(tmp_path), task="classification")
    told = str(make(manifest, size_hw=(16, 24)))
    assert told == f"ClassificationDataModule of 24 x 16 pixels, batches of 4: {manifest}"


BAD = {"empty": b"", "unreadable": b"this is no image", "truncated": png(noise(0))[:-40]}


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_images_are_left_out_and_listed(make: Make, tmp_path: Path, workers: int):
    manifest = pool(tmp_path / "p", [plain(100), *BAD.values(), plain(200), noise(3)], split="test")
    (tmp_path / "p/5.png").unlink()
    dm = make(manifest, num_workers=workers, max_bad=0.7)
    for _ in range(2):  # found again, listed once
        batches = _batches(dm, split="test")
        assert [list(b["image_id"]) for b in batches] == [["image-0"], ["image-4"]]
        assert [b["image"].shape for b in batches] == [(1, 3, 12, 12)] * 2
        assert [[row.image_id for row in b["bad"]] for b in batches] == [
            ["image-1", "image-2", "image-3"],
            ["image-5"],
        ]
        found = dm.findings
        assert found["image_id"].tolist() == ["image-1", "image-2", "image-3", "image-5"]
        assert found["finding"].tolist() == ["empty", "unreadable", "truncated", "missing"]
        assert found["uri"].tolist() == [f"{tmp_path}/p/{i}.png" for i in (1, 2, 3, 5)]
        assert (found["detail"] != "").all()


def test_a_batch_of_which_all_are_bad(make: Make, tmp_path: Path):
    dm = make(pool(tmp_path / "p", [b""] * 3 + [plain(9)], split="test"), batch_size=3, max_bad=1)
    first, second = _batches(dm, split="test")
    assert first["image"].shape == (0, 3, 12, 12)
    assert first["label"].shape == first["index"].shape == (0,)
    assert first["label"].dtype == first["index"].dtype == torch.int64
    assert len(first["image_id"]) == 0
    assert len(first["bad"]) == 3
    assert len(second["image"]) == 1


@pytest.mark.parametrize(
    ("counts", "max_bad", "stops"),
    [
        ((1, 10), 0.0, True),
        ((0, 10), 0.0, False),
        ((1, 10), 0.1, False),
        ((1, 10), 0.09, True),
        ((3, 10), 0.3, False),
        ((10, 10), 1.0, False),
        ((1, 100), 0.01, False),
        ((2, 100), 0.01, True),
        ((29, 100), 0.29, False),  # 0.29 * 100 is 28.999999999999996
    ],
)
def test_the_budget_is_strict(make: Make, tmp_path: Path, counts: tuple[int, int], max_bad: float, stops: bool):
    n_bad, n = counts
    dm = make(pool(tmp_path / "p", [b""] * n_bad + [plain(9)] * (n - n_bad), split="test"), max_bad=max_bad)
    if not stops:
        assert sum(len(b["label"]) for b in _batches(dm, split="test")) == n - n_bad
        return
    with pytest.raises(TooManyBadImagesError) as caught:
        _batches(dm, split="test")
    message = (
        rf"in the split 'test', \d of {n} images (is|are) bad, more than max_bad={max_bad:g} allows; .*manifest.check"
    )
    assert re.match(message, str(caught.value))
    assert "image-0" in str(caught.value)
    assert "empty" in str(caught.value)
    assert caught.value.table["image_id"].tolist()[0] == "image-0"
    assert caught.value.table["finding"].unique().tolist() == ["empty"]


def test_each_split_has_its_own_budget(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [b""] * 4 + [plain(9)] * 36)
    manifest = manifest.with_column("split", ["val"] + ["train"] * 30 + ["val"] * 9)
    dm = make(manifest, max_bad=0.1)
    assert sum(len(b["bad"]) for b in _batches(dm)) <= 3  # of 30
    assert len(_batches(dm, split="val")) == 3  # 1 of 10; with train's it would be 4
    assert dm.findings["image_id"].is_unique


def test_a_failing_store_is_no_bad_image(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    manifest = pool(tmp_path / "p", [plain(1), plain(2)], split="test")
    for workers, error in enumerate((PermissionError("not yours"), StorageError("the connection is down"))):
        monkeypatch.setattr("onlineml.data.loading.fetching.read_many", lambda urls, e=error, **_: [e for _ in urls])
        dm = make(manifest, max_bad=1, num_workers=workers)
        with pytest.raises(type(error), match=str(error)):
            _batches(dm, split="test")
        assert len(dm.findings) == 0


def test_a_file_that_may_not_be_read_is_no_bad_image(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [plain(1), plain(2)], split="test")
    (tmp_path / "p/1.png").chmod(0)
    with modes_obeyed(), pytest.raises(PermissionError, match=r"1\.png"):
        _batches(make(manifest, max_bad=1), split="test")


def test_a_compose_of_the_users(make: Make, tmp_path: Path):
    manifest = pool(tmp_path / "p", [noise(i) for i in range(8)])
    compose = a.Compose([a.RandomCrop(12, 12), a.HorizontalFlip()])
    dm = make(manifest, augment=compose)
    first, again = _facts(_batches(dm)), _facts(_batches(dm))
    assert first == again
    assert first == _facts(_batches(make(manifest, augment=compose, num_workers=1)))
    assert dm.augment_name == "user's own"
    wrong = make(manifest, augment=a.Compose([a.RandomCrop(10, 12)]))
    with pytest.raises(ConfigError, match=r"shape \(10, 12, 3\).*expected \(12, 12, 3\).*end the Compose with a crop"):
        _batches(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_hw": (7, 64)}, "size_hw=7: expected at least 8 pixels"),
        ({"size_hw": (64,)}, "size_hw="),
        ({"size_hw": (3, 64, 64)}, "size_hw="),
        ({"size_hw": 64}, "size_hw=64"),
        ({"batch_size": 0}, "batch_size=0: expected at least 1"),
        ({"num_workers": -1}, "num_workers=-1: expected at least 0 processes"),
        ({"seed": -1}, r"seed=-1: expected 0\.\.2\*\*31-1"),
        ({"seed": 2**31}, "seed=2147483648"),
        ({"max_bad": -0.1}, "max_bad=-0.1: expected a share between 0 and 1"),
        ({"max_bad": 5}, "max_bad=5"),
        ({"max_bad": float("nan")}, "max_bad=nan"),
        ({"augment": "heavy"}, "augment='heavy'"),
    ],
)
def test_arguments_outside_their_range_are_refused(make: Make, tmp_path: Path, options: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        make(pool(tmp_path / "p", [plain(1)]), **options)


@pytest.mark.parametrize("train", [False, True])
def test_awkward_files_have_their_documented_outcome(make: Make, data_dir: Path | None, tmp_path: Path, train: bool):
    if data_dir is None:
        pytest.skip("no real images here; the broken ones above are made")
    manifest = Manifest.from_folders(data_dir / "awkward")
    names = np.array([uri.rpartition("/")[2] for uri in manifest.column("uri")])
    count = len(manifest)
    assert count >= len(AWKWARD)
    manifest = manifest.with_class_names((*manifest.class_names, "x"))
    manifest = manifest.with_labels(dict.fromkeys(manifest.column("image_id"), "x"))
    manifest = manifest.with_column("split", ["train"] * count)
    dm = make(manifest, size_hw=(32, 48), max_bad=1, batch_size=count)
    for _ in range(2):
        batch = next(iter(dm.loader("train", train=train)))
        assert batch["image"].shape[1:] == (3, 32, 48)
        found = dict(zip(dm.findings["image_id"], dm.findings["finding"], strict=True))
        by_name = {name: found.get(i) for name, i in zip(names, manifest.column("image_id"), strict=True)}
        expected = {name: AWKWARD.get(name, ()) for name in names}
        assert by_name == {name: code if isinstance(code, str) else None for name, code in expected.items()}
        assert sorted(batch["image_id"]) == sorted(set(manifest.column("image_id")) - set(found))
    if not train:  # the same pictures, decoded in full and fitted to size at once
        for image, index in zip(batch["image"], batch["index"].tolist(), strict=True):
            pixels = decode(io.read_bytes(manifest.urls()[index])).pixels
            shown = image.permute(1, 2, 0).numpy()
            coarse = [x.reshape(4, 8, 6, 8, 3).mean((1, 3)) for x in (shown, fit_to_size(pixels, (32, 48)))]
            assert np.abs(coarse[0] - coarse[1]).max() < 16, names[index]
