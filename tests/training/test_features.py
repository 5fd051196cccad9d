"""Features on storage: the numbers of the network itself, computed once, shared by heads, safe from each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError, DataError, StoppedError, TooManyBadImagesError
from onlineml.storage.location import Location
from onlineml.training import features
from onlineml.training.features import FeatureStore, backbone_key, features_of, linear_head
from privileges import modes_obeyed
from tiny import CLASSES, tiny_model

ROWS = np.array([7, 3, 20, 41])


@pytest.fixture
def model():
    made = tiny_model()
    made.size_hw = (32, 32)
    return made.eval()


@pytest.fixture
def store(tmp_path, model):
    return FeatureStore(Location.of(tmp_path / "features") / backbone_key(model))


def test_nothing_of_nothing(model, manifest, store):
    found = features_of(model, manifest, np.zeros(0, np.int64), store=store)

    assert found.values.shape == (0, 16)
    assert store.read([]) == {}


def test_the_head_makes_of_them_what_the_network_says(model, manifest, store):
    found = features_of(model, manifest, ROWS, store=store)

    with torch.inference_mode():
        logits = model.head(torch.from_numpy(found.values))
    said = oml.predict(model, [manifest.urls()[row] for row in ROWS])
    assert found.rows.tolist() == ROWS.tolist()
    assert [CLASSES[k] for k in logits.argmax(1)] == [p.label for p in said]
    np.testing.assert_allclose(torch.softmax(logits, 1).amax(1).numpy(), [p.score for p in said], rtol=1e-4)
    assert found.of(np.array([41, 7])).tolist() == found.values[[3, 0]].tolist()


def test_they_are_computed_once_whatever_the_labels_and_the_head(model, manifest, store, monkeypatch):
    first = features_of(model, manifest, ROWS, store=store)
    monkeypatch.setattr(features, "collect_features", lambda *_, **__: pytest.fail("computed again"))
    ids = manifest.column("image_id")
    corrected = manifest.with_labels({ids[3]: "blue", ids[7]: None})
    with torch.no_grad():
        model.head.weight.add_(1.0)

    again = features_of(model, corrected, ROWS[::-1], store=store)

    assert again.values[::-1].tolist() == first.values.tolist()


def test_the_key_is_of_all_below_the_head_and_of_nothing_else(model):
    key = backbone_key(model)
    with torch.no_grad():
        model.head.weight.mul_(2)
    assert backbone_key(model) == key
    model.size_hw = (48, 48)
    assert backbone_key(model) != key
    model.size_hw = (32, 32)
    with torch.no_grad():
        model.network.features[0].bias[0] += 1e-6
    assert backbone_key(model) != key


def test_a_damaged_file_counts_as_none_and_says_so(model, manifest, store, tmp_path):
    first = features_of(model, manifest, ROWS, store=store)
    (file,) = (tmp_path / "features").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-20])

    with pytest.warns(RuntimeWarning, match="recomputed"):
        again = features_of(model, manifest, ROWS, store=store)
    assert again.values.tolist() == first.values.tolist()


def test_whoever_may_only_read_gets_as_many(model, manifest, store, tmp_path):
    tmp_path.chmod(0o555)
    with modes_obeyed(), pytest.warns(RuntimeWarning, match="computed again the next time: .* may not access it"):
        found = features_of(model, manifest, ROWS, store=store)

    assert found.values.tolist() == features_of(model, manifest, ROWS).values.tolist()
    assert not [*tmp_path.iterdir()]


def test_who_is_stopped_has_what_was_computed(model, manifest, store, monkeypatch):
    monkeypatch.setattr(features, "_SHARD", 2)

    with pytest.raises(StoppedError, match="call again"):
        features_of(model, manifest, ROWS, store=store, stop=lambda: True)

    contents = features.contents_of(manifest, ROWS)
    assert len(store.read(contents)) == 2
    assert len(features_of(model, manifest, ROWS, store=store).rows) == 4


def test_images_that_cannot_be_used_are_left_out_or_too_many(model, manifest, tmp_path):
    broken = manifest.with_column(
        "uri", [str(tmp_path / "gone.jpg") if i == 3 else u for i, u in enumerate(manifest.urls())]
    )

    assert features_of(model, broken, ROWS, max_bad=0.25).rows.tolist() == [7, 20, 41]
    with pytest.raises(TooManyBadImagesError, match="1 of 4"):
        features_of(model, broken, ROWS, max_bad=0.2)


def test_a_network_that_gives_no_numbers_or_has_no_linear_head_is_refused(model, manifest):
    with torch.no_grad():
        model.network.features[0].weight.fill_(float("nan"))
    with pytest.raises(DataError, match="diverged"):
        features_of(model, manifest, ROWS)

    class Headless(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    other = oml.ImageClassifier(class_names=CLASSES, backbone=Headless())
    with pytest.raises(ConfigError, match=r"torch\.nn\.Linear"):
        linear_head(other)
