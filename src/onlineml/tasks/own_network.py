"""Networks that are rebuilt by name, and the user's own networks, which are never loaded from storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.errors import ConfigError
from onlineml.models.classifiers import is_unspecified
from onlineml.storage.location import Location, Options, Url

if TYPE_CHECKING:
    from torch import nn

__all__ = ["known_network", "placed", "unknown_network"]

_PACKAGES = ("timm:", "transformers:")


def known_network(
    name: str, *, given: str | nn.Module | None, called: str, source: str, argument: str = "backbone"
) -> str | nn.Module:
    """Return the network to build: the user's, else the name in the descriptor, if it is a package's.

    Args:
        name: in the descriptor; empty for the user's own module.
        given: by the user.
        called: the network's name in errors.
        source: of the descriptor, for errors.
        argument: by which the user gives it, for errors.

    Raises:
        ConfigError: the network is the user's own, and not given.
    """
    if given is not None:
        return given
    if name and (":" not in name or name.startswith(_PACKAGES)):
        return name
    built_by = f"the factory {name!r}" if name else f"a module of its author's, {called!r}"
    raise ConfigError(
        f"{source} was built by {built_by}, which is not loaded from storage: pass {argument}= (the module, or its "
        "import path if you trust it)"
    )


def placed(weights: Url | None, options: Options) -> Url | None:
    """Return weights as they were asked for, a file of them with the options of its filesystem."""
    return weights if weights is None or is_unspecified(weights) else Location.of(weights, options)


def unknown_network(network: nn.Module) -> ConfigError:
    """The error about a network that only its author can rebuild."""
    return ConfigError(
        f"the network is the user's own {type(network).__name__}, which cannot be rebuilt: pass backbone= as an "
        "import path, 'package.module:factory'"
    )
