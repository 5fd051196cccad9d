"""PyTorch Lightning from the package that the user imports, since its two packages reject each other's objects."""

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
