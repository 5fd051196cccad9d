"""Object detectors of Hugging Face's transformers, such as RT-DETRv2 and D-FINE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onlineml.errors import ConfigError, MissingDependencyError, WeightsError
from onlineml.models.detection_boxes import as_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from onlineml.models.detection_boxes import Objects

__all__ = ["TransformersDetector", "build_transformers"]

_PREFIX = "transformers:"


class TransformersDetector(nn.Module):
    """Gives a detector of transformers the form that training asks for.

    It predicts a set of boxes, each image's as centre and size in shares of the image, so that no boxes have to be
    left out for overlap. Images are (B, 3, H, W) floats in 0..1, as RT-DETR and D-FINE want them.

    Args:
        network: of transformers' ``AutoModelForObjectDetection``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def losses(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]], *, trust: float) -> Tensor:
        """(B,) loss, the batch's for each image: such a network does not tell them apart.

        Args:
            image: (B, 3, H, W) float in 0..1.
            targets: of each image, see `onlineml.data.detection_datasets.DetectionTarget`.
            trust: not used.
        """
        del trust
        size = _size_wh(image)
        labels = []
        for target in targets:
            boxes = target["boxes"].to(image.device)
            middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            labels.append(
                {"class_labels": target["labels"].to(image.device), "boxes": torch.cat((middle, side), 1) / size}
            )
        total: Tensor = self.network(pixel_values=image, labels=labels).loss
        return total.float().expand(len(targets))

    def detect(self, image: Tensor) -> list[Objects]:
        """Objects of each image."""
        answer: Any = self.network(pixel_values=image)
        logits, centred = answer.logits.float(), answer.pred_boxes.float()
        n_classes = int(self.network.config.num_labels)  # type: ignore[union-attr, arg-type]
        # DETR and its like have one more class, for nothing, and scores that add up to one
        scores = logits.softmax(-1)[..., :-1] if logits.shape[-1] == n_classes + 1 else logits.sigmoid()
        middle, side = centred[..., :2], centred[..., 2:]
        boxes = torch.cat((middle - side / 2, middle + side / 2), -1) * _size_wh(image)
        results = []
        for one, own in zip(scores, boxes, strict=True):
            values, places = one.flatten().sort(descending=True, stable=True)
            results.append(as_objects(own[places // one.shape[1]], places % one.shape[1], values))
        return results

    def head_parameters(self) -> list[nn.Parameter]:
        """All but those of parts named ``backbone``."""
        return [p for name, p in self.named_parameters() if ".backbone." not in name]


def _size_wh(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    return torch.tensor([width, height, width, height], device=image.device, dtype=torch.float32)


def build_transformers(
    architecture: str, *, num_classes: int, weights: str | None, config: Mapping[str, Any] | None
) -> tuple[TransformersDetector, dict[str, Any]]:
    """Build a detector, and tell the configuration by which it can be built anew without the hub.

    Args:
        architecture: ``"transformers:"`` and a model type (``rt_detr_v2``, ``d_fine``), or a model's name on the hub or
            folder.
        num_classes: of objects.
        weights: None (random), or ``"DEFAULT"``: those of the named model, in safetensors, its head anew.
        config: where given, the network is built by it alone.

    Raises:
        MissingDependencyError: transformers is not installed.
        ConfigError: no such model type.
        WeightsError: the model cannot be had, or ``weights`` is something else.
    """
    try:
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"architecture={architecture!r} needs transformers: pip install 'onlineml[transformers]'"
        ) from error
    name = architecture.removeprefix(_PREFIX)
    if weights not in {None, "DEFAULT"}:
        raise WeightsError(
            f"weights={weights!r}: a transformers model takes None or 'DEFAULT'; name its folder or its place on "
            "the hub in architecture='transformers:FOLDER'"
        )
    auto: Any = transformers.AutoModelForObjectDetection
    try:
        if weights is not None:
            network = auto.from_pretrained(
                name, num_labels=num_classes, ignore_mismatched_sizes=True, use_safetensors=True
            )
        else:
            network = auto.from_config(_config(transformers, name, num_classes, config))
    except (OSError, ValueError) as error:
        where = "a model type such as rt_detr_v2 or d_fine, or a model of the hub or a folder, with its weights"
        kind = ConfigError if weights is None else WeightsError
        raise kind(f"architecture={architecture!r}: {str(error)[:300]}; expected {where}") from error
    known: dict[str, Any] = network.config.to_dict()
    return TransformersDetector(network), known


def _config(transformers: Any, name: str, num_classes: int, config: Mapping[str, Any] | None) -> Any:
    """The configuration of a network that starts at random; nothing is fetched where a model type is named."""
    auto = transformers.AutoConfig
    if config is not None:
        told = {key: value for key, value in config.items() if key != "model_type"}
        return auto.for_model(str(config["model_type"]), **told)
    if name in transformers.CONFIG_MAPPING:
        return auto.for_model(name, num_labels=num_classes)
    return auto.from_pretrained(name, num_labels=num_classes)
