"""PyTorch Lightning by the name that the user imports it by: the two packages refuse each other's objects."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or "lightning.pytorch" not in sys.modules:
    import pytorch_lightning as pl
    from pytorch_lightning.plugins import TorchCheckpointIO
else:
    import lightning.pytorch as pl
    from lightning.pytorch.plugins import TorchCheckpointIO

__all__ = ["TorchCheckpointIO", "pl"]
