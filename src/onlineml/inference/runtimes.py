"""Graphs opened on the CPU in another runtime than torch: ONNX Runtime, or OpenVINO, which also has its own files."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import torch

from onlineml.arguments.checks import one_of
from onlineml.errors import MissingDependencyError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Runtime", "Session", "opened_session", "openvino_package"]

Runtime = Literal["onnxruntime", "openvino"]


class Session(Protocol):
    """A graph that answers; several threads may ask at the same time."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""

    def run(self, image: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Return the outputs, in their order, for the only input."""


def opened_session(content: bytes, *, source: str, runtime: Runtime = "onnxruntime", weights: bytes = b"") -> Session:
    """Open a graph on the CPU, with as many threads as torch uses, in 32-bit floats.

    Args:
        content: of ``model.onnx``, or for OpenVINO also of ``model.xml``.
        source: its location, for messages.
        runtime: ``"onnxruntime"`` or ``"openvino"``.
        weights: content of ``model.bin``, beside ``model.xml``; nothing for ONNX.

    Raises:
        ConfigError: there is no such runtime.
        MissingDependencyError: the runtime is not installed.
        WeightsError: it is not a graph that the runtime knows, or refers to other files.
    """
    one_of("runtime", runtime, get_args(Runtime))
    if runtime == "openvino":
        openvino = openvino_package()
        if not weights:
            _check_onnx(content, source)
        elif not content.startswith(b"<"):  # it would read other formats too, and what they refer to
            raise WeightsError(f"{source} is no graph of OpenVINO's: expected XML; export the model again")
        return _in_openvino(openvino, content, weights, source)
    try:
        import onnxruntime  # noqa: PLC0415
    except ImportError as error:
        raise _missing(error) from error
    _check_onnx(content, source)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    # its threads would go on running after each batch, and take the cores from those that decode the next one
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # it keeps a plan for each size of image
    try:
        return _OnnxRuntime(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # ONNX Runtime's own have no common base
        raise WeightsError(f"ONNX Runtime cannot open {source}: {str(error)[:300]}") from error


def openvino_package() -> Any:
    """Import ``openvino``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import openvino  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("OpenVINO exports need openvino: pip install openvino") from error
    return openvino


def _openvino_options() -> dict[str, Any]:
    """Return how a graph is compiled: without a hint, OpenVINO computes in 16 bits on processors that can."""
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    return {"PERFORMANCE_HINT": "LATENCY", **exact}


def _missing(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(f"predicting with an exported model needs {error.name}: pip install onnx onnxruntime")


def _check_onnx(content: bytes, source: str) -> None:
    """Refuse what is no ONNX graph, and a graph that names other files, which may be any of this machine."""
    try:
        import onnx  # noqa: PLC0415
    except ImportError as error:
        raise _missing(error) from error
    try:
        graph = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own
        raise WeightsError(f"{source} is not an ONNX graph: {str(error)[:300]}; export the model again") from error
    tensors = (*_tensors_of(graph.graph), *(one for function in graph.functions for one in _tensors(function.node)))
    if any(len(one.external_data) or one.data_location for one in tensors):
        raise WeightsError(f"{source} takes weights from other files: expected all within it; export the model again")


def _tensors(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield the tensors in the attributes of nodes, and in the graphs within these."""
    for attribute in (one for node in nodes for one in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _tensors_of(graph)


def _tensors_of(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors(graph.node)


class _OnnxRuntime:
    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = tuple(one.name for one in session.get_inputs())
        self.outputs = tuple(one.name for one in session.get_outputs())

    def run(self, image: NDArray[np.uint8]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = self._session.run(None, {self.inputs[0]: image})
        return found


def _in_openvino(openvino: Any, content: bytes, weights: bytes, source: str) -> Session:
    try:
        model = openvino.Core().read_model(content, weights)
        return _OpenVino(openvino.Core().compile_model(model, "CPU", _openvino_options()))
    except Exception as error:  # plain RuntimeErrors, and others of its bindings
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"OpenVINO cannot open {source}: {reason}; export the model again") from error


class _OpenVino:
    def __init__(self, compiled: Any) -> None:
        self._compiled, self._own = compiled, threading.local()
        self.inputs = tuple(one.get_any_name() for one in compiled.inputs)
        self.outputs = tuple(one.get_any_name() for one in compiled.outputs)

    def run(self, image: NDArray[np.uint8]) -> list[NDArray[Any]]:
        if not hasattr(self._own, "request"):  # a request is for one thread at a time
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer({self.inputs[0]: image}, share_inputs=True)
        return [found[place] for place in range(len(self.outputs))]
