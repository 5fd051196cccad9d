"""Names of networks: every one can be built, and those with weights are told from those without."""

from __future__ import annotations

import pytest
from torchvision import models

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.models import listing
from onlineml.models.detectors import build_detector


def test_our_own_come_first_and_no_name_comes_twice():
    classifiers, detectors = oml.list_models("classification"), oml.list_models("detection")
    assert classifiers[0] == "slim_resnet18"
    assert detectors[0] == "compact"
    assert {"resnet18", "mobilenet_v3_large"} <= set(classifiers)
    assert "fcos_resnet50_fpn" in detectors
    assert not {"fcos_resnet50_fpn"} & set(classifiers)
    assert oml.list_models() == [*classifiers, *detectors]
    assert len(set(classifiers)) == len(classifiers)


def test_torchvisions_are_all_there():
    named = {name for name in oml.list_models("classification") if ":" not in name}
    assert named == {"slim_resnet18", *models.list_models(module=models)}


def test_with_published_weights_or_without():
    for task in ("classification", "detection"):
        every, with_weights, without = (oml.list_models(task, pretrained=p) for p in (None, True, False))
        assert not set(with_weights) & set(without)
        assert {name for name in every if ":" not in name} == {n for n in [*with_weights, *without] if ":" not in n}
    assert "resnet18" in oml.list_models("classification", pretrained=True)
    assert "slim_resnet18" not in oml.list_models("classification", pretrained=True)
    assert "compact" in oml.list_models("detection", pretrained=False)


def test_networks_of_packages_that_are_not_installed_are_not_named(monkeypatch):
    monkeypatch.setattr(listing, "find_spec", lambda name: None)
    assert not [name for name in oml.list_models() if ":" in name]


def test_timms_are_named_with_the_tags_of_their_weights():
    timm = pytest.importorskip("timm")
    every, published = (oml.list_models("classification", pretrained=p) for p in (None, True))
    assert "timm:resnet18" in every
    assert {f"timm:{name}" for name in timm.list_pretrained()} <= set(published)
    assert not [name for name in oml.list_models("classification", pretrained=False) if name == "timm:resnet18"]


def test_model_types_of_transformers_are_named_as_detectors_are_built():
    pytest.importorskip("transformers")
    assert {"transformers:d_fine", "transformers:rt_detr_v2"} <= set(oml.list_models("detection"))
    assert not [n for n in oml.list_models("detection", pretrained=True) if n.startswith("transformers:")]


def test_an_unknown_task_is_refused():
    with pytest.raises(ConfigError, match=r"task='detektion': .* \(did you mean 'detection'\?\)"):
        oml.list_models("detektion")


def test_a_name_that_is_listed_is_one_that_can_be_built():
    assert build_detector(oml.list_models("detection")[0], num_classes=2).architecture == "compact"
