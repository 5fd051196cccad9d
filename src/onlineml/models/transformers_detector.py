"""Object detectors of Hugging Face's transformers, such as RT-DETRv2 and D-FINE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError, MissingDependencyError, WeightsError
from onlineml.models.detection_boxes import surest_objects
from onlineml.models.detector import Detector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

__all__ = ["BuiltTransformers", "TransformersDetector", "build_transformers", "is_model_type"]

_PREFIX = "transformers:"
_MOST_PARAMETERS = 2_000_000_000  # the largest published detectors have a tenth of that
_MOST_LAYERS, _MOST_UNITS = 1_000, 1_000_000  # units are channels, queries, pixels or classes


class TransformersDetector(Detector):
    """Adapter of a detector from transformers to the interface used in training.

    It predicts a set of boxes, as centre and size relative to the image, so that no non-maximum suppression is needed.
    Ignored regions count as background, because such networks have no way to exclude them.

    Args:
        network: a network of transformers' ``AutoModelForObjectDetection``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def losses(self, image: Tensor, targets: Sequence[Mapping[str, Tensor]], *, trust: float) -> Tensor:
        """Return the (B,) loss: the batch's loss for each image, because the network does not return it per image.

        Args:
            image: (B, 3, H, W) float, normalised.
            targets: targets of each image, see `onlineml.data.loading.detection_datasets.DetectionTarget`.
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

    def detect(self, image: Tensor) -> list[dict[str, Tensor]]:
        """Return the objects of each image."""
        answer: Any = self.network(pixel_values=image)
        logits, centred = answer.logits.float(), answer.pred_boxes.float()
        n_classes = int(self.network.config.num_labels)  # type: ignore[union-attr, arg-type]
        # DETR and similar networks have one more class, for no object, and scores that add up to one
        scores = logits.softmax(-1)[..., :-1] if logits.shape[-1] == n_classes + 1 else logits.sigmoid()
        middle, side = centred[..., :2], centred[..., 2:]
        boxes = torch.cat((middle - side / 2, middle + side / 2), -1) * _size_wh(image)
        results = []
        for one, own in zip(scores, boxes, strict=True):
            values, places = one.flatten().sort(descending=True, stable=True)
            boxes, labels = own[places // one.shape[1]], places % one.shape[1]
            results.append(surest_objects(boxes, labels, values, max_objects=self.max_objects))
        return results

    def head_parameters(self) -> list[nn.Parameter]:
        """Return all parameters except those of submodules named ``backbone``."""
        return [p for name, p in self.named_parameters() if ".backbone." not in name]


def _size_wh(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    return torch.tensor([width, height, width, height], device=image.device, dtype=torch.float32)


class BuiltTransformers(NamedTuple):
    """A detector from transformers, and the configuration for rebuilding it without the hub.

    Attributes:
        network: the detector.
        config: its configuration, of JSON values.
        mean, std: normalisation of RGB in 0..1 that its weights expect.
        reinitialized: names of the tensors that are random although weights were given, because their number of classes
            differs.
    """

    network: TransformersDetector
    config: dict[str, Any]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    reinitialized: tuple[str, ...] = ()


def build_transformers(
    architecture: str, *, num_classes: int, weights: str | None, config: Mapping[str, Any] | None
) -> BuiltTransformers:
    """Build a detector. No code from the hub is ever run, and no pickle is read.

    Args:
        architecture: ``"transformers:"`` and a model type (``rt_detr_v2``, ``d_fine``), or a model's name on the hub or
            folder.
        num_classes: number of object classes.
        weights: None (random), or ``"DEFAULT"``: those of the named model, in safetensors; tensors that depend on a
            different number of classes are initialised randomly.
        config: if set, the network is built from it alone.

    Raises:
        MissingDependencyError: transformers is not installed.
        ConfigError: the model type does not exist.
        WeightsError: the model cannot be obtained or is of another kind, or ``weights`` has another value.
    """
    try:
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"architecture={architecture!r} needs transformers: pip install transformers"
        ) from error
    name = architecture.removeprefix(_PREFIX)
    if weights not in {None, "DEFAULT"}:
        raise WeightsError(
            f"weights={weights!r}: a transformers model accepts None or 'DEFAULT'; name its folder or its name on "
            "the hub in architecture='transformers:FOLDER'"
        )
    auto: Any = transformers.AutoModelForObjectDetection
    try:
        if weights is None:
            made = _rebuilt(transformers, config) if config is not None else _config(transformers, name, num_classes)
            network = auto.from_config(made, trust_remote_code=False)
            return BuiltTransformers(TransformersDetector(network), network.config.to_dict())
        network, told = auto.from_pretrained(
            name,
            num_labels=num_classes,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        where = "a model type such as rt_detr_v2 or d_fine, or a model of the hub or a folder, with its weights"
        kind = ConfigError if weights is None else WeightsError
        reason = " ".join(str(error).split())[:300]
        raise kind(f"architecture={architecture!r}: {reason}; expected {where}") from error
    missing = sorted(told["missing_keys"])
    if missing:  # transformers initialises them randomly and continues
        raise WeightsError(
            f"architecture={architecture!r}: its weights lack {count(len(missing), 'tensor')} of "
            f"{type(network).__name__} ({', '.join(missing[:3])}, …): they are of another model; name a matching "
            "one, or pass weights='random' to start from random weights"
        )
    mean, std = _normalisation(transformers, name)
    reinitialized = tuple(sorted(str(key) for key, *_ in told["mismatched_keys"]))
    return BuiltTransformers(TransformersDetector(network), network.config.to_dict(), mean, std, reinitialized)


def _rebuilt(transformers: Any, config: Mapping[str, Any]) -> Any:
    """Return the configuration of a stored network; one that is too large is refused before it takes memory.

    Raises:
        ValueError: it is too large, or none of a detector.
    """
    for name, number in _numbers(config):
        most = _MOST_LAYERS if "layers" in name or "depth" in name else _MOST_UNITS
        if number > most:
            raise ValueError(f"{name} is {str(number)[:20]}; expected at most {most:,}")
    told = {key: value for key, value in config.items() if key != "model_type"}
    try:
        found = transformers.AutoConfig.for_model(str(config["model_type"]), **told)
        with torch.device("meta"):  # takes no memory
            network = transformers.AutoModelForObjectDetection.from_config(found, trust_remote_code=False)
    except Exception as error:  # other values than a network understands raise anything
        raise ValueError(f"its configuration is damaged: {error}") from error
    n = sum(value.numel() for value in network.parameters())
    if n > _MOST_PARAMETERS:
        raise ValueError(f"its configuration has {n:.3g} parameters; expected at most {_MOST_PARAMETERS:,}")
    return found


def _numbers(config: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers in a configuration with their names: of layers, channels and the like."""
    left = [("", config)]
    while left:
        name, value = left.pop()
        if type(value) in {int, float}:
            yield name, value
        elif isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(name, one) for one in value]


def is_model_type(name: str) -> bool:
    """Return whether a name is a type of transformers' models, which is built without reading anything."""
    try:
        import transformers  # noqa: PLC0415
    except ImportError:
        return True  # refused with a better reason
    return name in transformers.CONFIG_MAPPING


def _normalisation(transformers: Any, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of RGB in 0..1 with which a published model was trained."""
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError):  # saved without one
        processor = None
    if not getattr(processor, "do_normalize", False):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return tuple(processor.image_mean), tuple(processor.image_std)


def _config(transformers: Any, name: str, num_classes: int) -> Any:
    """Return the configuration of a randomly initialised network; for a model type, nothing is downloaded."""
    auto = transformers.AutoConfig
    if name in transformers.CONFIG_MAPPING:
        return auto.for_model(name, num_labels=num_classes)
    return auto.from_pretrained(name, num_labels=num_classes, trust_remote_code=False)
