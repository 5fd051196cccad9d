"""Engines that run a model's network: torch itself ("eager"), or another runtime on the model's ONNX graph."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch.nn.modules import module as _everywhere

from onlineml.errors import ConfigError, MissingDependencyError
from onlineml.inference.runtimes import Runtime, opened_session
from onlineml.tasks import task_of
from onlineml.tasks.base import VisionModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    Graph = Callable[[NDArray[np.uint8]], dict[str, NDArray[Any]]]

__all__ = [
    "ENGINES",
    "Engine",
    "graph_of",
    "have_hooks",
    "installed_runtimes",
    "opened_graph",
    "refused",
    "require_installed",
    "why_eager",
    "why_not_auto",
]

Engine = Literal["auto", "eager", "onnxruntime", "openvino"]
ENGINES = get_args(Engine)
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

_FOR_GRAPHS = ("onnx", "onnxscript")  # with which torch writes them
_DECIDE = ("__call__", "forward", "detect", "normalize", "probabilities")  # methods between pixels and answers
_TIMM = "timm:"


def installed_runtimes() -> list[Runtime]:
    """Return the names of the runtimes that are installed, with what writes graphs for them."""
    if not all(map(_is_installed, _FOR_GRAPHS)):
        return []
    return [name for name in RUNTIMES if _is_installed(name)]


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # a module without a specification, as tests make them
        return False


def why_eager(model: Any) -> str:
    """Return why only torch itself gives a model's answers, in words; "" if its graph would give them too."""
    if not isinstance(model, VisionModule):
        return f"the model is a {type(model).__name__}, which answers by itself"
    home = task_of(model).load("module")
    changed = [name for name in _DECIDE if name in vars(model) or _method(type(model), name) is not _method(home, name)]
    if changed:
        return f"the model has its own {changed[0]}()"
    if model.device.type != "cpu":
        return f"the model is on the device {model.device}: pass device='cpu'"
    if model.alter is not None or torch.is_autocast_enabled("cpu"):
        return "its images or numbers are changed for a trial"
    values = chain(model.parameters(), model.buffers())
    if any(one.is_floating_point() and one.dtype != torch.float32 for one in values):
        return "its weights are not 32-bit floats"
    if have_hooks(model.modules()):
        return "its network has hooks"
    return ""


def _method(kind: type, name: str) -> Any:
    return getattr(kind, name, None)


def have_hooks(modules: Iterable[nn.Module]) -> bool:
    """Return whether more than the forward() of some modules is called."""
    return bool(
        any(one._forward_hooks or one._forward_pre_hooks for one in modules)  # noqa: SLF001
        or _everywhere._global_forward_hooks  # noqa: SLF001
        or _everywhere._global_forward_pre_hooks  # noqa: SLF001
    )


def why_not_auto(model: VisionModule) -> str:
    """Return why ``"auto"`` leaves a model to torch although a graph may give its answers, in words; "" if it need not.

    A network of somebody's own may count its calls, or draw random numbers, which a graph cannot.
    """
    name = model.backbone_name
    return "" if name and (":" not in name or name.startswith(_TIMM)) else "the network is the user's own"


def graph_of(model: VisionModule) -> tuple[bytes, tuple[str, ...]]:
    """Return a model as an ONNX file from uint8 pixels to answers, and the names of its outputs.

    Raises:
        ConfigError: the network, or a model of its task, has no graph.
        MissingDependencyError: a package for writing it is missing.
    """
    pieces = task_of(model).load("export")()
    with torch.inference_mode(mode=False):
        graph: bytes = pieces.graph(model).SerializeToString()
    return graph, pieces.exported.outputs


def opened_graph(content: bytes, outputs: tuple[str, ...], *, runtime: Runtime) -> Graph:
    """Open a graph, with as many threads as torch has.

    Args:
        content: of an ONNX file whose input is (B, H, W, 3) uint8 RGB.
        outputs: names of its outputs, in order.
        runtime: in which.

    Returns:
        A function of such an image that returns the outputs by name.

    Raises:
        WeightsError: the runtime cannot open it.
    """
    session = opened_session(content, source="the graph of the network", runtime=runtime)

    def run(image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return dict(zip(outputs, session.run(image), strict=True))

    return run


def require_installed(engine: str) -> None:
    """Check that a runtime that is asked for is installed, with what writes graphs for it.

    Raises:
        MissingDependencyError: it is not.
    """
    missing = [name for name in (*_FOR_GRAPHS, engine) if not _is_installed(name)]
    if missing:
        packages = " ".join(missing)
        raise MissingDependencyError(
            f"engine={engine!r} needs {', '.join(missing)}: pip install {packages}, or use engine='eager'"
        )


def refused(engine: str, reason: str) -> ConfigError:
    """Return the error of an engine that was asked for by name."""
    return ConfigError(f"engine={engine!r}: {reason}; use engine='eager', or 'auto', which takes what can be had")
