"""The classifier's module: its loss, its input, its arguments, and other people's trainers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy

import onlineml as oml
from onlineml.errors import ConfigError, TrainingError
from onlineml.tasks.finite_loss import check_loss
from onlineml.tasks.mixing import mix_batch
from onlineml.tasks.optimization import decays
from onlineml.tasks.schedule import Schedule
from tiny import CLASSES, TinyNet, tiny_data, tiny_model

if TYPE_CHECKING:
    from pathlib import Path


def images(n: int = 6, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8))
    return pixels if dtype == torch.uint8 else pixels.to(dtype) / 255


def loss_of(model: oml.ImageClassifier, batch: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    model.schedule = Schedule()  # as within fit(): nothing is logged
    names = np.array([f"image-{i}" for i in range(len(labels))])
    return model.training_step({"image": batch, "label": labels, "image_id": names}, 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("weights", [None, [1.0, 0.25, 4.0], {"red": 4.0, "blue": 1.0, "green": 0.25}])
def test_the_loss_by_hand(smoothing: float, weights) -> None:
    model, labels = tiny_model(label_smoothing=smoothing, class_weights=weights), torch.tensor([0, 1, 2, 2, 0, 1])
    in_order = np.array([1.0, 1.0, 1.0] if weights is None else [1.0, 0.25, 4.0])  # blue, green, red
    with torch.no_grad():
        logits = model(images()).double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = np.eye(3)[labels.numpy()] * (1 - smoothing) + smoothing / 3  # Szegedy et al. 2016
    expected = np.mean(-(targets * in_order * log_p).sum(1))

    assert float(loss_of(model, images(), labels).detach()) == pytest.approx(expected, rel=1e-4)
    if weights is None:
        own = cross_entropy(torch.from_numpy(logits), labels, label_smoothing=smoothing)
        assert expected == pytest.approx(float(own))


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_the_loss_of_mixed_images_by_hand(mix: str) -> None:
    model, labels = tiny_model(label_smoothing=0.0, class_weights=[1.0, 2.0, 3.0], mix=mix), torch.arange(6) % 3
    loss = loss_of(model, images(), labels)
    mixed, targets = mix_batch(
        model.normalize(images()), torch.eye(3)[labels], how=mix, generator=np.random.default_rng([model.seed, 0])
    )
    with torch.no_grad():
        log_p = torch.log_softmax(model.network(mixed), 1)

    expected = -(targets * torch.tensor([1.0, 2.0, 3.0]) * log_p).sum(1).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_integers_and_floats_give_the_same_logits() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        whole, float32 = model(images()), model(images(dtype=torch.float32))
        mean, std = torch.tensor(model.mean).view(1, 3, 1, 1), torch.tensor(model.std).view(1, 3, 1, 1)
        expected = model.network((images(dtype=torch.float32) - mean) / std)

    assert torch.allclose(whole, float32, atol=1e-5)
    assert torch.allclose(whole, expected, atol=1e-5)


def test_the_batch_is_not_written_to() -> None:
    model = tiny_model()
    for batch in (
        images(),
        images(dtype=torch.float32),
        images(dtype=torch.float32).to(memory_format=torch.channels_last),
    ):
        before = batch.clone()
        model.normalize(batch)
        assert torch.equal(batch, before)


@pytest.mark.parametrize("names", [[], ["one"], ["a", "b", "a"], "ab", ["a", ""], ["a", 3]])
def test_class_names_that_are_none(names) -> None:
    with pytest.raises(ConfigError, match="class_names: expected at least two different, non-empty names; found"):
        oml.ImageClassifier(class_names=names, backbone=TinyNet())


def test_a_class_name_that_stands_twice_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\['cat'\] stand twice"):
        oml.ImageClassifier(class_names=["cat", "dog", "cat"], backbone=TinyNet())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mix": "blend"}, "mix='blend': expected one of none, mixup, cutmix"),
        ({"optimizer": "lion"}, "optimizer='lion': expected one of adamw, sgd"),
        ({"lr": 0.0}, "lr=0.0: expected more than 0"),
        ({"lr": float("nan")}, "lr=nan: expected more than 0"),
        ({"head_warmup": 1.0}, "head_warmup=1.0"),
        ({"frozen_share": 1.5}, "frozen_share=1.5"),
        ({"label_smoothing": 1.5}, "label_smoothing=1.5"),
        (
            {"class_weights": [1.0, 2.0]},
            "class_weights: expected one weight of at least 0 for each of blue, green, red",
        ),
        ({"class_weights": [1.0, -2.0, 1.0]}, "class_weights"),
        ({"class_weights": {"blue": 1.0, "green": 1.0}}, "class_weights"),
        ({"class_weights": {"blue": 1.0, "green": 1.0, "red": 1.0, "rad": 2.0}}, "class_weights"),
        ({"backbone": "resnet19"}, "backbone='resnet19'"),
        ({"backbone": "tiny:no_such"}, "backbone='tiny:no_such'"),
    ],
)
def test_bad_arguments_are_refused_when_the_model_is_made(options, told: str) -> None:
    with pytest.raises(ConfigError) as found:
        tiny_model(**options)

    assert told in str(found.value)


def test_fresh_weights_follow_from_the_seed_alone() -> None:
    def state(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(int(torch.randint(1, 9, ())))  # whatever was drawn before
        return oml.ImageClassifier(class_names=CLASSES, backbone="tiny:tiny_net", seed=seed).state_dict()

    first, second, other = state(1), state(1), state(2)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["network.head.weight"], other["network.head.weight"])


def test_making_a_model_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    oml.ImageClassifier(class_names=CLASSES, backbone="tiny:tiny_net", seed=1)

    assert torch.equal(torch.get_rng_state(), before)


def test_parameter_groups_hold_every_parameter_once() -> None:
    model = tiny_model(norm=True, lr=1e-2, lr_decay=0.5, weight_decay=0.1)
    groups = model.make_optimizer().param_groups

    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    by_id = {id(p): group for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert by_id[id(parameter)]["weight_decay"] == (0.1 if name.endswith("weight") and parameter.ndim > 1 else 0.0)
    assert by_id[id(model.head.weight)]["lr"] == 1e-2
    assert by_id[id(model.network.features[0].weight)]["lr"] == pytest.approx(1e-2 * 0.5**3)  # six tensors, two a group


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "convnext_tiny"])
def test_embeddings_of_positions_tokens_and_scales_of_layers_are_not_decayed(name: str) -> None:
    with torch.device("meta"):
        network = torchvision.models.get_model(name)
    own = {"Linear", "Conv2d", "NonDynamicallyQuantizableLinear", "MultiheadAttention"}  # what inputs are multiplied by
    expected = {
        f"{path}.{key}"
        for path, module in network.named_modules()
        for key, parameter in module.named_parameters(recurse=False)
        if type(module).__name__ in own and parameter.ndim > 1
    }
    assert {key for key, parameter in network.named_parameters() if decays(key, parameter)} == expected
    for key in ("pos_embed", "dist_token", "embeddings.position_embeddings", "attn.relative_position_bias_table"):
        assert not decays(key, torch.zeros(1, 4, 4))  # of timm and transformers


class Watch(pl.Callback):
    """Learning rates and what learns, step by step."""

    def __init__(self) -> None:
        self.lr, self.learns, self.losses = [], [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.lr.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.learns.append(pl_module.network.features[0].weight.requires_grad)
        self.losses.append(float(outputs["loss"].detach()))


# torch 2.15 to Lightning 2.6.6; fit() says so in its own place
PYTREE = "ignore:`isinstance:FutureWarning"


@pytest.mark.filterwarnings(PYTREE)
@pytest.mark.parametrize("mix", ["none", "mixup", "cutmix"])
def test_the_users_own_trainer(manifest, tmp_path: Path, mix: str) -> None:
    watch, data = Watch(), tiny_data(manifest)
    model = tiny_model(mix=mix, lr=1e-2, warmup_steps=0, head_warmup=0.25)
    trainer = pl.Trainer(
        max_epochs=8,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
        default_root_dir=tmp_path,
    )
    trainer.fit(model, datamodule=data)

    n = 8 * 4  # epochs, and batches of 8 of 36 images without the rest
    assert len(watch.lr) == n
    cosine = [1e-2 * (0.01 + 0.99 * (1 + np.cos(np.pi * step / n)) / 2) for step in range(n)]
    assert watch.lr == pytest.approx(cosine)
    assert watch.learns == [False] * 8 + [True] * 24  # the head alone in the first quarter
    assert np.mean(watch.losses[-8:]) < np.mean(watch.losses[:8])
    assert model.size_hw == (32, 32)
    assert model.manifest_hash == manifest.hash
    assert set(trainer.callback_metrics) >= {"train_loss", "val_loss", "val_accuracy"}
    tested = trainer.test(model, datamodule=data, verbose=False)[0]
    predicted = torch.cat(trainer.predict(model, data.test_dataloader()))
    labels = torch.cat([batch["label"] for batch in data.test_dataloader()])
    assert tested["test_accuracy"] == pytest.approx(float((predicted.argmax(1) == labels).float().mean()))
    assert tested["test_loss"] == pytest.approx(float(nn.functional.nll_loss(predicted.log(), labels)), rel=1e-4)


def named(*ids: str) -> dict[str, object]:
    return {"image": torch.zeros(len(ids), 3, 8, 8), "image_id": np.array(ids, dtype=object)}


def test_a_loss_that_is_not_finite_names_the_images() -> None:
    check = partial(check_loss, step=3, lr=0.002)
    check(torch.zeros(0), named())
    check(torch.tensor([1.0, 2.0]), named("a", "b"))

    with pytest.raises(
        TrainingError,
        match=r"at step 3 is not finite for some images only: look at them; image_id: \['b', 'd'\]",
    ):
        check(torch.tensor([1.0, float("nan"), 2.0, float("inf")]), named("a", "b", "c", "d"))
    with pytest.raises(TrainingError, match=r"weights have diverged: lower lr \(now 0.002\).*\['a', 'b'\]"):
        check(torch.tensor([float("nan"), float("nan")]), named("a", "b"))
    with pytest.raises(TrainingError, match=r"image_id: \['number 1 of the batch'\]"):
        check(torch.tensor([1.0, float("nan")]), {"image": torch.zeros(2, 3, 8, 8)})
