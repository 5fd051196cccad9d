"""The description of a published model, ``model.json``, which anyone who may write to the storage can have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from onlineml.errors import ConfigError, StorageError
from onlineml.evaluation.calibration.calibration import Calibration  # noqa: TC001 - msgspec reads it
from onlineml.storage.documents import checked
from onlineml.tasks import task_names
from onlineml.tasks.kept_settings import KeptSettings

__all__ = ["FORMAT", "check_descriptor", "check_trust", "hub_reference", "kept_settings", "stored_calibration"]

FORMAT = 1
_MOST_CLASSES = 100_000

_Side = Annotated[int, Meta(ge=1, le=16_384)]
_Mean = Annotated[float, Meta(ge=-1000, le=1000)]
_Std = Annotated[float, Meta(gt=0, le=1000)]
_Name = Annotated[str, Meta(min_length=1, max_length=1000)]


class _Preprocessing(msgspec.Struct):
    size_hw: tuple[_Side, _Side]
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Std, _Std, _Std]


class _Training(msgspec.Struct):
    kept: KeptSettings | None = None


class _Tiles(msgspec.Struct):
    size: Annotated[int, Meta(ge=8, le=1_000_000)]
    overlap: Annotated[int, Meta(ge=0, le=1_000_000)]
    whole: bool = False


class _Descriptor(msgspec.Struct):
    backbone: str
    architecture: str
    class_names: Annotated[list[_Name], Meta(min_length=1, max_length=_MOST_CLASSES)]
    preprocessing: _Preprocessing
    manifest_hash: Annotated[str, Meta(max_length=1000)]
    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    thresholds: dict[str, Annotated[float, Meta(ge=0, le=1)]] | None = None
    config: dict[str, Any] | None = None
    weights_sha256: str | None = None
    weights_from: Annotated[str, Meta(max_length=2000)] | None = None
    weights_licence: Annotated[str, Meta(max_length=2000)] | None = None
    training: _Training | None = None
    tiles: _Tiles | None = None
    calibration: Calibration | None = None


def check_descriptor(descriptor: Mapping[str, Any], *, source: str) -> None:
    """Check every field that `onlineml.load_model` uses, before anything is built from them.

    Raises:
        StorageError: the format or task is not known here, or a field is missing or outside its range; named.
    """
    task = descriptor.get("task")
    if descriptor.get("format") != FORMAT or task not in task_names():
        raise StorageError(
            f"{source}: format {descriptor.get('format')!r} and task {task!r}; this onlineml reads format {FORMAT} "
            f"and the tasks {', '.join(task_names())}: update it with pip install -U onlineml"
        )
    found = checked(descriptor, _Descriptor, f"{source}: model.json")
    if len(set(found.class_names)) < len(found.class_names):
        raise StorageError(f"{source}: model.json is damaged: class_names has a name twice; publish the model again")
    if found.calibration is not None and set(found.calibration.classes) != set(found.class_names):
        raise StorageError(f"{source}: model.json is damaged: its calibration has other classes; publish it again")


def kept_settings(descriptor: Mapping[str, Any]) -> KeptSettings:
    """The settings of the training that successors keep, of a description that was checked."""
    found = msgspec.convert(descriptor, _Descriptor).training
    return KeptSettings() if found is None or found.kept is None else found.kept


def stored_calibration(descriptor: Mapping[str, Any]) -> Calibration | None:
    """Return the calibration of a description that was checked; None if it has none."""
    return msgspec.convert(descriptor, _Descriptor).calibration


def hub_reference(name: str) -> str:
    """Return a network's name if building it would read a hub or a folder, such as ``timm:hf-hub:…``; else ``""``."""
    package, _, rest = name.partition(":")
    if package == "timm":
        return name if set(rest) & set(":/\\") else ""
    if package != "transformers":
        return ""
    from onlineml.models.transformers_detector import is_model_type  # noqa: PLC0415

    return "" if is_model_type(rest) else name


def check_trust(descriptor: Mapping[str, Any], *, source: str) -> None:
    """Refuse a description that makes the packages of networks read a hub or a folder.

    Raises:
        ConfigError: it does; the message names what would be read.
    """
    config = descriptor.get("config")
    names = [str(descriptor["backbone"]), "" if config else str(descriptor["architecture"])]
    found = next(filter(None, map(hub_reference, names)), "") or _read_by(config)
    if found:
        raise ConfigError(
            f"building {source} would read {found!r}, as named by its model.json on the storage: check it, then call "
            "load_model(..., trust=True)"
        )


def _read_by(config: Any) -> str:
    """Return the backbone that a transformers configuration would have read, at any depth."""
    left = [config]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            backbone = one.get("backbone")
            if isinstance(backbone, str) and (one.get("use_pretrained_backbone") or set(backbone) & set(":/\\")):
                return backbone
        left += one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
    return ""
