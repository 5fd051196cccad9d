"""Moving a model to the user's device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    Device = str | torch.device

__all__ = ["move_to"]


def move_to(model: Any, device: Device | None) -> None:
    """Move a model, in place.

    Args:
        model: a `torch.nn.Module`.
        device: such as ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"``; ``"auto"``: a GPU if there is one, else the
            CPU; None leaves the model where it is.

    Raises:
        ConfigError: this machine has no such device.
    """
    if device is None:
        return
    present = _present()
    wanted = present[0] if device == "auto" else device
    try:
        found = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise _unknown(device, present) from error
    if found.type not in {torch.device(name).type for name in present}:
        raise _unknown(device, present)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise _unknown(device, present)
    model.to(found)


def _present() -> list[str]:
    """The devices of this machine, the fastest first."""
    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def _unknown(device: Device, present: list[str]) -> ConfigError:
    return ConfigError(f"device={str(device)!r}: expected 'auto' or a device of this machine: {', '.join(present)}")
