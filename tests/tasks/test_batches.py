"""The contract of batches: loaders of anybody's, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from onlineml.errors import DataError
from tiny import tiny_data, tiny_model
from tiny_boxes import tiny_boxes, tiny_detector
from tiny_labels import label_model

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    "ignore:`isinstance:FutureWarning",  # torch 2.15 to Lightning 2.6.6
    "ignore:The '.*_dataloader' does not have many workers",
    "ignore:You defined a `validation_step` but have no `val_dataloader`",
    "ignore:The total number of parameters detected",
)


def trainer_in(folder: Path, **options: Any) -> pl.Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return pl.Trainer(**{"max_epochs": 1, "accelerator": "cpu", "default_root_dir": folder, **quiet, **options})


def loader(images: Iterable[dict[str, Any]], **options: Any) -> DataLoader:
    return DataLoader(list(images), batch_size=4, **options)


def discs(n: int = 12) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    return [{"image": torch.rand(3, 32, 40, generator=generator), "label": i % 3} for i in range(n)]


def test_a_classifier_on_image_and_label_alone(tmp_path: Path) -> None:
    model, batches = tiny_model(), loader(discs())
    trainer = trainer_in(tmp_path)
    trainer.fit(model, batches, batches)

    assert trainer.global_step == 3
    assert set(trainer.callback_metrics) == {"train_loss", "val_loss", "val_accuracy"}
    assert model.size_hw == (32, 40)  # of the batches
    (tested,) = trainer.test(model, batches, verbose=False)
    shown = torch.cat(trainer.predict(model, loader({"image": d["image"]} for d in discs())))
    expected = sum(int(row.argmax()) == d["label"] for row, d in zip(shown, discs(), strict=True)) / 12
    assert tested["test_accuracy"] == pytest.approx(expected)


def test_bytes_and_floats_are_the_same_image() -> None:
    model = tiny_model().eval()
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(model(pixels), model(pixels.float() / 255), atol=1e-6)


def test_multi_label_on_image_and_label_alone(tmp_path: Path) -> None:
    def shown(unknown: float) -> DataLoader:
        return loader({**d, "label": torch.tensor([1.0, 0.0, unknown]).roll(i)} for i, d in enumerate(discs()))

    model, trainer = label_model(), trainer_in(tmp_path)
    trainer.fit(model, shown(float("nan")), shown(0.0))  # in training, labels may be unknown

    assert set(trainer.callback_metrics) == {"train_loss", "val_loss", "val_map"}
    assert all(torch.isfinite(value) for value in trainer.callback_metrics.values())


def boxes_of(i: int) -> dict[str, torch.Tensor]:
    return {"boxes": torch.tensor([[4.0, 6.0, 20.0, 30.0]])[: i % 2], "labels": torch.tensor([i % 3])[: i % 2]}


def together(images: list[dict[str, Any]]) -> dict[str, Any]:
    batch = {key: [image[key] for image in images] for key in images[0]}
    return batch | {"image": torch.stack(batch["image"])}


@pytest.mark.parametrize("as_targets", [False, True])
def test_a_detector_on_images_boxes_and_labels_alone(tmp_path: Path, as_targets: bool) -> None:
    objects = [{"targets": boxes_of(i)} if as_targets else boxes_of(i) for i in range(8)]
    images = [{"image": d["image"][:, :, :32], **o} for d, o in zip(discs(8), objects, strict=True)]
    batches = loader(images, collate_fn=together)
    model, trainer = tiny_detector(), trainer_in(tmp_path)
    trainer.fit(model, batches, batches)

    assert set(trainer.callback_metrics) == {"train_loss", "val_map_50", "val_map_50_95"}
    assert model.size_hw == (32, 32)


def test_our_batches_without_their_extras_train_to_the_same_weights(boxes, tmp_path: Path) -> None:
    class Bare:
        """What a loader of somebody's would have of a batch of ours."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __iter__(self) -> Any:
            for batch in self.inner:
                targets = batch["targets"]
                yield {"image": batch["image"], **{k: [t[k] for t in targets] for k in ("boxes", "labels")}}

        def __len__(self) -> int:
            return len(self.inner)

    losses = []
    for wrap in (lambda inner: inner, Bare):
        model, trainer = tiny_detector(), trainer_in(tmp_path)
        trainer.fit(model, wrap(tiny_boxes(boxes, size_hw=(64, 64), augment="none").train_dataloader()))
        losses.append(float(trainer.callback_metrics["train_loss"]))
    assert losses[0] == losses[1]


def refused(model: Any, batches: Any, folder: Path) -> str:
    with pytest.raises(DataError) as found:
        trainer_in(folder, max_epochs=1).fit(model, batches)
    return str(found.value)


def test_what_other_batches_are_told(tmp_path: Path) -> None:
    pairs = DataLoader(TensorDataset(torch.rand(8, 3, 32, 32), torch.zeros(8, dtype=torch.int64)), batch_size=4)
    assert "a batch is a list: expected a mapping with 'image'" in refused(tiny_model(), pairs, tmp_path)
    pixels = loader({"pixels": d["image"], "label": 0} for d in discs())
    assert "a batch is a dict of pixels, label: expected" in refused(tiny_model(), pixels, tmp_path)
    unlabelled = loader({"image": d["image"]} for d in discs())
    assert "a batch lacks 'label'; it has image: let the dataset return it" in refused(
        tiny_model(), unlabelled, tmp_path
    )
    assert "a batch lacks 'boxes', 'labels'; it has image" in refused(tiny_detector(), unlabelled, tmp_path)
    last = loader({"image": d["image"].permute(1, 2, 0), "label": 0} for d in discs())
    assert "are (4, 32, 40, 3) float32: expected (B, 3, H, W);" in refused(tiny_model(), last, tmp_path)
    large = loader({"image": d["image"] * 255, "label": 0} for d in discs())
    assert "expected uint8, or float in 0..1: leave normalisation to the module" in refused(
        tiny_model(), large, tmp_path
    )
    odd = loader(({"image": d["image"], **boxes_of(1)} for d in discs()), collate_fn=together)
    assert "(4, 3, 32, 40) float32: expected (B, 3, H, W), H and W multiples of 32" in refused(
        tiny_detector(), odd, tmp_path
    )


def test_overfitting_on_a_few_batches(manifest, tmp_path: Path) -> None:
    class Seen(pl.Callback):
        def __init__(self) -> None:
            self.images: list[list[str]] = []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            self.images.append(list(batch["image_id"]))

    seen = Seen()
    trainer_in(tmp_path, max_epochs=3, overfit_batches=2, callbacks=[seen]).fit(
        tiny_model(), datamodule=tiny_data(manifest)
    )

    assert len(seen.images) == 6
    assert seen.images[:2] == seen.images[2:4] == seen.images[4:]
    assert seen.images[0] != seen.images[1]
