"""Predictions and scores of many images, on a Ray cluster of two nodes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import onlineml as oml
from onlineml import ray as cluster
from onlineml.errors import ConfigError, TooManyBadImagesError

if TYPE_CHECKING:
    from ray_nodes import Nodes

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    oml.make_samples(str(folder), n=150)
    return folder


@pytest.fixture(scope="module")
def data(photos: Path) -> oml.Manifest:
    return oml.Manifest.from_any(str(photos)).check(max_bad=0.1).manifest


@pytest.fixture(scope="module")
def model(data: oml.Manifest) -> oml.ImageClassifier:
    made = oml.ImageClassifier(class_names=data.class_names, weights="random", seed=3)
    batches = oml.ClassificationDataModule(data, size_hw=(32, 32), batch_size=8, seed=5)
    oml.fit(made, batches, epochs=1, progress="none")
    return made


def _read(urls: list[str]) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(url) for url in urls], ignore_index=True)


def test_predictions_are_those_of_one_machine(photos: Path, model, nodes: Nodes, tmp_path: Path):
    workers = cluster.RayWorkers(address=nodes.address)
    out = str(tmp_path / "out")
    urls = cluster.predict(model, str(photos), out, workers=workers, part_size=32, engine="eager")
    assert len(urls) == 5
    found, expected = _read(urls), oml.predict(model, str(photos), engine="eager").to_frame()
    assert found["uri"].tolist() == expected["uri"].tolist()
    assert found["label"].tolist() == expected["label"].tolist()
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-6)


def test_what_is_missing_is_done_and_nothing_else(photos: Path, model, nodes: Nodes, tmp_path: Path):
    workers = cluster.RayWorkers(address=nodes.address, most=1)
    given = {"workers": workers, "part_size": 32, "progress": "none"}
    urls = cluster.predict(model, str(photos), str(tmp_path / "out"), **given)
    times = {url: Path(url).stat().st_mtime_ns for url in urls}
    Path(urls[2]).unlink()
    before = len(_read(urls[:2])) + len(_read(urls[3:]))
    assert cluster.predict(model, str(photos), str(tmp_path / "out"), **given) == urls
    assert [Path(url).stat().st_mtime_ns == times[url] for url in urls] == [True, True, False, True, True]
    assert len(_read(urls)) == before + 32
    with pytest.raises(ConfigError, match=r"holds other work .*top_k was None, now 1"):
        cluster.predict(model, str(photos), str(tmp_path / "out"), top_k=1, **given)


def test_a_node_that_dies_loses_and_doubles_nothing(photos: Path, model, nodes: Nodes, tmp_path: Path):
    node = nodes.cluster.add_node(num_cpus=2, object_store_memory=100 << 20)

    def end() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and len(list((tmp_path / "out").glob("part-*"))) < 3:
            time.sleep(0.05)
        nodes.cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=end)
    thread.start()
    workers = cluster.RayWorkers(address=nodes.address)
    urls = cluster.predict(model, str(photos), str(tmp_path / "out"), workers=workers, part_size=5, progress="none")
    thread.join()
    expected = oml.predict(model, str(photos)).to_frame()
    assert _read(urls)["uri"].tolist() == expected["uri"].tolist()


def test_scores_are_those_of_one_machine(data: oml.Manifest, model, nodes: Nodes, tmp_path: Path):
    workers = cluster.RayWorkers(address=nodes.address)
    given = {"split": "train", "batch_size": 2, "n_bootstrap": 50}
    there = cluster.evaluate(model, data, str(tmp_path / "out"), workers=workers, progress="none", **given)
    here = oml.evaluate(model, data, **given)
    assert there.accuracy == here.accuracy
    assert there.intervals == here.intervals
    np.testing.assert_array_equal(there.confusion, here.confusion)


def test_too_many_bad_images_are_refused(data: oml.Manifest, model, nodes: Nodes, tmp_path: Path, photos: Path):
    urls = [url for url, split in zip(data.urls(), data.column("split"), strict=True) if split == "train"]
    content = Path(urls[0]).read_bytes()
    Path(urls[0]).write_bytes(b"no image")
    try:
        workers = cluster.RayWorkers(address=nodes.address)
        given = {"split": "train", "max_bad": 0, "progress": "none"}
        with pytest.raises(TooManyBadImagesError, match="max_bad=0"):
            cluster.evaluate(model, data, str(tmp_path / "out"), workers=workers, **given)
    finally:
        Path(urls[0]).write_bytes(content)


def test_images_in_memory_are_refused(model, tmp_path: Path):
    with pytest.raises(ConfigError, match="is not a file that workers can read"):
        cluster.predict(model, [np.zeros((8, 8, 3), np.uint8)], str(tmp_path / "out"))
