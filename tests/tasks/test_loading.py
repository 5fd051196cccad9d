"""Published models: the same outputs to the bit, and nothing from storage is ever executed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy
import torch

import onlineml as oml
from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError, StorageError, WeightsError
from onlineml.evaluation import ClassificationScores, classification_scores
from onlineml.registry.versions import publish_to
from onlineml.storage.io import read_bytes
from onlineml.tasks.loading import model_files
from tiny import CLASSES, TinyNet, tiny_model

if TYPE_CHECKING:
    from stores import Store


def named(backbone: str = "slim_resnet18", **options) -> oml.ImageClassifier:
    """A model with weights, statistics and a normalisation that are no defaults."""
    model = oml.ImageClassifier(class_names=CLASSES, backbone=backbone, seed=3, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator) * 0.1)
            else:
                value.add_(7)
    model.set_normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.21, 0.22))
    model.size_hw, model.manifest_hash = (64, 48), "ab" * 32
    return model.eval()


def batch() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 64, 48), dtype=np.uint8))


def outputs(model: oml.ImageClassifier) -> torch.Tensor:
    with torch.inference_mode():
        return model(batch())


def scores_of() -> object:
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1]])
    return classification_scores(p, [0, 1, 2, 1], CLASSES, image_ids=list("abcd"), split="test", n_bootstrap=50)


def test_a_model_that_was_published_gives_the_same_bits(store: Store) -> None:
    model = named()
    url = f"{store.url}/my-model"
    saved = model.save(url, scores=scores_of(), storage_options=store.storage_options)
    loaded = oml.load_model(saved)

    with pytest.raises(AlreadyExistsError):
        model.save(url, storage_options=store.storage_options)
    assert oml.load_model(url, storage_options=store.storage_options).class_names == CLASSES
    content = read_bytes(saved.path("evaluation.json"), storage_options=store.storage_options)
    assert ClassificationScores.from_json(content).accuracy == scores_of().accuracy
    assert torch.equal(outputs(loaded), outputs(model))
    assert loaded.class_names == CLASSES
    assert loaded.size_hw == (64, 48)
    assert loaded.manifest_hash == "ab" * 32
    assert (loaded.mean, loaded.std) == ((0.5, 0.4, 0.3), (0.2, 0.21, 0.22))
    assert not any(m.training for m in loaded.modules())
    assert all(torch.equal(v, loaded.network.state_dict()[k]) for k, v in model.network.state_dict().items())
    assert loaded.reference == url


@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "squeezenet1_1"])
def test_the_same_bits_of_other_networks(tmp_path: Path, backbone: str) -> None:
    model = named(backbone)
    publish_to(str(tmp_path / "model"), model_files(model))

    assert torch.equal(outputs(oml.load_model(tmp_path / "model")), outputs(model))


def test_through_a_project_and_its_champion(tmp_path: Path) -> None:
    model, other = named(), named("mobilenet_v3_small")
    project = oml.Project.create(str(tmp_path / "project"))
    scores = scores_of()
    version = project.publish(model, scores)
    project.publish(other, scores)
    project.promote(version, reason="the first")

    for ref in (version, f"{project.url}@champion", f"{project.url}/models/1", f"{project.url}@1", version.url):
        assert torch.equal(outputs(oml.load_model(ref)), outputs(model))
    assert torch.equal(outputs(oml.load_model(f"{project.url}@2")), outputs(other))
    files = {p.name for p in Path(version.url).iterdir()}
    assert files == {"weights.safetensors", "model.json", "evaluation.json", "report.html", "README.md"}
    assert ClassificationScores.from_json(Path(version.path("evaluation.json")).read_text()).accuracy == 0.75
    assert "<html" in Path(version.path("report.html")).read_text()
    card = Path(version.path("README.md")).read_text()
    assert "0.75" in card
    assert all(name in card for name in CLASSES)


def test_what_the_descriptor_says() -> None:
    files = model_files(named(), parent="2-abcdef")
    descriptor = json.loads(files["model.json"])

    assert set(files) == {"weights.safetensors", "model.json"}
    assert descriptor["backbone"] == "slim_resnet18"
    assert descriptor["class_names"] == list(CLASSES)
    assert descriptor["preprocessing"]["size_hw"] == [64, 48]
    assert descriptor["preprocessing"]["mean"] == [0.5, 0.4, 0.3]
    assert (descriptor["parent"], descriptor["seed"], descriptor["manifest_hash"]) == ("2-abcdef", 3, "ab" * 32)
    assert descriptor["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert descriptor["python"] == sys.version.split()[0]


def test_weights_are_plain_numbers() -> None:
    model = named()
    stored = safetensors.numpy.load(model_files(model)["weights.safetensors"])  # numpy alone can read them

    assert stored.keys() == model.network.state_dict().keys()
    for name, value in model.network.state_dict().items():
        assert np.array_equal(stored[name], value.numpy()), name


def test_a_model_without_a_size_is_not_published() -> None:
    with pytest.raises(ConfigError, match="no input size: train it with fit"):
        model_files(tiny_model())


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no model at"):
        oml.load_model(str(tmp_path / "nothing"))
    with pytest.raises(
        NotFoundError, match=f"{tmp_path}/nothing contains no project, and so no 'champion'; check the path"
    ):
        oml.load_model(f"{tmp_path}/nothing@champion")
    project = oml.Project.create(str(tmp_path / "project"))
    with pytest.raises(NotFoundError, match="has no 'champion'; its aliases: none yet; publish a model and promote it"):
        oml.load_model(f"{project.url}@champion")


def test_a_published_model_is_not_overwritten(tmp_path: Path) -> None:
    publish_to(str(tmp_path), model_files(named()))
    with pytest.raises(AlreadyExistsError):
        publish_to(str(tmp_path), model_files(named("mobilenet_v3_small")))

    assert torch.equal(outputs(oml.load_model(tmp_path)), outputs(named()))


# ---- a network of the user's own ----


def test_a_module_of_the_users_own(tmp_path: Path) -> None:
    model = tiny_model()
    model.size_hw = (64, 48)
    publish_to(str(tmp_path), model_files(model))

    with pytest.raises(ConfigError, match="a module of its author's, 'TinyNet', which is not loaded from storage"):
        oml.load_model(tmp_path)
    expected = outputs(model.eval())
    assert torch.equal(outputs(oml.load_model(tmp_path, backbone=TinyNet(3))), expected)
    assert torch.equal(outputs(oml.load_model(tmp_path, backbone="tiny:tiny_net")), expected)
    with pytest.raises(WeightsError, match="does not fit the network"):
        oml.load_model(tmp_path, backbone=TinyNet(4))


def test_a_factory_is_named_and_not_called(tmp_path: Path) -> None:
    model = named("tiny:tiny_net")
    publish_to(str(tmp_path), model_files(model))

    with pytest.raises(ConfigError, match=r"the factory 'tiny:tiny_net', which is not loaded from storage.*backbone="):
        oml.load_model(tmp_path)
    assert torch.equal(outputs(oml.load_model(tmp_path, backbone="tiny:tiny_net")), outputs(model))


# ---- whoever can write to the storage ----


def tampered(folder: Path, **changes) -> str:
    files = model_files(named())
    descriptor = json.loads(files["model.json"]) | changes
    files["model.json"] = json.dumps({k: v for k, v in descriptor.items() if v is not None}).encode()
    publish_to(str(folder), files)
    return str(folder)


@pytest.mark.parametrize("backbone", ["os:system", "bait:factory", "bait:", ":bait", "subprocess:run", "timm.models:x"])
def test_code_that_a_descriptor_names_is_never_imported(tmp_path: Path, monkeypatch, backbone: str) -> None:
    bait = tmp_path / "code" / "bait.py"
    bait.parent.mkdir()
    bait.write_text(f"open({str(tmp_path / 'bitten')!r}, 'w')\ndef factory(num_classes): raise SystemExit\n")
    monkeypatch.syspath_prepend(str(bait.parent))

    with pytest.raises(ConfigError) as found:
        oml.load_model(tampered(tmp_path / "model", backbone=backbone))
    assert backbone in str(found.value)
    assert not (tmp_path / "bitten").exists()
    assert "bait" not in sys.modules


def test_a_network_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="backbone='resnet19'"):
        oml.load_model(tampered(tmp_path / "model", backbone="resnet19"))


@pytest.mark.parametrize(("changes", "told"), [({"format": 2}, "format 2"), ({"task": "juggling"}, "'juggling'")])
def test_other_formats_are_refused(tmp_path: Path, changes, told: str) -> None:
    with pytest.raises(StorageError) as found:
        oml.load_model(tampered(tmp_path / "model", **changes))

    assert told in str(found.value)
    assert "pip install -U onlineml" in str(found.value)


@pytest.mark.parametrize("missing", ["class_names", "preprocessing", "seed", "backbone"])
def test_a_descriptor_that_lacks_something_is_called_damaged(tmp_path: Path, missing: str) -> None:
    with pytest.raises(StorageError, match=missing):
        oml.load_model(tampered(tmp_path / "model", **{missing: None}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"preprocessing": {"size_hw": [10**9, 64], "mean": [0, 0, 0], "std": [1, 1, 1]}}, "size_hw"),
        ({"preprocessing": {"size_hw": [64.5, 64], "mean": [0, 0, 0], "std": [1, 1, 1]}}, "size_hw"),
        ({"preprocessing": {"size_hw": [64, 64], "mean": [0, 0, 0], "std": [1, 0, 1]}}, "std"),
        ({"preprocessing": {"size_hw": [64, 64], "mean": [0, float("nan"), 0], "std": [1, 1, 1]}}, "mean"),
        ({"preprocessing": []}, "preprocessing"),
        ({"class_names": "abc"}, "class_names"),
        ({"class_names": []}, "class_names"),
        ({"class_names": [1, 2]}, "class_names"),
        ({"class_names": ["a", "b", "a"]}, "class_names"),
        ({"class_names": [str(i) for i in range(100_001)]}, "class_names"),
        ({"seed": 2**80}, "seed"),
        ({"seed": "0"}, "seed"),
        ({"backbone": 5}, "backbone"),
        ({"thresholds": {"a": 7}}, "thresholds"),
        ({"thresholds": {"a": "x"}}, "thresholds"),
    ],
)
def test_a_descriptor_with_impossible_values_names_the_field(tmp_path: Path, changes, field: str) -> None:
    with pytest.raises(StorageError, match=field):
        oml.load_model(tampered(tmp_path / "model", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "timm:hf-hub:evil/net"},
        {"backbone": "timm:local-dir:/home/me"},
        {"task": "detection", "backbone": "", "architecture": "transformers:evil/net"},
        {
            "task": "detection",
            "backbone": "",
            "architecture": "transformers:detr",
            "config": {"model_type": "detr", "a": [{"use_pretrained_backbone": True, "backbone": "resnet50"}]},
        },
    ],
)
def test_a_descriptor_does_not_reach_a_hub_unless_it_is_trusted(tmp_path: Path, monkeypatch, changes) -> None:
    if changes.get("architecture") == "transformers:evil/net":
        pytest.importorskip("transformers")  # without it, there is nothing to trust
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ConfigError, match=r"trust=True") as found:
        oml.load_model(tampered(tmp_path / "model", **changes))
    assert any(name in str(found.value) for name in ("evil/net", "/home/me", "resnet50"))


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    model = named()
    with torch.no_grad():
        model.network.head.bias[1] = float("nan")
    with pytest.raises(WeightsError, match=r"head\.bias"):
        model.save(tmp_path / "model")

    folder = Path(tampered(tmp_path / "published"))
    descriptor = json.loads((folder / "model.json").read_text())
    stored = safetensors.numpy.load((folder / "weights.safetensors").read_bytes())
    stored["head.bias"][0] = np.inf
    (folder / "weights.safetensors").write_bytes(safetensors.numpy.save(stored))
    with pytest.raises(WeightsError, match="checksum"):
        oml.load_model(folder)
    del descriptor["weights_sha256"]  # as versions before had none
    (folder / "model.json").write_text(json.dumps(descriptor))
    with pytest.raises(WeightsError, match=r"head\.bias"):
        oml.load_model(folder)


@pytest.mark.parametrize("damage", ["cut", "pickle", "empty", "other", "missing tensor", "gone"])
def test_damaged_weights(tmp_path: Path, damage: str) -> None:
    folder = Path(tampered(tmp_path / "model"))
    path = folder / "weights.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        torch.save(named().network.state_dict(), path)
    elif damage == "other":
        path.write_bytes(model_files(named("mobilenet_v3_small"))["weights.safetensors"])
    elif damage == "missing tensor":
        stored = safetensors.numpy.load(path.read_bytes())
        path.write_bytes(safetensors.numpy.save({k: v for k, v in stored.items() if k != "head.bias"}))
    else:
        path.unlink()

    with pytest.raises(NotFoundError if damage == "gone" else WeightsError, match=r"weights\.safetensors"):
        oml.load_model(folder)
