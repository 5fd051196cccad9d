"""Lightning's checkpoints of a module: with all that rebuilds it, and nothing that is code."""

from __future__ import annotations

import contextlib
import io
from typing import IO, TYPE_CHECKING, Annotated, Any, Self, TypeAlias, cast

import msgspec
import torch
from msgspec import Meta

from onlineml.errors import ConfigError, OnlineMLError, WeightsError
from onlineml.models.start.origin import Origin
from onlineml.models.weights import check_records
from onlineml.storage.documents import checked
from onlineml.storage.io import read_bytes
from onlineml.storage.location import Location
from onlineml.tasks.own_network import known_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onlineml.tasks.base import VisionModule

__all__ = ["WithCheckpoint"]

_KEY = "onlineml"  # in a checkpoint: what the constructor does not take
_Side: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]
_SETTINGS = "hyper_parameters"  # Lightning's key of the constructor's arguments


class _Facts(msgspec.Struct):
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    size_hw: tuple[_Side, _Side] | None = None
    task: str = ""
    network: str = ""
    pretrained: bool = False
    manifest_hash: str = ""


class WithCheckpoint:
    """The part of `onlineml.tasks.base.VisionModule` that a checkpoint holds besides the weights.

    Attributes:
        thresholds: score threshold of each class, chosen on validation images; None before, and for tasks without
            thresholds.
    """

    thresholds: dict[str, float] | None = None

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments that make such a module, as values of JSON."""
        module = cast("VisionModule", self)
        same = ("lr", "weight_decay", "lr_decay", "warmup_steps", "head_warmup", "frozen_share", "freeze_bn", "seed")
        names = {"class_names": list(module.class_names), "optimizer": module.optimizer_name}
        return names | {name: getattr(module, name) for name in same}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        module = cast("VisionModule", self)
        checkpoint["thresholds"] = self.thresholds
        checkpoint[_SETTINGS] = module.settings()
        checkpoint[_KEY] = {
            "task": module.task,
            "network": type(module.network).__name__,
            "pretrained": module.pretrained,
            "size_hw": None if module.size_hw is None else list(module.size_hw),
            "mean": list(module.mean),
            "std": list(module.std),
            "manifest_hash": module.manifest_hash,
            **module.origin.record(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.thresholds = checkpoint.get("thresholds")
        facts = checkpoint.get(_KEY)
        if facts is None:
            return
        module = cast("VisionModule", self)
        if facts["size_hw"] is not None:
            module.size_hw = (int(facts["size_hw"][0]), int(facts["size_hw"][1]))
        module.pretrained, module.manifest_hash = facts["pretrained"], facts["manifest_hash"]
        module.origin = Origin.from_record(facts)
        module.set_normalization(mean=facts["mean"], std=facts["std"])

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **changed: Any,
    ) -> Self:
        """Rebuild a module from a checkpoint of any trainer or of `onlineml.fit`, with its classes, size and settings.

        Args:
            checkpoint_path: a path, a URL or a file.
            map_location: as `torch.load`.
            hparams_file: as Lightning; the settings are in the checkpoint.
            strict: whether the weights must match exactly; None is True.
            weights_only: True or None: nothing is unpickled.
            **changed: arguments of the class, in place of those in the checkpoint; your own network as ``backbone=``
                (of a detector ``architecture=``), since no code that a checkpoint names is imported.

        Raises:
            ConfigError: the checkpoint is of another task, or its network is the user's own and not given.
        """
        if weights_only is False:
            raise ConfigError("weights_only=False: expected True or None; checkpoints are read without running code")
        source = str(checkpoint_path)
        if isinstance(checkpoint_path, str) or hasattr(checkpoint_path, "__fspath__"):
            data = read_bytes(Location.of(cast("str", checkpoint_path), None))
        else:
            data = checkpoint_path.read()
        with _named(source):
            check_records(data)
            checkpoint = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            facts, settings = checkpoint.get(_KEY) or {}, checkpoint.get(_SETTINGS, {})
            checked(facts, _Facts, source)
        task = cast("type[VisionModule]", cls).task
        if facts.get("task", task) != task:
            raise ConfigError(f"{source} is of {facts['task']}: expected {task}; load it with the class of its task")
        for name in {"architecture", "backbone"} & settings.keys():
            called, given = facts.get("network", ""), changed.get(name)
            changed[name] = known_network(settings[name], given=given, called=called, source=source, argument=name)
        unread = {"weights": "random", "storage_options": None}  # what a checkpoint names is not fetched
        parent = cast("Any", super())
        with _named(source):
            made: Self = parent.load_from_checkpoint(
                io.BytesIO(data), map_location, hparams_file, strict, weights_only=True, **(unread | changed)
            )
        return made


@contextlib.contextmanager
def _named(source: str) -> Iterator[None]:
    """Name the checkpoint in whatever goes wrong with what is in it."""
    try:
        yield
    except OnlineMLError:
        raise
    except Exception as error:  # RuntimeError, EOFError, KeyError, TypeError, UnpicklingError, ...
        raise WeightsError(
            f"{source} cannot be loaded: it is damaged, or of another network or class ({type(error).__name__}: "
            f"{str(error)[:500]})"
        ) from error
