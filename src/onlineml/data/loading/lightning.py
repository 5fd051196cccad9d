"""PyTorch Lightning's base classes from both of its packages, whose trainers reject each other's objects.

``lightning`` and ``pytorch_lightning`` hold the same code twice. Where both are installed, ours derive from both, so
that either trainer takes them, whatever was imported first.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.plugins import TorchCheckpointIO

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BothLightningDataModule", "BothLightningModule", "BothTorchCheckpointIO", "lightning_of", "pl"]

_OTHER = "lightning"
_others: tuple[Any, ...] = (importlib.import_module(f"{_OTHER}.pytorch"),) if find_spec(_OTHER) is not None else ()

if TYPE_CHECKING:
    BothLightningDataModule = pl.LightningDataModule
    BothLightningModule = pl.LightningModule
    BothTorchCheckpointIO = TorchCheckpointIO
else:

    class BothTorchCheckpointIO(TorchCheckpointIO, *(o.plugins.TorchCheckpointIO for o in _others)):
        """The plugin of either package."""

    class BothLightningDataModule(pl.LightningDataModule, *(o.LightningDataModule for o in _others)):
        """The datamodule of either package."""

    class BothLightningModule(pl.LightningModule, *(o.LightningModule for o in _others)):
        """The module of either package.

        A trainer finds out which hooks a module overrides by comparing it with its own base class, so that the first
        base is always that of the present trainer.
        """

        @property
        def trainer(self) -> Any:
            """The trainer that the module is attached to."""
            return super().trainer

        @trainer.setter
        def trainer(self, trainer: Any) -> None:
            first = lightning_of([trainer]).LightningModule
            if BothLightningModule.__bases__[0] is not first:
                BothLightningModule.__bases__ = BothLightningModule.__bases__[::-1]
            first.trainer.fset(self, trainer)


def lightning_of(objects: Iterable[Any]) -> Any:
    """The package of Lightning from which one of the objects comes, ``lightning.pytorch`` or ``pytorch_lightning``.

    Args:
        objects: trainers, callbacks or loggers; without one of Lightning's, the package is ``pytorch_lightning``.
    """
    classes = [base for one in objects for base in one.__class__.__mro__]
    return next((o for o in _others if any(c.__module__.split(".")[0] == _OTHER for c in classes)), pl)
