"""The last layer of a module's network, whose rows are classes: asked for, replaced, and resized by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from onlineml.errors import ConfigError
from onlineml.models.class_heads import copied, resize_head

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WithClassHead"]


class WithClassHead:
    """The part of `onlineml.tasks.base.VisionModule` that knows the last layer of its `network`."""

    network: nn.Module

    @property
    def class_head_name(self) -> str:
        """Name, within `network`, of the layer whose rows are classes; empty where there is none."""
        raise NotImplementedError

    def class_head(self) -> nn.Linear | nn.Conv2d | None:
        """The layer whose rows are classes; None where the network has none."""
        head = self.network.get_submodule(self.class_head_name) if self.class_head_name else None
        return head if isinstance(head, nn.Linear | nn.Conv2d) else None

    def replace_class_head(self, head: nn.Module) -> None:
        """Put another layer in the place of `class_head`."""
        self.network.set_submodule(self.class_head_name, head)

    def fresh_class_head(self, num_classes: int) -> nn.Linear | nn.Conv2d | None:
        """A layer like `class_head` whose rows start as those of a fresh network; None: rows of zeros will do."""
        del num_classes
        return None

    def linear_head(self) -> nn.Linear | None:
        """The last layer, where it can be fitted alone, see `onlineml.training.probe`; else None."""
        return None

    def resized_network(self, names: Sequence[str | None], class_names: Sequence[str]) -> nn.Module:
        """A copy of the network for other classes: rows of its head go by name, those of merged ones are averaged.

        Args:
            names: what each of this module's classes is called now; None for one that is gone.
            class_names: the wanted ones, in their order; all those of ``names`` among them.

        Raises:
            ConfigError: the classes are others, and the network has no last layer whose rows are classes.
        """
        network = copied(self.network)
        if list(names) == list(class_names):
            return network
        head = self.class_head()
        if head is None:
            raise ConfigError(
                f"the classes are others than those of the model, and {type(self.network).__name__} has no last layer "
                "whose rows are classes: train it anew, with how='full' where it is improved"
            )
        fresh: Any = self.fresh_class_head(len(class_names))
        network.set_submodule(self.class_head_name, resize_head(head, names, class_names, fresh=fresh))
        return network
