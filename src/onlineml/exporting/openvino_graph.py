"""ONNX graphs as files of OpenVINO: ``model.xml``, the graph, and ``model.bin``, its weights, in 32-bit floats."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from onlineml.errors import ConfigError
from onlineml.inference.runtimes import openvino_package

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["to_openvino"]

_FACTS = "onlineml"  # the section of the graph's runtime information that has them


def to_openvino(graph: bytes, *, outputs: Sequence[str], facts: Mapping[str, str], name: str) -> tuple[bytes, bytes]:
    """Convert a graph.

    Args:
        graph: an ONNX file.
        outputs: names of its results, in their order.
        facts: what they mean, for those who have no other file of the export.
        name: of the network, for the message.

    Returns:
        Content of ``model.xml`` and of ``model.bin``.

    Raises:
        ConfigError: OpenVINO does not know one of its operators.
        MissingDependencyError: OpenVINO is not installed.
    """
    openvino = openvino_package()
    try:
        model = openvino.Core().read_model(graph, b"")  # `convert_model` would report its use to Intel
        for output, told in zip(model.outputs, outputs, strict=True):
            output.get_tensor().set_names({told})
        for key, value in facts.items():
            model.set_rt_info(value, [_FACTS, key])
        with tempfile.TemporaryDirectory(prefix="onlineml-") as folder:
            path = Path(folder) / "model.xml"
            openvino.save_model(model, str(path), compress_to_fp16=False)
            return path.read_bytes(), path.with_suffix(".bin").read_bytes()
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"the network {name} cannot be exported to OpenVINO: {reason}; format='onnx' writes the same graph for "
            "ONNX Runtime"
        ) from error
