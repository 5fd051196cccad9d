"""A trained module as files without pickle, and back."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onlineml.errors import ConfigError, StorageError, WeightsError
from onlineml.models.weights import with_versions
from onlineml.registry.versions import ModelVersion, publish_to, resolve
from onlineml.storage.io import join, read_bytes
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.detection import ObjectDetector

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from onlineml.runs.run import Run
    from onlineml.tasks.base import VisionModule

__all__ = ["load_model", "model_files", "write_model"]

_FORMAT = 1  # of model.json
_REQUIRED = ("backbone", "architecture", "class_names", "preprocessing", "manifest_hash", "seed")
_TASKS = ("classification", "detection")
_FIT = {
    "classification": "scale to cover, cut evenly around the centre",
    "detection": "scale to fit inside, upper left, padded with grey 114 to multiples of 32",
}
_PACKAGES = ("onlineml", "torch", "torchvision", "pytorch-lightning", "timm", "transformers", "numpy", "pillow")


def model_files(model: VisionModule, scores: Any = None, *, parent: str | None = None) -> dict[str, bytes]:
    """The files of a published model.

    Args:
        model: what to publish.
        scores: what `onlineml.evaluate` returned for it; adds what they say.
        parent: the version that it was made from; None takes the one that ``model`` was loaded from, if any.

    Returns:
        ``weights.safetensors``, ``model.json`` (the descriptor) and, with scores, ``evaluation.json``,
        ``report.html`` and ``README.md`` (the model card).

    Raises:
        ConfigError: the model has no input size yet: it was not trained, and `ImageClassifier.size_hw` is not set.
    """
    from safetensors.torch import save  # noqa: PLC0415

    descriptor = _describe(model, parent)
    # safetensors knows neither strides (channels-last weights are stored in plain order, and laid out anew when loaded)
    # nor tensors with two names, which transformers' detectors have
    state = {k: v.detach().cpu().contiguous().clone() for k, v in model.network.state_dict().items()}
    files = {
        "weights.safetensors": save(state),
        "model.json": json.dumps(descriptor, indent=1).encode(),
    }
    if scores is not None:
        from onlineml.evaluation.classification.report import model_card, report_html  # noqa: PLC0415

        files["evaluation.json"] = scores.to_json().encode()
        files["report.html"] = report_html(scores).encode()
        files["README.md"] = model_card(descriptor, scores).encode()
    return files


def _describe(model: VisionModule, parent: str | None) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "task": model.task,
        **_described_network(model),
        "class_names": list(model.class_names),
        "preprocessing": {
            "size_hw": list(model.input_size_hw()),
            "mean": list(model.mean),
            "std": list(model.std),
            "fit": _FIT[model.task],
            "color": "RGB, upright",
        },
        "manifest_hash": model.manifest_hash,
        "parent": parent or model.reference or None,
        "seed": model.seed,
        "training": {"optimizer": model.optimizer_name, "lr": model.lr},
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
    }


def _described_network(model: VisionModule) -> dict[str, Any]:
    if isinstance(model, ObjectDetector):
        named = {"architecture": model.architecture or type(model.network).__name__, "own": not model.architecture}
        return {**named, "backbone": model.backbone_name, "config": model.config, "thresholds": model.thresholds}
    return {"backbone": model.backbone_name, "architecture": type(model.network).__name__}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def write_model(model: VisionModule, run: Run) -> None:
    """Write the trained model into its run, as ``model/``."""
    publish_to(run.path("model"), model_files(model), storage_options=run.storage_options)


def load_model(
    model: str | os.PathLike[str] | ModelVersion,
    *,
    backbone: str | nn.Module | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ImageClassifier | ObjectDetector:
    """Rebuild a published model, in evaluation mode, on the CPU; no code from storage is ever run.

    Args:
        model: a version, the URL of one (``…/models/7``), ``<project>@champion``, or a folder with ``model.json``.
        backbone: for a model whose network is yours: the module, or the import path of its factory. A path in the
            descriptor is only named in the error, never imported: whoever writes to the storage could choose it.
        storage_options: opens the URL.

    Returns:
        An `ImageClassifier` or an `ObjectDetector`; on one machine its CPU outputs are bit-identical to those of the
        model that was published.

    Raises:
        NotFoundError: there is no such model.
        ConfigError: the network is the user's own, and ``backbone`` is not given.
        WeightsError: weights and network do not fit.
        StorageError: the descriptor is damaged, or of a later format.
    """
    found = model if isinstance(model, ModelVersion) else resolve(model, storage_options=storage_options)
    descriptor = found.descriptor()
    task = descriptor.get("task")
    if descriptor.get("format") != _FORMAT or task not in _TASKS:
        raise StorageError(
            f"{found.url}: format {descriptor.get('format')!r} and task {task!r}; this onlineml reads format {_FORMAT} "
            f"and the tasks {', '.join(_TASKS)}: update it with pip install -U onlineml"
        )
    missing = [name for name in _REQUIRED if name not in descriptor]
    if missing:
        raise StorageError(
            f"{found.url}: model.json lacks {', '.join(missing)}: it is damaged; publish the model again"
        )
    loaded = (_classifier if task == "classification" else _detector)(descriptor, backbone, found.url)
    _load_weights(loaded.network, found)
    preprocessing = descriptor["preprocessing"]
    loaded.set_normalization(mean=preprocessing["mean"], std=preprocessing["std"])
    loaded.size_hw = (int(preprocessing["size_hw"][0]), int(preprocessing["size_hw"][1]))
    loaded.manifest_hash = descriptor["manifest_hash"]
    loaded.reference = str(found.url)
    loaded.to(memory_format=torch.channels_last)
    return loaded.eval()


def _classifier(descriptor: Mapping[str, Any], network: str | nn.Module | None, url: str) -> ImageClassifier:
    if network is None:
        network = _known(str(descriptor["backbone"]), descriptor["architecture"], url)
    return ImageClassifier(class_names=descriptor["class_names"], backbone=network, seed=descriptor["seed"])


def _detector(descriptor: Mapping[str, Any], network: str | nn.Module | None, url: str) -> ObjectDetector:
    name, backbone = str(descriptor["architecture"]), str(descriptor["backbone"])
    if network is None and name == "compact":
        network, backbone = name, _known(backbone, "its backbone", url)
    elif network is None:
        network = _known("" if descriptor.get("own") else name, name, url)
    elif name == "compact":  # the user's own is the backbone within our detector
        return _with_thresholds(
            ObjectDetector(
                class_names=descriptor["class_names"],
                architecture="compact",
                backbone=network,
                seed=descriptor["seed"],
            ),
            descriptor,
        )
    loaded = ObjectDetector(
        class_names=descriptor["class_names"],
        architecture=network,
        backbone=backbone or "auto",
        config=descriptor.get("config"),
        seed=descriptor["seed"],
    )
    return _with_thresholds(loaded, descriptor)


def _with_thresholds(model: ObjectDetector, descriptor: Mapping[str, Any]) -> ObjectDetector:
    found = descriptor.get("thresholds")
    model.thresholds = None if found is None else {str(name): float(score) for name, score in found.items()}
    return model


def _known(name: str, architecture: str, url: str) -> str:
    if name and (":" not in name or name.startswith(("timm:", "transformers:"))):
        return name
    built_by = f"the factory {name!r}" if name else f"a module of its author's, {architecture!r}"
    raise ConfigError(
        f"{url} was built by {built_by}, which is not loaded from storage: pass backbone= (the module, or its import "
        "path if you trust it)"
    )


def _load_weights(network: nn.Module, found: ModelVersion) -> None:
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load  # noqa: PLC0415

    url = join(found.url, "weights.safetensors")
    try:
        state = load(read_bytes(url, storage_options=found.storage_options))
        network.load_state_dict(with_versions(network, state))
    except (RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{url} does not fit the network: {str(error)[:500]}") from error
