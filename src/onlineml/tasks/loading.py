"""Saving and loading of trained modules without pickle."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import StorageError, WeightsError
from onlineml.models.weights import with_versions
from onlineml.registry.versions import ModelVersion, resolve
from onlineml.storage.io import read_bytes
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.urls import storable
from onlineml.tasks import task_names, task_of

if TYPE_CHECKING:
    from torch import nn

    from onlineml.tasks.base import VisionModule

__all__ = ["load_model", "model_files", "opened_model"]

_FORMAT = 1  # of model.json
_REQUIRED = ("backbone", "architecture", "class_names", "preprocessing", "manifest_hash", "seed")
_PACKAGES = ("onlineml", "torch", "torchvision", "pytorch-lightning", "timm", "transformers", "numpy", "pillow")


def model_files(model: VisionModule, scores: Any = None, *, parent: str | None = None) -> dict[str, bytes]:
    """The files of a published model.

    Args:
        model: the module.
        scores: the result of `onlineml.evaluate`; adds a report and a model card.
        parent: the version that it was trained from; None for the one that ``model`` was loaded from, if any.

    Returns:
        ``weights.safetensors``, ``model.json`` (the descriptor) and, with scores, ``evaluation.json``,
        ``report.html`` and ``README.md`` (the model card).

    Raises:
        ConfigError: the model has no input size: it was not trained, and `ImageClassifier.size_hw` is not set.
    """
    from safetensors.torch import save  # noqa: PLC0415

    descriptor = _describe(model, parent)
    # safetensors stores neither strides (channels-last weights are contiguous, and converted when loaded) nor tensors
    # with two names, as in transformers' detectors
    state = {k: v.detach().cpu().contiguous().clone() for k, v in model.network.state_dict().items()}
    files = {
        "weights.safetensors": save(state),
        "model.json": json.dumps(descriptor, indent=1).encode(),
    }
    if scores is not None:
        from onlineml.evaluation.render.card import model_card  # noqa: PLC0415
        from onlineml.evaluation.render.report import report_html  # noqa: PLC0415

        files["evaluation.json"] = scores.to_json().encode()
        files["report.html"] = report_html(scores).encode()
        files["README.md"] = model_card(descriptor, scores).encode()
    return files


def _describe(model: VisionModule, parent: str | None) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "task": model.task,
        **model.descriptor(),
        **({} if model.thresholds is None else {"thresholds": model.thresholds}),
        "class_names": list(model.class_names),
        "preprocessing": {
            "size_hw": list(model.input_size_hw()),
            "mean": list(model.mean),
            "std": list(model.std),
            "fit": model.input_fit,
            "color": "RGB, upright",
        },
        "manifest_hash": model.manifest_hash,
        "parent": storable(parent or model.reference) or None,
        "seed": model.seed,
        "training": {"optimizer": model.optimizer_name, "lr": model.lr},
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def load_model(
    model: Url | ModelVersion,
    *,
    backbone: str | nn.Module | None = None,
    storage_options: Options = None,
) -> VisionModule:
    """Rebuild a published model, in evaluation mode, on the CPU; no code from storage is ever run.

    Args:
        model: a version, the URL of one (``…/models/7``), ``<project>@champion``, or a folder with ``model.json``.
        backbone: for a model with your own network: the module, or the import path of its factory. A path in the
            descriptor is never imported, since anyone with write access to the storage could choose it.
        storage_options: of the filesystem.

    Returns:
        The module of its task, such as an `ImageClassifier` or an `ObjectDetector`; on one machine its CPU outputs are
        bit-identical to those of the model that was published.

    Raises:
        NotFoundError: the model does not exist.
        ConfigError: the network is the user's own, and ``backbone`` is not given.
        WeightsError: the weights do not match the network.
        StorageError: the descriptor is damaged, or of a later format.

    Example:
        >>> oml.load_model("s3://lab/butterflies@champion").class_names
        ('large white', 'monarch', 'small white', 'viceroy')
    """
    found = model if isinstance(model, ModelVersion) else resolve(Location.of(model, storage_options))
    descriptor = found.descriptor()
    task = descriptor.get("task")
    if descriptor.get("format") != _FORMAT or task not in task_names():
        raise StorageError(
            f"{found}: format {descriptor.get('format')!r} and task {task!r}; this onlineml reads format {_FORMAT} "
            f"and the tasks {', '.join(task_names())}: update it with pip install -U onlineml"
        )
    missing = [name for name in _REQUIRED if name not in descriptor]
    if missing:
        raise StorageError(f"{found}: model.json lacks {', '.join(missing)}: it is damaged; publish the model again")
    module: type[VisionModule] = task_of(task).load("module")
    loaded = module.from_descriptor(descriptor, network=backbone, source=str(found))
    _load_weights(loaded.network, found)
    preprocessing = descriptor["preprocessing"]
    loaded.set_normalization(mean=preprocessing["mean"], std=preprocessing["std"])
    loaded.size_hw = (int(preprocessing["size_hw"][0]), int(preprocessing["size_hw"][1]))
    loaded.manifest_hash = descriptor["manifest_hash"]
    if (chosen := descriptor.get("thresholds")) is not None:
        loaded.thresholds = {str(name): float(score) for name, score in chosen.items()}
    loaded.reference = storable(found.url)
    loaded.to(memory_format=torch.channels_last)
    return loaded.eval()


def opened_model(model: Any, *, storage_options: Options = None) -> Any:
    """Return a model, loaded if it is given by its URL or version; see `load_model`."""
    if isinstance(model, str | os.PathLike | Location | ModelVersion):
        return load_model(model, storage_options=storage_options)
    return model


def _load_weights(network: nn.Module, found: ModelVersion) -> None:
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load  # noqa: PLC0415

    file = found.location / "weights.safetensors"
    try:
        state = load(read_bytes(file))
        network.load_state_dict(with_versions(network, state))
    except (RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{file} does not fit the network: {str(error)[:500]}") from error
