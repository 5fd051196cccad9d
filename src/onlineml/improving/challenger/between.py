"""The end of a warm start: interpolation between the champion's and the trained weights, chosen on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from onlineml.improving.challenger.current_names import current_names
from onlineml.improving.challenger.successor_pieces import successor_pieces
from onlineml.improving.challenger.weight_space import interpolate
from onlineml.models.class_heads import align_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.tasks.base import VisionModule

__all__ = ["keep_best_between"]

_SHARES = (0.75, 0.5, 0.25)  # interpolation factors of the new network


class _Trial(NamedTuple):
    """Candidate weights: the new network's share, whether new rows are aligned, and their validation metrics."""

    share: float
    aligned: bool
    state: dict[str, torch.Tensor]
    metrics: dict[str, float]


def keep_best_between(
    model: VisionModule, champion: VisionModule, images: ImageDataModule, *, lineage: Mapping[str, str]
) -> dict[str, Any]:
    """Interpolate the model's weights with the champion's by the best factor on validation (WiSE-FT).

    Args:
        model: trained from the champion's weights; its weights are changed.
        champion: not changed.
        images: without a split "val" the model keeps its own weights.
        lineage: present names of the champion's classes.

    Returns:
        The chosen ``share`` of the model's weights, whether new rows are ``aligned``, and the validation metrics.
    """
    names = current_names(champion.class_names, lineage, known=model.class_names)
    new_ids = [i for i, name in enumerate(model.class_names) if name not in set(names)]
    align = bool(new_ids) and successor_pieces(model).aligns_new_rows and model.class_head() is not None
    val = images.val_dataloader()
    if not len(val):
        if align:
            _align(model, new_ids)
        return {"share": 1.0, "aligned": align}
    best = _trial(model, val, share=1.0, aligned=False)
    if align:
        _align(model, new_ids)
        best = _better(model, best, _trial(model, val, share=1.0, aligned=True))
    model.network.load_state_dict(best.state)
    old = champion.resized_network(names, model.class_names)
    _copy_rows(model, old, new_ids)
    new = best
    for share in _SHARES:
        model.network.load_state_dict(interpolate(old.state_dict(), new.state, share))
        best = _better(model, best, _trial(model, val, share=share, aligned=new.aligned))
    model.network.load_state_dict(best.state)
    model.after_training(val)
    return {"share": best.share, "aligned": best.aligned, **{k: round(v, 6) for k, v in best.metrics.items()}}


def _trial(model: VisionModule, val: Any, *, share: float, aligned: bool) -> _Trial:
    state = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    return _Trial(share, aligned, state, model.validate(val))


def _better(model: VisionModule, first: _Trial, second: _Trial) -> _Trial:
    """The better one on validation; the first if they are equal."""
    return second if model.selection_score(second.metrics) > model.selection_score(first.metrics) else first


def _align(model: VisionModule, new_ids: list[int]) -> None:
    head: Any = model.class_head()
    model.replace_class_head(align_weights(head, new_ids))


def _copy_rows(model: VisionModule, old: nn.Module, ids: list[int]) -> None:
    """Copy the rows of new classes, which the old network does not have, so that interpolation keeps them."""
    if not ids:
        return
    source: Any = model.class_head()
    target: Any = old.get_submodule(model.class_head_name)
    with torch.no_grad():
        target.weight[ids] = source.weight[ids]
        if target.bias is not None:
            target.bias[ids] = source.bias[ids]
