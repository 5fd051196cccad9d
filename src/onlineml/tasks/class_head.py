"""The class head of a module's network: access, replacement, and resizing by class name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import nn

from onlineml.errors import ConfigError
from onlineml.models.class_heads import copied, resize_head
from onlineml.tasks.class_names import checked_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.tasks.base import VisionModule

__all__ = ["WithClassHead"]


class WithClassHead:
    """The part of `onlineml.tasks.base.VisionModule` for the last layer of its `network`."""

    network: nn.Module

    @property
    def class_head_name(self) -> str:
        """Name within `network` of the layer whose rows are classes; empty if there is none."""
        raise NotImplementedError

    def class_head(self) -> nn.Linear | nn.Conv2d | None:
        """The layer whose rows are classes; None if there is none."""
        head = self.network.get_submodule(self.class_head_name) if self.class_head_name else None
        return head if isinstance(head, nn.Linear | nn.Conv2d) else None

    def replace_class_head(self, head: nn.Module) -> None:
        """Replace `class_head`."""
        self.network.set_submodule(self.class_head_name, head)

    def fresh_class_head(self, num_classes: int) -> nn.Linear | nn.Conv2d | None:
        """A randomly initialized layer like `class_head`; None to start from zeros."""
        del num_classes
        return None

    def linear_head(self) -> nn.Linear | None:
        """The last layer, if it is linear, see `onlineml.training.probe`; else None."""
        return None

    def rename_classes(self, names: Sequence[str]) -> None:
        """Give the classes other names, in order; weights and thresholds stay, a calibration does not.

        Raises:
            ConfigError: there are not as many names, or one is given twice.
        """
        module = cast("VisionModule", self)
        former = module.class_names
        if len(names) != len(former):
            raise ConfigError(f"names={list(names)[:20]}: expected {len(former)}, one for each class")
        module.class_names = checked_names(names, least=1)
        module.calibration = None
        now = dict(zip(former, module.class_names, strict=True))
        module.kept = module.kept.renamed(now)
        if module.thresholds is not None:
            module.thresholds = {now[name]: score for name, score in module.thresholds.items()}

    def resized_network(self, names: Sequence[str | None], class_names: Sequence[str]) -> nn.Module:
        """Copy the network for other classes: rows of its head are matched by name, those of merged ones averaged.

        Args:
            names: present name of each of this module's classes; None for a removed one.
            class_names: of the copy, in order, including all of ``names``.

        Raises:
            ConfigError: the classes differ, and the network has no layer whose rows are classes.
        """
        network = copied(self.network)
        if list(names) == list(class_names):
            return network
        head = self.class_head()
        if head is None:
            raise ConfigError(
                f"the classes differ from the model's, and {type(self.network).__name__} has no last layer whose rows "
                "are classes: train it from scratch, in improve with how='full'"
            )
        fresh: Any = self.fresh_class_head(len(class_names))
        network.set_submodule(self.class_head_name, resize_head(head, names, class_names, fresh=fresh))
        return network
