"""Saving and loading of trained modules without pickle."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from onlineml.errors import StorageError, WeightsError
from onlineml.lazy import told_if_slow
from onlineml.models.start.origin import Origin
from onlineml.models.weights import with_versions
from onlineml.registry.versions import ModelVersion, resolve
from onlineml.storage.io import read_bytes
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.urls import storable
from onlineml.tasks import task_of
from onlineml.tasks.calibrated import current_calibration
from onlineml.tasks.descriptor import FORMAT, check_descriptor, check_trust, kept_settings, stored_calibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from onlineml.tasks.base import VisionModule

__all__ = ["load_model", "model_files", "opened_model"]

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
        ConfigError: the model has no input size: it was not trained, and `ImageClassifier.size_hw` is not set; or its
            calibration is of other weights.
        WeightsError: a weight is not a finite number.
    """
    from safetensors.torch import save  # noqa: PLC0415

    # safetensors stores neither strides (channels-last weights are contiguous, and converted when loaded) nor tensors
    # with two names, as in transformers' detectors
    state = {k: v.detach().cpu().contiguous().clone() for k, v in model.network.state_dict().items()}
    _check_finite(state, "the model")
    weights = save(state)
    descriptor = {**_describe(model, parent), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    files = {
        "weights.safetensors": weights,
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
    calibration = current_calibration(model)
    return {
        "format": FORMAT,
        "task": model.task,
        **model.descriptor(),
        **({} if model.thresholds is None else {"thresholds": model.thresholds}),
        **({} if calibration is None else {"calibration": msgspec.to_builtins(calibration)}),
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
        **model.origin.record(),
        "training": {
            "optimizer": model.optimizer_name,
            "lr": model.lr,
            "kept": msgspec.to_builtins(model.chosen_settings()),
        },
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
    trust: bool = False,
    storage_options: Options = None,
) -> VisionModule:
    """Rebuild a published model, in evaluation mode, on the CPU; no code from storage is ever run.

    Args:
        model: a version, the URL of one (``…/models/7``), ``<project>@champion``, or a folder with ``model.json``.
        backbone: for a model with your own network: the module, or the import path of its factory. A path in the
            descriptor is never imported, since anyone with write access to the storage could choose it.
        trust: also build a network whose description names a model of a hub or a folder, which is then read.
        storage_options: of the filesystem.

    Returns:
        The module of its task, such as an `ImageClassifier` or an `ObjectDetector`; on one machine its CPU outputs are
        bit-identical to those of the model that was published.

    Raises:
        NotFoundError: the model does not exist.
        ConfigError: the network is the user's own, and ``backbone`` is not given; or ``trust`` is needed.
        WeightsError: the weights do not match the network or their checksum, or are not finite numbers.
        StorageError: the descriptor is damaged, or of a later format.

    Example:
        >>> oml.load_model("s3://lab/butterflies@champion").class_names
        ('large white', 'monarch', 'small white', 'viceroy')
    """
    found = model if isinstance(model, ModelVersion) else resolve(Location.of(model, storage_options))
    descriptor = found.descriptor()
    check_descriptor(descriptor, source=str(found))
    if backbone is None and not trust:
        check_trust(descriptor, source=str(found))
    module: type[VisionModule] = task_of(descriptor["task"]).load("module")
    with told_if_slow(f"Loading {found}"):
        loaded = module.from_descriptor(descriptor, network=backbone, source=str(found))
        _load_weights(loaded.network, found, sha256=descriptor.get("weights_sha256"))
    preprocessing = descriptor["preprocessing"]
    loaded.set_normalization(mean=preprocessing["mean"], std=preprocessing["std"])
    loaded.size_hw = (int(preprocessing["size_hw"][0]), int(preprocessing["size_hw"][1]))
    loaded.manifest_hash, loaded.origin = descriptor["manifest_hash"], Origin.from_record(descriptor)
    if (chosen := descriptor.get("thresholds")) is not None:
        loaded.thresholds = {str(name): float(score) for name, score in chosen.items()}
    loaded.kept = kept_settings(descriptor)
    loaded.reference = storable(found.url)
    loaded.to(memory_format=torch.channels_last)
    loaded.calibration = stored_calibration(descriptor)
    if loaded.calibration is not None and loaded.calibration.model != loaded.fingerprint():
        raise StorageError(f"{found}: model.json is damaged: its calibration is of another model; publish it again")
    return loaded.eval()


def opened_model(model: Any, *, storage_options: Options = None) -> Any:
    """Return a model, loaded if it is given by its URL or version; see `load_model`.

    Raises:
        ConfigError: its calibration is of other weights.
    """
    if isinstance(model, str | os.PathLike | Location | ModelVersion):
        return load_model(model, storage_options=storage_options)
    current_calibration(model)
    return model


def _load_weights(network: nn.Module, found: ModelVersion, *, sha256: str | None) -> None:
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load  # noqa: PLC0415

    file = found.location / "weights.safetensors"
    content = read_bytes(file)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError(f"{file} is damaged: its checksum is not that of model.json; publish the model again")
    try:
        state = load(content)
        _check_finite(state, str(file))
        network.load_state_dict(with_versions(network, state))
    except (RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{file} does not fit the network: {str(error)[:500]}") from error


def _check_finite(state: Mapping[str, Tensor], source: str) -> None:
    bad = [name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if bad:
        raise WeightsError(
            f"{source} has weights that are not finite numbers (in {', '.join(bad[:3])}): the training diverged; train "
            "again with a lower lr"
        )
