"""Exported models that predict: they take the place of a model in `onlineml.predict` and `onlineml.evaluate`."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import torch
from msgspec import Meta

from onlineml.errors import StorageError, WeightsError
from onlineml.evaluation.calibration.calibration import Calibration  # noqa: TC001 - msgspec reads it
from onlineml.inference.runtimes import opened_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from onlineml.inference.runtimes import Runtime

__all__ = ["FORMAT", "Described", "ExportedDetector", "ExportedLabels", "ExportedModel"]

FORMAT = 1

_Side = Annotated[int, Meta(ge=1, le=100_000)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Name = Annotated[str, Meta(max_length=10_000)]


class Described(msgspec.Struct, frozen=True):
    """Content of ``export.json``.

    Attributes:
        format: of this file.
        runtime: the export's format, see `onlineml.export`: ``"onnx"``, ``"onnx-int8"`` or ``"openvino"``.
        task: as of a model.
        class_names: in the order of the outputs.
        size_hw: height and width of the input; of a detector, of the largest.
        fit: how a photo is brought to that size, in words.
        sha256: of ``model.onnx``, or of ``model.xml``.
        weights_sha256: of ``model.bin``, beside ``model.xml``; ``""`` where the graph has its weights within.
        source: the model that was exported, without credentials; ``""`` if it was never published.
        manifest_hash: the data that it was trained on.
        thresholds: score of each class from which it counts; None where the model has none.
        cutoffs: score of each class from which it is predicted; None where an image has exactly one class.
        whole: whether photos are stretched to the input, or else cropped.
        max_objects: maximum number of objects of a detector.
        calibration: of the graph's answers; None where the model was not calibrated.
    """

    format: Annotated[int, Meta(ge=1, le=FORMAT)]
    runtime: _Name
    task: _Name
    class_names: Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=1_000_000)]
    size_hw: tuple[_Side, _Side]
    fit: _Name
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    weights_sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    source: _Name = ""
    manifest_hash: _Name = ""
    thresholds: dict[str, _Share] | None = None
    cutoffs: dict[str, _Share] | None = None
    whole: bool = False
    max_objects: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    calibration: Calibration | None = None


class ExportedModel:
    """A model in ONNX Runtime or OpenVINO, on the CPU, with the attributes by which a model predicts and is scored.

    Args:
        described: content of its ``export.json``.
        content: of its ``model.onnx`` or ``model.xml``.
        weights: content of its ``model.bin``; nothing for ONNX.
        reference: where it is, without credentials.

    Raises:
        MissingDependencyError: its runtime is not installed.
        WeightsError: the graph cannot be opened, or has other inputs and outputs than it should.
    """

    outputs: tuple[str, ...]
    training = False
    device = torch.device("cpu")
    backbone_name = ""

    def __init__(self, described: Described, content: bytes, *, weights: bytes = b"", reference: str) -> None:
        self.described, self.reference = described, reference
        self.task, self.class_names = described.task, described.class_names
        self.thresholds, self.whole, self.max_objects = described.thresholds, described.whole, described.max_objects
        if self.thresholds is not None and set(self.thresholds) != set(self.class_names):
            raise StorageError(f"{reference}: its thresholds are not those of its classes; export the model again")
        self.calibrate(described.calibration)
        runtime: Runtime = "openvino" if described.runtime == "openvino" else "onnxruntime"
        self._session = opened_session(content, source=reference, runtime=runtime, weights=weights)
        self._kept: list[NDArray[np.uint8]] | None = None
        inputs, found = self._session.inputs, self._session.outputs
        if inputs != ("image",) or found != self.outputs:
            raise WeightsError(
                f"{reference} has inputs {list(inputs)} and outputs {list(found)}: expected ['image'] and "
                f"{list(self.outputs)}"
            )

    def calibrate(self, calibration: Calibration | None) -> None:
        """Take a calibration of this graph; None for none."""
        if calibration is not None and set(calibration.classes) != set(self.class_names):
            raise StorageError(f"{self.reference}: its calibration is not that of its classes; export the model again")
        self.calibration = calibration
        self.described = msgspec.structs.replace(self.described, calibration=calibration)

    def fingerprint(self) -> str:
        """Return the hash of the graph and its weights, which decide the answers, for `onlineml.check_calibration`."""
        graph, weights = self.described.sha256, self.described.weights_sha256
        return hashlib.sha256((graph + weights).encode()).hexdigest() if weights else graph

    def input_size_hw(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return self.described.size_hw

    def train(self, mode: bool = True, /) -> ExportedModel:
        """Do nothing: it only predicts."""
        del mode
        return self

    def to(self, device: Any) -> ExportedModel:
        """Do nothing: it stays on the CPU."""
        del device
        return self

    def run(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Return the graph's outputs, by name.

        Args:
            image: (B, H, W, 3) uint8 RGB.
        """
        return dict(zip(self.outputs, self._session.run(image), strict=True))

    def _answers(self, image: Tensor) -> dict[str, NDArray[Any]]:
        pixels = np.ascontiguousarray(image.permute(0, 2, 3, 1).numpy())
        if self._kept is not None:
            self._kept.append(pixels)
        return self.run(pixels)

    @contextmanager
    def keeping_inputs(self) -> Iterator[list[NDArray[np.uint8]]]:
        """Yield a list that gets the input of each prediction within the block, (B, H, W, 3) uint8."""
        kept: list[NDArray[np.uint8]] = []
        self._kept = kept
        try:
            yield kept
        finally:
            self._kept = None


class ExportedLabels(ExportedModel):
    """An exported classifier, of one label or several."""

    outputs = ("probabilities",)

    def __call__(self, image: Tensor) -> Tensor:
        """Return (B, C) float32 probabilities of (B, 3, H, W) uint8 images."""
        return torch.from_numpy(self._answers(image)["probabilities"])

    def probabilities(self, answers: Tensor) -> Tensor:
        """Return them as they are: the graph ends in probabilities."""
        return answers


class ExportedDetector(ExportedModel):
    """An exported detector."""

    outputs = ("boxes", "labels", "scores", "count")

    def detect(self, image: Tensor) -> list[Mapping[str, Tensor]]:
        """Return the objects in (B, 3, H, W) uint8 images, see `onlineml.inference.detecting.DetectionModel`."""
        if not len(image):
            return []
        answers = {name: torch.from_numpy(values) for name, values in self._answers(image).items()}
        counts = answers.pop("count").tolist()
        return [{name: values[i, :n] for name, values in answers.items()} for i, n in enumerate(counts)]
