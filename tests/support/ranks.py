"""A training script, as a user starts one for several processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytorch_lightning as pl
import torch

import onlineml as oml
from tiny_projects import FACTORY

N_STEPS = 52


def train(photos: Path, into: Path, *, n_processes: int) -> None:
    """Train with steps of 16 images, shared among the processes; the first one stores weights and test scores."""
    torch.set_num_threads(1)
    data = oml.Manifest.from_folders(str(photos))
    model = oml.ImageClassifier(class_names=data.class_names, backbone=FACTORY, lr=0.02, seed=3)
    batches = oml.ClassificationDataModule(
        data, size_hw=(32, 32), batch_size=16 // n_processes, balance=True, num_workers=0, seed=3
    )
    trainer = pl.Trainer(
        max_steps=N_STEPS,
        accelerator="cpu",
        devices=n_processes,
        strategy="ddp" if n_processes > 1 else "auto",
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, batches)
    (scores,) = trainer.test(model, batches, verbose=False)
    if trainer.global_rank == 0:
        torch.save({"weights": model.state_dict(), "scores": scores, "steps": trainer.global_step}, into)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), n_processes=int(sys.argv[3]))
