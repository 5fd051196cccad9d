"""What the user froze stays frozen, and what a module froze for a while is thawed."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.training import checkpoints, training
from tiny import same_weights, tiny_data, tiny_model, weights_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # torch 2.15 to Lightning 2.6.6


def train(model: oml.ImageClassifier, data: Any, where: str, folder: Path, *callbacks: pl.Callback, **how: Any) -> Any:
    """Three epochs in `fit`, or in a trainer of the user's own."""
    if where == "fit":
        return oml.fit(model, data, run=str(folder / "run"), epochs=3, progress="none", callbacks=callbacks, **how)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
    return trainer.fit(model, datamodule=data)


def pretrained(folder: Path, **options: Any) -> oml.ImageClassifier:
    path = folder / "weights.pth"
    if not path.exists():
        torch.save(tiny_model(seed=5, norm=True).network.state_dict(), path)
    return tiny_model(**{"weights": str(path), "norm": True, "lr": 1e-2, "freeze_bn": False, **options})


def stem_of(model: oml.ImageClassifier) -> nn.Sequential:
    """A convolution and its batch norm."""
    return model.network.features[:2]


@pytest.mark.parametrize("reinitialized", [(), ("features.1.weight", "features.1.running_mean")])
def test_norms_that_start_at_random_learn_where_others_do_not(tmp_path: Path, reinitialized: tuple[str, ...]) -> None:
    model = pretrained(tmp_path, freeze_bn=True).train()
    norm = model.network.features[1]
    model.reinitialized = reinitialized
    model.freeze_layers(head_only=False)
    model.still_batch_norms()
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.training == bool(reinitialized)
    model.end_freezing()
    assert norm.training


@pytest.mark.parametrize("where", ["fit", "own trainer"])
@pytest.mark.parametrize("options", [{}, {"head_warmup": 0.5}, {"frozen_share": 0.5}, {"lr_decay": 0.5}])
def test_what_the_user_froze_stays(manifest, tmp_path: Path, where: str, options: dict[str, Any]) -> None:
    model = pretrained(tmp_path, **options)
    stem_of(model).requires_grad_(False)
    before = weights_of(stem_of(model))
    others = weights_of(model.network.features[3])
    last: dict[str, torch.Tensor] = {}  # of the last step: where the probed head alone validates better, that is kept

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            last.update(weights_of(pl_module.network.features[3]))

    train(model, tiny_data(manifest), where, tmp_path, Watch())

    assert same_weights(weights_of(stem_of(model)), before)  # the batch norm's statistics too
    assert not any(p.requires_grad for p in stem_of(model).parameters())
    assert not same_weights(last, others)
    assert all(p.requires_grad for p in model.network.features[3].parameters())  # also what the module froze itself


@pytest.mark.parametrize("where", ["fit", "own trainer"])
def test_a_head_that_the_user_froze_is_neither_probed_nor_trained(manifest, tmp_path: Path, where: str) -> None:
    model = pretrained(tmp_path, head_warmup=0.5)
    model.head.requires_grad_(False)
    before, others = weights_of(model.head), weights_of(model.network.features)
    train(model, tiny_data(manifest), where, tmp_path)

    assert same_weights(weights_of(model.head), before)
    assert not same_weights(weights_of(model.network.features), others)


def test_frozen_layers_do_not_change_the_rates_of_others() -> None:
    def rates(model: oml.ImageClassifier) -> dict[str, float]:
        groups = model.make_optimizer().param_groups
        names = {id(p): name for name, p in model.named_parameters()}
        return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}

    plain, frozen = tiny_model(norm=True, lr_decay=0.5), tiny_model(norm=True, lr_decay=0.5)
    stem_of(frozen).requires_grad_(False)
    kept = {
        name: lr
        for name, lr in rates(plain).items()
        if not name.startswith(("network.features.0", "network.features.1"))
    }
    assert rates(frozen) == kept
    assert len(kept) == len(rates(plain)) - 4


def test_nothing_to_train_is_refused(manifest, tmp_path: Path) -> None:
    model = tiny_model()
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="every parameter of the model is frozen: set requires_grad"):
        train(model, tiny_data(manifest), "own trainer", tmp_path)


def test_frozen_after_a_resume_and_a_change_is_refused(manifest, tmp_path: Path, monkeypatch) -> None:
    class Break(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if trainer.global_step == 6:
                raise RuntimeError("broken in")

    def made(*, frozen: bool = True) -> oml.ImageClassifier:
        model = tiny_model(norm=True, dropout=0.3, lr=1e-2)
        stem_of(model).requires_grad_(not frozen)
        return model

    (tmp_path / "whole").mkdir()
    whole, resumed = made(), made()
    train(whole, tiny_data(manifest), "fit", tmp_path / "whole")
    monkeypatch.setattr(checkpoints, "_SHARE", math.inf)
    monkeypatch.setattr(training, "Checkpoints", partial(checkpoints.Checkpoints, every_s=0.0))
    with pytest.raises(RuntimeError, match="broken in"):
        train(made(), tiny_data(manifest), "fit", tmp_path, Break())
    assert (tmp_path / "run" / "last.ckpt").exists()
    with pytest.raises(ConfigError, match="frozen_parameters was 4, now 0"):
        train(made(frozen=False), tiny_data(manifest), "fit", tmp_path)
    train(resumed, tiny_data(manifest), "fit", tmp_path)

    assert same_weights(weights_of(resumed), weights_of(whole))
    assert same_weights(weights_of(stem_of(resumed)), weights_of(stem_of(made())))


class Thaw(pl.callbacks.BaseFinetuning):
    """Thaw the stem at epoch 1, and look at every batch."""

    def __init__(self, *, train_bn: bool) -> None:
        super().__init__()
        self.train_bn = train_bn
        self.seen: list[tuple[int, bool, bool, list[float]]] = []

    def freeze_before_training(self, pl_module) -> None:
        self.freeze(stem_of(pl_module), train_bn=self.train_bn)

    def finetune_function(self, pl_module, epoch, optimizer) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(stem_of(pl_module), optimizer, lr=1e-4)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        conv, norm = stem_of(pl_module)
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        self.seen.append((trainer.current_epoch, conv.weight.requires_grad, norm.training, rates))


@pytest.mark.parametrize("where", ["fit", "own trainer"])
def test_base_finetuning(manifest, tmp_path: Path, where: str) -> None:
    model, thaw = tiny_model(norm=True, lr=1e-2), Thaw(train_bn=False)
    train(model, tiny_data(manifest), where, tmp_path, thaw)

    assert {(epoch, learns, moves) for epoch, learns, moves, _ in thaw.seen} == {
        (0, False, False),
        (1, True, True),
        (2, True, True),
    }
    n = len(thaw.seen[0][3])
    assert [len(rates) for *_, rates in thaw.seen] == [n] * 4 + [n + 1] * 8
    assert {rates[-1] for epoch, *_, rates in thaw.seen if epoch} == {1e-4}  # the rate that it was given
    assert len({rates[0] for *_, rates in thaw.seen}) == 12  # the others follow the schedule
