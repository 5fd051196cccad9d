"""Networks by name and by hand: their outputs, their heads, their weights against torchvision's own loading."""

from __future__ import annotations

import types
from collections import OrderedDict
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import nn
from torchvision import models

from onlineml.errors import ConfigError, MissingDependencyError, WeightsError
from onlineml.models.classifiers import build_classifier
from onlineml.models.slim_resnet import SlimResNet

if TYPE_CHECKING:
    from pathlib import Path

# name: its head, the smallest convenient input
FAMILIES: dict[str, tuple[str, int]] = {
    "slim_resnet18": ("head", 32),
    "alexnet": ("classifier.6", 64),
    "convnext_tiny": ("classifier.2", 32),
    "densenet121": ("classifier", 32),
    "efficientnet_b0": ("classifier.1", 32),
    "efficientnet_v2_s": ("classifier.1", 32),
    "googlenet": ("fc", 32),
    "inception_v3": ("fc", 96),
    "maxvit_t": ("classifier.5", 224),
    "mnasnet0_5": ("classifier.1", 32),
    "mobilenet_v2": ("classifier.1", 32),
    "mobilenet_v3_small": ("classifier.3", 32),
    "regnet_y_400mf": ("fc", 32),
    "resnet18": ("fc", 32),
    "resnext50_32x4d": ("fc", 32),
    "shufflenet_v2_x0_5": ("fc", 32),
    "squeezenet1_1": ("classifier.3", 32),
    "swin_t": ("head", 32),
    "vgg11": ("classifier.6", 32),
    "vit_b_16": ("heads.head", 224),
    "wide_resnet50_2": ("fc", 32),
}


def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave parameters as memory gives them, but small: random numbers for 100 million of them take seconds."""
    for name in ("trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "normal_", "xavier_uniform_", "uniform_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *_, **__: tensor.detach().fill_(1 / tensor[0].numel()))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_logits_and_has_its_head(monkeypatch: pytest.MonkeyPatch, name: str):
    _quick(monkeypatch)
    head, side = FAMILIES[name]
    built = build_classifier(name, num_classes=3)
    assert (built.name, built.head) == (name, head)
    layer = built.network.get_submodule(head)
    assert isinstance(layer, nn.Linear)
    assert layer.out_features == 3
    with torch.inference_mode():
        logits = built.network.eval()(torch.rand(2, 3, side, side))
        assert logits.shape == (2, 3)
        told = layer.register_forward_hook(lambda *_: torch.tensor([[1.0, -2.0, 3.0]] * 2))
        assert built.network(torch.rand(2, 3, side, side)).tolist() == [[1, -2, 3]] * 2  # nothing after it, no ReLU
        told.remove()
    built.network.train()
    assert built.network(torch.rand(2, 3, max(side, 64), max(side, 64))).shape == (2, 3)  # no tuple of auxiliary logits


def test_each_name_that_torchvision_lists_is_taken():
    names = models.list_models(module=models)
    with pytest.raises(ConfigError) as caught:
        build_classifier("resnet19", num_classes=3)
    assert str(caught.value).startswith("backbone='resnet19': expected 'auto', 'slim_resnet18', a torchvision network")
    assert all(f"{name}," in str(caught.value) or f"{name})" in str(caught.value) for name in names)
    assert len(names) >= 80


@pytest.mark.parametrize("number", [0, -3])
def test_a_network_of_no_classes_is_refused(number: int):
    with pytest.raises(ConfigError, match=f"num_classes={number}: expected at least 1"):
        build_classifier("auto", num_classes=number)


def test_auto():
    built = build_classifier("auto", num_classes=4)
    assert isinstance(built.network, SlimResNet)
    assert built.name == "slim_resnet18"


def _features(network: nn.Module, name: str, images: torch.Tensor) -> torch.Tensor:
    """What reaches the classifier, averaged; the same lines for torchvision's own network and for ours."""
    with torch.inference_mode():
        if name.startswith(("squeezenet", "mobilenet", "densenet")):
            return network.eval().features(images).mean((2, 3))
        if name.startswith("mnasnet"):
            return network.eval().layers(images).mean((2, 3))
        last = {"vit_b_16": "heads.head"}.get(name, "fc")
        found = []
        network.get_submodule(last).register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        network.eval()(images)
        return found[0]


@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenet_v2"])
def test_real_weights_give_torchvisions_features(data_dir: Path | None, name: str):
    if data_dir is None:
        pytest.skip("no real weights here; the made ones below are loaded in the same ways")
    path = data_dir / "weights" / f"{name}.pth"
    reference = models.get_model(name, weights=None)
    reference.load_state_dict(torch.load(path, weights_only=True), strict=True)
    built = build_classifier(name, num_classes=3, weights=str(path))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(_features(built.network, name, images), _features(reference, name, images))
    with torch.inference_mode():
        assert built.network(images).shape == (2, 3)
    other = "mobilenet_v2" if name == "squeezenet1_0" else "resnet18"
    with pytest.raises(WeightsError, match=r"does not fit \w+: \d+ tensors missing .*set backbone="):
        build_classifier(other, num_classes=3, weights=str(path))


def _old_names(name: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As the published files have them: of DenseNet and of the vision transformers, from before renamings."""
    renamed = {}
    for key, value in state.items():
        old = key
        if name.startswith("densenet") and key.endswith("num_batches_tracked"):
            continue  # older still than these counters
        if name.startswith("densenet"):
            for what in ("norm", "conv"):
                for number in "12":
                    old = old.replace(f".{what}{number}.", f".{what}.{number}.") if "denselayer" in key else old
        if name.startswith("vit"):
            old = key.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.")
        renamed[old] = value
    return renamed


@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "googlenet", "inception_v3", "mnasnet0_5", "squeezenet1_1", "vit_b_16"]
)
def test_published_weights_load_as_torchvision_loads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str):
    """The file that would be fetched is made here; torchvision's own builder says what it must give."""
    torch.manual_seed(0)
    options = {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
    side = {"vit_b_16": 224, "inception_v3": 96}.get(name, 64)
    if name == "vit_b_16":  # three networks of 86 million random numbers
        _quick(monkeypatch)
    made = models.get_model(name, weights=None, **options).state_dict()
    if name == "vit_b_16":
        made = {k: v + 0.04 * torch.rand_like(v) - 0.02 for k, v in made.items()}
    made = {k: torch.rand_like(v) + 0.5 if k.endswith("running_var") else v for k, v in made.items()}
    published = _old_names(name, made)
    assert (published.keys() != made.keys()) == (name in {"densenet121", "vit_b_16"})

    def fetch(*_: object, **__: object) -> dict[str, torch.Tensor]:
        state = OrderedDict(published)
        if name.startswith("mnasnet"):
            state._metadata = {"": {"version": 2}}
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    monkeypatch.setattr("onlineml.models.start.sources.obtained", lambda *_: tmp_path / "published.pth")
    torch.save(fetch(), tmp_path / "published.pth")
    reference = models.get_model(name, weights="DEFAULT")
    built = build_classifier(name, num_classes=3, weights="DEFAULT")
    images = torch.rand(2, 3, side, side)
    assert torch.equal(_features(built.network, name, images), _features(reference, name, images))
    assert built.mean == (0.485, 0.456, 0.406)
    assert built.network.get_submodule(built.head).out_features == 3


def test_a_file_of_tensors_alone_loads_into_a_network_that_asks_for_versions(tmp_path: Path):
    old = models.mnasnet0_5(weights=None)
    (tmp_path / "w.safetensors").write_bytes(save_safetensors(old.state_dict()))
    built = build_classifier("mnasnet0_5", num_classes=3, weights=str(tmp_path / "w.safetensors"))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(_features(built.network, "mnasnet0_5", images), _features(old, "mnasnet0_5", images))


def test_offline_without_weights_is_an_error_that_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ONLINEML_WEIGHTS", "offline")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = models.ResNet18_Weights.DEFAULT.url
    cached = tmp_path / "hub/checkpoints" / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    for damaged in (None, b"", b"cut", b"PK\x03\x04cut"):  # of which none has the checksum in its name
        if damaged is not None:
            cached.write_bytes(damaged)
        for weights in ("DEFAULT", "IMAGENET1K_V1"):
            with pytest.raises(
                WeightsError, match=r"the weights of resnet18 cannot be had: .* the environment"
            ) as caught:
                build_classifier("resnet18", num_classes=3, weights=weights)
            message = str(caught.value)
            assert url in message
            assert "pass weights='path or URL of the file'" in message
            assert "weights='random' to start from random weights" in message
    with pytest.raises(WeightsError, match=r"mobilenet_v3_large cannot be had"):  # what "auto" is with a name
        build_classifier("auto", num_classes=3, weights="DEFAULT")


def test_names_of_weights_that_are_not_published():
    with pytest.raises(WeightsError, match=r"resnet18 has 'DEFAULT' and IMAGENET1K_V1"):
        build_classifier("resnet18", num_classes=3, weights="IMAGENET1K_V9")
    with pytest.raises(WeightsError, match="no weights are published for 'slim_resnet18'; pass the path or URL"):
        build_classifier("slim_resnet18", num_classes=3, weights="DEFAULT")
    with pytest.raises(WeightsError, match=r"no weights at nowhere\.pth"):
        build_classifier("resnet18", num_classes=3, weights="nowhere.pth")


def test_weights_of_our_own_network(tmp_path: Path):
    torch.manual_seed(0)
    old = SlimResNet(10)
    torch.save({"model": old.state_dict()}, tmp_path / "w.pth")
    built = build_classifier("auto", num_classes=3, weights=str(tmp_path / "w.pth"))
    images = torch.rand(2, 3, 40, 56)
    with torch.inference_mode():
        features = [n.eval().stages(n.stem(images)) for n in (old, built.network)]
    assert torch.equal(*features)
    assert built.network.head.out_features == 3


# ---- timm's ----


def test_a_network_of_timm(tmp_path: Path):
    timm = pytest.importorskip("timm")
    built = build_classifier("timm:test_efficientnet", num_classes=3)
    assert (built.name, built.head) == ("timm:test_efficientnet", "classifier")
    with torch.inference_mode():
        assert built.network.eval()(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    config = timm.create_model("test_efficientnet").pretrained_cfg
    assert (built.mean, built.std) == (tuple(config["mean"]), tuple(config["std"]))
    torch.manual_seed(3)
    old = timm.create_model("test_efficientnet", num_classes=10)
    torch.save(old.state_dict(), tmp_path / "w.pth")
    loaded = build_classifier("timm:test_efficientnet", num_classes=3, weights=str(tmp_path / "w.pth"))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        features = [n.eval().forward_features(images) for n in (old, loaded.network)]
    assert torch.equal(*features)


def test_an_unknown_network_of_timm_lists_similar_ones():
    pytest.importorskip("timm")
    for name, similar in (("resnet1888", "resnet18"), ("efficientnet_bo", "efficientnet_b0"), ("xyzzy", ", ")):
        message = rf"backbone='timm:{name}': timm has no such network; similar: .*{similar}"
        with pytest.raises(ConfigError, match=message):
            build_classifier(f"timm:{name}", num_classes=3)


def test_weights_that_timm_has_not(monkeypatch: pytest.MonkeyPatch):
    timm = pytest.importorskip("timm")
    message = r"name timm's weights in the backbone, 'timm:resnet18\.a1_in1k', with weights='DEFAULT'"
    with pytest.raises(WeightsError, match=message):
        build_classifier("timm:resnet18", num_classes=3, weights="IMAGENET1K_V2")
    have = {name.split(".")[0] for name in timm.list_pretrained()}
    without = next(name for name in timm.list_models("*resnet*") if name not in have)
    with pytest.raises(WeightsError, match=r"No pretrained weights exist for .* timm has weights for, among others"):
        build_classifier(f"timm:{without}", num_classes=3, weights="DEFAULT")
    with pytest.raises(WeightsError, match=r"Invalid pretrained tag .*resnet18\.a1_in1k"):
        build_classifier("timm:resnet18.no_such_tag", num_classes=3)

    monkeypatch.setenv("ONLINEML_WEIGHTS", "offline")
    with pytest.raises(WeightsError, match=r"weights of timm:resnet18 cannot be had: .* the environment says offline"):
        build_classifier("timm:resnet18", num_classes=3, weights="DEFAULT")


def test_timm_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(MissingDependencyError, match="needs timm: pip install timm"):
        build_classifier("timm:resnet18", num_classes=3)


# ---- the user's ----


def _small(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, num_classes))


def test_a_module_of_the_users(tmp_path: Path):
    module = _small(3)
    built = build_classifier(module, num_classes=3)
    assert built.network is module
    assert (built.name, built.head) == ("", "3")
    convolutional = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert build_classifier(convolutional, num_classes=3).head == "1"
    assert build_classifier(_small(4), num_classes=3).head == ""  # none gives three
    old = _small(9)
    torch.save(old.state_dict(), tmp_path / "w.pth")
    build_classifier(module, num_classes=3, weights=str(tmp_path / "w.pth"))
    assert torch.equal(module[0].weight, old[0].weight)
    with pytest.raises(WeightsError, match="no weights are published for ''"):
        build_classifier(module, num_classes=3, weights="DEFAULT")


@pytest.fixture
def factories(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with a factory, and with things that are none."""
    package = types.ModuleType("mine")
    package.small = _small
    package.nothing = lambda num_classes: {"num_classes": num_classes}
    package.constant = 7
    package.SlimResNet = SlimResNet
    monkeypatch.setitem(__import__("sys").modules, "mine", package)


@pytest.mark.usefixtures("factories")
def test_a_factory_by_its_path():
    built = build_classifier("mine:small", num_classes=6)
    assert (built.name, built.head) == ("mine:small", "3")
    assert built.network[3].out_features == 6
    assert build_classifier("mine:SlimResNet", num_classes=2).head == "head"


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mine:nothing", "backbone='mine:nothing' returned a dict; expected a torch.nn.Module"),
        ("mine:constant", "backbone='mine:constant' is a int; expected a function"),
        ("mine:absent", "no attribute 'absent'; expected 'package.module:factory' of an installed package"),
        ("no_such_package:small", "No module named 'no_such_package'; expected 'package.module:factory'"),
        (":small", "expected 'package.module:factory'"),
        ("mine:", "expected 'package.module:factory'"),
        (".mine:small", "expected 'package.module:factory'"),
        ("s3://bucket/code.py:small", "expected 'package.module:factory' of an installed package"),
    ],
)
def test_what_is_no_factory(path: str, message: str):
    with pytest.raises(ConfigError, match=message):
        build_classifier(path, num_classes=3)
