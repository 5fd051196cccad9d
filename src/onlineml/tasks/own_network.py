"""Networks that are rebuilt by name, and those of the user's own, which are never loaded from storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["known_network", "unknown_network"]

_PACKAGES = ("timm:", "transformers:")


def known_network(name: str, *, given: str | nn.Module | None, called: str, source: str) -> str | nn.Module:
    """Return the network to build: the one that the user gives, else the name in the descriptor, if it is a package's.

    Args:
        name: in the descriptor; empty for a module of the user's.
        given: by the user.
        called: the network's name in errors.
        source: of the descriptor, for errors.

    Raises:
        ConfigError: only the user has the network, and does not give it.
    """
    if given is not None:
        return given
    if name and (":" not in name or name.startswith(_PACKAGES)):
        return name
    built_by = f"the factory {name!r}" if name else f"a module of its author's, {called!r}"
    raise ConfigError(
        f"{source} was built by {built_by}, which is not loaded from storage: pass backbone= (the module, or its "
        "import path if you trust it)"
    )


def unknown_network(network: nn.Module) -> ConfigError:
    """The error about a network that nobody but its author can build anew."""
    return ConfigError(
        f"the network is a {type(network).__name__} of its author's, which cannot be built anew: pass backbone= as an "
        "import path, 'package.module:factory'"
    )
