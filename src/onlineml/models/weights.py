"""Reading weights from a name, a file or a URL, without pickle and never silently at random."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import NotFoundError, WeightsError
from onlineml.storage.io import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

__all__ = ["load_into", "read_state_dict"]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "model_ema")
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.")


def read_state_dict(url: str, *, storage_options: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """Read a state dict: ``.safetensors``, or a ``.pth`` of tensors alone (``weights_only``: it can run no code).

    Args:
        url: a local path or a URL of any filesystem.
        storage_options: opens the URL.

    Raises:
        WeightsError: nothing is there, or it is not a state dict.
    """
    try:
        data = read_bytes(url, storage_options=storage_options)
    except NotFoundError as error:
        raise WeightsError(
            f"no weights at {url}: expected a .safetensors or .pth file there; check the path, or pass weights=None "
            "to start from random weights on purpose"
        ) from error
    try:
        if url.endswith(".safetensors"):
            from safetensors.torch import load  # noqa: PLC0415

            state: Any = load(data)
        else:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise WeightsError(
            f"{url} cannot be read as weights ({reason}): expected .safetensors, or a .pth that holds tensors only; "
            "save it again with torch.save(network.state_dict(), path)"
        ) from error
    return _unwrap(state, url)


def _unwrap(state: Any, url: str) -> dict[str, Tensor]:
    for name in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()) or not state:
        raise WeightsError(f"{url} holds a {type(state).__name__}, not a state dict of tensors")
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    found: dict[str, Tensor] = state
    return found


def load_into(network: nn.Module, state: Mapping[str, Tensor], *, head: str, source: str) -> None:
    """Load every tensor of ``state`` but the head's, strictly.

    Args:
        network: receives the weights.
        state: by the network's own keys; an old head in it is left out, its classes are not ours.
        head: name of the network's head module; it keeps its fresh start.
        source: named in errors.

    Raises:
        WeightsError: keys are missing, left over or of another shape.
    """
    own = network.state_dict()
    is_head = [key for key in own if key.startswith(head + ".")]
    wanted = {key: value for key, value in own.items() if key not in is_head}
    given = {key: value for key, value in state.items() if key not in is_head}
    missing = sorted(k for k in wanted.keys() - given.keys() if not k.endswith("num_batches_tracked"))
    # left over may be what stood beside an old head, and torchvision's second classifiers (for training from scratch)
    parent = head.rpartition(".")[0]
    ignored = ("aux", "AuxLogits", *([parent + "."] if parent else []))
    extra = sorted(k for k in given.keys() - wanted.keys() if not k.startswith(ignored))
    differ = sorted(k for k in wanted.keys() & given.keys() if wanted[k].shape != given[k].shape)
    if missing or extra or differ:
        raise WeightsError(
            f"{source} does not fit {type(network).__name__}: {_some('missing', missing)}{_some('unknown', extra)}"
            f"{_some('of another shape', differ)}name the network that these weights are of as backbone="
        )
    network.load_state_dict({k: v for k, v in given.items() if k in wanted}, strict=False)


def _some(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    return f"{len(keys)} tensors {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}); "
