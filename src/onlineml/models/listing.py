"""Names of the networks that can be built here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

__all__ = ["classifier_names", "detector_names"]


def classifier_names(*, pretrained: bool | None = None) -> list[str]:
    """Return what `onlineml.models.classifiers.build_classifier` takes: our own, torchvision's, timm's if installed.

    Args:
        pretrained: True: with published weights only; False: without only; None: all.
    """
    from torchvision import models  # noqa: PLC0415

    own = [] if pretrained else ["slim_resnet18"]
    return [*own, *_torchvision(models, pretrained=pretrained), *_timm(pretrained=pretrained)]


def detector_names(*, pretrained: bool | None = None) -> list[str]:
    """Return what `onlineml.models.detectors.build_detector` takes: our own, torchvision's, transformers' if installed.

    Args:
        pretrained: as in `classifier_names`; weights of a backbone alone do not count.
    """
    from torchvision.models import detection  # noqa: PLC0415

    own = [] if pretrained else ["compact"]
    others = [] if pretrained else _transformers()
    return [*own, *_torchvision(detection, pretrained=pretrained), *others]


def _torchvision(module: Any, *, pretrained: bool | None) -> list[str]:
    from torchvision import models  # noqa: PLC0415

    names: list[str] = models.list_models(module=module)
    names = [name for name in names if not name.startswith(("maskrcnn_", "keypointrcnn_"))]  # need more than boxes
    if pretrained is None:
        return names
    return [name for name in names if bool(len(models.get_model_weights(name))) is pretrained]


def _timm(*, pretrained: bool | None) -> list[str]:
    if find_spec("timm") is None:
        return []
    import timm  # noqa: PLC0415

    published = timm.list_pretrained()  # with the tag of their weights, as in resnet18.a1_in1k
    if pretrained:
        return [f"timm:{name}" for name in published]
    without = {name.partition(".")[0] for name in published} if pretrained is False else set()
    return [f"timm:{name}" for name in timm.list_models() if name not in without]


def _transformers() -> list[str]:
    """Model types; their weights have names of the hub."""
    if find_spec("transformers") is None:
        return []
    from transformers.models.auto.modeling_auto import (  # noqa: PLC0415
        MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as TYPES,
    )

    return [f"transformers:{name}" for name in sorted(TYPES)]
