"""Loading of weights from a name, a file or a URL, without pickle, and never silently replaced by random ones."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch

from onlineml.arguments.counted import count
from onlineml.errors import NotFoundError, WeightsError
from onlineml.storage.io import read_bytes
from onlineml.storage.location import Location, Url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

__all__ = ["check_records", "load_into", "load_same_shapes", "read_state_dict", "with_versions"]

_log = logging.getLogger(__name__)

_IS_FOLDER = 0x10  # of MS-DOS
_WRAPPERS = ("state_dict", "model_state_dict", "model", "model_ema")
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.")
_OLD_NAMES = (  # in torchvision's published files; its own builders rename them too (0.29: densenet.py, MLPBlock)
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_1\.(\w+)$"), r"\g<1>0.\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp\.)linear_2\.(\w+)$"), r"\g<1>3.\2"),
)


def read_state_dict(url: Url) -> dict[str, Tensor]:
    """Read a state dict: ``.safetensors``, or a ``.pth`` of tensors only (``weights_only``: it cannot run code).

    Args:
        url: a local path, or a URL or location on any filesystem.

    Raises:
        WeightsError: the file does not exist, or is not a state dict.
    """
    file = Location.of(url)
    try:
        data = read_bytes(file)
    except NotFoundError as error:
        raise WeightsError(
            f"no weights at {file}: expected a .safetensors or .pth file there; check the path, or pass "
            "weights='random' to start from random weights"
        ) from error
    try:
        if str(file).lower().endswith(".safetensors"):
            from safetensors.torch import load  # noqa: PLC0415

            state: Any = load(data)
        else:
            check_records(data)
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise any exception
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(
            f"{file} cannot be read as weights ({reason}): expected .safetensors, or a .pth of tensors only; "
            "save it again with torch.save(network.state_dict(), path)"
        ) from error
    return _unwrap(state, str(file))


def check_records(data: bytes) -> None:
    """Compare the records of what `torch.save` wrote with their checksums, which `torch.load` does not.

    Args:
        data: the file; one of the format before torch 1.6 has no checksums, nor has a record whose checksum is 0
            (`torch.serialization.set_crc32_options`).

    Raises:
        zipfile.BadZipFile: a record is not what was written, or declares more bytes than the file has.
    """
    file = io.BytesIO(data)
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as records:
        for record in records.infolist():
            if record.file_size > len(data):
                raise zipfile.BadZipFile(f"{record.filename!r} declares {record.file_size:,} of {len(data):,} bytes")
            if record.external_attr & _IS_FOLDER and record.file_size:  # torch would take whatever is in memory
                raise zipfile.BadZipFile(f"{record.filename!r} is marked as a folder")
            if record.CRC:
                records.read(record)


def _unwrap(state: Any, url: str) -> dict[str, Tensor]:
    for name in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()) or not state:
        raise WeightsError(
            f"{url} contains a {type(state).__name__}, not a state dict of tensors; save it again with "
            "torch.save(network.state_dict(), path)"
        )
    found: dict[str, Tensor] = {str(key): value for key, value in state.items()}
    return found


def _renamed(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to the names of a network (``own``): remove wrappers' prefixes, map old names to new ones."""
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in own):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    found = {}
    for key, value in state.items():
        name = key
        for pattern, new in _OLD_NAMES if key not in own else ():
            name = pattern.sub(new, name)
        found[name] = value
    return found


def with_versions(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` with the versions of the modules for `torch.nn.Module.load_state_dict`, which MNASNet needs.

    Files that contain only tensors, such as safetensors, have lost them; the current versions are correct if names and
    shapes match.
    """
    found: OrderedDict[str, Tensor] = OrderedDict(state)
    found._metadata = network.state_dict()._metadata  # type: ignore[attr-defined] # noqa: SLF001 - torch's own protocol
    return found


def load_into(network: nn.Module, state: Mapping[str, Tensor], *, head: str, source: str) -> None:
    """Load every tensor of ``state`` except the head's, strictly.

    Args:
        network: receives the weights.
        state: with the network's own keys, or with the prefix of a wrapper, or with the older names of torchvision's
            published files; an old head in it is ignored, because its classes differ.
        head: name of the network's head module, which keeps its initial values.
        source: name of the weights, for error messages.

    Raises:
        WeightsError: keys are missing, unknown or of another shape.
    """
    own = network.state_dict()
    is_head = [key for key in own if key.startswith(head + ".")]
    wanted = {key: value for key, value in own.items() if key not in is_head}
    given = {key: value for key, value in _renamed(state, own).items() if key not in is_head}
    missing = sorted(k for k in wanted.keys() - given.keys() if not k.endswith("num_batches_tracked"))
    # unknown keys may belong to an old head's siblings, or to torchvision's auxiliary classifiers (for training from
    # scratch)
    parent = head.rpartition(".")[0]
    ignored = ("aux", "AuxLogits", *([parent + "."] if parent else []))
    extra = sorted(k for k in given.keys() - wanted.keys() if not k.startswith(ignored))
    differ = sorted(k for k in wanted.keys() & given.keys() if wanted[k].shape != given[k].shape)
    if missing or extra or differ:
        raise WeightsError(
            f"{source} does not fit {type(network).__name__}: {_some('missing', missing)}{_some('unknown', extra)}"
            f"{_some('of another shape', differ)}set backbone= to the network of these weights"
        )
    network.load_state_dict(with_versions(network, {k: v for k, v in given.items() if k in wanted}), strict=False)


def load_same_shapes(
    network: nn.Module, state: Mapping[str, Tensor], *, source: str, argument: str = "architecture"
) -> tuple[str, ...]:
    """Load a detector's weights: all that do not depend on the number of classes, or only those of its backbone.

    Args:
        network: receives the weights; a tensor that differs only in its first dimension keeps its initial values,
            because its classes differ; this is logged.
        state: of the whole network, or of the part called ``backbone.body`` or ``backbone``.
        source: name of the weights, for error messages.
        argument: the argument that selected the network, for error messages.

    Returns:
        The names of the tensors that keep their initial values.

    Raises:
        WeightsError: keys are missing, unknown or of another shape.
    """
    own = network.state_dict()
    given = _renamed(state, own)
    for part in ("backbone.body.", "backbone."):
        keys = {key for key in own if key.startswith(part)}
        # torchvision's detectors on MobileNets contain only its part "features"
        inside = {part + key.removeprefix("features."): value for key, value in given.items()}
        inside = {key: value for key, value in inside.items() if key in keys}
        if keys and len(inside) >= len({k for k in keys if not k.endswith("num_batches_tracked")}):
            given = inside
            own = {key: value for key, value in own.items() if key in keys}
    of_classes = {k for k in own.keys() & given.keys() if _differs_in_classes(own[k], given[k])}
    missing = sorted(k for k in own.keys() - given.keys() if not k.endswith("num_batches_tracked"))
    extra = sorted(given.keys() - own.keys())
    differ = sorted(k for k in own.keys() & given.keys() - of_classes if own[k].shape != given[k].shape)
    if missing or extra or differ:
        raise WeightsError(
            f"{source} does not fit {type(network).__name__}: {_some('missing', missing)}{_some('unknown', extra)}"
            f"{_some('of another shape', differ)}set {argument}= to the network of these weights"
        )
    if of_classes:
        _log.warning(
            "%s was trained on another number of classes: %d tensors are initialised randomly (%s)",
            source,
            len(of_classes),
            ", ".join(sorted(of_classes)),
        )
    kept = {key: value for key, value in given.items() if key not in of_classes}
    network.load_state_dict(with_versions(network, kept), strict=False)
    return tuple(key for key in network.state_dict() if key not in kept and not key.endswith("num_batches_tracked"))


def _differs_in_classes(own: Tensor, given: Tensor) -> bool:
    return own.ndim == given.ndim > 0 and own.shape[0] != given.shape[0] and own.shape[1:] == given.shape[1:]


def _some(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    return f"{count(len(keys), 'tensor')} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}); "
