"""The model that a server answers with: opened once, and again when the alias stands for another version."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from onlineml.arguments.checks import one_of
from onlineml.errors import ConfigError, without_credentials
from onlineml.exporting.export import load_export
from onlineml.inference.predictor import predict
from onlineml.registry.versions import ModelVersion, list_exports, resolve
from onlineml.storage.location import Location
from onlineml.storage.urls import storable
from onlineml.tasks.loading import opened_model

if TYPE_CHECKING:
    import threading

    from onlineml.storage.location import Options

__all__ = ["CurrentModel", "Engine", "Opened"]

Engine = Literal["auto", "torch", "onnx", "onnx-int8", "openvino"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Opened:
    """A model that has answered once.

    Attributes:
        model: as `onlineml.predict` takes it.
        version: the name of its version, ``""`` for one that was never published.
        engine: what computes its answers.
    """

    model: Any
    version: str
    engine: str


class CurrentModel:
    """The model of a reference; `look` opens the version that the reference stands for by now.

    Args:
        source: a model, or a reference as of `onlineml.load_model`, such as ``"s3://lab/butterflies@champion"``.
        engine: ``"torch"``, or the format of an export, see `onlineml.export`, to answer with that of the version;
            ``"auto"`` takes the export ``"onnx"`` of a version that has one, where ONNX Runtime is installed and there
            is no GPU, and torch otherwise.
        device: of the network, see `onlineml.predict`; an export stays on the CPU.
        storage_options: of the filesystem.

    Attributes:
        opened: the model of now; replaced as a whole, so that whoever took it keeps it to the end.
        reference: without credentials; ``""`` for a model that was never published.

    Raises:
        ConfigError: the engine is unknown, or a model was given with an engine.
        NotFoundError: there is no such model, or no such export.
    """

    def __init__(
        self, source: Any, *, engine: Engine = "auto", device: str | None = None, storage_options: Options = None
    ) -> None:
        one_of("engine", engine, get_args(Engine))
        self._engine, self._device = engine, device
        self._place: Location | None = None
        if isinstance(source, (str, Location)) or hasattr(source, "__fspath__"):
            self._place = Location.of(source, storage_options)
            self.reference = storable(str(self._place))
            self.opened = self._open(resolve(self._place))
        elif isinstance(source, ModelVersion):
            self.reference = storable(str(source))
            self.opened = self._open(source)
        elif engine not in ("auto", "torch"):
            raise ConfigError(f"engine={engine!r}: expected a published version that has such an export, found a model")
        else:
            self.reference = str(source.reference)
            self.opened = self._tried(source, "", "as given")

    @property
    def moves(self) -> bool:
        """True if the reference may come to stand for another version."""
        return self._place is not None and "@" in self._place.name

    def look(self) -> bool:
        """Open the version that the reference stands for, if it is another one; return whether it was.

        Raises:
            OnlineMLError: it cannot be found, opened or used; the model stays as it is.
        """
        if self._place is None:
            return False
        version = resolve(self._place)
        if version.version == self.opened.version:
            return False
        self.opened = self._open(version)
        return True

    def follow(self, *, every_s: float, stopped: threading.Event, on_look: Any) -> None:
        """Look again and again until ``stopped``; failures change nothing and are logged, the same one once.

        Args:
            every_s: seconds between two looks.
            stopped: ends it.
            on_look: is told of each look that changed the model (True) or failed (False).
        """
        logged = ""
        while not stopped.wait(every_s):
            try:
                changed, logged = self.look(), ""
                if changed:
                    _LOG.info("answering with %s of %s now", self.opened.version, self.reference)
                    on_look(True)
            except Exception as error:  # noqa: BLE001 - whatever a store or a stored model can raise; the old one stays
                reason = without_credentials(str(error))
                if reason != logged:
                    _LOG.warning("still answering with %s of %s: %s", self.opened.version, self.reference, reason)
                logged = reason
                on_look(False)

    def _open(self, version: ModelVersion) -> Opened:
        on_gpu = self._device not in (None, "cpu") and torch.cuda.is_available()
        by_torch = self._engine == "torch" or (self._engine == "auto" and (on_gpu or not _runs_exports()))
        exports = {} if by_torch else list_exports(version)
        wanted = "onnx" if self._engine == "auto" else self._engine
        if wanted in exports:
            model: Any = load_export(version.location.to(exports[wanted]))
            return self._tried(model, version.version, wanted)
        if self._engine not in ("auto", "torch"):
            found = ", ".join(exports) or "none"
            raise ConfigError(
                f"{version} has no export {wanted!r}; it has {found}: make it by onlineml.export, or use engine='torch'"
            )
        return self._tried(opened_model(version), version.version, "torch")

    def _tried(self, model: Any, version: str, engine: str) -> Opened:
        """Let a model answer once, so that one that cannot never replaces one that can."""
        grey = np.full((*model.input_size_hw(), 3), 114, np.uint8)
        (row,) = predict(model, grey, device=self._device)
        if row.error is not None:
            raise ConfigError(f"{self.reference or 'the model'} gives no answer to a grey picture: {row.error}")
        return Opened(model, version, engine)


def _runs_exports() -> bool:
    return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))
