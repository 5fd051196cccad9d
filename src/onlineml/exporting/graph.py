"""A trained model as one ONNX graph: from uint8 pixels to named answers, with normalisation and NMS inside."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

__all__ = ["OPSET", "Traceable", "onnx_package", "to_onnx"]

_LEAST_TORCH = (2, 9)  # whose exporter is torch's own default; that of 2.6 fails on most networks
OPSET = 18  # which torch writes without a conversion; ONNX Runtime reads it from 1.14, OpenVINO from 2023


@dataclass(frozen=True, eq=False)
class Traceable:
    """A module that torch can trace into a graph.

    Attributes:
        module: takes the example, and returns a tensor or a tuple of tensors; on the CPU, in evaluation mode.
        example: (2, H, W, 3) uint8, RGB.
        free: names of the example's sides that may have another length, by axis; of both other axes if boxes are found.
        outputs: names of the results, in their order.
    """

    module: nn.Module
    example: Tensor
    free: Mapping[int, str]
    outputs: tuple[str, ...]


def onnx_package() -> Any:
    """Import ``onnx``.

    Raises:
        MissingDependencyError: it, or what torch needs to write its files, is not installed, or torch is too old.
    """
    found = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if found < _LEAST_TORCH:
        raise MissingDependencyError(
            f"exporting needs torch 2.9 or later, found {torch.__version__}: pip install --upgrade torch torchvision"
        )
    try:
        import onnx  # noqa: PLC0415
        import onnxscript  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"exporting needs {error.name}: pip install onnx onnxscript onnxruntime"
        ) from error
    return onnx


def to_onnx(traceable: Traceable, *, name: str) -> Any:
    """Trace a module and write it as an ONNX graph.

    Args:
        traceable: the module.
        name: of the network, for the message.

    Returns:
        An ``onnx.ModelProto`` whose input is ``image``, uint8 RGB, (batch, height, width, 3).

    Raises:
        ConfigError: torch cannot trace the network, or ONNX has no operator for one of its layers.
        MissingDependencyError: a package is missing.
    """
    onnx_package()
    sides = dict.fromkeys(traceable.free, torch.export.Dim.DYNAMIC)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                traceable.module,
                (traceable.example,),
                dynamo=True,
                verbose=False,
                external_data=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=list(traceable.outputs),
                dynamic_shapes=(sides,),
            )
    except Exception as error:  # the exporter's own errors have no common base
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"the network {name} cannot be exported: {reason[:300]}; torch must be able to trace it for batches of any "
            "size; nearly all networks of `oml.list_models()` can be exported"
        ) from error
    assert program is not None  # noqa: S101 - with dynamo=True
    found = program.model_proto
    _name_sides(found, traceable)
    return found


def _name_sides(found: Any, traceable: Traceable) -> None:
    """Give the free sides of the input names for people, and those of the outputs none but the batch's."""
    (image,) = found.graph.input
    for axis, name in traceable.free.items():
        image.type.tensor_type.shape.dim[axis].dim_param = name
    for output in found.graph.output:
        for place, side in enumerate(output.type.tensor_type.shape.dim):
            if not side.HasField("dim_value"):
                side.dim_param = "batch" if place == 0 else f"{output.name}_{place}"
    del found.graph.value_info[:]  # they would name the sides as torch did


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
