"""Freezing of layers for a part of the training; what the user froze stays frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["WithFreezing"]


class WithFreezing:
    """The part of `onlineml.tasks.base.VisionModule` that freezes layers, and thaws only what it froze itself.

    Attributes:
        head_only: whether the whole backbone is frozen at present, see ``head_warmup``.
    """

    frozen_share: float
    head_warmup: float
    head_is_warm: bool
    freeze_bn: bool
    head_only: bool
    reinitialized: tuple[str, ...] = ()  # tensors of the network that no weights were for: their norms must learn
    _frozen: list[nn.Parameter]  # by this class
    _stilled: list[nn.Module]  # batch norms in evaluation mode by this class
    _norms: list[nn.Module]  # all batch norms
    _fresh_norms: set[int]  # identities of those that freeze_bn does not mean

    def begin_freezing(self) -> None:
        """Forget earlier trainings, once when the module is made."""
        self.head_only = False
        self._frozen, self._stilled, self._norms, self._fresh_norms = [], [], [], set()

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters that are initialized randomly; the others may be pretrained."""
        raise NotImplementedError

    if TYPE_CHECKING:  # of the module

        def parameters(self, recurse: bool = ...) -> Iterator[nn.Parameter]: ...
        def modules(self, remove_duplicate: bool = ...) -> Iterator[nn.Module]: ...
        def named_modules(
            self, memo: set[nn.Module] | None = ..., prefix: str = ..., remove_duplicate: bool = ...
        ) -> Any: ...

    def is_trainable(self, parameter: nn.Parameter) -> bool:
        """Return whether the user left a parameter trainable; the layers that this class froze are."""
        return parameter.requires_grad or any(parameter is frozen for frozen in self._frozen)

    def thaws(self) -> bool:
        """Return whether layers are frozen for only a part of the training."""
        return self.head_warmup > 0 and not self.head_is_warm

    def n_frozen_by_user(self) -> int:
        """Number of parameters (tensors) that the user froze."""
        return sum(not self.is_trainable(p) for p in self.parameters())

    def backbone_parameters(self) -> list[nn.Parameter]:
        """All parameters except the head's, from the input on."""
        own = {id(p) for p in self.head_parameters()}
        return [p for p in self.parameters() if id(p) not in own]

    def freeze_layers(self, *, head_only: bool) -> None:
        """Freeze the backbone, or else its first `frozen_share`, and thaw the rest of what this class froze."""
        self.head_only = head_only
        backbone = self.backbone_parameters()
        self._norms = [m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]  # noqa: SLF001
        fresh = {f"network.{name}" for name in self.reinitialized}
        named = self.named_modules()
        self._fresh_norms = {id(m) for name, m in named if f"{name}.running_mean" in fresh}
        self._thaw()
        for parameter in backbone[: len(backbone) if head_only else round(self.frozen_share * len(backbone))]:
            if parameter.requires_grad:
                parameter.requires_grad_(False)
                self._frozen.append(parameter)

    def still_batch_norms(self) -> None:
        """Keep the statistics of frozen batch norms, and let those that were thawed move again."""
        stilled = {id(m) for m in self._stilled}
        for norm in self._norms:
            frozen = (self.freeze_bn and id(norm) not in self._fresh_norms) or _is_frozen(norm)
            if frozen and norm.training:
                norm.eval()
                self._stilled.append(norm)
            elif not frozen and id(norm) in stilled:
                norm.train()
                self._stilled = [m for m in self._stilled if m is not norm]

    def end_freezing(self) -> None:
        """Leave the layers as the user had them."""
        self._thaw()
        for norm in self._stilled:
            norm.train()
        self._stilled = []

    def _thaw(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []


def _is_frozen(norm: nn.Module) -> bool:
    parameters = list(norm.parameters(recurse=False))
    return bool(parameters) and not any(p.requires_grad for p in parameters)
