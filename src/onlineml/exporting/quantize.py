"""Graphs in 8-bit integers: ONNX Runtime's static quantisation, calibrated on photos; their ends stay in float."""

from __future__ import annotations

import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlineml.exporting.graph import onnx_package

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["to_int8"]

_LAYERS = ("Conv", "Gemm", "MatMul")
# with what stands between layers, so that tensors stay in integers from one to the next
_QUANTIZED = frozenset(_LAYERS) | {
    *("Add", "Mul", "Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Concat", "Resize"),
    *("MaxPool", "AveragePool", "GlobalAveragePool"),
}


def to_int8(graph: bytes, inputs: Sequence[NDArray[Any]]) -> bytes:
    """Quantise weights, per channel, and activations, by the ranges that they have on some inputs.

    Left in float are normalisation, the last layers, whose outputs range widely, and all after them, such as the
    decoding of boxes. Weights have 7 bits: on processors without VNNI, sums of products of 8 bits saturate, and the
    same file would answer otherwise there.

    Args:
        graph: an ONNX file with the input ``image``.
        inputs: batches for it, photos as they are predicted.

    Returns:
        An ONNX file with the same inputs and outputs, in QDQ format.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: PLC0415

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._rest, None)
            return None if batch is None else {"image": batch}

    with tempfile.TemporaryDirectory(prefix="onlineml-") as folder, _quiet():
        folded = _folded(graph, Path(folder))
        quantize_static(
            folded,
            Path(folder) / "int8.onnx",
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted(_QUANTIZED),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_ends(folded.graph),
        )
        return (Path(folder) / "int8.onnx").read_bytes()


def _folded(graph: bytes, folder: Path) -> Any:
    """Fold batch norms into convolutions, and name each node."""
    onnx = onnx_package()
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    options.log_severity_level = 3  # errors
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    found = onnx.shape_inference.infer_shapes(onnx.load(folder / "folded.onnx"))
    del found.opset_import[:]  # ONNX Runtime adds domains of its own, of which there are no nodes
    found.opset_import.extend(onnx.load_model_from_string(graph).opset_import)
    for number, node in enumerate(found.graph.node):
        node.name = f"{node.op_type}_{number}"
    return found


def _ends(graph: Any) -> list[str]:
    """Return the names of all nodes before the first layers, and of the last layers with all after them."""
    makers = {name: node for node in graph.node for name in node.output}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    ends: dict[str, None] = {}
    waiting = [makers[one.name] for one in graph.output if one.name in makers]
    while waiting:
        node = waiting.pop()
        if node.name not in ends and node.op_type != "Shape":  # it reads the size of a tensor, not its values
            ends[node.name] = None
            if node.op_type not in _LAYERS:
                waiting += [makers[name] for name in node.input if name in makers]
    waiting = list(users.get("image", ()))
    while waiting:
        node = waiting.pop()
        if node.name not in ends and node.op_type not in {*_LAYERS, "Shape"}:
            ends[node.name] = None
            waiting += [user for name in node.output for user in users.get(name, ())]
    return list(ends)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to run its own preparation before."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
